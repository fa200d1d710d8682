//! Texts of one's own and of known data sets as data.

/// Damaged files of all kinds.
mod damaged;
/// Tables and folders, and what is refused.
mod files;
/// The tokenizer and its file.
mod tokenizer;
