//! The masks that networks give for held-out images whose every pixel has a class.

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use kd_core::{
    Dataset, Loader, LoaderConfig, NetworkOutput, Result, SegmentationSummary, Task,
    evaluate_segmentation,
};
use kd_models::{ModelConfig, TrainedModel};
use kd_report::{CAMVID_CLASSES, SegmentationBoard};

use crate::recipe::paths::MODEL;
use crate::report::predictions::counted;
use crate::report::subject::Subject;

/// Samples in a batch, of images that are larger than those of classifiers.
const BATCH_SIZE: usize = 8;
/// Images in the picture.
const SHOWN: usize = 4;

/// Student and teacher on the held-out data.
pub(super) struct Segmented {
    /// Some of the images, side by side.
    pub(super) board: SegmentationBoard,
    /// All of them in numbers, the teacher first where there is one.
    pub(super) measured: Vec<(String, SegmentationSummary)>,
    /// The classes in the order of their numbers.
    pub(super) classes: Vec<String>,
}

/// Runs student and teacher on the held-out data; none if these have no masks, or there is no network for
/// them; an error in place of it if the network cannot be read.
pub(super) fn segment(folder: &Path, subject: Subject<'_>) -> Result<Result<Option<Segmented>>> {
    let (inputs, device) = (subject.inputs, subject.device);
    let with_masks = inputs.held_out.as_ref();
    let with_masks = with_masks.filter(|held_out| held_out.dataset().task() == Task::Segmentation);
    let (Some(held_out), Some(place)) = (with_masks, selected(folder)) else {
        return Ok(Ok(None));
    };
    let student = match subject.families.open(&place, device) {
        Ok(student) => student,
        Err(error) => return Ok(Err(error)),
    };
    let dataset = held_out.dataset();
    if !fits(student.config(), dataset) {
        return Ok(Ok(None));
    }
    let teachers = inputs.teachers.iter().map(|teacher| teacher.model.as_ref());
    let teachers = teachers.filter(|teacher| fits(teacher.config(), dataset));
    let mut networks: Vec<(&str, &dyn TrainedModel)> =
        teachers.map(|teacher| ("teacher", teacher)).collect();
    // Who has no teacher is no student.
    let who = if networks.is_empty() {
        "network"
    } else {
        "student"
    };
    networks.push((who, student.as_ref()));

    let loader = LoaderConfig::ordered(BATCH_SIZE);
    let loader = counted(
        Loader::new(held_out.clone(), loader, device)?,
        "masks for the report",
    );
    let shown = spread(held_out.ids(), SHOWN);
    let own = |of: &dyn Fn(u32) -> Option<Vec<u8>>| -> Vec<Vec<u8>> {
        shown.iter().filter_map(|&id| of(id)).collect()
    };
    let shape = dataset.shape();
    let mut board = SegmentationBoard::new([shape.height, shape.width], &colours(dataset))?
        .with_images("input", &own(&|id| dataset.image(id).map(<[u8]>::to_vec)))?
        .with_masks("truth", &own(&|id| dataset.mask(id).map(<[u8]>::to_vec)))?;
    let mut measured = Vec::with_capacity(networks.len());
    for (who, network) in networks {
        let (summary, masks) = measure(network, &loader, &shown)?;
        board = board.with_masks(who, &masks)?;
        measured.push((who.to_owned(), summary));
    }
    Ok(Ok(Some(Segmented {
        board,
        measured,
        classes: names(dataset),
    })))
}

/// The network that a run has selected: that of the best evaluation, or else the last one.
fn selected(folder: &Path) -> Option<PathBuf> {
    let best = folder.join(format!("{MODEL}-best"));
    [best, folder.join(MODEL)]
        .into_iter()
        .find(|place| place.is_dir())
}

fn fits(config: &ModelConfig, dataset: &Dataset) -> bool {
    let shape = dataset.shape();
    config.network.classes == dataset.classes()
        && config.network.input == [shape.channels, shape.height, shape.width]
}

/// How well a network segments, and the masks that it gives for the samples `shown`, in their order.
fn measure(
    network: &dyn TrainedModel,
    loader: &Loader,
    shown: &[u32],
) -> Result<(SegmentationSummary, Vec<Vec<u8>>)> {
    let mut given = vec![Vec::new(); shown.len()];
    let metrics = evaluate_segmentation(loader, |batch| {
        // [batch_size, num_classes, height, width]
        let logits = Tensor::<4>::from_output(network.output(batch)?)?;
        for (row, id) in batch.ids.iter().enumerate() {
            if let Some(place) = shown.iter().position(|wanted| wanted == id) {
                let classes = logits.clone().narrow(0, row, 1).argmax(1).into_data();
                let class = |class: i64| u8::try_from(class).unwrap_or(u8::MAX);
                given[place] = classes.iter::<i64>().map(class).collect();
            }
        }
        Ok(logits)
    })?;
    Ok((metrics.summary()?, given))
}

/// So many of the samples, from the middle of parts of one size.
fn spread(ids: &[u32], count: usize) -> Vec<u32> {
    let count = count.min(ids.len());
    (0..count)
        .map(|part| ids[(2 * part + 1) * ids.len() / (2 * count)])
        .collect()
}

/// The classes in the order of their numbers; by number where they have no names.
fn names(dataset: &Dataset) -> Vec<String> {
    match dataset.class_names() {
        Some(names) => names.to_vec(),
        None => (0..dataset.classes())
            .map(|class| class.to_string())
            .collect(),
    }
}

/// The classes with the colours that they are shown in.
fn colours(dataset: &Dataset) -> Vec<(String, [u8; 3])> {
    let usual: &[(&str, [u8; 3])] =
        if dataset.name() == "camvid" && dataset.classes() == CAMVID_CLASSES.len() {
            &CAMVID_CLASSES
        } else {
            &[]
        };
    let colour = |(class, name): (usize, String)| match usual.get(class) {
        Some((name, colour)) => ((*name).to_owned(), *colour),
        None => (name, colour_of(class)),
    };
    names(dataset).into_iter().enumerate().map(colour).collect()
}

/// Colours that differ from class to class, as `PASCAL VOC` has them: the bits of the number, three at a
/// time, from the highest bit of red, green and blue down.
fn colour_of(class: usize) -> [u8; 3] {
    // The first of them is black, which is hard to tell from an outline.
    let class = class + 1;
    [0, 1, 2].map(|channel| {
        (0..3).fold(0, |colour, level| {
            let bit = class >> (3 * level + channel) & 1 == 1;
            colour | if bit { 128 >> level } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_images_are_spread_over_the_split() {
        let ids: Vec<u32> = (10..30).collect();
        assert_eq!(spread(&ids, 4), [12, 17, 22, 27]);
        assert_eq!(spread(&ids[..3], 4), [10, 11, 12]);
        assert!(spread(&[], 4).is_empty());
    }

    #[test]
    fn colours_differ() {
        let all: std::collections::BTreeSet<[u8; 3]> = (0..256).map(colour_of).collect();
        assert_eq!(all.len(), 256);
        assert_eq!(colour_of(0), [128, 0, 0]);
        assert_eq!(colour_of(1), [0, 128, 0]);
    }
}
