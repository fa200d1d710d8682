//! Checks that all kinds of run share.

use kd_core::{Error, Result, Training};

/// Checks a training by which nothing is chosen: there is nothing that it could be chosen by.
pub(super) fn check_training(training: &Training) -> Result<()> {
    training.check()?;
    if training.patience.is_some() {
        let problem = "has no effect here: without data nothing says when to stop; leave it out";
        return Err(Error::config("train.patience", problem));
    }
    Ok(())
}

/// Refuses a value that is not a number above 0.
pub(super) fn check_positive(field: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    let problem = format!("must be finite and above 0, got {value}");
    Err(Error::config(field, problem))
}
