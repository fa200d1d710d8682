//! The findings of samples: their classes, and none in both parts.

use crate::data::subset::Subset;
use crate::finding::{Finding, Topic};
use crate::training::settings::Training;

/// The number of classes that are named one by one.
const NAMED: usize = 8;

/// What is suspicious about the samples of a run: parts of different forms, classes without a sample, uneven
/// classes that `training` does nothing about, samples that are in both parts. `keys` are those of the keys
/// `drop_last`, `balanced` and `class_weights` that the method heeds.
///
/// Of masks it is not counted how often each class is there.
pub fn sample_findings(
    train: &Subset,
    held_out: &Subset,
    training: &Training,
    keys: &[&str],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let [set, other] = [train, held_out].map(Subset::dataset);
    if other.classes() != set.classes() || other.shape() != set.shape() {
        let text = format!(
            "the held-out samples are {} of {} in {} classes, those to train on of {} in {}; take both from \
             data of one form",
            other.kind(),
            other.shape(),
            other.classes(),
            set.shape(),
            set.classes()
        );
        findings.push(Finding::error(Topic::Data, text));
    }
    let parts = [
        (train, "training", "it cannot be learnt"),
        (held_out, "held-out", "nothing is measured on it"),
    ];
    for (part, name, result) in parts.into_iter().filter(|(part, ..)| is_counted(part)) {
        if let Some(text) = without_samples(name, &part.class_counts(), result) {
            findings.push(Finding::warning(Topic::Data, text));
        }
    }
    findings.extend(uneven(train, training, keys));
    findings.extend(in_both(train, held_out));
    findings
}

fn is_counted(part: &Subset) -> bool {
    part.dataset().masks().is_none()
}

fn uneven(train: &Subset, training: &Training, keys: &[&str]) -> Option<Finding> {
    let counts = train.class_counts();
    let fewest = counts.iter().filter(|&&count| count > 0).min()?;
    let most = counts.iter().max()?;
    let weighed = training.balanced || training.class_weights.is_some();
    if *most <= 10 * fewest || weighed || !is_counted(train) {
        return None;
    }
    let remedies = [
        (
            "class_weights",
            "`train.class_weights = \"balanced\"` weighs them in the cross-entropy",
        ),
        (
            "balanced",
            "`train.balanced = true` draws each class equally often",
        ),
    ];
    let heeded = remedies.iter().filter(|(key, _)| keys.contains(key));
    let heeded: Vec<&str> = heeded.map(|(_, remedy)| *remedy).collect();
    let remedy = match heeded.as_slice() {
        [] => "`kd eval` shows the accuracy of each class".to_owned(),
        some => some.join(", "),
    };
    let text = format!(
        "the classes are uneven: {fewest} to {most} training samples a class; accuracy says little of the \
         small ones, and they are hardly learnt: {remedy}"
    );
    Some(Finding::note(Topic::Data, text))
}

fn in_both(train: &Subset, held_out: &Subset) -> Option<Finding> {
    let [set, other] = [train, held_out].map(Subset::dataset);
    if set.name() != other.name() || set.split() != other.split() {
        return None;
    }
    let trained_on = |id: &&u32| train.ids().binary_search(id).is_ok();
    let shared = held_out.ids().iter().filter(trained_on).count();
    let text = format!(
        "{shared} of the {} held-out samples are trained on as well, so that accuracy would be measured on \
         what was learnt by heart; hold samples out with `data.held_out`, or measure on the test split",
        held_out.len()
    );
    (shared > 0).then(|| Finding::error(Topic::Data, text))
}

/// A text that names the classes without a sample, if there are any.
fn without_samples(part: &str, counts: &[usize], result: &str) -> Option<String> {
    let empty: Vec<String> = counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count == 0)
        .map(|(class, _)| class.to_string())
        .collect();
    match empty.as_slice() {
        [] => None,
        [one] => Some(format!("class {one} has no {part} sample; {result}")),
        several => {
            let more = if several.len() > NAMED { ", ..." } else { "" };
            Some(format!(
                "{} of the {} classes have no {part} sample ({}{more}); {}",
                several.len(),
                counts.len(),
                several
                    .iter()
                    .take(NAMED)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(", "),
                result.replace("it ", "they ").replace("on it", "on them")
            ))
        }
    }
}
