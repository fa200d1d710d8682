//! kd's side of the comparison of losses with PyTorch; `pytorch/losses.py` runs it.
//!
//! ```text
//! losses_case --list                      the cases of the bench `losses`, as JSON, in the catalogue's order
//! losses_case --write FOLDER [NAME ...]   inputs, values, gradients of each size of all or these losses
//! ```
//!
//! The files are `FOLDER/NAME.SIZES.safetensors`; `Case::record` says what is in them.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;

use burn::tensor::Device;
use kd_benches::losses::measured;
use kd_core::write_tensors;
use kd_losses::find_loss;
use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--list"] => list(),
        ["--write", folder, names @ ..] => write(Path::new(folder), names),
        _ => Err("`--list` or `--write FOLDER [NAME ...]`".into()),
    }
}

fn list() -> Result<()> {
    let all: Vec<_> = measured()
        .iter()
        .map(|one| {
            let family = find_loss(one.name).map(|loss| loss.family.title());
            json!({ "name": one.name, "sizes": one.sizes, "family": family })
        })
        .collect();
    writeln!(std::io::stdout(), "{}", json!(all))?;
    Ok(())
}

fn write(folder: &Path, names: &[&str]) -> Result<()> {
    let device = Device::flex();
    for one in measured() {
        if names.is_empty() || names.contains(&one.name) {
            let file = format!("{}.{}.safetensors", one.name, one.sizes);
            write_tensors(&folder.join(file), &one.make(&device)?.record()?)?;
        }
    }
    Ok(())
}
