//! The teachers on held-out samples: their accuracy with their own normalisation and with others.

use kd_core::{Batch, Draws, Finding, Normalisation, Requested, Result, Samples, Teacher, Topic};
use serde::Serialize;

use super::DiagnosisOptions;
use super::statistics::{above_zero, interval, is_clear, paired};
use super::words::{percent, short_number};

/// Samples in one query.
pub(super) const AT_ONCE: usize = 64;
/// Two normalisations whose results differ by less than this share of a standard deviation are one.
const ALIKE: f64 = 0.02;
/// An alternative that is behind by more standard errors does not classify about as well, and is tried on no
/// more samples.
const BEHIND: f64 = 1.0;

/// ImageNet's constants, which many networks from elsewhere were trained with.
const IMAGENET: [[f64; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

/// The findings about one teacher in numbers.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TeacherFacts {
    /// Its name in texts.
    pub name: String,
    /// The number of its logits, if it gave an answer.
    pub classes: Option<usize>,
    /// The normalisation of its input, if it is known.
    pub normalisation: Option<Normalisation>,
    /// The accuracy that is claimed of it, 0 to 1.
    pub claimed_accuracy: Option<f64>,
    /// Its trials on held-out samples, with its own normalisation first, then with others.
    pub trials: Vec<Trial>,
    /// Its learnable parameters, if they are known.
    pub parameters: Option<u64>,
}

/// A trial of a teacher with one normalisation.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Trial {
    /// The normalisation in words: "its own", "the data set's", ...
    pub with: String,
    /// Its constants.
    pub normalisation: Option<Normalisation>,
    /// The number of held-out samples; fewer where it was clear soon that this is not the one.
    pub samples: usize,
    /// The number of them that were classified correctly.
    pub correct: usize,
    /// Mean cross-entropy with the labels in nats; not finite if a logit was not.
    pub cross_entropy: f64,
}

impl Trial {
    /// The share that was classified correctly.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.samples.max(1) as f64
    }
}

/// One sample: whether the largest logit was that of the label, and the cross-entropy.
#[derive(Clone, Copy, Debug)]
struct Score {
    correct: bool,
    cross_entropy: f64,
}

/// So many of these ids, a function of the seed alone.
pub(super) fn choose(ids: &[u32], options: &DiagnosisOptions) -> Vec<u32> {
    let mut ids = ids.to_vec();
    Draws::new(options.seed, "diagnosis", 0, 0).shuffle(&mut ids);
    ids.truncate(options.samples.max(1));
    ids
}

/// Measures a teacher that fits the data. `constants` are those of the data set, if it has images.
pub(super) fn measure(
    teacher: &dyn Teacher,
    facts: &mut TeacherFacts,
    samples: &[Batch],
    constants: Option<&Normalisation>,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let own = score_all(teacher, samples)?;
    facts
        .trials
        .push(trial("its own", facts.normalisation.clone(), &own));
    if own.iter().any(|score| !score.cross_entropy.is_finite()) {
        let text = format!(
            "{} gives logits that are not finite; its weights are damaged, or those of another network",
            facts.name
        );
        findings.push(Finding::error(Topic::Teachers, text));
        return Ok(());
    }
    let mut better: Vec<(usize, Vec<Score>)> = Vec::new();
    let mut calmer: Option<usize> = None;
    let guess = (facts.classes.unwrap_or(1) as f64).ln();
    let others = match (&facts.normalisation, constants) {
        (Some(own), Some(constants)) => alternatives(own, constants),
        _ => Vec::new(),
    };
    for (with, other) in others {
        let (Some(through), Some((first, rest))) = (&facts.normalisation, samples.split_first())
        else {
            break;
        };
        let first = seen_through(through, &other, std::slice::from_ref(first))?;
        let mut scores = score_all(teacher, &first)?;
        if ahead(&scores, &own) > -BEHIND {
            let rest = seen_through(through, &other, rest)?;
            scores.extend(score_all(teacher, &rest)?);
        }
        let place = facts.trials.len();
        let of_data = constants == Some(&other);
        facts.trials.push(trial(with, Some(other), &scores));
        let by = ahead(&scores, &own);
        let calmer_here = by > -BEHIND && is_clear(lower(&scores, &own));
        // A network that is wrong by more nats than a guess over all classes is no teacher, whatever its
        // largest logit.
        let senseless =
            facts.trials[0].cross_entropy > guess && facts.trials[place].cross_entropy < guess;
        if is_clear(by) || (calmer_here && senseless) {
            better.push((place, scores));
        } else if of_data && calmer_here {
            calmer = Some(place);
        }
    }
    let best = better.into_iter().reduce(|best, next| {
        let ahead = ahead(&next.1, &best.1);
        let calmer = facts.trials[next.0].cross_entropy < facts.trials[best.0].cross_entropy;
        // Where accuracy does not tell, the right one has the lower cross-entropy.
        if is_clear(ahead) || (calmer && !is_clear(-ahead)) {
            next
        } else {
            best
        }
    });
    findings.push(judge(facts, best.map(|(place, _)| place), calmer, samples));
    Ok(())
}

