//! The text of an error with its causes.

use std::error::Error as _;

use kd_core::Error;

/// The text of an error, with those of its causes that it does not hold yet.
pub fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
