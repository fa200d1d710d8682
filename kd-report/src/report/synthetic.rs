//! The section of synthetic images: those that a student without real ones has learnt from.

use kd_core::Metrics;

use super::page::{Page, SYNTHETIC, count};
use crate::{Align, CountPlot, Error, ImageRows, Result, Table};

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
    /// The names of the classes must be as many as the counts.
    pub(super) fn check(&self) -> Result<()> {
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

    /// The warnings, the picture, the histogram, and a table of numbers.
    pub(super) fn show(&self, page: &mut Page) -> Result<()> {
        page.heading(2, "Synthetic images");
        let total: u64 = self.counts.iter().sum();
        page.paragraph(&format!(
            "{} images that were made for the student; their classes are what the teacher takes them for.",
            count(total)
        ));
        for warning in &self.warnings {
            page.paragraph(&format!("**Warning:** {}.", warning.replace('<', "&lt;")));
        }
        let png = self.shown.png()?;
        page.png(SYNTHETIC, "synthetic images by class", png);
        let classes = self.counts.len();
        let mut shown: Vec<usize> = (0..classes).collect();
        if classes > SHOWN {
            shown.sort_by_key(|&class| self.counts[class]);
            shown.truncate(SHOWN);
            page.paragraph(&format!("Of {classes} classes, the {SHOWN} rarest:"));
        }
        let share = total as f64 / classes as f64;
        let plot = CountPlot::new("Classes of the synthetic images", "images")
            .with_reference("an equal share", share);
        let plot = shown.iter().fold(plot, |plot, &class| {
            plot.with_row(&self.class_names[class], self.counts[class])
        });
        let about = "classes that the teacher sees in the synthetic images";
        page.picture("synthetic-classes", about, plot.svg()?);
        let mut table = Table::new([("measured", Align::Left), ("value", Align::Right)]);
        for (name, value) in &self.measured {
            table.row([name.replace('_', " "), format!("{value:.4}")])?;
        }
        page.table(&table);
        Ok(())
    }
}
