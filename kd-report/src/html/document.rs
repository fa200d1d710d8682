//! A page around its blocks: the head with its policy, the contents, and the sections.

use std::path::Path;

use kd_core::write_atomically;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::encode::{data_uri, policy_hash, visible};
use super::{bars, confusion, gallery, lines, markdown, table};
use crate::Result;
use crate::block::{Block, Picture, Plot};
use crate::report::Section;
use crate::report::page::Page;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const LIVE: &str = include_str!("live.js");

/// A page in HTML: one file with its pictures, its style and its script, and nothing from elsewhere.
///
/// Its policy forbids every request, and allows no script but its own. Plots show their values on hover and
/// by the arrow keys. Whatever is put into it is escaped. The same content gives the same bytes.
///
/// # Examples
///
/// ```
/// use kd_report::{LinePlot, Picture, Section, Series, WebPage};
///
/// let plot = LinePlot::new("Accuracy", "epoch", "%").with_series(Series::new("kd", [(1, 41.5), (2, 58.0)]));
/// let section = Section::new("Curves").with_picture("accuracy", "accuracy", Picture::lines(plot)?);
/// let html = WebPage::new("a <run>").with_section(&section).html();
/// assert!(html.contains("<h1>a &lt;run&gt;</h1>"));
/// # Ok::<(), kd_report::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct WebPage {
    title: String,
    page: Page,
}

impl WebPage {
    /// A page without content.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            page: Page::default(),
        }
    }

    /// A page of blocks.
    pub(crate) fn of(title: &str, page: Page) -> Self {
        Self {
            title: title.to_owned(),
            page,
        }
    }

    /// With a paragraph of Markdown.
    #[must_use]
    pub fn with_text(mut self, text: &str) -> Self {
        self.page.paragraph(text);
        self
    }

    /// With what matters most, below the title: names, values, and a remark on each, which may be empty.
    #[must_use]
    pub fn with_highlights(mut self, entries: Vec<[String; 3]>) -> Self {
        if !entries.is_empty() {
            self.page.before_sections(Block::Highlights(entries));
        }
        self
    }

    /// With links to other pages of the same server, below the title: the name of each, its path, and a
    /// remark.
    #[must_use]
    pub fn with_links(mut self, entries: Vec<[String; 3]>) -> Self {
        let own = |entry: &[String; 3]| entry[1].starts_with('/') && !entry[1].starts_with("//");
        let entries: Vec<_> = entries.into_iter().filter(own).collect();
        if !entries.is_empty() {
            self.page.before_sections(Block::Links(entries));
        }
        self
    }

    /// With a section.
    #[must_use]
    pub fn with_section(mut self, section: &Section) -> Self {
        section.show(&mut self.page);
        self
    }

    /// With text as it is, such as a recipe, in a section of its own.
    #[must_use]
    pub fn with_verbatim(mut self, title: &str, language: &'static str, text: &str) -> Self {
        self.page.heading(2, title);
        self.page.verbatim(language, text);
        self
    }

    /// The page as a file that stands alone.
    pub fn html(&self) -> String {
        document(&self.title, "none", &[SCRIPT], &self.main("")).into_string()
    }

    /// The page as a server shows it: its script asks the page's own address for `?since=REVISION` more than
    /// once a second, which is answered with [`WebPage::part`] if there is something new.
    pub fn live_html(&self, revision: &str) -> String {
        document(&self.title, "self", &[SCRIPT, LIVE], &self.main(revision)).into_string()
    }

    /// The part of a live page that changes.
    pub fn part(&self, revision: &str) -> String {
        self.main(revision).into_string()
    }

    /// Writes the page to a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(write_atomically(path, self.html().as_bytes())?)
    }

    fn main(&self, revision: &str) -> Markup {
        let blocks = self.page.blocks();
        let is_section = |block: &Block| matches!(block, Block::Heading(2, _));
        let first = blocks.iter().position(is_section).unwrap_or(blocks.len());
        let (head, rest) = blocks.split_at(first);
        let titles: Vec<&str> = rest.iter().filter_map(title_of).collect();
        html! {
            main data-revision=[(!revision.is_empty()).then_some(revision)] {
                header {
                    h1 { (visible(&self.title)) }
                    (content(head))
                    @if titles.len() > 2 {
                        nav aria-label="sections" { ul {
                            @for (place, title) in titles.iter().enumerate() {
                                li { a href={ "#s" (place + 1) } { (visible(title)) } }
                            }
                        } }
                    }
                }
                @for (place, section) in sections(rest).enumerate() {
                    section id={ "s" (place + 1) } {
                        h2 { (visible(section.first().and_then(title_of).unwrap_or_default())) }
                        (content(section.get(1..).unwrap_or_default()))
                    }
                }
            }
        }
    }
}

