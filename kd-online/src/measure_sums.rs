//! Sums over samples of what peers have in common, on the host in 64 bits.

use kd_core::Metrics;

use crate::measures::HostBatch;

/// Sums over samples; see [`Measures`](crate::measures::Measures).
#[derive(Debug)]
pub(crate) struct PeerSums {
    peers: usize,
    classes: usize,
    samples: usize,
    dist: f64,
    /// Samples with different classes, for each pair `i < j` in order.
    different: Vec<usize>,
    only_ensemble: usize,
    /// Samples of each class that the ensemble alone is right about.
    only_ensemble_of: Vec<usize>,
    only_student: usize,
    gate_entropy: Option<f64>,
    diagonal: Option<f64>,
    kd: Vec<f64>,
}

/// The most classes that are told apart where the ensemble alone is right.
pub(crate) const MOST_CLASSES: usize = 20;

/// The prediction of a peer for one sample.
struct Prediction {
    p: Vec<f64>,
    class: usize,
}

impl PeerSums {
    pub(crate) fn new(peers: usize, classes: usize) -> Self {
        Self {
            peers,
            classes,
            samples: 0,
            dist: 0.0,
            different: vec![0; pairs(peers).count()],
            only_ensemble: 0,
            only_ensemble_of: vec![0; classes],
            only_student: 0,
            gate_entropy: None,
            diagonal: None,
            kd: Vec::new(),
        }
    }

    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// Adds a batch and gives the logits of both ensembles: mean logits, and the logarithm of mean
    /// probabilities.
    pub(crate) fn add(&mut self, batch: &HostBatch<'_>, peers: &[Vec<f32>]) -> [Vec<f32>; 2] {
        let mut ensemble = Vec::with_capacity(batch.student.len());
        let mut probabilities = Vec::with_capacity(batch.student.len());
        for (sample, &target) in batch.targets.iter().enumerate() {
            let row = sample * self.classes..(sample + 1) * self.classes;
            let rows: Vec<&[f32]> = peers.iter().map(|logits| &logits[row.clone()]).collect();
            let predictions: Vec<Prediction> = rows.iter().map(|row| Prediction::of(row)).collect();
            self.add_pairs(&predictions);
            let mean = self.mean(|class, peer| f64::from(rows[peer][class]));
            let p = self.mean(|class, peer| predictions[peer].p[class]);
            let right = |logits: &[f64]| largest(logits) == target;
            let student: Vec<f64> = batch.student[row].iter().map(|&z| f64::from(z)).collect();
            match (right(&mean), right(&student)) {
                (true, false) => {
                    self.only_ensemble += 1;
                    self.only_ensemble_of[target] += 1;
                }
                (false, true) => self.only_student += 1,
                _ => {}
            }
            ensemble.extend(mean.iter().map(|&z| narrow(z)));
            probabilities.extend(p.iter().map(|&p| narrow(p.max(f64::MIN_POSITIVE).ln())));
        }
        self.samples += batch.targets.len();
        self.add_weights(batch);
        [ensemble, probabilities]
    }

    /// The mean over the peers of a value of each class.
    fn mean(&self, value: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let of_class = |class| {
            let sum: f64 = (0..self.peers).map(|peer| value(class, peer)).sum();
            sum / self.peers as f64
        };
        (0..self.classes).map(of_class).collect()
    }

    fn add_pairs(&mut self, predictions: &[Prediction]) {
        for (pair, (one, other)) in pairs(self.peers).enumerate() {
            let (one, other) = (&predictions[one], &predictions[other]);
            let square = |(a, b): (&f64, &f64)| (a - b) * (a - b);
            self.dist += one.p.iter().zip(&other.p).map(square).sum::<f64>().sqrt();
            self.different[pair] += usize::from(one.class != other.class);
        }
    }

    fn add_weights(&mut self, batch: &HostBatch<'_>) {
        if let Some(gate) = batch.gate {
            *self.gate_entropy.get_or_insert(0.0) += entropy(gate, self.peers, batch.targets.len());
        }
        if let Some(attention) = batch.attention {
            let own = attention.iter().enumerate().filter(|(index, _)| {
                let inside = index % (self.peers * self.peers);
                inside / self.peers == inside % self.peers
            });
            let sum: f64 = own.map(|(_, &weight)| f64::from(weight)).sum();
            *self.diagonal.get_or_insert(0.0) += sum / self.peers as f64;
        }
        if let Some(kd) = batch.kd {
            self.kd.resize(kd.len(), 0.0);
            for (sum, value) in self.kd.iter_mut().zip(kd) {
                *sum += value * batch.targets.len() as f64;
            }
        }
    }

    pub(crate) fn add_to(&self, named: &mut Metrics) {
        let samples = self.samples.max(1) as f64;
        let shares: Vec<f64> = self
            .different
            .iter()
            .map(|&count| count as f64 / samples)
            .collect();
        let count = shares.len().max(1) as f64;
        named.insert("dist".into(), self.dist / samples / count);
        named.insert("disagreement".into(), shares.iter().sum::<f64>() / count);
        for ((one, other), share) in pairs(self.peers).zip(&shares) {
            named.insert(format!("disagreement_{one}_{other}"), *share);
        }
        let share = |count: usize| count as f64 / samples;
        named.insert("only_ensemble_right".into(), share(self.only_ensemble));
        named.insert("only_student_right".into(), share(self.only_student));
        if self.classes <= MOST_CLASSES {
            for (class, &count) in self.only_ensemble_of.iter().enumerate() {
                named.insert(format!("only_ensemble_right_{class}"), share(count));
            }
        }
        if let Some(entropy) = self.gate_entropy {
            let largest = (self.peers as f64).ln();
            named.insert("gate_entropy".into(), entropy / samples / largest);
        }
        if let Some(diagonal) = self.diagonal {
            named.insert("attention_diagonal".into(), diagonal / samples);
        }
        for (index, sum) in self.kd.iter().enumerate() {
            named.insert(format!("kd_{index}"), sum / samples);
        }
    }
}

