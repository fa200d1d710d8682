//! The report of a run: a page with pictures.

mod calibration;
mod classes;
mod curves;
mod highlights;
pub(crate) mod page;
mod predictions;
mod samples;
mod section;
mod segmentation;
mod synthetic;
mod teacher;

use std::path::Path;

use kd_core::{EpochLog, SegmentationSummary};

use crate::block::Block;
use crate::html::{SampleImages, WebPage};
use crate::{Align, Error, Result, SegmentationBoard, Table};
use page::Page;
use segmentation::Segmentation;

pub use predictions::{Answer, Predictions, Sample};
pub use section::{Section, SectionPart};
pub use synthetic::SyntheticImages;

/// The report of a run: `report.md` with its pictures in `report/`, and `report.html`, one file with all.
///
/// It is put together from what there is; a run that is not done, or of a method that makes neither a
/// classifier nor masks, has fewer sections.
///
/// # Examples
///
/// ```no_run
/// use std::path::Path;
/// use kd_core::EpochLog;
/// use kd_report::RunReport;
///
/// let run = Path::new("runs/student-seed0");
/// RunReport::new("student-seed0")
///     .with_fact("student", "resnet8x4")
///     .with_epochs(EpochLog::read_all(run)?)
///     .write(run)?;
/// # Ok::<(), kd_report::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RunReport {
    title: String,
    remarks: Vec<String>,
    facts: Vec<(String, String)>,
    costs: Vec<(String, String)>,
    epochs: Vec<EpochLog>,
    predictions: Option<(Predictions, Vec<String>)>,
    segmentation: Option<Segmentation>,
    images: SampleImages,
    sections: Vec<Section>,
    inputs: Vec<(String, String)>,
    environments: Vec<Vec<(String, String)>>,
    recipe: Option<String>,
}

