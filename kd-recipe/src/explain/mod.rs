//! Keys of recipes and campaigns: a JSON schema for editors, and every key in words.

pub(crate) mod key;
pub(crate) mod markdown;
mod schema;
mod text;
mod walk;