/// The number of standard errors by which the cross-entropy of the first is lower; 0 if it was not tried on
/// all samples.
fn lower(first: &[Score], second: &[Score]) -> f64 {
    if first.len() < second.len() {
        return 0.0;
    }
    let pairs = first.iter().zip(second);
    let differences: Vec<f64> = pairs
        .map(|(a, b)| b.cross_entropy - a.cross_entropy)
        .collect();
    above_zero(&differences)
}

/// The finding about the trials.
fn judge(
    facts: &TeacherFacts,
    best: Option<usize>,
    calmer: Option<usize>,
    samples: &[Batch],
) -> Finding {
    let name = &facts.name;
    let own = &facts.trials[0];
    let (accuracy, count) = (percent(own.accuracy()), own.samples);
    let [low, high] = interval(own.correct, own.samples);
    let range = format!("99.7 % interval {} to {}", percent(low), percent(high));
    if let Some(best) = best.map(|place| &facts.trials[place]) {
        let text = format!(
            "{name} seems to be fed with the wrong normalisation: with {} ({}) it classifies {} of {count} \
             held-out samples correctly (cross-entropy {:.2} nats), with its own ({}) {accuracy} ({:.2} \
             nats); set its `normalisation` to {}",
            best.with,
            constants(best.normalisation.as_ref()),
            percent(best.accuracy()),
            best.cross_entropy,
            constants(own.normalisation.as_ref()),
            own.cross_entropy,
            values(best.normalisation.as_ref()),
        );
        return Finding::warning(Topic::Normalisation, text);
    }
    let guessing = commonest(samples, facts.classes.unwrap_or(1));
    if low <= guessing {
        let text = format!(
            "{name} classifies {accuracy} of {count} held-out samples correctly ({range}), which cannot be \
             told from guessing ({}); its weights are not trained, or it was trained on other data, other \
             labels or another normalisation",
            percent(guessing)
        );
        return Finding::warning(Topic::Teachers, text);
    }
    if let Some(claimed) = facts.claimed_accuracy.filter(|claimed| *claimed > high) {
        let text = format!(
            "{name} classifies {accuracy} of {count} held-out samples correctly ({range}), while its \
             `config.json` says {}; it is fed otherwise than it was trained, or the claim is of other data",
            percent(claimed)
        );
        return Finding::warning(Topic::Teachers, text);
    }
    if let Some(calmer) = calmer.map(|place| &facts.trials[place]) {
        let text = format!(
            "{name} classifies about as well with {} as with its own normalisation, but with a clearly lower \
             cross-entropy ({:.3} against {:.3} nats); make sure that its `normalisation` is the one that it \
             was trained with",
            calmer.with, calmer.cross_entropy, own.cross_entropy
        );
        return Finding::note(Topic::Normalisation, text);
    }
    let others = match facts.trials.len() {
        0 | 1 => "",
        _ => "; no other normalisation is clearly better",
    };
    let text = format!(
        "{name} classifies {accuracy} of {count} held-out samples correctly ({range}){others}"
    );
    Finding::ok(Topic::Teachers, text)
}

fn trial(with: &str, normalisation: Option<Normalisation>, scores: &[Score]) -> Trial {
    let sum: f64 = scores.iter().map(|score| score.cross_entropy).sum();
    Trial {
        with: with.to_owned(),
        normalisation,
        samples: scores.len(),
        correct: scores.iter().filter(|score| score.correct).count(),
        cross_entropy: sum / scores.len().max(1) as f64,
    }
}

