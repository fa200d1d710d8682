//! A board of segmentations: images in rows; the image, its true mask and predicted masks in columns.

use std::path::Path;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use super::font;
use super::paint::{self, GAP, INK, PAPER, RIM, number};
use crate::{Error, Result};

/// The eleven classes of `CamVid` in the order of their numbers, with the colours that they are shown in
/// since `SegNet`.
pub const CAMVID_CLASSES: [(&str, [u8; 3]); 11] = [
    ("sky", [128, 128, 128]),
    ("building", [128, 0, 0]),
    ("pole", [192, 192, 128]),
    ("road", [128, 64, 128]),
    ("pavement", [60, 40, 222]),
    ("tree", [128, 128, 0]),
    ("sign/symbol", [192, 128, 128]),
    ("fence", [64, 64, 128]),
    ("car", [64, 0, 128]),
    ("pedestrian", [64, 64, 0]),
    ("bicyclist", [0, 128, 192]),
];

/// Pixels without a class; lighter than any usual colour, as a middle grey is the sky's and a dark one like a
/// pedestrian's.
const VOID: Rgb<u8> = Rgb([216, 216, 216]);
/// The side of a colour in the legend, and the room around its name.
const SWATCH: u32 = font::HEIGHT;
/// Images are shown about this wide.
const CELL: u32 = 320;
const MOST_ROWS: usize = 50;
const MOST_COLUMNS: usize = 12;
const WHAT: &str = "segmentation board";

/// A picture with a row for each image and titled columns, of images or of masks in the colours of their
/// classes; below them, which colour is which class.
///
/// Images wider than 320 pixels are made smaller, small ones larger by a whole factor; masks always by the
/// nearest pixel. A value that is no class is shown light grey and called void. The same input gives the same
/// bytes.
///
/// # Examples
///
/// ```
/// use kd_report::{CAMVID_CLASSES, SegmentationBoard};
///
/// // One image of 2 by 3 pixels, `[channels, height, width]`, and two masks of it, `[height, width]`.
/// let image = vec![90; 3 * 2 * 3];
/// let (truth, student) = (vec![0, 0, 8, 3, 3, 11], vec![0, 1, 8, 3, 3, 3]);
/// let png = SegmentationBoard::new([2, 3], &CAMVID_CLASSES)?
///     .with_images("input", &[image])?
///     .with_masks("truth", &[truth])?
///     .with_masks("student", &[student])?
///     .png()?;
/// assert_eq!(&png[1..4], b"PNG");
/// # Ok::<(), kd_report::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SegmentationBoard {
    size: [u32; 2],
    classes: Vec<(String, Rgb<u8>)>,
    columns: Vec<(String, Vec<RgbImage>)>,
    void: bool,
}

impl SegmentationBoard {
    /// A board of images of `size` (height and width), with the names and colours of the classes in the order
    /// of their numbers.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a side is not 1 to 4096 pixels, or there are no classes or more than 256.
    pub fn new<Name: AsRef<str>>(size: [usize; 2], classes: &[(Name, [u8; 3])]) -> Result<Self> {
        let size = paint::check_size(size)?;
        if !(1..=256).contains(&classes.len()) {
            return Err(Error::Config {
                field: "classes",
                problem: format!("must be 1 to 256, got {}", classes.len()),
            });
        }
        let class = |(name, colour): &(Name, [u8; 3])| (name.as_ref().to_owned(), Rgb(*colour));
        Ok(Self {
            size,
            classes: classes.iter().map(class).collect(),
            columns: Vec::new(),
            void: false,
        })
    }

    /// The same with a column of images, each `[channels, height, width]` from 0 to 255, grey or red, green
    /// and blue.
    ///
    /// # Errors
    ///
    /// [`Error::NoValues`] without images, [`Error::Length`] for an image of another size or another number
    /// of images than the columns before have, [`Error::Config`] for more than 50 rows or 12 columns.
    pub fn with_images<Image: AsRef<[u8]>>(
        self,
        title: impl Into<String>,
        images: &[Image],
    ) -> Result<Self> {
        let of = format!("a {WHAT}");
        let images = images
            .iter()
            .map(|image| paint::image(image.as_ref(), self.size, &of));
        let images = images.collect::<Result<Vec<_>>>()?;
        self.with_column(title.into(), images, FilterType::Triangle)
    }

