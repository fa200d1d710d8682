#![doc = include_str!("../README.md")]
//!
//! # Map of the crate
//!
//! | module | holds |
//! |---|---|
//! | `method` | the trait of a method's recipe |
//! | `methods`, `read`, `head` | the table of methods, and reading recipes by it |
//! | `recipe` | the tables that recipes share: data, networks, teachers |
//! | `context`, `inputs` | reading what a recipe names, and noting what was read |
//! | `prepared`, `made_model` | a method that is ready to run, and the models that it makes |
//! | `machine`, `notices` | where recipes are prepared, and who hears of it |
//! | `prepared_run`, `outcome`, `input_hashes`, `environment` | a run and its folder |
//! | `check` | what was found about a recipe before anything is trained |
//! | `report` | the page of a run |
//! | `explain` | what recipes may hold: a schema for editors, every key in words |
//! | `campaign` | several methods with several seeds, compared |
//! | `live` | runs as they are now, as pages |
//! | `runs` | runs that are there: found, and two of them side by side |

mod check;
mod context;
mod environment;
mod error_text;
mod explain;
mod head;
mod input_hashes;
mod inputs;
mod machine;
mod made_model;
mod memory;
mod merge;
mod method;
mod methods;
mod notices;
mod outcome;
mod prepared;
mod prepared_run;
mod read;
mod recipe;
mod report;

mod campaign;
mod live;
mod runs;

pub use method::{CachePlace, MethodRecipe, MethodReport, Parts, Verb};
pub use methods::{KnownMethod, Methods, Recipe, recipe_of_run};
pub use read::read_recipe;

pub use context::{Context, OpenTeacher};
pub use inputs::{RecipeInputs, TeacherInput};
pub use made_model::{MadeModel, MadeTensors};
pub use prepared::Prepared;

pub use recipe::data::{DataRecipe, FolderNormalisation};
pub use recipe::loaded::{DataFacts, LoadedData};
pub use recipe::network::{NetworkRecipe, NewNetwork};
pub use recipe::paths::{check_utf8, model_folder};
pub use recipe::size::ImageSize;
pub use recipe::source::{FolderSettings, find_source, is_folder, is_masks, is_text};
pub use recipe::teacher::{TeacherClasses, TeacherRecipe, check_fits, open_for};
pub use recipe::weights::WeightFile;

pub use environment::Environment;
pub use machine::Machine;
pub use memory::peak_memory_bytes;
pub use merge::merge_runs;
pub use notices::{Notice, Notices};
pub use outcome::Outcome;
pub use prepared_run::{PreparedRun, check_recipe, is_changeable, write_report};

pub use check::{Check, CheckedNetwork, CheckedTeacher, CheckedWeights};
pub use error_text::with_causes;

pub use explain::key::{Choice, RecipeKey};
pub use explain::markdown::keys_markdown;

pub use campaign::curve::Point;
pub use campaign::error::CampaignError;
pub use campaign::folder::is_campaign;
pub use campaign::in_process::InProcess;
pub use campaign::judged_claim::{Comparison, JudgedClaim, Verdict};
pub use campaign::one_run::{RunEnding, RunProgress, RunRequest, StartRun};
pub use campaign::options::CampaignOptions;
pub use campaign::planned_run::PlannedRun;
pub use campaign::process::Processes;
pub use campaign::progress::{CampaignObserver, EndedRun};
pub use campaign::results::{Results, Row, RunResult, Swept};
pub use campaign::run_plan::RunPlan;
pub use campaign::serve::{RunMessage, serve_run};
pub use campaign::session::{ListedRun, compare, list};
pub use live::claims::live_claims;
pub use live::found::runs_below;
pub use live::overview::{LiveRun, live_overview};
pub use live::page::live_page;
pub use live::stamp::stamp_of;
pub use runs::compared::{ComparedRuns, compare_runs};
pub use runs::found::{FoundRun, FoundState, find_runs};
