//! Outputs of the crate: plots, pictures, the page of a run, TensorBoard's event files.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod page; // the page of a run: its text and its pictures
mod pictures; // boards of masks, rows of images
mod plots; // lines, dots, bars and confusion matrices as SVG
mod tensorboard; // event files: read back, resumed, damaged
mod web; // the page of a run in HTML: stands alone, small, hostile names
