//! Campaigns: several methods with several seeds, compared.
//!
//! | file | holds |
//! |---|---|
//! | `file`, `settings`, `read_file` | the campaign file |
//! | `options` | what is to be run, and how |
//! | `planned_run` | the runs that a campaign stands for |
//! | `one_run` | one run: what is asked for, how far it is, how it ends |
//! | `in_process`, `process`, `serve` | runs made in this process, or each in one of its own |
//! | `run_plan`, `plans`, `starter` | what a run would be made from, asked of whoever makes it |
//! | `run_state`, `folder` | what there is of a run, and of a campaign |
//! | `session`, `side_by_side`, `progress` | runs what is not there yet |
//! | `curve`, `results` | the results: `results.json` |
//! | `claim`, `judged_claim` | what the runs are to show, and whether they do |
//! | `measure`, `markdown`, `plots` | the same for people: `results.md` and pictures |
//! | `page` | the same in one file: `results.html` |
//! | `error` | why a campaign does not go on |

pub(crate) mod claim;
pub(crate) mod curve;
pub(crate) mod error;
pub(crate) mod file;
pub(crate) mod folder;
pub(crate) mod in_process;
pub(crate) mod judged_claim;
pub(crate) mod markdown;
pub(crate) mod measure;
pub(crate) mod one_run;
pub(crate) mod options;
pub(crate) mod page;
pub(crate) mod planned_run;
pub(crate) mod plans;
pub(crate) mod plots;
pub(crate) mod process;
pub(crate) mod progress;
pub(crate) mod read_file;
pub(crate) mod results;
pub(crate) mod run_plan;
pub(crate) mod run_state;
pub(crate) mod serve;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod side_by_side;
pub(crate) mod starter;
