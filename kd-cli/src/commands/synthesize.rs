//! `kd synthesize`.

use std::path::Path;

use kd_core::{
    Dataset, Error, ImageShape, Result, class_folders, write_folder, write_idx, write_image_folder,
};
use kd_datafree::BANK_FILE;
use serde_json::json;

use crate::args::{SynthesizeOptions, SyntheticFormat};
use crate::output::{self, count, percent};
use crate::synthetic::Synthetic;

const IDX_IMAGES: &str = "train-images-idx3-ubyte";
const IDX_LABELS: &str = "train-labels-idx1-ubyte";
/// Of this share of pixels cut a person should know.
const MUCH: f64 = 0.01;

pub(super) fn run(options: &SynthesizeOptions) -> Result<()> {
    let mut found = Synthetic::read(&options.run)?;
    if let Some(images) = options.images {
        found.bank = found.bank.first(images).map_err(|error| match error {
            Error::Config { problem, .. } => Error::config("--images", problem),
            other => other,
        })?;
    }
    let pixels = found.pixels()?;
    let names = found.names();
    let folders = class_folders(&names);
    check(options.format, &pixels)?;
    write_folder(&options.out, |folder| match options.format {
        SyntheticFormat::Folder => write_image_folder(&pixels, folder, &folders),
        SyntheticFormat::Idx => {
            write_idx(&pixels, &folder.join(IDX_IMAGES), &folder.join(IDX_LABELS))
        }
        SyntheticFormat::Bank => found.bank.write(&folder.join(BANK_FILE)),
    })?;
    let diagnosis = found.bank.diagnosis();
    let counts = diagnosis.histogram();
    let lost: Vec<&str> = names
        .iter()
        .zip(counts)
        .filter(|(_, count)| **count == 0)
        .map(|(name, _)| name.as_str())
        .collect();
    if options.format == SyntheticFormat::Folder && !lost.is_empty() {
        output::notice(&format!(
            "warning: there is no image of {}, so that the folder has fewer classes than the teacher, with \
             other numbers",
            lost.iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ));
    }
    let cut = found.cut_share()?;
    if options.format != SyntheticFormat::Bank && cut > MUCH {
        output::notice(&format!(
            "warning: {} of the pixels were beyond what a pixel can be and are cut, so that the teacher may \
             see another class than the \
             one that is written; a bank keeps them, and a generator with `output = \"sigmoid\"` makes no \
             such pixels",
            percent(cut)
        ));
    }
    if options.json {
        let classes: Vec<_> = names
            .iter()
            .zip(counts)
            .map(|(name, count)| json!({ "name": name, "images": count }))
            .collect();
        output::json(&json!({
            "run": options.run, "out": options.out, "format": options.format.name(),
            "images": pixels.len(), "shape": pixels.shape(), "classes": classes, "cut": cut,
        }));
        return Ok(());
    }
    output::line(&format!(
        "{} images of {} in {} classes in {}",
        count(pixels.len() as u64),
        pixels.shape(),
        counts.len() - lost.len(),
        options.out.display()
    ));
    if options.format == SyntheticFormat::Folder {
        output::line(&in_a_recipe(&options.out, pixels.shape()));
    }
    Ok(())
}

/// What the format cannot hold is said before anything is written, by the argument that was given.
fn check(format: SyntheticFormat, pixels: &Dataset) -> Result<()> {
    let channels = pixels.shape().channels;
    let refused = |problem: String| Err(Error::config("--format", problem));
    match format {
        SyntheticFormat::Idx if channels != 1 => refused(format!(
            "cannot be `idx`, which has no colour, and the images have {channels} channels; use `folder`"
        )),
        SyntheticFormat::Folder if !matches!(channels, 1 | 3) => refused(format!(
            "cannot be `folder`, whose PNG files are grey or in colour, and the images have {channels} \
             channels; use `bank`"
        )),
        _ => Ok(()),
    }
}

/// The table of a recipe that takes the folder.
fn in_a_recipe(out: &Path, shape: ImageShape) -> String {
    let size = if shape.height == shape.width {
        shape.height.to_string()
    } else {
        format!("[{}, {}]", shape.height, shape.width)
    };
    let grey = if shape.channels == 1 {
        ", grey = true"
    } else {
        ""
    };
    let path = toml::Value::from(out.display().to_string());
    format!(
        "in a recipe: data = {{ name = \"folder\", path = {path}, size = {size}{grey}, held_out = 0.1 }}"
    )
}
