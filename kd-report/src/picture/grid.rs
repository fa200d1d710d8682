//! A grid of images: a row for each name.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use super::font;
use super::paint::{self, GAP, INK, PAPER, RIM, number};
use crate::{Error, Result};

/// The colour of a row without an image.
const MUTED: Rgb<u8> = Rgb([130, 130, 130]);
/// Images are shown about this wide.
const CELL: u32 = 72;
/// The room between two images, which are small.
const BETWEEN: u32 = GAP / 2;
/// The widest name.
const NAME: u32 = 200;
const MOST_ROWS: usize = 100;
const MOST_COLUMNS: usize = 40;
const WHAT: &str = "a picture of images in rows";

/// A picture with a named row of images for each of some things, such as classes.
///
/// Images wider than 72 pixels are made smaller, small ones larger by a whole factor. A row may have fewer
/// images than others, or none, which the picture states. The same input gives the same bytes.
///
/// # Examples
///
/// ```
/// use kd_report::ImageRows;
///
/// // Images of 2 by 3 pixels, `[channels, height, width]`.
/// let png = ImageRows::new([2, 3])?
///     .with_row("cat", &[vec![90; 6], vec![30; 6]])?
///     .with_row("dog", &[vec![90; 6]])?
///     .png()?;
/// assert_eq!(&png[1..4], b"PNG");
/// # Ok::<(), kd_report::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageRows {
    size: [u32; 2],
    rows: Vec<(String, Vec<RgbImage>)>,
}

impl ImageRows {
    /// A picture of images of `size` (height and width), without a row.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a side is not 1 to 4096 pixels.
    pub fn new(size: [usize; 2]) -> Result<Self> {
        Ok(Self {
            size: paint::check_size(size)?,
            rows: Vec::new(),
        })
    }

    /// With one more row: its name and its images, each `[channels, height, width]` from 0 to 255, grey or
    /// red, green and blue.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] for an image of another size, [`Error::Config`] for more than 100 rows or 40 images
    /// in one.
    pub fn with_row<Image: AsRef<[u8]>>(
        mut self,
        name: impl Into<String>,
        images: &[Image],
    ) -> Result<Self> {
        if images.len() > MOST_COLUMNS || self.rows.len() == MOST_ROWS {
            return Err(Error::Config {
                field: "images",
                problem: format!(
                    "must be at most {MOST_ROWS} rows of {MOST_COLUMNS}, got {} in row {}",
                    images.len(),
                    self.rows.len() + 1
                ),
            });
        }
        let cell = self.cell();
        let shown = |image: &Image| -> Result<RgbImage> {
            let image = paint::image(image.as_ref(), self.size, WHAT)?;
            Ok(paint::scaled(&image, cell, FilterType::Triangle))
        };
        let images = images.iter().map(shown).collect::<Result<_>>()?;
        self.rows.push((name.into(), images));
        Ok(self)
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    ///
    /// [`Error::NoValues`] without a row, [`Error::Draw`] if it cannot be encoded.
    pub fn png(&self) -> Result<Vec<u8>> {
        let columns = self.rows.iter().map(|(_, images)| images.len()).max();
        let columns = columns.ok_or_else(|| paint::no_images(WHAT))?;
        let [cell_height, width] = self.cell();
        let height = cell_height.max(font::HEIGHT);
        let names: Vec<String> = self
            .rows
            .iter()
            .map(|(name, _)| font::fit(name, NAME))
            .collect();
        let widest = names.iter().map(|name| font::width(name)).max();
        let left = RIM + widest.unwrap_or_default() + GAP;
        // A row without an image states that, which takes some room.
        let inner = (number(columns) * (width + BETWEEN)).max(font::width(NONE) + BETWEEN);
        let size = (
            left + inner - BETWEEN + RIM,
            number(self.rows.len()) * (height + BETWEEN) - BETWEEN + 2 * RIM,
        );
        let mut picture = RgbImage::from_pixel(size.0, size.1, PAPER);
        for ((row, (_, images)), name) in (0..).zip(&self.rows).zip(&names) {
            let top = RIM + row * (height + BETWEEN);
            let line = top + (height - font::HEIGHT) / 2;
            // Names end where the images begin.
            font::write(
                &mut picture,
                name,
                (left - GAP - font::width(name), line),
                INK,
            );
            if images.is_empty() {
                font::write(&mut picture, NONE, (left, line), MUTED);
            }
            for (column, image) in (0..).zip(images) {
                let x = left + column * (width + BETWEEN);
                let y = top + (height - cell_height) / 2;
                imageops::replace(&mut picture, image, x.into(), y.into());
            }
        }
        paint::png(&picture, WHAT)
    }

    fn cell(&self) -> [u32; 2] {
        paint::cell(self.size, CELL)
    }
}

const NONE: &str = "none";
