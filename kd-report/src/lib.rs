#![doc = include_str!("../README.md")]
//!
//! # Map of the crate
//!
//! | module | holds |
//! |---|---|
//! | `stats` | mean and spread over seeds, paired differences with their interval |
//! | `table` | Markdown tables with footnotes |
//! | `plot` | SVG pictures: lines, dots with spread, counts, confusion matrices |
//! | `report` | what a run came to, as a page with pictures |
//! | `block` | what pages are made of, in Markdown or HTML |
//! | `html` | pages in HTML: one file whose plots show their values |
//! | `number` | counts and shares as people read them |
//! | `picture` | images and masks side by side, as a PNG picture |
//! | `tensorboard` | an observer of a run that writes TensorBoard's event files |

mod block;
mod error;
mod html;
mod number;
mod picture;
mod plot;
mod report;
mod stats;
mod table;
mod tensorboard;

pub use block::{DrawnPlot, Picture};
pub use error::{Error, Result};
pub use html::{SampleImages, WebPage};
pub use number::{count, duration, percent};
pub use picture::{CAMVID_CLASSES, ImageRows, SegmentationBoard};
pub use plot::{ConfusionPlot, CountPlot, DotPlot, LinePlot, Scale, Series};
pub use report::{Answer, Predictions, RunReport, Sample, Section, SectionPart, SyntheticImages};
pub use stats::{PairedDifference, Summary, student_t_quantile};
pub use table::{Align, Table};
pub use tensorboard::TensorBoard;
