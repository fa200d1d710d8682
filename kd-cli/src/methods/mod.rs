//! The methods that kd brings along, one file each.

mod offline;
mod train;

pub use offline::DistillRecipe;
pub use train::TrainRecipe;

fn auto() -> String {
    "auto".into()
}
