//! Teachers: frozen networks that answer for a batch, and files and memory that keep their answers.

pub(crate) mod answer;
pub(crate) mod cache_config;
pub(crate) mod cache_request;
pub(crate) mod cached;
pub(crate) mod contract;
pub(crate) mod frozen;
pub(crate) mod missing;
pub(crate) mod resized;
