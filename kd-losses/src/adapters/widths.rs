//! Checks of the widths that modules are made for.

use crate::error::{Error, Result};

/// A number of channels, features or the like must not be 0.
pub(crate) fn at_least_one(name: &'static str, width: usize) -> Result<()> {
    if width > 0 {
        return Ok(());
    }
    Err(Error::OutOfRange {
        name,
        range: "at least 1",
        value: width as f64,
        advice: "give the number of channels of the tapped layer",
    })
}

/// The two widths of a module between student and teacher.
pub(crate) fn channels(student_channels: usize, teacher_channels: usize) -> Result<()> {
    at_least_one("student_channels", student_channels)?;
    at_least_one("teacher_channels", teacher_channels)
}
