//! The tables that recipes share: data, networks, teachers.

pub(crate) mod data;
pub(crate) mod loaded;
pub(crate) mod network;
pub(crate) mod paths;
pub(crate) mod size;
pub(crate) mod source;
pub(crate) mod teacher;
pub(crate) mod weights;
