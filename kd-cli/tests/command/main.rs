//! The built `kd` as a program: a module a subject.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

/// Inputs that people bring: uneven folders, odd batches, other classes, damaged weights, edited recipes.
mod brought;
/// Teacher caches: the same bytes as with the teachers themselves; killed and interrupted while building.
mod caches;
/// `kd check`: right and wrong normalisations of a trained network, and that nothing is left behind.
mod check;
/// Campaigns: stopped, killed, taken up again, with runs that fail, from recipes that have changed.
mod compare;
/// `kd doctor`: which data sets are whole, and which are as they were published.
mod doctor;
/// Recipes drafted from data.
mod draft;
/// Properties of every method: warnings at the start, metrics by name, requests that no memory can meet.
mod every_method;
/// `kd explain` and the schema of recipes.
mod explain;
/// A folder of images as a data set.
mod folder;
/// The JSON objects, the streams, the exit codes.
mod interfaces;
/// A check of values by a JSON schema.
mod json_schema;
/// A data set with masks.
mod masks;
/// Images and masks of one's own, from nothing to an exported student.
mod own_data;
/// Pictures of one's own, made for tests.
mod pictures;
/// Runs killed, interrupted, resumed, on one thread or two.
mod process;
/// Lines and bars of progress while a command works.
mod progress;
/// Ranges of keys as the schema states them.
mod ranges;
/// The two walks of the README, from beginning to end.
mod readme;
/// `report.md` with its pictures, and TensorBoard's event files.
mod run_report;
/// `method = "stagewise"` on a data set with masks.
mod segmentation;
/// The built `kd` in a folder of its own.
mod support;
/// Synthetic images: in the report of a run, and written for other programs and other runs.
mod synthesize;
/// Texts as data of every method.
mod texts;
/// `kd watch`: pages about runs under way, and nothing else.
#[cfg(feature = "watch")]
mod watch;
/// Weight files of PyTorch: imported, exported, learnt from.
mod weight_files;
