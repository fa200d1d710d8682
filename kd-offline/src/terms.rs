//! The losses of a recipe, bound to taps and regressors.

use burn::tensor::{Device, Int, Tensor};
use kd_core::{Draws, Error, ImageClassifier, Result, Trace};
use kd_losses::{MapSizes, Projection, Regressor, RegressorConfig};

use crate::teacher::average;
use crate::{Answer, Ensemble, LossConfig, Taps, Teacher, Widths};

pub(crate) type Seen = Trace<Tensor<4>, Tensor<2>, Tensor<2>>;

/// A loss that knows where to look: at stages of the student, and at places in what a teacher was asked for.
#[derive(Debug)]
pub(crate) struct Term {
    pub(crate) name: String,
    pub(crate) weight: f64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    CrossEntropy {
        label_smoothing: f64,
    },
    Kd {
        temperature: f64,
        ensemble: Ensemble,
    },
    Hint {
        student: usize,
        teacher: usize,
        map: usize,
        regressor: Option<usize>,
    },
    Attention {
        pairs: Vec<[usize; 2]>,
        teacher: usize,
        distance: kd_losses::AttentionDistance,
    },
}

/// The terms and the regressors that are trained beside the student.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) list: Vec<Term>,
    pub(crate) regressors: Vec<Regressor>,
    /// What each teacher is asked for.
    pub(crate) asked: Vec<Taps>,
}

impl Terms {
    /// Binds the losses of a recipe, having looked once at what student and teachers give.
    pub(crate) fn bind<S: ImageClassifier>(
        losses: &[LossConfig],
        ensemble: Ensemble,
        student: (&S, &Seen),
        teachers: &[(&dyn Teacher, &Seen)],
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let mut bound = Self {
            list: Vec::new(),
            regressors: Vec::new(),
            asked: vec![Taps::new(); teachers.len()],
        };
        for (index, loss) in losses.iter().enumerate() {
            loss.check(index, teachers.len())?;
            let kind = match loss {
                LossConfig::CrossEntropy {
                    label_smoothing, ..
                } => Kind::CrossEntropy {
                    label_smoothing: *label_smoothing,
                },
                LossConfig::Kd { temperature, .. } => Kind::Kd {
                    temperature: *temperature,
                    ensemble,
                },
                LossConfig::Hint {
                    student_tap,
                    teacher_tap,
                    teacher,
                    regressor,
                    map_sizes,
                    ..
                } => {
                    let (of, seen) = &teachers[*teacher];
                    let tap = teacher_tap.as_ref().unwrap_or(student_tap);
                    let theirs = of.tap(tap)?;
                    let at = student.0.tap(student_tap)?;
                    let widths = [student.1.maps[at].dims()[1], seen.maps[theirs].dims()[1]];
                    let map = ask(&mut bound.asked[*teacher], tap);
                    let seed = Draws::new(seed, "regressor", index as u64, 0).bits();
                    let made = regressor_for(*regressor, *map_sizes, widths, seed, device)?;
                    let made = made.map(|made| {
                        bound.regressors.push(made);
                        bound.regressors.len() - 1
                    });
                    Kind::Hint {
                        student: at,
                        teacher: *teacher,
                        map,
                        regressor: made,
                    }
                }
                LossConfig::AttentionTransfer {
                    student_taps,
                    teacher_taps,
                    teacher,
                    distance,
                    ..
                } => {
                    let theirs = teacher_taps.as_ref().unwrap_or(student_taps);
                    let pairs = student_taps
                        .iter()
                        .zip(theirs)
                        .map(|(ours, theirs)| {
                            let at = student.0.tap(ours)?;
                            teachers[*teacher].0.tap(theirs)?;
                            Ok([at, ask(&mut bound.asked[*teacher], theirs)])
                        })
                        .collect::<Result<_>>()?;
                    Kind::Attention {
                        pairs,
                        teacher: *teacher,
                        distance: *distance,
                    }
                }
            };
            let name = unique(loss.name(), &bound.list);
            bound.list.push(Term {
                name,
                weight: loss.weight(),
                kind,
            });
        }
        Ok(bound)
    }

    /// Computes each term once for maps and logits that were seen, so that what does not fit is known before a run begins.
    pub(crate) fn try_on(
        &self,
        student: &Seen,
        teachers: &[Answer],
        targets: &Tensor<1, Int>,
    ) -> Result<()> {
        for (index, term) in self.list.iter().enumerate() {
            self.value(&term.kind, student, teachers, targets)
                .map_err(|error| {
                    let problem = format!("cannot be computed: {error}");
                    Error::config(format!("losses.{index}"), problem)
                })?;
        }
        Ok(())
    }

