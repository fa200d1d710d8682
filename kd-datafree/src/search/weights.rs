//! The weights of a search's terms.

use kd_core::{Error, Result};

use crate::teacher::ImageTeacher;

/// Checks the weights of the terms of a search, of which the first two are those of the targets and of the
/// statistics of batch norms.
pub(super) fn check_weights(weights: &[(&str, f64)], teacher: &dyn ImageTeacher) -> Result<()> {
    for &(name, weight) in weights {
        if !(weight.is_finite() && weight >= 0.0) {
            let problem = format!("must be finite and not negative, got {weight}");
            return Err(Error::config(name, problem));
        }
    }
    let [(one_hot, targets), (field, statistics), ..] = *weights else {
        return Ok(());
    };
    // As long as there is no student, nothing else says what images are.
    if targets + statistics == 0.0 {
        let problem = format!(
            "must be above 0, as must `{one_hot}`: one of the two at least says what images are"
        );
        return Err(Error::config(field, problem));
    }
    if statistics > 0.0 && teacher.norms() == 0 {
        let problem =
            "needs a teacher with batch norms, and this one has none; leave the term out with 0";
        return Err(Error::config(field, problem));
    }
    Ok(())
}
