//! The methods that kd brings along, one file each.

mod datafree;
mod offline;
mod stagewise;
mod train;

pub use datafree::DataFreeRecipe;
pub use offline::DistillRecipe;
pub use stagewise::{SplitRecipe, StagewiseRecipe};
pub use train::TrainRecipe;

fn auto() -> String {
    "auto".into()
}
