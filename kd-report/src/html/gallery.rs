//! Images of samples with what the networks say of them.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::encode::{data_uri, visible};
use crate::Result;
use crate::picture;

/// The most images that a page holds.
const MOST: usize = 64;
/// The longest side of an image, in pixels.
const SIDE: u32 = 96;

/// The images of some samples, for a page.
///
/// Images whose longer side is above 96 pixels are made smaller, so that a page stays small; of more than 64
/// the first are taken.
///
/// # Examples
///
/// ```
/// use kd_report::SampleImages;
///
/// // An image of 2 by 3 pixels, `[channels, height, width]`.
/// let images = SampleImages::new([2, 3]).with(17, &[90; 6])?;
/// # Ok::<(), kd_report::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleImages {
    size: [usize; 2],
    png: BTreeMap<usize, Vec<u8>>,
}

impl SampleImages {
    /// No image yet, of `size` (height and width).
    pub fn new(size: [usize; 2]) -> Self {
        Self {
            size,
            png: BTreeMap::new(),
        }
    }

    /// With the image of a sample, by its number in the data set: `[channels, height, width]` from 0 to 255,
    /// grey or red, green and blue.
    ///
    /// # Errors
    ///
    /// [`Error::Length`](crate::Error::Length) for an image of another size,
    /// [`Error::Config`](crate::Error::Config) if a side is not 1 to 4096 pixels.
    pub fn with(mut self, id: usize, pixels: &[u8]) -> Result<Self> {
        if self.png.len() < MOST {
            self.png
                .insert(id, picture::thumbnail(pixels, self.size, SIDE)?);
        }
        Ok(self)
    }

    /// The image of a sample, if there is one.
    pub(crate) fn image(&self, id: usize) -> Option<&[u8]> {
        self.png.get(&id).map(Vec::as_slice)
    }
}

/// A sample: its number, the class that it has, and what each network says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) id: usize,
    pub(crate) png: Vec<u8>,
    pub(crate) class: String,
    /// Whose answer, which class with its probability, and whether it is right.
    pub(crate) answers: Vec<(&'static str, String, bool)>,
}

/// The images of some samples.
pub(super) fn gallery(samples: &[Shown]) -> Markup {
    html! {
        ul.gallery {
            @for sample in samples {
                li {
                    img src=(data_uri("image/png", &sample.png)) width="96" height="96"
                        alt={ "sample " (sample.id) ", " (visible(&sample.class)) };
                    div {
                        strong { (visible(&sample.class)) }
                        @for (who, answer, right) in &sample.answers {
                            span class=(if *right { "right" } else { "wrong" }) {
                                (if *right { "✓ " } else { "✗ " }) (who) ": " (visible(answer))
                            }
                        }
                        span.muted { "sample " (sample.id) }
                    }
                }
            }
        }
    }
}
