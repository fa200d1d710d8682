#![doc = include_str!("../README.md")]

mod encoder;
mod files;
mod folders;
mod known;
mod lines;
mod settings;
mod table;

pub use encoder::Encoder;
pub use files::TextFiles;
pub use known::KnownText;
pub use settings::{End, TextSettings};
