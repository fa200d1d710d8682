//! Teachers: frozen ones, and those whose answers are kept.
#![expect(clippy::unwrap_used, reason = "tests")]

/// A teacher whose answers are kept is the teacher, to the bit.
mod cached;
/// A frozen teacher: a function of each sample alone, which runs no more than it is asked for.
mod frozen;
/// The small networks of these tests.
mod networks;
/// A teacher of images of another size.
mod resized;
