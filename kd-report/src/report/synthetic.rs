//! The section of synthetic images: those that a student without real ones has learnt from.

use kd_core::Metrics;

use super::section::Section;
use crate::block::Picture;
use crate::{Align, CountPlot, Error, ImageRows, Result, Table, count};

/// Of more classes than this, the rarest are in the histogram.
const SHOWN: usize = 40;

/// Synthetic images: some of them, the teacher's predictions for all, and the problems found in them.
#[derive(Clone, Debug)]
pub struct SyntheticImages {
    /// Some images of each class, for a picture.
    pub shown: ImageRows,
    /// The number of images that the teacher puts into each class.
    pub counts: Vec<u64>,
    /// The names of the classes in the order of their numbers.
    pub class_names: Vec<String>,
    /// The measures of the images, by name.
    pub measured: Metrics,
    /// The problems found in them, a sentence each, without its end.
    pub warnings: Vec<String>,
}

impl SyntheticImages {
    /// The section of a report: warnings, a picture `synthetic.png`, a histogram of the teacher's classes,
    /// and a table of what was measured.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if there is not one name for each class, [`Error::NoValues`] without classes, and as
    /// [`ImageRows::png`].
    pub fn section(&self) -> Result<Section> {
        self.check()?;
        let total: u64 = self.counts.iter().sum();
        let section = Section::new("Synthetic images").with_text(format!(
            "{} images that were made for the student; their classes are what the teacher takes them for.",
            count(total)
        ));
        let warnings = self.warnings.iter();
        let section = warnings.fold(section, |section, text| section.with_warning(text));
        let png = Picture::Png(self.shown.png()?);
        let section = section.with_picture("synthetic", "synthetic images by class", png);
        let section = self.histogram(section, total)?;
        let mut table = Table::new([("measured", Align::Left), ("value", Align::Right)]);
        for (name, value) in &self.measured {
            table.row([name.replace('_', " "), format!("{value:.4}")])?;
        }
        Ok(section.with_table(table))
    }

    /// Adds how many images each class has; of many classes the rarest.
    fn histogram(&self, mut section: Section, total: u64) -> Result<Section> {
        let classes = self.counts.len();
        let mut shown: Vec<usize> = (0..classes).collect();
        if classes > SHOWN {
            shown.sort_by_key(|&class| self.counts[class]);
            shown.truncate(SHOWN);
            section = section.with_text(format!("Of {classes} classes, the {SHOWN} rarest:"));
        }
        let share = total as f64 / classes as f64;
        let plot = CountPlot::new("Classes of the synthetic images", "images")
            .with_reference("an equal share", share);
        let plot = shown.iter().fold(plot, |plot, &class| {
            plot.with_row(&self.class_names[class], self.counts[class])
        });
        let about = "classes that the teacher sees in the synthetic images";
        Ok(section.with_picture("synthetic-classes", about, Picture::counts(plot)?))
    }

    /// The names of the classes must be as many as the counts.
    fn check(&self) -> Result<()> {
        if self.counts.is_empty() {
            return Err(Error::NoValues {
                what: "classes of synthetic images".into(),
                remedy: "give how many images each has".into(),
            });
        }
        super::check_names(
            &self.class_names,
            self.counts.len(),
            "give one for each class",
        )
    }
}
