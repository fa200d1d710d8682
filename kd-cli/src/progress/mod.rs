//! Progress and notices on a terminal.

pub(crate) mod campaign;
pub(crate) mod notices;
pub(crate) mod run;
