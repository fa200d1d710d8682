//! Texts of one's own and of known data sets as data.

/// Tables and folders, and what is refused.
mod files;
/// The tokenizer and its file.
mod tokenizer;
