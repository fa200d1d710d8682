//! The pages of what is watched, made again only when something has changed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kd_core::{Error, Result};
use kd_recipe::{LiveRun, live_claims, live_overview, live_page, runs_below, stamp_of};
use kd_report::WebPage;

use super::route::{Route, path_of};

/// A folder is not looked at more often than this, however many pages are open.
const PAUSE: Duration = Duration::from_millis(300);
/// Nor as often that making its page takes more than this part of the time, up to the longest pause.
const SHARE: u32 = 100;
const LONGEST: Duration = Duration::from_millis(500);
/// A page that was made is not kept longer than nobody asks for it.
const MOST_KEPT: usize = 64;

/// What is watched.
#[derive(Debug)]
pub(crate) struct Watched {
    roots: Vec<Root>,
    kept: HashMap<u64, Kept>,
    runs: Vec<Run>,
    looked: Option<Instant>,
    /// What the page of all lists.
    listed: u64,
}

/// A folder that was named.
#[derive(Clone, Debug)]
struct Root {
    folder: PathBuf,
    name: String,
}

/// A run that is there.
#[derive(Clone, Debug)]
struct Run {
    number: u64,
    name: String,
    folder: PathBuf,
}

/// A page that was made.
#[derive(Debug)]
struct Kept {
    checked: Instant,
    took: Duration,
    stamp: String,
    page: WebPage,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A whole page, or the part of it that has changed.
    Html(String),
    /// A file that was made before.
    File(Vec<u8>),
    /// There is nothing new.
    Same,
    /// There is no such page.
    Nothing,
}

impl Watched {
    /// The runs in and below some folders.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a folder has no absolute path.
    pub(crate) fn new(folders: &[PathBuf]) -> Result<Self> {
        let root = |folder: &PathBuf| {
            let name = folder.display().to_string();
            let folder = std::path::absolute(folder).map_err(Error::io("read", folder))?;
            Ok(Root { folder, name })
        };
        Ok(Self {
            roots: folders.iter().map(root).collect::<Result<_>>()?,
            kept: HashMap::new(),
            runs: Vec::new(),
            looked: None,
            listed: 0,
        })
    }

    /// The answer to a request; `since` is the revision that the page has which asks.
    pub(super) fn answer(&mut self, route: &Route, since: Option<&str>) -> Answer {
        self.look();
        let several = self.runs.len() > 1;
        match (route, &self.runs[..]) {
            (Route::Home, [run]) if self.roots.len() == 1 && self.roots[0].folder == run.folder => {
                let run = run.clone();
                let folders = std::slice::from_ref(&run.folder);
                self.page(run.number, since, folders, || of_run(&run, several))
            }
            (Route::Home, _) => {
                let folders: Vec<PathBuf> =
                    self.roots.iter().map(|root| root.folder.clone()).collect();
                let (title, runs) = (self.title(), self.runs.clone());
                let reports = self.reports();
                // A run that has begun may be listed later than its files are there.
                if self.listed != number_of_all(&runs) {
                    self.listed = number_of_all(&runs);
                    self.kept.remove(&0);
                }
                let roots = self.roots.clone();
                self.page(0, since, &folders, || {
                    let page = of_all(&title, &runs, reports.clone())?;
                    with_claims(page, &roots)
                })
            }
            (Route::Run(number), _) => match self.run(*number) {
                Some(run) => {
                    let folders = std::slice::from_ref(&run.folder);
                    self.page(*number, since, folders, || of_run(&run, several))
                }
                None => Answer::Nothing,
            },
            (Route::Report(number), _) => self.report(*number),
        }
    }

