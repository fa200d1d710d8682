//! The output of a classifier for one sample: class, confidence, divergence.

/// What a classifier says of one sample.
pub(super) struct Answer {
    pub(super) class: usize,
    pub(super) log_p: Vec<f64>,
}

impl Answer {
    /// `None` if a logit is not finite.
    pub(super) fn of(logits: &[f32]) -> Option<Self> {
        if logits.iter().any(|logit| !logit.is_finite()) {
            return None;
        }
        let mut class = 0;
        for (candidate, &logit) in logits.iter().enumerate() {
            if logit > logits[class] {
                class = candidate;
            }
        }
        let largest = f64::from(logits[class]);
        let sum: f64 = logits
            .iter()
            .map(|&logit| (f64::from(logit) - largest).exp())
            .sum();
        let shift = largest + sum.ln();
        Some(Self {
            class,
            log_p: logits
                .iter()
                .map(|&logit| f64::from(logit) - shift)
                .collect(),
        })
    }
}

/// How many classes come before `target` when sorted by logit; of equal ones the lower class is first.
pub(super) fn rank(logits: &[f32], target: usize) -> usize {
    let own = logits[target];
    let before = |(class, logit): (usize, &f32)| *logit > own || (*logit >= own && class < target);
    logits
        .iter()
        .enumerate()
        .filter(|&entry| before(entry))
        .count()
}

pub(super) fn divergence(log_q: &[f64], log_p: &[f64]) -> f64 {
    log_q
        .iter()
        .zip(log_p)
        .map(|(log_q, log_p)| log_q.exp() * (log_q - log_p))
        .sum()
}

/// The bin `(i/bins, (i+1)/bins]` that a confidence in `(0, 1]` lies in.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a confidence is above 0 and at most 1, or a rounding error beyond, so the ceiling is a small \
              number"
)]
pub(super) fn bin_index(confidence: f64, bins: usize) -> usize {
    let bin = (confidence * bins as f64).ceil() as usize;
    bin.clamp(1, bins) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_bins_are_closed_on_the_right() {
        assert_eq!(bin_index(0.2, 5), 0);
        assert_eq!(bin_index(0.200_001, 5), 1);
        assert_eq!(bin_index(1.0, 5), 4);
        assert_eq!(bin_index(1.0 + 1e-15, 5), 4);
        assert_eq!(bin_index(0.0, 5), 0);
    }
}