impl RunReport {
    /// A report without content.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            ..Self::default()
        }
    }

    /// With a sentence of Markdown below the title, such as that the run is not done.
    #[must_use]
    pub fn with_remark(mut self, text: impl Into<String>) -> Self {
        self.remarks.push(text.into());
        self
    }

    /// With a line of what was run: network, data, teacher, seed, device, ...
    #[must_use]
    pub fn with_fact(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.facts.push((name.into(), value.into()));
        self
    }

    /// With a line of what it took: parameters, time, memory, ...
    #[must_use]
    pub fn with_cost(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.costs.push((name.into(), value.into()));
        self
    }

    /// With what the epochs came to.
    #[must_use]
    pub fn with_epochs(mut self, epochs: Vec<EpochLog>) -> Self {
        self.epochs = epochs;
        self
    }

    /// With the predictions of the student, and of its teacher if there is one, for held-out samples. Classes
    /// without a name are shown by number.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if there are names, but not one for each class.
    pub fn with_predictions(
        mut self,
        predictions: Predictions,
        class_names: Option<&[String]>,
    ) -> Result<Self> {
        let names = match class_names {
            Some(names) => {
                let remedy = "give one for each class, or none";
                check_names(names, predictions.classes, remedy)?;
                names.to_vec()
            }
            None => (0..predictions.classes)
                .map(|class| class.to_string())
                .collect(),
        };
        self.predictions = Some((predictions, names));
        Ok(self)
    }

    /// With the images of some of these samples, best of those that [`Predictions::shown`] names. They are
    /// shown in HTML.
    #[must_use]
    pub fn with_sample_images(mut self, images: SampleImages) -> Self {
        self.images = images;
        self
    }

    /// With what networks make of held-out images whose every pixel has a class: some of them as a picture,
    /// `report/segmentation.png`, and all of them measured, for each network its name and what was counted.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if there is not one name for each class, and as [`SegmentationBoard::png`].
    pub fn with_segmentation(
        mut self,
        board: &SegmentationBoard,
        measured: Vec<(String, SegmentationSummary)>,
        class_names: &[String],
    ) -> Result<Self> {
        for (_, summary) in &measured {
            let remedy = "give one for each class";
            check_names(class_names, summary.class_iou.len(), remedy)?;
        }
        self.segmentation = Some(Segmentation {
            png: board.png()?,
            measured,
            classes: class_names.to_vec(),
        });
        Ok(self)
    }

    /// With a section of its own, after those that every report has.
    #[must_use]
    pub fn with_section(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }

    /// With an input of the run, data or a teacher, and its hash.
    #[must_use]
    pub fn with_input(mut self, name: impl Into<String>, hash: impl Into<String>) -> Self {
        self.inputs.push((name.into(), hash.into()));
        self
    }

    /// With an environment that it was computed in, as names and values; with several where it was gone on
    /// with on another machine.
    #[must_use]
    pub fn with_environment<Name: Into<String>>(
        mut self,
        facts: impl IntoIterator<Item = (Name, String)>,
    ) -> Self {
        let facts = facts.into_iter();
        self.environments
            .push(facts.map(|(name, value)| (name.into(), value)).collect());
        self
    }

    /// With the recipe at the end, as the run has it.
    #[must_use]
    pub fn with_recipe(mut self, text: impl Into<String>) -> Self {
        self.recipe = Some(text.into());
        self
    }

    /// Writes `report.md` with the pictures in `report/`, and `report.html`, into a folder, over those of an
    /// earlier report.
    ///
    /// # Errors
    ///
    /// If a file cannot be written, or a metric is not a finite number.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let page = self.page()?;
        page.write(folder)?;
        WebPage::of(&self.title, page).write(&folder.join("report.html"))
    }

    /// The report as a page in HTML.
    ///
    /// # Errors
    ///
    /// If a metric is not a finite number.
    pub fn web_page(&self) -> Result<WebPage> {
        Ok(WebPage::of(&self.title, self.page()?))
    }

    fn page(&self) -> Result<Page> {
        let mut page = Page::default();
        page.heading(1, &self.title);
        for remark in &self.remarks {
            page.paragraph(&remark.replace('<', "&lt;"));
        }
        let said = self.predictions.as_ref();
        let said = said.filter(|(said, _)| !said.samples.is_empty());
        let highlights = highlights::highlights(&self.epochs, said.map(|(said, _)| said))?;
        if !highlights.is_empty() {
            page.in_html(Block::Highlights(highlights));
        }
        if !self.facts.is_empty() {
            page.heading(2, "What was run");
            page.table(&list(&self.facts)?);
        }
        if !self.epochs.is_empty() || !self.costs.is_empty() {
            page.heading(2, "Results");
            curves::results(&mut page, &self.epochs)?;
            page.table(&list(&self.costs)?);
        }
        let teacher = match said {
            Some((said, _)) => said.teacher()?.map(|teacher| teacher.accuracy),
            None => None,
        };
        if !self.epochs.is_empty() {
            curves::curves(&mut page, &self.epochs, teacher)?;
        }
        if let Some((said, names)) = said {
            classes::classes(&mut page, said, names)?;
            samples::surest_and_wrong(&mut page, said, names, &self.images)?;
            teacher::teacher(&mut page, said, names, &self.images)?;
            calibration::calibration(&mut page, said)?;
        }
        if let Some(made) = &self.segmentation {
            made.show(&mut page)?;
        }
        for section in &self.sections {
            section.show(&mut page);
        }
        if !self.inputs.is_empty() {
            page.heading(2, "Inputs");
            page.paragraph("Data and teachers by their SHA-256.");
            page.table(&list(&self.inputs)?);
        }
        if !self.environments.is_empty() {
            page.heading(2, "Environment");
            if self.environments.len() > 1 {
                page.paragraph("In the order in which the run was gone on with.");
            }
            for environment in &self.environments {
                page.table(&list(environment)?);
            }
        }
        if let Some(recipe) = &self.recipe {
            page.heading(2, "Recipe");
            page.verbatim("toml", recipe);
        }
        Ok(page)
    }
}

/// Names must be as many as there are classes.
fn check_names(names: &[String], classes: usize, remedy: &str) -> Result<()> {
    if names.len() == classes {
        return Ok(());
    }
    Err(Error::Length {
        what: "names of classes".into(),
        expected: classes,
        found: names.len(),
        remedy: remedy.into(),
    })
}

/// A table of names and values.
fn list(entries: &[(String, String)]) -> Result<Table> {
    let mut table = Table::new([("", Align::Left), ("", Align::Left)]);
    for (name, value) in entries {
        table.row([name, value])?;
    }
    Ok(table)
}