    /// The same with a column of masks, each `[height, width]` of class numbers; what is no class is void.
    ///
    /// # Errors
    ///
    /// As [`SegmentationBoard::with_images`].
    pub fn with_masks<Mask: AsRef<[u8]>>(
        mut self,
        title: impl Into<String>,
        masks: &[Mask],
    ) -> Result<Self> {
        let [height, width] = self.size;
        let plane = (height * width) as usize;
        let mut images = Vec::with_capacity(masks.len());
        for mask in masks {
            let mask = mask.as_ref();
            if mask.len() != plane {
                return Err(Error::Length {
                    what: "a mask of a segmentation board".into(),
                    expected: plane,
                    found: mask.len(),
                    remedy: format!("give the class of each of {height}x{width} pixels"),
                });
            }
            let colour = |class: u8| self.classes.get(usize::from(class)).map(|class| class.1);
            images.push(RgbImage::from_fn(width, height, |x, y| {
                colour(mask[(y * width + x) as usize]).unwrap_or(VOID)
            }));
            self.void |= mask.iter().any(|class| colour(*class).is_none());
        }
        self.with_column(title.into(), images, FilterType::Nearest)
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    ///
    /// [`Error::NoValues`] without columns, [`Error::Draw`] if it cannot be encoded.
    pub fn png(&self) -> Result<Vec<u8>> {
        let rows = self.columns.first().map_or(0, |(_, images)| images.len());
        if rows == 0 {
            return Err(paint::no_images(WHAT));
        }
        let ([height, width], columns) = (self.cell(), number(self.columns.len()));
        let inner = columns * (width + GAP) - GAP;
        let legend = self.legend(inner);
        let lines = legend.last().map_or(0, |last| last.line) + 1;
        let top = RIM + font::HEIGHT + GAP;
        let below = top + number(rows) * (height + GAP);
        let size = (
            inner + 2 * RIM,
            below + GAP + lines * (SWATCH + GAP) - GAP + RIM,
        );
        let mut picture = RgbImage::from_pixel(size.0, size.1, PAPER);
        for (column, (title, images)) in (0..).zip(&self.columns) {
            let left = RIM + column * (width + GAP);
            let title = font::fit(title, width);
            let at = (left + (width - font::width(&title)) / 2, RIM);
            font::write(&mut picture, &title, at, INK);
            for (row, image) in (0..).zip(images) {
                let at = (left, top + row * (height + GAP));
                imageops::replace(&mut picture, image, at.0.into(), at.1.into());
            }
        }
        for entry in legend {
            let y = below + GAP + entry.line * (SWATCH + GAP);
            let x = RIM + entry.x;
            let swatch = RgbImage::from_pixel(SWATCH, SWATCH, entry.colour);
            imageops::replace(&mut picture, &swatch, x.into(), y.into());
            // Capitals are seven of the nine rows of a line: that much lower they are in the middle.
            let at = (x + SWATCH + GAP, y + font::HEIGHT / 9);
            font::write(&mut picture, &entry.name, at, INK);
        }
        paint::png(&picture, WHAT)
    }

    /// Writes the picture to a file.
    ///
    /// # Errors
    ///
    /// As [`SegmentationBoard::png`], and [`Error::Core`] if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = self.png()?;
        std::fs::write(path, bytes).map_err(kd_core::Error::io("write", path))?;
        Ok(())
    }

    /// Adds a column, its images brought to the size that they are shown in.
    fn with_column(
        mut self,
        title: String,
        images: Vec<RgbImage>,
        filter: FilterType,
    ) -> Result<Self> {
        if images.is_empty() {
            return Err(paint::no_images(WHAT));
        }
        if images.len() > MOST_ROWS || self.columns.len() == MOST_COLUMNS {
            return Err(Error::Config {
                field: "images",
                problem: format!(
                    "must be at most {MOST_ROWS} rows in {MOST_COLUMNS} columns, got {} rows in column {}",
                    images.len(),
                    self.columns.len() + 1
                ),
            });
        }
        if let Some((first, rows)) = self.columns.first()
            && rows.len() != images.len()
        {
            return Err(Error::Length {
                what: format!("column `{title}` of a segmentation board"),
                expected: rows.len(),
                found: images.len(),
                remedy: format!("give one for each of column `{first}`"),
            });
        }
        let cell = self.cell();
        let images = images
            .iter()
            .map(|image| paint::scaled(image, cell, filter))
            .collect();
        self.columns.push((title, images));
        Ok(self)
    }

    /// The height and width that an image is shown in.
    fn cell(&self) -> [u32; 2] {
        paint::cell(self.size, CELL)
    }

    /// The classes and void, if there is any, in lines of at most this width.
    fn legend(&self, width: u32) -> Vec<Entry> {
        let void = self.void.then(|| ("void".to_owned(), VOID));
        let (mut x, mut line) = (0, 0);
        let mut out = Vec::new();
        for (name, colour) in self.classes.iter().cloned().chain(void) {
            let name = font::fit(&name, width.saturating_sub(SWATCH + GAP));
            let wide = SWATCH + GAP + font::width(&name);
            if x > 0 && x + wide > width {
                (x, line) = (0, line + 1);
            }
            out.push(Entry {
                name,
                colour,
                x,
                line,
            });
            x += wide + 2 * GAP;
        }
        out
    }
}

/// A class in the legend.
struct Entry {
    name: String,
    colour: Rgb<u8>,
    /// Its distance to the right of the first one.
    x: u32,
    line: u32,
}
