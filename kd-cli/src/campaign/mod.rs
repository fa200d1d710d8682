//! Campaigns: several methods with several seeds, compared.
//!
//! | file | holds |
//! |---|---|
//! | `file` | what a campaign file says |
//! | `cell` | the runs that it stands for |
//! | `child` | a run in a process of its own |
//! | `plan` | what a run would be made from |
//! | `state` | what there is of a run |
//! | `place` | the folder of a campaign |
//! | `request` | what is asked for |
//! | `session`, `ending` | runs what is not there yet, and says what came out |
//! | `side_by_side` | several runs at a time |
//! | `board` | what a person sees meanwhile |
//! | `curve`, `results` | what came out: `results.json` |
//! | `unit`, `markdown`, `plots` | the same for people: `results.md` and pictures |

mod board;
mod cell;
mod child;
mod curve;
mod ending;
mod file;
mod markdown;
mod place;
mod plan;
mod plots;
mod request;
mod results;
mod session;
mod side_by_side;
mod state;
mod unit;

pub(crate) use board::Heard;
pub(crate) use place::{is_campaign, mark};
pub(crate) use plan::Plan;
pub(crate) use request::Request;
pub(crate) use session::run;
