//! The tests of cutting channels.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod budget;
mod cuts;
mod golden;
mod own;
mod penalty;
