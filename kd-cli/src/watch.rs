//! Pages about runs that go on, served to browsers on this machine.
//!
//! Nothing is written and nothing of a run is held or locked. An address names a run by a number that is made
//! of its path, never by a path, so that nothing but what is watched can be asked for.

mod guard;
mod pages;
mod route;
mod server;

pub(crate) use pages::Watched;
pub(crate) use server::serve;
