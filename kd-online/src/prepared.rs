//! The part of a run that is made once: loaders, plan, sizes of what the students output; and what is
//! refused.

use burn::tensor::Device;
use kd_core::{
    Answer, Batch, Error, Loader, LoaderConfig, Plan, Preprocessing, Requested, Result, Selection,
    Subset, ViewPolicy,
};

use crate::Online;
use crate::branches::BranchOutput;
use crate::combine::combiner::{Combination, CombinerSizes};
use crate::config::BranchViews;
use crate::group::StudentGroup;
use crate::kinds::{KdclTarget, Objective};
use crate::objective::OnlineLoss;

/// Everything that check and phase of a run share.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) train: Loader,
    pub(crate) held_out: Loader,
    pub(crate) validation: Option<Loader>,
    pub(crate) plan: Plan,
    pub(crate) loss: OnlineLoss,
    /// Sizes of what the peers output.
    pub(crate) sizes: CombinerSizes,
    /// Whether all students have linear heads of one shape.
    pub(crate) comparable: bool,
    /// The teacher's answer for one sample, if there is a teacher.
    pub(crate) answer: Option<Answer>,
}

/// The number of samples that the students are shown first; a batch norm of single numbers needs two.
const SHOWN: usize = 2;

impl Online {
    /// Everything that is made once; the first call makes it.
    pub(crate) fn prepared(&self) -> Result<&Prepared> {
        if let Some(prepared) = self.prepared.get() {
            return Ok(prepared);
        }
        let prepared = self.prepare()?;
        Ok(self.prepared.get_or_init(|| prepared))
    }

    fn prepare(&self) -> Result<Prepared> {
        let within = |error: Error| error.within("online");
        self.config.check().map_err(within)?;
        self.training.check()?;
        self.check_data()?;
        self.check_views().map_err(within)?;
        self.peers.check(&self.config).map_err(within)?;
        let answer = self.show_teacher()?;

        let [train, held_out] = self.loaders()?;
        let selection = Some(Selection::highest("accuracy"));
        let plan = self.training.plan(train.steps_per_epoch(), selection)?;
        let loss = OnlineLoss::new(&self.config, plan.epochs()).map_err(within)?;

        let groups = self.groups()?;
        let sample = self.sample()?;
        let outputs = show(&groups, &sample)?;
        self.check_classes(&outputs)?;
        let sizes = self.check_shapes(&outputs).map_err(within)?;
        let comparable = check_heads(&groups, &outputs);
        let is_comparable = comparable.is_ok();
        if self.config.diversification.is_some() {
            comparable.map_err(of_diversification)?;
        }
        self.check_batches(&train)?;
        Ok(Prepared {
            validation: self.validation_loader()?,
            train,
            held_out,
            plan,
            loss,
            sizes,
            comparable: is_comparable,
            answer,
        })
    }

    /// The students under training, as they are at first.
    pub(crate) fn groups(&self) -> Result<Vec<Box<dyn StudentGroup>>> {
        let average = self.average_settings();
        self.peers
            .start(&self.training.optimizer, average, &self.device)
    }

    fn check_data(&self) -> Result<()> {
        self.data.train.dataset().check_labelled()?;
        self.data.held_out.dataset().check_labelled()?;
        let general = matches!(
            self.config.objective,
            Objective::Kdcl {
                target: KdclTarget::General
            }
        );
        match (&self.data.validation, general) {
            (Some(validation), _) => validation.dataset().check_labelled(),
            (None, true) => {
                let problem = "is `general`, which weighs the peers by their errors on samples that are not \
                               trained on; take data that have a validation split, or use \
                               `min-logit`";
                Err(Error::config("online.target", problem))
            }
            (None, false) => Ok(()),
        }
    }