impl Prediction {
    fn of(logits: &[f32]) -> Self {
        let logits: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
        let class = largest(&logits);
        let exponentials: Vec<f64> = logits.iter().map(|z| (z - logits[class]).exp()).collect();
        let sum: f64 = exponentials.iter().sum();
        Self {
            p: exponentials.into_iter().map(|value| value / sum).collect(),
            class,
        }
    }
}

/// The sum over samples of the entropy of a gate's weights, `[batch_size, peers, granularity]` row by row,
/// the mean over the granularity.
fn entropy(gate: &[f32], peers: usize, samples: usize) -> f64 {
    let granularity = (gate.len() / (peers * samples).max(1)).max(1);
    let term = |&weight: &f32| {
        let weight = f64::from(weight);
        if weight > 0.0 {
            -weight * weight.ln()
        } else {
            0.0
        }
    };
    gate.iter().map(term).sum::<f64>() / granularity as f64
}

/// All pairs `i < j`.
fn pairs(peers: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..peers).flat_map(move |one| (one + 1..peers).map(move |other| (one, other)))
}

/// The class with the largest value, the first of equal ones.
fn largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (class, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = class;
        }
    }
    best
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "logits are kept in 32 bits"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The logits of the specification's worked example: three peers, two samples, three classes.
    const PEERS: [[f32; 6]; 3] = [
        [2.0, 0.5, -1.0, 0.0, 1.0, 0.5],
        [1.0, 1.0, 0.0, -0.5, 2.0, 0.0],
        [0.5, -0.5, 1.5, 1.0, 0.0, -1.0],
    ];

    fn measured(gate: Option<&[f32]>, attention: Option<&[f32]>) -> Metrics {
        measured_for(0, &[0, 1], gate, attention)
    }

    fn measured_for(
        student: usize,
        targets: &[usize],
        gate: Option<&[f32]>,
        attention: Option<&[f32]>,
    ) -> Metrics {
        let peers: Vec<Vec<f32>> = PEERS.iter().map(|logits| logits.to_vec()).collect();
        let mut sums = PeerSums::new(3, 3);
        let batch = HostBatch {
            student: &peers[student],
            branches: &peers,
            combined: None,
            targets,
            gate,
            attention,
            kd: Some(&[0.5, 0.25, 1.0]),
        };
        let _ = sums.add(&batch, &peers);
        let mut named = Metrics::new();
        sums.add_to(&mut named);
        named
    }

    #[test]
    fn diversity_is_that_of_the_worked_example() {
        let named = measured(None, None);
        assert!((named["dist"] - 0.621_337).abs() < 1e-6, "{named:?}");
        assert!(
            (named["disagreement"] - 2.0 / 3.0).abs() < 1e-12,
            "{named:?}"
        );
        // Of equal logits the first counts: the second peer takes its first sample for class 0.
        assert!(named["disagreement_0_1"].abs() < 1e-12, "{named:?}");
        assert!((named["kd_1"] - 0.25).abs() < 1e-12, "{named:?}");
    }

    /// E1 of the specification.
    #[test]
    fn equal_peers_are_no_distance_apart() {
        let peers = vec![PEERS[0].to_vec(); 3];
        let mut sums = PeerSums::new(3, 3);
        let batch = HostBatch {
            student: &peers[0],
            branches: &peers,
            combined: None,
            targets: &[0, 1],
            gate: None,
            attention: None,
            kd: None,
        };
        let ensembles = sums.add(&batch, &peers);
        let mut named = Metrics::new();
        sums.add_to(&mut named);
        assert_eq!((named["dist"], named["disagreement"]), (0.0, 0.0));
        assert_eq!(ensembles[0], peers[0]);
    }

    #[test]
    fn who_is_right_alone_is_counted_on_its_side() {
        // The mean of the logits takes the samples for 0 and 1, the last peer for 2 and 0.
        for (targets, ensemble, student) in [
            ([0, 1], 1.0, 0.0),
            ([2, 0], 0.0, 1.0),
            ([0, 0], 0.5, 0.5),
            ([1, 2], 0.0, 0.0),
        ] {
            let named = measured_for(2, &targets, None, None);
            let found = (named["only_ensemble_right"], named["only_student_right"]);
            assert_eq!(found, (ensemble, student), "{targets:?}");
            let of_class = |class| named[&format!("only_ensemble_right_{class}")];
            let by_class: f64 = (0..3).map(of_class).sum();
            assert!((by_class - ensemble).abs() < 1e-12, "{targets:?}");
        }
    }

    #[test]
    fn an_even_gate_has_all_the_entropy_and_a_closed_one_none() {
        let third = 1.0 / 3.0;
        let named = measured(Some(&[third, third, third, 1.0, 0.0, 0.0]), None);
        assert!((named["gate_entropy"] - 0.5).abs() < 1e-6, "{named:?}");
    }

    #[test]
    fn the_diagonal_is_the_attention_of_each_peer_to_itself() {
        let one = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let none = [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0];
        let both: Vec<f32> = one.into_iter().chain(none).collect();
        let named = measured(None, Some(&both));
        assert!(
            (named["attention_diagonal"] - 0.5).abs() < 1e-12,
            "{named:?}"
        );
    }
}
