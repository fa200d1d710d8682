//! Masks: a class for each pixel.

use std::fmt;

use crate::error::{Error, Result};

/// The class of every pixel of every image of a data set.
///
/// A pixel that nobody labelled has the value `void` in place of a class; losses and measures leave it out.
///
/// ```
/// use kd_core::Masks;
/// // Two masks of two pixels: classes 0 and 1, and one pixel that is not labelled.
/// let masks = Masks::new(2, Some(255), vec![0, 1, 1, 255])?;
/// assert_eq!((masks.classes(), masks.void()), (2, Some(255)));
/// assert_eq!(masks.pixel_counts(), [1, 2]);
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Masks {
    classes: usize,
    void: Option<u8>,
    values: Vec<u8>,
}

impl Masks {
    /// Masks of `classes` classes, one after the other, each row by row: `[samples, height, width]`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there are no classes or more than 256, `void` is a class, or a value is neither a
    /// class nor `void`.
    pub fn new(classes: usize, void: Option<u8>, values: Vec<u8>) -> Result<Self> {
        if !(1..=256).contains(&classes) {
            let problem = format!("must be 1 to 256, got {classes}");
            return Err(Error::config("masks: classes", problem));
        }
        let is_class = |value: u8| usize::from(value) < classes;
        if let Some(void) = void.filter(|void| is_class(*void)) {
            let problem = format!(
                "must be no class, got {void}; classes are 0 to {}",
                classes - 1
            );
            return Err(Error::config("masks: void", problem));
        }
        let bad = |value: &u8| !is_class(*value) && void != Some(*value);
        if let Some(at) = values.iter().position(bad) {
            let void = void.map_or_else(String::new, |void| format!(" or {void} (no class)"));
            let problem = format!(
                "must be 0 to {}{void}, got {} for pixel {at} of all",
                classes - 1,
                values[at]
            );
            return Err(Error::config("masks", problem));
        }
        Ok(Self {
            classes,
            void,
            values,
        })
    }

    /// The number of classes; the value of a pixel is below it or is `void`.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The value of pixels that have no class, if there may be such.
    pub fn void(&self) -> Option<u8> {
        self.void
    }

    /// All masks, `[samples, height, width]`.
    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// How many pixels of each class there are, in the order of the classes; those without a class are left
    /// out.
    pub fn pixel_counts(&self) -> Vec<u64> {
        let mut counts = [0_u64; 256];
        for value in &self.values {
            counts[usize::from(*value)] += 1;
        }
        counts[..self.classes].to_vec()
    }
}

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masks")
            .field("classes", &self.classes)
            .field("void", &self.void)
            .field("pixels", &self.values.len())
            .finish_non_exhaustive()
    }
}