    /// Looks for runs that have begun since.
    fn look(&mut self) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LONGEST) {
            return;
        }
        self.looked = Some(Instant::now());
        let several = self.roots.len() > 1;
        self.runs.clear();
        for root in &self.roots {
            for folder in runs_below(&root.folder) {
                let below = folder
                    .strip_prefix(&root.folder)
                    .unwrap_or(&folder)
                    .display()
                    .to_string();
                let name = match (below.is_empty(), several) {
                    (true, _) => root.name.clone(),
                    (false, true) => format!("{}/{below}", root.name),
                    (false, false) => below,
                };
                let number = number_of(&folder);
                if self.runs.iter().all(|run| run.number != number) {
                    self.runs.push(Run {
                        number,
                        name,
                        folder,
                    });
                }
            }
        }
    }

    fn run(&self, number: u64) -> Option<Run> {
        self.runs.iter().find(|run| run.number == number).cloned()
    }

    fn title(&self) -> String {
        match &self.roots[..] {
            [root] => root.name.clone(),
            roots => format!("{} folders", roots.len()),
        }
    }

    /// The pages of campaigns that have written their results.
    fn reports(&self) -> Vec<[String; 3]> {
        let there = self
            .roots
            .iter()
            .filter(|root| is_file(&root.folder.join("results.html")));
        let link = |root: &Root| {
            let path = format!("{}/report.html", path_of(number_of(&root.folder)));
            [
                format!("Results of {}", root.name),
                path,
                "so far, with intervals and every seed".into(),
            ]
        };
        there.map(link).collect()
    }

    /// The page `number`, made anew if `folders` have changed.
    fn page(
        &mut self,
        number: u64,
        since: Option<&str>,
        folders: &[PathBuf],
        make: impl Fn() -> Result<WebPage>,
    ) -> Answer {
        let pause = |kept: &Kept| (kept.took * SHARE).clamp(PAUSE, LONGEST);
        let fresh = self
            .kept
            .get(&number)
            .is_some_and(|kept| kept.checked.elapsed() < pause(kept));
        if !fresh {
            self.renew(number, folders, make);
        }
        let Some(kept) = self.kept.get(&number) else {
            return Answer::Nothing;
        };
        match since {
            Some(since) if since == kept.stamp => Answer::Same,
            Some(_) => Answer::Html(kept.page.part(&kept.stamp)),
            None => Answer::Html(kept.page.live_html(&kept.stamp)),
        }
    }

    fn renew(&mut self, number: u64, folders: &[PathBuf], make: impl Fn() -> Result<WebPage>) {
        let begun = Instant::now();
        let stamps: Vec<String> = folders.iter().map(|folder| stamp_of(folder)).collect();
        let listed = if number == 0 { self.listed } else { 0 };
        let stamp = format!("{}-{listed:x}", stamps.join("-"));
        if let Some(kept) = self
            .kept
            .get_mut(&number)
            .filter(|kept| kept.stamp == stamp)
        {
            kept.checked = begun;
            return;
        }
        // A file that is being written may be read half; the next look reads it again.
        let (page, stamp) = match make() {
            Ok(page) => (page, stamp),
            Err(error) => (
                WebPage::new(self.title()).with_text(&plain(&error)),
                format!("{stamp}x"),
            ),
        };
        if self.kept.len() >= MOST_KEPT {
            self.kept.clear();
        }
        let kept = Kept {
            checked: begun,
            took: begun.elapsed(),
            stamp,
            page,
        };
        self.kept.insert(number, kept);
    }

    /// The file that a run or a campaign has written about itself.
    fn report(&self, number: u64) -> Answer {
        let of_run = self.run(number).map(|run| run.folder.join("report.html"));
        let root = self
            .roots
            .iter()
            .find(|root| number_of(&root.folder) == number);
        let file = of_run.or_else(|| root.map(|root| root.folder.join("results.html")));
        match file.filter(|file| is_file(file)).map(std::fs::read) {
            Some(Ok(bytes)) => Answer::File(bytes),
            _ => Answer::Nothing,
        }
    }
}

/// Whether there is a file, and not a link that might lead elsewhere.
fn is_file(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.is_file())
}

fn plain(error: &Error) -> String {
    format!("`{}`", error.to_string().replace('`', "'"))
}

/// The page of a run; `of_several` says that there is a page of several that it can lead back to.
fn of_run(run: &Run, of_several: bool) -> Result<WebPage> {
    let page = live_page(&run.folder)?;
    let mut links = Vec::new();
    if of_several {
        links.push(["All", "/", "that is watched"].map(str::to_owned));
    }
    if is_file(&run.folder.join("report.html")) {
        let path = format!("{}/report.html", path_of(run.number));
        let about = "with what the networks say of held-out samples".to_owned();
        links.push(["The whole report".to_owned(), path, about]);
    }
    Ok(page.with_links(links))
}

fn of_all(title: &str, runs: &[Run], reports: Vec<[String; 3]>) -> Result<WebPage> {
    let live: Vec<LiveRun<'_>> = runs
        .iter()
        .map(|run| LiveRun {
            name: run.name.clone(),
            folder: &run.folder,
            path: path_of(run.number),
        })
        .collect();
    live_overview(title, &live, reports)
}

/// With the claims of the campaigns among some folders.
fn with_claims(mut page: WebPage, roots: &[Root]) -> Result<WebPage> {
    for root in roots {
        let title = match roots {
            [_] => "Claims".to_owned(),
            _ => format!("Claims of {}", root.name),
        };
        if let Some(claims) = live_claims(&root.folder, &title)? {
            page = page.with_section(&claims);
        }
    }
    Ok(page)
}

/// A number that changes with the runs that are there.
fn number_of_all(runs: &[Run]) -> u64 {
    let numbers = runs.iter().map(|run| run.number);
    numbers.fold(1, |all, number| all.wrapping_mul(31).wrapping_add(number))
}

/// The number that stands for a folder in addresses.
fn number_of(folder: &Path) -> u64 {
    let bytes = folder.as_os_str().as_encoded_bytes();
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