/// The number of standard errors by which the first is right about more of the same samples than the second.
fn ahead(first: &[Score], second: &[Score]) -> f64 {
    let pairs = first.iter().zip(second);
    let gained = pairs
        .clone()
        .filter(|(a, b)| a.correct && !b.correct)
        .count();
    let lost = pairs.filter(|(a, b)| !a.correct && b.correct).count();
    paired(gained, lost)
}

fn score_all(teacher: &dyn Teacher, samples: &[Batch]) -> Result<Vec<Score>> {
    let requested = Requested::output();
    let mut scores = Vec::new();
    for batch in samples {
        let logits = teacher.answer(batch, &requested)?.logits()?;
        let classes = logits.dims()[1];
        let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
        let targets = batch.targets.clone().into_data();
        for (logits, target) in logits.chunks_exact(classes).zip(targets.iter::<i64>()) {
            scores.push(score(logits, usize::try_from(target).unwrap_or(usize::MAX)));
        }
    }
    Ok(scores)
}

fn score(logits: &[f32], target: usize) -> Score {
    let Some(&own) = logits
        .get(target)
        .filter(|_| logits.iter().all(|x| x.is_finite()))
    else {
        return Score {
            correct: false,
            cross_entropy: f64::NAN,
        };
    };
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - largest).exp()).sum();
    // Of equal logits the first class counts, as in kd's metrics.
    let first = logits.iter().position(|&x| x >= largest);
    Score {
        correct: first == Some(target),
        cross_entropy: sum.ln() + f64::from(largest) - f64::from(own),
    }
}

/// The share of the commonest label among the samples, at least one in `classes`: the accuracy of guessing.
fn commonest(samples: &[Batch], classes: usize) -> f64 {
    let mut counts = vec![0_usize; classes];
    let mut all = 0;
    for batch in samples {
        for target in batch.targets.clone().into_data().iter::<i64>() {
            all += 1;
            if let Some(count) = usize::try_from(target)
                .ok()
                .and_then(|class| counts.get_mut(class))
            {
                *count += 1;
            }
        }
    }
    let most = counts.into_iter().max().unwrap_or(0) as f64 / f64::from(all.max(1));
    most.max(1.0 / classes.max(1) as f64)
}

