//! `kd predict` with a network for masks: a mask for each image, and the share of each class.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{
    Batch, CountedWork, Error, ImageShape, Output, Result, Samples, read_stretched, tell_counted,
    write_mask,
};
use kd_models::TrainedModel;
use kd_report::Align::{Left, Right};
use kd_report::percent;
use serde_json::json;

use super::sources::gather;
use crate::args::{PredictFormat, PredictOptions};
use crate::output::{self, csv_field};

/// The mask of an image.
struct Made {
    image: String,
    mask: PathBuf,
    /// The share of the pixels that each class has.
    shares: Vec<f64>,
}

/// Writes the masks of all images that were typed.
pub(super) fn run(
    options: &PredictOptions,
    model: &dyn TrainedModel,
    names: &[String],
    device: &Device,
) -> Result<()> {
    let out = options.masks.as_deref().ok_or_else(|| {
        let problem =
            "is needed for a network with a class of each pixel: the folder for its masks";
        Error::config("--masks", problem)
    })?;
    refuse_others(options)?;
    let mut files = Vec::new();
    for path in &options.images {
        gather(path, 0, &mut files)?;
    }
    let masks = mask_paths(&files, out)?;
    std::fs::create_dir_all(out).map_err(Error::io("create", out))?;
    let mut all = Vec::new();
    for (image, mask) in files.iter().zip(masks) {
        tell_counted(CountedWork {
            what: "writing masks",
            unit: "images",
            done: all.len() as u64,
            total: files.len() as u64,
        });
        let shares = segment(model, image, &mask, device)?;
        let made = Made {
            image: image.display().to_string(),
            mask,
            shares,
        };
        if options.format == PredictFormat::Jsonl {
            output::json(&json!({ "image": made.image, "mask": made.mask, "shares": made.shares }));
        }
        all.push(made);
    }
    show(options, names, &all);
    Ok(())
}

/// Options that say nothing of masks.
fn refuse_others(options: &PredictOptions) -> Result<()> {
    let given = [
        ("--teacher", options.teacher.is_some()),
        ("--top", options.top.is_some()),
        ("--resize", options.resize.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((option, _)) => {
            let problem =
                "has no effect with a network that has a class of each pixel; leave it out";
            Err(Error::config(option, problem))
        }
        None => Ok(()),
    }
}

/// The files of the masks: called as the images, which must differ in more than their folders.
fn mask_paths(images: &[PathBuf], out: &Path) -> Result<Vec<PathBuf>> {
    let mut known: BTreeMap<PathBuf, &Path> = BTreeMap::new();
    let mut masks = Vec::new();
    for image in images {
        let mask = out.join(image.with_extension("png").file_name().unwrap_or_default());
        let problem = match known.insert(mask.clone(), image) {
            Some(other) => format!(
                "would have the mask of `{}`, `{}`",
                other.display(),
                mask.display()
            ),
            None if mask.exists() => format!(
                "would have the mask `{}`, which is there already",
                mask.display()
            ),
            None => {
                masks.push(mask);
                continue;
            }
        };
        return Err(Error::Input {
            path: image.clone(),
            problem: format!("{problem}; give another folder as `--masks`"),
        });
    }
    Ok(masks)
}

/// Writes the mask of an image in the size that the image has, and gives the share of each class.
fn segment(
    model: &dyn TrainedModel,
    image: &Path,
    mask: &Path,
    device: &Device,
) -> Result<Vec<f64>> {
    let [channels, height, width] = model.config().network.input;
    let read = read_stretched(&[image], ImageShape::new(channels, height, width))?;
    let pixels: Vec<f32> = read
        .pixels
        .iter()
        .map(|&byte| f32::from(byte) / 255.0)
        .collect();
    let data = TensorData::new(pixels, [1, channels, height, width]);
    let pixels = Tensor::<4>::from_data(data, device);
    let batch = Batch::new(Samples::Images(pixels), Tensor::zeros([1], device));
    let Output::Pixels(logits) = model.output(&batch)? else {
        return Err(Error::config(
            "model",
            "outputs a class of each image and not of each pixel",
        ));
    };
    let [_, classes, height, width] = logits.dims();
    let largest = logits.argmax(1).into_data();
    let largest: Vec<u8> = largest
        .iter::<i64>()
        .map(|class| u8::try_from(class).unwrap_or(u8::MAX))
        .collect();
    write_mask(mask, &largest, [height, width], read.sizes[0])?;
    let mut counts = vec![0_usize; classes];
    for class in &largest {
        counts[usize::from(*class)] += 1;
    }
    Ok(counts
        .iter()
        .map(|&count| count as f64 / largest.len() as f64)
        .collect())
}

fn show(options: &PredictOptions, names: &[String], all: &[Made]) {
    match options.format {
        PredictFormat::Jsonl => {}
        PredictFormat::Csv => {
            let head = ["image", "mask"]
                .into_iter()
                .chain(names.iter().map(String::as_str));
            output::line(&head.map(csv_field).collect::<Vec<_>>().join(","));
            for made in all {
                let mask = made.mask.display().to_string();
                let paths = [&made.image, &mask].into_iter().map(|path| csv_field(path));
                let values = paths.chain(made.shares.iter().map(f64::to_string));
                output::line(&values.collect::<Vec<_>>().join(","));
            }
        }
        PredictFormat::Table => {
            let mut head = vec![("image", Left), ("mask", Left)];
            head.extend(names.iter().map(|name| (name.as_str(), Right)));
            let row = |made: &Made| {
                let paths = [made.image.clone(), made.mask.display().to_string()];
                paths
                    .into_iter()
                    .chain(made.shares.iter().map(|share| percent(*share)))
                    .collect()
            };
            let rows: Vec<Vec<String>> = all.iter().map(row).collect();
            output::table(&head, &rows);
        }
    }
}