    /// A view a branch needs as many views as there are branches.
    fn check_views(&self) -> Result<()> {
        let branches = self.config.branches;
        if self.config.views == BranchViews::Same || branches < 2 {
            return Ok(());
        }
        let problem = match self.data.views {
            ViewPolicy::Unlimited => return Ok(()),
            ViewPolicy::Bank(views) if views as usize >= branches => return Ok(()),
            ViewPolicy::Bank(views) => {
                format!("is `own`, which needs {branches} views of a sample, and there are {views}")
            }
            ViewPolicy::Fixed => {
                format!("is `own`, which needs {branches} views of a sample, and there is 1")
            }
        };
        let advice = "set `data.views` to \"unlimited\" or to a bank of as many, or `online.views` to \
                      \"same\"";
        Err(Error::config("views", format!("{problem}; {advice}")))
    }

    /// The teacher's answer for one sample; a teacher and its term come together.
    fn show_teacher(&self) -> Result<Option<Answer>> {
        let (teacher, term) = (&self.teacher, &self.config.teacher);
        let (Some(teacher), true) = (teacher, term.is_some()) else {
            let problem = match (teacher.is_some(), term.is_some()) {
                (true, false) => {
                    "is missing, and a teacher is given; say how much its answers count"
                }
                (false, true) => {
                    "is a term, and there is no teacher; name one, or leave the term out"
                }
                _ => return Ok(None),
            };
            return Err(Error::config("online.teacher", problem));
        };
        let answer = teacher.answer(&self.sample()?, &Requested::output())?;
        let classes = answer.logits()?.dims()[1];
        self.check_class_count("teacher", classes)?;
        Ok(Some(answer))
    }

    /// The loaders of the training data and of the held-out data.
    fn loaders(&self) -> Result<[Loader; 2]> {
        let plain = self.device.clone().inner();
        let train = LoaderConfig {
            seed: self.seed,
            bank_seed: self.bank_seed,
            views: self.data.views,
            augment: self.data.augment.clone(),
            ..LoaderConfig::new(self.training.batch_size)
        };
        Ok([
            Loader::new(self.data.train.clone(), train, &plain)?,
            self.ordered(&self.data.held_out, &plain)?,
        ])
    }

    fn validation_loader(&self) -> Result<Option<Loader>> {
        let plain = self.device.clone().inner();
        let validation = self.data.validation.as_ref();
        validation
            .map(|samples| self.ordered(samples, &plain))
            .transpose()
    }

    fn ordered(&self, samples: &Subset, device: &Device) -> Result<Loader> {
        let config = LoaderConfig::ordered(self.training.eval_batch_size);
        Loader::new(samples.clone(), config, device)
    }

    /// Samples to learn shapes from: black images, or the first of the training samples if students take no
    /// images.
    fn sample(&self) -> Result<Batch> {
        let plain = self.device.clone().inner();
        let train = &self.data.train;
        if let Some(Preprocessing::Images(_)) = self.peers.preprocessing() {
            let shape = train.dataset().shape();
            let shape = [shape.channels, shape.height, shape.width];
            return Ok(Batch::black(shape, SHOWN, &plain));
        }
        let first = train.ids().iter().take(SHOWN).copied().collect();
        let first = Subset::from_ids(train.dataset(), first)?;
        Loader::new(first, LoaderConfig::ordered(SHOWN), &plain)?.batch(0, 0)
    }

    fn check_classes(&self, outputs: &[BranchOutput]) -> Result<()> {
        for (index, output) in outputs.iter().enumerate() {
            self.check_class_count(&format!("branch {index}"), output.logits.dims()[1])?;
        }
        Ok(())
    }

    fn check_class_count(&self, who: &str, found: usize) -> Result<()> {
        let data = self.data.train.dataset();
        if found == data.classes() {
            return Ok(());
        }
        Err(Error::Shape {
            what: who.into(),
            expected: format!(
                "{} classes, as data set `{}` has",
                data.classes(),
                data.name()
            ),
            found: format!("{found}"),
            remedy: "use a network and a data set of the same number of classes".into(),
        })
    }

