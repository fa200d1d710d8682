//! The measures of an evaluation: students, ensembles and their diversity, in one pass over the data.

use kd_core::{ClassificationMetrics, Metrics, Result};

use crate::config::OnlineConfig;
use crate::measure_sums::PeerSums;

/// What is counted in one pass over the held-out data.
///
/// | name | meaning |
/// |---|---|
/// | `accuracy`, `topK_accuracy`, `loss`, `ece` | of the student that is deployed |
/// | `branch_I_accuracy`, `branch_I_loss` | of branch `I` |
/// | `mean_accuracy`, `mean_loss` | mean over the peers |
/// | `ensemble_accuracy`, `_loss`, `_ece` | of the mean of the peers' logits |
/// | `probability_ensemble_accuracy`, `_loss`, `_ece` | of the mean of the peers' probabilities |
/// | `combined_accuracy`, `_loss`, `_ece` | of gate, attention or classifier |
/// | `dist` | `\|\|softmax(z_i) - softmax(z_j)\|\|`, mean over samples and pairs of peers, 0 to 1.41 |
/// | `disagreement`, `disagreement_I_J` | share of samples with different classes; of all pairs, of one |
/// | `only_ensemble_right` | share of samples that the ensemble gets right and the student wrong |
/// | `only_ensemble_right_3` | those of class 3 among them, as a share of all; for up to 20 classes |
/// | `only_student_right` | the opposite |
/// | `gate_entropy` | mean entropy of a gate, as a share of the largest |
/// | `attention_diagonal` | mean attention of a peer to itself |
/// | `kd_I` | divergence of branch `I` from its target, `T^2` and all |
#[derive(Debug)]
pub(crate) struct Measures {
    student: ClassificationMetrics,
    branches: Vec<ClassificationMetrics>,
    ensemble: ClassificationMetrics,
    probabilities: ClassificationMetrics,
    combined: Option<ClassificationMetrics>,
    sums: PeerSums,
    peers: usize,
}

/// The outputs for a batch on the host, `[batch_size, num_classes]` row by row each.
pub(crate) struct HostBatch<'a> {
    pub(crate) student: &'a [f32],
    pub(crate) branches: &'a [Vec<f32>],
    pub(crate) combined: Option<&'a [f32]>,
    pub(crate) targets: &'a [usize],
    pub(crate) gate: Option<&'a [f32]>,
    pub(crate) attention: Option<&'a [f32]>,
    /// The divergence of each branch from its target, the mean over the batch.
    pub(crate) kd: Option<&'a [f64]>,
}

/// The names of all measures of such a run; `#` stands for the number of a class or of top answers.
pub(crate) fn names(config: &OnlineConfig) -> Vec<String> {
    let mut names: Vec<String> = [
        "accuracy",
        "top#_accuracy",
        "loss",
        "ece",
        "mean_accuracy",
        "mean_loss",
        "dist",
        "disagreement",
        "only_ensemble_right",
        "only_ensemble_right_#",
        "only_student_right",
        "gate_entropy",
        "attention_diagonal",
        "overlap_normalised_frobenius",
        "overlap_class_cosine",
        "diversification_to_weight_decay",
    ]
    .map(str::to_owned)
    .to_vec();
    for ensemble in ["ensemble", "probability_ensemble", "combined"] {
        names.extend(["accuracy", "loss", "ece"].map(|name| format!("{ensemble}_{name}")));
    }
    for branch in 0..config.branches {
        names.extend(["accuracy", "loss"].map(|name| format!("branch_{branch}_{name}")));
        names.push(format!("kd_{branch}"));
        names.extend((0..branch).map(|other| format!("disagreement_{other}_{branch}")));
    }
    names
}

impl Measures {
    /// Nothing counted yet, for so many branches of which the first `peers` are peers.
    pub(crate) fn new(branches: usize, peers: usize, classes: usize) -> Result<Self> {
        let counter = || ClassificationMetrics::new(classes);
        Ok(Self {
            student: counter()?,
            branches: (0..branches).map(|_| counter()).collect::<Result<_>>()?,
            ensemble: counter()?,
            probabilities: counter()?,
            combined: None,
            sums: PeerSums::new(peers, classes),
            peers,
        })
    }

    pub(crate) fn add(&mut self, batch: &HostBatch<'_>) -> Result<()> {
        self.student.add(batch.student, batch.targets, None)?;
        for (counter, logits) in self.branches.iter_mut().zip(batch.branches) {
            counter.add(logits, batch.targets, None)?;
        }
        let peers = &batch.branches[..self.peers];
        let [ensemble, probabilities] = self.sums.add(batch, peers);
        self.ensemble.add(&ensemble, batch.targets, None)?;
        self.probabilities
            .add(&probabilities, batch.targets, None)?;
        if let Some(logits) = batch.combined {
            let counter = match self.combined.take() {
                Some(counter) => counter,
                None => ClassificationMetrics::new(self.sums.classes())?,
            };
            let counter = self.combined.insert(counter);
            counter.add(logits, batch.targets, None)?;
        }
        Ok(())
    }

    pub(crate) fn metrics(&self) -> Result<Metrics> {
        let mut named = Metrics::new();
        let student = self.student.summary()?;
        named.insert("accuracy".into(), student.accuracy);
        let top_k = format!("top{}_accuracy", student.top_k);
        named.insert(top_k, student.top_k_accuracy);
        named.insert("loss".into(), student.loss);
        named.insert("ece".into(), student.ece);
        if self.branches.len() < 2 {
            return Ok(named);
        }
        let (mut accuracy, mut loss) = (0.0, 0.0);
        for (index, counter) in self.branches.iter().enumerate() {
            let summary = counter.summary()?;
            named.insert(format!("branch_{index}_accuracy"), summary.accuracy);
            named.insert(format!("branch_{index}_loss"), summary.loss);
            if index < self.peers {
                accuracy += summary.accuracy / self.peers as f64;
                loss += summary.loss / self.peers as f64;
            }
        }
        named.insert("mean_accuracy".into(), accuracy);
        named.insert("mean_loss".into(), loss);
        let ensembles = [
            ("ensemble", Some(&self.ensemble)),
            ("probability_ensemble", Some(&self.probabilities)),
            ("combined", self.combined.as_ref()),
        ];
        for (name, counter) in ensembles {
            let Some(counter) = counter else { continue };
            let summary = counter.summary()?;
            named.insert(format!("{name}_accuracy"), summary.accuracy);
            named.insert(format!("{name}_loss"), summary.loss);
            named.insert(format!("{name}_ece"), summary.ece);
        }
        self.sums.add_to(&mut named);
        Ok(named)
    }
}
