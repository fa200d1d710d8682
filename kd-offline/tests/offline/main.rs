//! Tests of offline distillation, a module a subject.
#![expect(clippy::unwrap_used, reason = "tests")]

/// A run with kept answers is the run with the teachers themselves, byte for byte.
mod caches;
/// The findings of a diagnosis, on tasks whose answers are known.
mod diagnosis;
/// Several teachers averaged, and normalisations of their own, against plain float64 arithmetic.
mod ensemble;
/// Refusals, word by word.
mod errors;
/// Nothing of a teacher changes in any kind of run, and the initial student stays as it was given.
mod frozen;
/// Every loss of the catalogue from a recipe: it trains, leaves the teacher alone, goes on from its state.
mod kinds;
/// Distillation where each pixel has a class.
mod masks;
/// Work that a run does once: queries of teachers, counted.
mod once;
/// Three steps against PyTorch in float64.
mod parity;
/// Ranges of constants as the schema of recipes states them.
#[cfg(feature = "recipe")]
mod ranges;
/// Interrupted and resumed is as undisturbed, byte for byte; the seed decides all.
mod resume;
/// A small network, small data and short runs.
mod support;
/// The findings of a diagnosis about teachers.
mod teacher_diagnosis;