fn title_of(block: &Block) -> Option<&str> {
    match block {
        Block::Heading(2, title) => Some(title),
        _ => None,
    }
}

/// Each section with its heading.
fn sections(blocks: &[Block]) -> impl Iterator<Item = &[Block]> {
    blocks.chunk_by(|_, next| title_of(next).is_none())
}

/// The whole document; `connect` is what its script may reach: nothing, or its own server.
fn document(title: &str, connect: &str, scripts: &[&str], main: &Markup) -> Markup {
    let hashes: Vec<String> = scripts.iter().map(|script| policy_hash(script)).collect();
    let policy = format!(
        "default-src 'none'; img-src data:; style-src {}; script-src {}; connect-src '{connect}'; \
         base-uri 'none'; form-action 'none'",
        policy_hash(STYLE),
        hashes.join(" ")
    );
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (visible(title)) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                (main)
                @for script in scripts { script { (PreEscaped(script)) } }
            }
        }
    }
}

/// Blocks in their order; figures that follow each other stand side by side.
fn content(blocks: &[Block]) -> Markup {
    let groups = blocks.chunk_by(|one, next| is_figure(one) && is_figure(next));
    html! {
        @for group in groups {
            @if group.first().is_some_and(is_figure) {
                div.figures { @for block in group { (shown(block)) } }
            } @else {
                @for block in group { (shown(block)) }
            }
        }
    }
}

/// Whether a block can stand beside another one.
fn is_figure(block: &Block) -> bool {
    match block {
        Block::Picture(_, _, Picture::Plot(drawn)) => !matches!(drawn.plot, Plot::Confusion(_)),
        _ => false,
    }
}

fn shown(block: &Block) -> Markup {
    match block {
        // The title of the page stands there already.
        Block::Heading(1, _) => html! {},
        Block::Heading(_, text) => html! { h3 { (visible(text)) } },
        Block::Paragraph(text) => markdown::paragraph(text),
        Block::Table(shown) => table::table(shown),
        Block::Picture(_, about, picture) => picture_of(about, picture),
        Block::Verbatim(language, text) => html! {
            pre tabindex="0" role="group" aria-label=(language) { code { (visible(text.trim_end())) } }
        },
        Block::Gallery(shown) => gallery::gallery(shown),
        Block::Highlights(entries) => highlights(entries),
        Block::Links(entries) => links(entries),
    }
}

fn picture_of(about: &str, picture: &Picture) -> Markup {
    let image = |uri: String| {
        html! { figure.picture { img src=(uri) alt=(visible(about)); figcaption { (visible(about)) } } }
    };
    match picture {
        Picture::Svg(svg) => image(data_uri("image/svg+xml", svg.as_bytes())),
        Picture::Png(png) => image(data_uri("image/png", png)),
        Picture::Plot(drawn) => match &drawn.plot {
            Plot::Lines(plot) => lines::figure(plot, about),
            Plot::Dots(plot) => bars::dots(plot, about),
            Plot::Counts(plot) => bars::counts(plot, about),
            Plot::Confusion(plot) => confusion::figure(plot, about),
        },
    }
}

fn highlights(entries: &[[String; 3]]) -> Markup {
    html! {
        dl.highlights {
            @for [name, value, remark] in entries {
                div {
                    dt { (visible(name)) }
                    dd { (visible(value)) }
                    @if !remark.is_empty() { dd.muted { (visible(remark)) } }
                }
            }
        }
    }
}

fn links(entries: &[[String; 3]]) -> Markup {
    html! {
        ul.links {
            @for [name, path, remark] in entries {
                li { a href=(path) { (visible(name)) } " " span.muted { (visible(remark)) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_style_cannot_end_themselves() {
        for text in [STYLE, SCRIPT, LIVE] {
            assert!(!text.contains("</") && !text.contains("<!--"));
        }
    }

    #[test]
    fn links_lead_to_the_same_server() {
        let entry = |path: &str| ["a".to_owned(), path.to_owned(), String::new()];
        let entries = ["/run/0", "//evil", "javascript:alert(1)", "https://evil"].map(entry);
        let made = WebPage::new("t").with_links(entries.to_vec()).html();
        assert!(
            made.contains("href=\"/run/0\"")
                && !made.contains("evil")
                && !made.contains("javascript:")
        );
    }
}