    /// The unweighted value of each term, in order.
    pub(crate) fn values(
        &self,
        student: &Seen,
        teachers: &[Answer],
        targets: &Tensor<1, Int>,
    ) -> Result<Vec<Tensor<1>>> {
        self.list
            .iter()
            .map(|term| {
                self.value(&term.kind, student, teachers, targets)
                    .map_err(|error| Error::method(format!("loss `{}`", term.name), error))
            })
            .collect()
    }

    fn value(
        &self,
        kind: &Kind,
        student: &Seen,
        teachers: &[Answer],
        targets: &Tensor<1, Int>,
    ) -> kd_losses::Result<Tensor<1>> {
        match kind {
            Kind::CrossEntropy { label_smoothing } => {
                kd_losses::cross_entropy(student.output.clone(), targets.clone(), *label_smoothing)
            }
            Kind::Kd {
                temperature,
                ensemble,
            } => {
                let logits: Vec<Tensor<2>> = teachers
                    .iter()
                    .map(|teacher| teacher.logits.clone())
                    .collect();
                // `check` has seen to it that there is one; without, the student is its own and the loss is 0.
                let teacher = average(&logits, *ensemble, *temperature)
                    .unwrap_or_else(|| student.output.clone().inner());
                kd_losses::soft_target(student.output.clone(), teacher, *temperature)
            }
            Kind::Hint {
                student: at,
                teacher,
                map,
                regressor,
            } => {
                let (ours, theirs) = (
                    student.maps[*at].clone(),
                    teachers[*teacher].maps[*map].clone(),
                );
                match regressor {
                    Some(index) => self.regressors[*index].hint(ours, theirs),
                    None => kd_losses::hint(ours, theirs),
                }
            }
            Kind::Attention {
                pairs,
                teacher,
                distance,
            } => {
                let epsilon = kd_losses::AttentionTransferLossConfig::new().epsilon;
                let mut sum: Option<Tensor<1>> = None;
                for [at, map] in pairs {
                    let ours = student.maps[*at].clone();
                    let theirs = teachers[*teacher].maps[*map].clone();
                    let value = kd_losses::attention_transfer(ours, theirs, *distance, epsilon)?;
                    sum = Some(match sum {
                        Some(sum) => sum + value,
                        None => value,
                    });
                }
                Ok(sum.unwrap_or_else(|| Tensor::zeros([1], &student.output.device())))
            }
        }
    }
}

/// Where the map at `tap` will be in the answer.
fn ask(asked: &mut Taps, tap: &str) -> usize {
    asked
        .iter()
        .position(|known| known == tap)
        .unwrap_or_else(|| {
            asked.push(tap.to_owned());
            asked.len() - 1
        })
}

/// `name`, or `name_2`, `name_3`, ... if it is taken.
fn unique(name: String, taken: &[Term]) -> String {
    let is_taken = |name: &str| taken.iter().any(|term| term.name == name);
    if !is_taken(&name) {
        return name;
    }
    (2..=taken.len() + 1)
        .map(|n| format!("{name}_{n}"))
        .find(|name| !is_taken(name))
        .unwrap_or(name)
}

/// The regressor for maps of these widths, student first, if one is wanted.
fn regressor_for(
    wanted: Widths,
    sizes: MapSizes,
    [ours, theirs]: [usize; 2],
    seed: u64,
    device: &Device,
) -> Result<Option<Regressor>> {
    if wanted == Widths::None && ours != theirs {
        return Err(Error::Shape {
            what: "hint".into(),
            expected: format!("maps of equal width, the teacher's has {theirs} channels"),
            found: format!("{ours} of the student"),
            remedy: "set `regressor = \"when-widths-differ\"`".into(),
        });
    }
    let projection = match wanted {
        Widths::None if sizes == MapSizes::MustMatch => return Ok(None),
        Widths::None | Widths::WhenWidthsDiffer => Projection::WhenWidthsDiffer,
        Widths::Always => Projection::Always,
    };
    RegressorConfig::new(ours, theirs)
        .with_projection(projection)
        .with_map_sizes(sizes)
        .init(seed, device)
        .map(Some)
        .map_err(|error| Error::method("regressor", error))
}
