//! Progress and notices on standard error.

mod bars;
pub(crate) mod campaign;
pub(crate) mod counted;
mod epoch;
pub(crate) mod notices;
pub(crate) mod run;