/// Other normalisations that the teacher may have been trained with, without those that come to the same.
fn alternatives(
    own: &Normalisation,
    constants: &Normalisation,
) -> Vec<(&'static str, Normalisation)> {
    let channels = own.mean.len();
    let flat = |mean: f64, std: f64| Normalisation {
        mean: vec![mean; channels],
        std: vec![std; channels],
    };
    let mut all = vec![("the data set's constants", constants.clone())];
    if channels == 3 {
        let [mean, std] = IMAGENET.map(|values| values.to_vec());
        all.push(("ImageNet's constants", Normalisation { mean, std }));
    }
    all.push(("mean 0.5 and std 0.5", flat(0.5, 0.5)));
    all.push(("none, pixels from 0 to 1", flat(0.0, 1.0)));
    all.push(("none, pixels from 0 to 255", flat(0.0, 1.0 / 255.0)));
    let scaled = |values: &[f64]| values.iter().map(|value| value / 255.0).collect();
    if own.mean.iter().chain(&own.std).any(|value| *value > 1.5) {
        let divided = Normalisation {
            mean: scaled(&own.mean),
            std: scaled(&own.std),
        };
        all.push(("its own constants divided by 255", divided));
    }
    let mut kept: Vec<(&'static str, Normalisation)> = Vec::new();
    for (name, other) in all {
        let fits = other.mean.len() == channels && other.check().is_ok();
        let known = kept.iter().map(|(_, known)| known).chain([own]);
        if fits && !known.into_iter().any(|known| alike(known, &other)) {
            kept.push((name, other));
        }
    }
    kept
}

/// Whether two normalisations make nearly the same of a pixel.
pub(super) fn alike(first: &Normalisation, second: &Normalisation) -> bool {
    let pairs = |a: &[f64], b: &[f64]| a.iter().copied().zip(b.to_vec()).collect::<Vec<_>>();
    first.mean.len() == second.mean.len()
        && pairs(&first.mean, &second.mean)
            .iter()
            .zip(&first.std)
            .all(|((a, b), std)| (a - b).abs() <= ALIKE * std)
        && pairs(&first.std, &second.std)
            .iter()
            .all(|(a, b)| (a / b - 1.0).abs() <= ALIKE)
}

/// Samples whose pixels are changed so that a teacher which applies `own` sees what `other` would have made
/// of them.
fn seen_through(
    own: &Normalisation,
    other: &Normalisation,
    samples: &[Batch],
) -> Result<Vec<Batch>> {
    let change = change_of(own, other)?;
    let changed = |batch: &Batch| {
        let pixels = Samples::Images(change.apply(batch.pixels()?)?);
        // Of no loader: they are other samples than their ids say.
        Ok(Batch::new(pixels, batch.targets.clone()))
    };
    samples.iter().map(changed).collect()
}

/// The change of pixels for [`seen_through`].
///
/// ```text
/// p' = own.mean + own.std * (p - other.mean) / other.std
/// ```
fn change_of(own: &Normalisation, other: &Normalisation) -> Result<Normalisation> {
    let std: Vec<f64> = own
        .std
        .iter()
        .zip(&other.std)
        .map(|(own, other)| other / own)
        .collect();
    let means = own.mean.iter().zip(&other.mean).zip(&std);
    let mean = means
        .map(|((own, other), scale)| other - own * scale)
        .collect();
    Normalisation::new(mean, std)
}

fn constants(normalisation: Option<&Normalisation>) -> String {
    let list = |values: &[f64]| {
        values
            .iter()
            .map(|x| short_number(*x))
            .collect::<Vec<_>>()
            .join(", ")
    };
    normalisation.map_or_else(String::new, |n| {
        format!("mean {}, std {}", list(&n.mean), list(&n.std))
    })
}

fn values(normalisation: Option<&Normalisation>) -> String {
    let list = |values: &[f64]| {
        values
            .iter()
            .map(|x| short_number(*x))
            .collect::<Vec<_>>()
            .join(", ")
    };
    normalisation.map_or_else(String::new, |n| {
        format!("`mean = [{}]`, `std = [{}]`", list(&n.mean), list(&n.std))
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::*;

    fn norm(mean: f64, std: f64) -> Normalisation {
        Normalisation::new(vec![mean], vec![std]).unwrap()
    }

    #[test]
    fn pixels_seen_through_one_normalisation_are_those_of_another() {
        let (own, other) = (norm(0.3, 0.2), norm(0.5, 0.8));
        let data = TensorData::from([[[[0.0_f32, 0.25, 1.0]]]]);
        let pixels = Tensor::<4>::from_data(data, &Device::flex());
        let shown = change_of(&own, &other)
            .unwrap()
            .apply(pixels.clone())
            .unwrap();
        let found = own.apply(shown).unwrap().into_data();
        let expected = other.apply(pixels).unwrap().into_data();
        for (found, expected) in found.iter::<f32>().zip(expected.iter::<f32>()) {
            assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
        }
    }

    #[test]
    fn what_comes_to_the_same_is_not_tried() {
        let names = |own: &Normalisation, data: &Normalisation| -> Vec<&str> {
            alternatives(own, data)
                .into_iter()
                .map(|(name, _)| name)
                .collect()
        };
        let data = norm(0.2861, 0.353);
        let others = [
            "mean 0.5 and std 0.5",
            "none, pixels from 0 to 1",
            "none, pixels from 0 to 255",
        ];
        assert_eq!(names(&norm(0.286, 0.3530), &data), others);
        let own = names(&norm(72.94, 90.02), &data);
        assert_eq!(own.len(), 4);
        assert!(
            !own.contains(&"its own constants divided by 255"),
            "they are the data set's"
        );
        let own = names(&norm(100.0, 50.0), &data);
        assert!(own.contains(&"its own constants divided by 255"));
        let identity = Normalisation::identity(3);
        let own = alternatives(&identity, &identity);
        assert_eq!(own[0].0, "ImageNet's constants");
    }

    #[test]
    fn an_answer_is_the_cross_entropy_of_the_label() {
        let right = score(&[0.0, 2.0, 0.0], 1);
        assert!(right.correct);
        let expected = (2.0 + 2.0_f64.exp()).ln() - 2.0;
        assert!((right.cross_entropy - expected).abs() < 1e-6);
        assert!(!score(&[0.0, 2.0, 0.0], 2).correct);
        assert!(score(&[1.0, 1.0], 0).correct && !score(&[1.0, 1.0], 1).correct);
        let infinite = score(&[f32::INFINITY, 0.0], 0);
        assert!(!infinite.correct && infinite.cross_entropy.is_nan());
    }
}
