//! The taps of the losses: pairs of maps, and whether they fit.

use kd_core::{Finding, Result, TaskNetwork, Topic};
use serde::Serialize;

use super::Diagnosis;
use super::dry_run::DryRun;
use super::words::counted;
use crate::objective::BoundLosses;
use crate::taps::FullAnswer;
use crate::{LossConfig, Offline};

/// Two maps that a loss compares.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TapPair {
    /// The loss, by its name in logs.
    pub loss: String,
    /// The student's tap.
    pub student_tap: String,
    /// Channels, height and width of the student's map; none if it has no such tap.
    pub student_map: Option<[usize; 3]>,
    /// The index of the teacher, from 0.
    pub teacher: usize,
    /// The teacher's tap.
    pub teacher_tap: String,
    /// Channels, height and width of the teacher's map; none if it has no such tap.
    pub teacher_map: Option<[usize; 3]>,
    /// Parameters that are trained between them, or all that are trained for the loss where they belong to no
    /// pair; none if there is nothing to train.
    pub regressor: Option<usize>,
}

impl<S: TaskNetwork> Offline<S> {
    /// Binds each loss by itself, so that all that does not fit is named. Gives whether all do.
    pub(super) fn try_losses(&self, dry: &DryRun, diagnosis: &mut Diagnosis) -> bool {
        let before = diagnosis.findings.len();
        if self.losses.is_empty() {
            let text =
                "`losses` is empty; name at least one, for example `kind = \"cross-entropy\"`";
            diagnosis.findings.push(Finding::error(Topic::Losses, text));
        }
        for (index, loss) in self.losses.iter().enumerate() {
            let mut pairs = pairs_of(loss, dry);
            match self.try_loss(index, dry) {
                Ok(bound) => {
                    // A regressor that only matches sizes has nothing to learn.
                    let learned = bound
                        .map(|bound| bound.parameters())
                        .filter(|parameters| *parameters > 0)
                        .and_then(|parameters| usize::try_from(parameters).ok());
                    if let Some(pair) = pairs.first_mut() {
                        pair.regressor = learned;
                    }
                }
                Err(error) => {
                    let topic = if pairs.is_empty() {
                        Topic::Losses
                    } else {
                        Topic::Taps
                    };
                    let text = format!("loss {index} (`{}`): {error}", loss.name());
                    diagnosis.findings.push(Finding::error(topic, text));
                }
            }
            diagnosis.taps.append(&mut pairs);
        }
        let fit = diagnosis.findings.len() == before;
        if fit && !diagnosis.taps.is_empty() {
            let with_regressor = |pair: &&TapPair| pair.regressor.is_some();
            let regressors = diagnosis.taps.iter().filter(with_regressor).count();
            let text = format!(
                "{} fit, {regressors} of them with a regressor",
                counted(diagnosis.taps.len(), "pair of maps", "pairs of maps")
            );
            diagnosis.findings.push(Finding::ok(Topic::Taps, text));
        }
        fit
    }

    /// Binds and computes one loss; none if it cannot be tried because a teacher is wrong, which was said
    /// already.
    fn try_loss(&self, index: usize, dry: &DryRun) -> Result<Option<BoundLosses>> {
        let loss = &self.losses[index];
        loss.check(index, self.teachers.len())?;
        for (ours, _) in loss.taps() {
            dry.student.find(ours)?;
        }
        let answers: Option<Vec<&FullAnswer>> = dry.teachers.iter().map(Option::as_ref).collect();
        let Some(answers) = answers else {
            return Ok(None);
        };
        let one = std::slice::from_ref(loss);
        let bound = self.bind(index, one, &dry.student, &dry.trace, &answers)?;
        Ok(Some(bound))
    }
}

/// The pairs of maps that a loss compares, without their regressors.
fn pairs_of(loss: &LossConfig, dry: &DryRun) -> Vec<TapPair> {
    let teacher = loss.which_teacher();
    let answer = dry.teachers.get(teacher).and_then(Option::as_ref);
    let pair = |(ours, theirs): (&str, &str)| TapPair {
        loss: loss.name(),
        student_tap: ours.to_owned(),
        student_map: dry.student.shape(ours),
        teacher,
        teacher_tap: theirs.to_owned(),
        teacher_map: answer.and_then(|answer| answer.shapes.shape(theirs)),
        regressor: None,
    };
    loss.taps().map(pair).collect()
}
