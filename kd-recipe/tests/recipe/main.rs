//! The crate from outside: a method of the tests' own, run, checked, reported and compared by it; and the
//! rules of the house.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

/// Campaigns whose runs are made in this process.
mod campaigns;
/// Checks of recipes, with findings and sections of the method's own.
mod checks;
/// Data sets with masks and folders of images as recipes name them.
mod data;
mod found_runs;
/// Which crate knows which, widths of lines, circles of imports, headers.
mod house;
/// Pages of runs as they are now.
mod live;
/// Runs: begun, stopped, gone on with, reported; models made of parts.
mod runs;
/// The method of the tests: two networks trained together.
mod twins;
