//! The section of a segmentation: the accuracy of each class of pixels.

use kd_core::SegmentationSummary;

use super::page::Page;
use crate::block::Picture;
use crate::{Align, Result, Table, count, percent};

/// The masks that networks predict for held-out images.
#[derive(Clone, Debug)]
pub(super) struct Segmentation {
    /// Some of the images.
    pub(super) png: Vec<u8>,
    /// All of them in numbers, by network.
    pub(super) measured: Vec<(String, SegmentationSummary)>,
    pub(super) classes: Vec<String>,
}

impl Segmentation {
    /// The picture, and a table of classes.
    pub(super) fn show(&self, page: &mut Page) -> Result<()> {
        page.heading(2, "Segmentation");
        let picture = Picture::Png(self.png.clone());
        page.picture("segmentation", "held-out images and masks", picture);
        let Some((_, first)) = self.measured.first() else {
            return Ok(());
        };
        page.paragraph(&format!(
            "Intersection over union of each class over {} held-out images; a class that is neither there \
             nor predicted has none.",
            count(first.images)
        ));
        let mut head = vec![("class", Align::Left)];
        let networks = self.measured.iter();
        head.extend(networks.map(|(who, _)| (who.as_str(), Align::Right)));
        let mut table = Table::new(head);
        for (class, name) in self.classes.iter().enumerate() {
            self.row(&mut table, name, |summary| summary.class_iou[class])?;
        }
        self.row(&mut table, "mean IoU", |summary| Some(summary.mean_iou))?;
        self.row(&mut table, "pixel accuracy", |summary| {
            Some(summary.pixel_accuracy)
        })?;
        page.table(&table);
        Ok(())
    }

    /// One share for each network.
    fn row(
        &self,
        table: &mut Table,
        name: &str,
        share: impl Fn(&SegmentationSummary) -> Option<f64>,
    ) -> Result<()> {
        let shown = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), percent);
        let shares = self.measured.iter().map(|(_, summary)| share(summary));
        let cells = std::iter::once(name.to_owned()).chain(shares.map(shown));
        table.row(cells)
    }
}