    /// Refuses students of different shapes where they are joined, and gives the sizes of the peers.
    fn check_shapes(&self, outputs: &[BranchOutput]) -> Result<CombinerSizes> {
        let combination = Combination::of(&self.config.objective);
        let peers = &outputs[..self.config.peers()];
        let kind = self.config.objective.name();
        let map = |output: &BranchOutput| output.map.dims()[1..].to_vec();
        let dense = |output: &BranchOutput| output.dense.dims()[1..].to_vec();
        if combination.fuses_maps() {
            let advice = "peers whose last maps are fused must be of one shape; use `attention = \"mean\"` \
                          for different networks";
            same_shape(peers, "attention", &map, "last maps", advice)?;
        }
        if combination.compares_features() || combination == Combination::Classifier {
            let advice = format!("kind `{kind}` needs students with as many features each");
            same_shape(peers, "kind", &dense, "features", &advice)?;
        }
        if let Some(term) = &self.config.diversification {
            let compared = if term.leader { outputs } else { peers };
            let advice =
                "classifiers are compared weight by weight; leave it out for different networks";
            same_shape(compared, "diversification", &dense, "features", advice)?;
        }
        CombinerSizes::of(peers).ok_or_else(|| Error::config("branches", "must be at least 1"))
    }

    /// The batch norm of ONE's gate needs more than one sample in every batch.
    fn check_batches(&self, train: &Loader) -> Result<()> {
        if Combination::of(&self.config.objective) != Combination::Trunk {
            return Ok(());
        }
        let (samples, batch_size) = (self.data.train.len(), self.training.batch_size);
        let problem = if batch_size == 1 || samples == 1 {
            "is 1, and the batch norm of ONE's gate needs more than one sample; use a larger one"
                .into()
        } else if samples % batch_size == 1
            && !train.config().drop_last
            && !train.config().spreads(samples)
        {
            format!(
                "is {batch_size}, which leaves a batch of one of {samples} samples, and the batch norm of \
                 ONE's gate needs more; use another"
            )
        } else {
            return Ok(());
        };
        Err(Error::config("train.batch_size", problem))
    }
}

/// Shows all students a sample, in training form; what their batch norms make of it goes with them.
fn show(groups: &[Box<dyn StudentGroup>], sample: &Batch) -> Result<Vec<BranchOutput>> {
    let mut outputs = Vec::new();
    for group in groups {
        outputs.extend(group.forward(&[sample], false)?);
    }
    Ok(outputs)
}

/// Refuses a student whose head is not linear, or has another number of inputs than that of the first.
fn check_heads(groups: &[Box<dyn StudentGroup>], outputs: &[BranchOutput]) -> Result<()> {
    let features: Vec<usize> = outputs
        .iter()
        .map(|output| output.dense.dims()[1])
        .collect();
    if let Some(odd) = features.iter().position(|&count| count != features[0]) {
        let problem = format!(
            "has {} features, branch 0 has {}",
            features[odd], features[0]
        );
        return Err(Error::config(format!("branch-{odd}"), problem));
    }
    let mut first = 0;
    for group in groups {
        let end = first + group.len();
        group.check_heads(&features[first..end])?;
        first = end;
    }
    Ok(())
}

/// An error about the head of a student by the key of the term that reads it.
fn of_diversification(error: Error) -> Error {
    match error {
        Error::Config { field, problem } => {
            let problem =
                format!("compares the classifiers of all students, and `{field}` {problem}");
            Error::config("online.diversification", problem)
        }
        other => other,
    }
}

fn same_shape(
    outputs: &[BranchOutput],
    field: &str,
    shape: &dyn Fn(&BranchOutput) -> Vec<usize>,
    what: &str,
    advice: &str,
) -> Result<()> {
    let Some(first) = outputs.first().map(shape) else {
        return Ok(());
    };
    let odd = outputs.iter().position(|output| shape(output) != first);
    let Some(index) = odd else { return Ok(()) };
    let problem = format!(
        "cannot be used here: {what} {first:?} of branch 0 and {:?} of branch {index} differ; {advice}",
        shape(&outputs[index])
    );
    Err(Error::config(field, problem))
}
