//! `kd synthesize`.

use std::path::Path;

use kd_core::{Error, ImageShape, Result};
use kd_datafree::{RunImages, SyntheticFormat, WrittenImages};
use kd_report::{count, percent};
use serde_json::json;

use crate::args::{SynthesizeOptions, TypedFormat};
use crate::output;
use crate::progress::counted::Busy;

/// A share of pixels cut that a user should know of.
const MUCH: f64 = 0.01;

pub(super) fn run(options: &SynthesizeOptions) -> Result<()> {
    let busy = Busy::new("reading the images");
    let mut images = RunImages::read(&options.run)?;
    if let Some(count) = options.images {
        images = images.first(count).map_err(as_option)?;
    }
    let format = match options.format {
        TypedFormat::Folder => SyntheticFormat::Folder,
        TypedFormat::Idx => SyntheticFormat::Idx,
        TypedFormat::Bank => SyntheticFormat::Bank,
    };
    let written = images.write(format, &options.out).map_err(as_option)?;
    drop(busy);
    warn(options.format, &written);
    if options.json {
        show_json(options, &written);
        return Ok(());
    }
    let classes = written.classes.iter().filter(|(_, count)| *count > 0);
    output::line(&format!(
        "{} images of {} in {} classes in {}",
        count(written.images as u64),
        written.shape,
        classes.count(),
        options.out.display()
    ));
    if options.format == TypedFormat::Folder {
        output::line(&in_a_recipe(&options.out, written.shape));
    }
    Ok(())
}

/// An error about a setting as one about the option that was typed.
fn as_option(error: Error) -> Error {
    match error {
        Error::Config { field, problem } => Error::config(format!("--{field}"), problem),
        other => other,
    }
}

/// What is lost in the format.
fn warn(format: TypedFormat, written: &WrittenImages) {
    let lost = written.classes.iter().filter(|(_, count)| *count == 0);
    let lost: Vec<String> = lost.map(|(name, _)| format!("`{name}`")).collect();
    if format == TypedFormat::Folder && !lost.is_empty() {
        output::notice(&format!(
            "warning: there is no image of {}, so that the folder has fewer classes than the teacher, with \
             other numbers",
            lost.join(", ")
        ));
    }
    if format != TypedFormat::Bank && written.cut_share > MUCH {
        output::notice(&format!(
            "warning: {} of the pixels were beyond what a pixel can be and are cut, so that the teacher may \
             see another \
             class than the one that is written; a bank keeps them, and a generator with `output = \
             \"sigmoid\"` makes no \
             such pixels",
            percent(written.cut_share)
        ));
    }
}

fn show_json(options: &SynthesizeOptions, written: &WrittenImages) {
    let classes = written.classes.iter();
    let classes: Vec<_> = classes
        .map(|(name, count)| json!({ "name": name, "images": count }))
        .collect();
    output::json(&json!({
        "run": options.run, "out": options.out, "format": options.format.name(),
        "images": written.images, "shape": written.shape, "classes": classes, "cut": written.cut_share,
    }));
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
