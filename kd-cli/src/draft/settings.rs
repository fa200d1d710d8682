//! The settings of a drafted training: batch size, rates, epochs for the time there is.

use kd_core::{Error, LoaderConfig, Result, Task};

use super::data::DataDraft;

/// Batch sizes, large ones first.
const BATCHES: [usize; 5] = [128, 64, 32, 16, 8];
/// Steps that an epoch should have.
const STEPS: usize = 8;
/// More epochs than these teach nothing.
const MOST_EPOCHS: usize = 300;

/// The usual weight of a loss of similarities, which is brought to the size of the labels'.
const FEATURE_WEIGHT: f64 = 3000.0;

/// The settings of a training.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) epochs: usize,
    pub(super) batch_size: usize,
    pub(super) drop_last: bool,
    /// Whether small classes weigh more in the cross-entropy.
    pub(super) balanced: bool,
    pub(super) eval_every: usize,
    /// Adam for small networks and little data, SGD else.
    pub(super) is_adam: bool,
    /// The weight of the loss of features beside that of the labels.
    pub(super) feature_weight: f64,
    /// Seconds of a step and of an evaluation, or of a whole epoch.
    pub(super) measured: [f64; 2],
}

/// Refuses what cannot be.
pub(super) fn check(minutes: f64, held_out: Option<f64>) -> Result<()> {
    if !minutes.is_finite() || minutes <= 0.0 {
        return Err(Error::config(
            "--minutes",
            format!("must be above 0, got {minutes}"),
        ));
    }
    match held_out {
        Some(share) if !(share > 0.0 && share < 1.0) => Err(Error::config(
            "--held-out",
            format!("must be above 0 and below 1, got {share}"),
        )),
        _ => Ok(()),
    }
}

impl Settings {
    /// Those for one epoch, before anything is measured.
    pub(super) fn of(data: &DataDraft, student: &str) -> Self {
        let largest = if data.task == Task::Segmentation {
            8
        } else {
            BATCHES[0]
        };
        let fits = |batch: &usize| *batch <= largest && data.train >= STEPS * batch;
        let batch_size = BATCHES
            .into_iter()
            .find(fits)
            .unwrap_or(8)
            .min(data.train.max(1));
        let mut settings = Self {
            epochs: 1,
            batch_size,
            drop_last: false,
            balanced: data.uneven.is_some_and(|[fewest, most]| most > 2 * fewest),
            eval_every: 1,
            is_adam: data.is_text || student.starts_with("lenet") || data.train < 5000,
            feature_weight: FEATURE_WEIGHT,
            measured: [0.0; 2],
        };
        settings.fit_last_batch(data.train);
        settings
    }

    /// With smaller batches.
    pub(super) fn halve_batches(&mut self, samples: usize) {
        self.batch_size = (self.batch_size / 2).max(1);
        self.fit_last_batch(samples);
    }

    /// A last batch that batch norms learn nothing good from is left out.
    pub(super) fn fit_last_batch(&mut self, samples: usize) {
        let config = LoaderConfig::new(self.batch_size);
        let rest = samples % self.batch_size;
        self.drop_last = samples > self.batch_size && (config.spreads(samples) || rest == 1);
    }

    /// Brings the gradient of features, so many times that of the labels, to its size: one digit is enough.
    pub(super) fn balance_features(&mut self, times: f64) {
        let weight = self.feature_weight / times;
        if weight.is_finite() && weight > 0.0 {
            let digit = 10_f64.powf(weight.log10().floor());
            self.feature_weight = (weight / digit).round() * digit;
        }
    }

    /// Steps of an epoch.
    pub(super) fn steps(&self, data: &DataDraft) -> usize {
        let steps = if self.drop_last {
            data.train / self.batch_size
        } else {
            data.train.div_ceil(self.batch_size)
        };
        steps.max(1)
    }

    /// Sets the epochs that fit into the time, and evaluations that take little of it.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "above 0, and a float that is too large saturates"
    )]
    pub(super) fn take_time(&mut self, minutes: f64, data: &DataDraft) {
        let [step, evaluation] = self.measured;
        let steps = if data.task == Task::Segmentation {
            1
        } else {
            self.steps(data)
        };
        let training = (step * steps as f64).max(1e-6);
        // Evaluations may take a fifth of the time.
        self.eval_every = (5.0 * evaluation / training).ceil().clamp(1.0, 20.0) as usize;
        let epoch = training + evaluation / self.eval_every as f64;
        self.epochs = ((60.0 * minutes / epoch).floor() as usize).clamp(1, MOST_EPOCHS);
        self.eval_every = self.eval_every.min(self.epochs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(train: usize) -> DataDraft {
        DataDraft {
            lines: Vec::new(),
            stem: "photos".into(),
            task: Task::Classification,
            is_text: false,
            classes: 3,
            train,
            uneven: Some([3, 20]),
            input: [3, 32, 32],
            may_flip: true,
            notes: Vec::new(),
        }
    }

    #[test]
    fn batches_leave_eight_steps_and_no_odd_last_one() {
        for (train, batch, drop) in [
            (5000, 128, false),
            (100, 8, false),
            (65, 8, true),
            (3, 3, false),
        ] {
            let settings = Settings::of(&data(train), "resnet20");
            assert_eq!(
                (settings.batch_size, settings.drop_last),
                (batch, drop),
                "{train}"
            );
        }
    }

    #[test]
    fn features_weigh_as_much_as_labels() {
        let mut settings = Settings::of(&data(80), "resnet20");
        settings.balance_features(478.0);
        assert!((settings.feature_weight - 6.0).abs() < 1e-9);
        settings.balance_features(0.0);
        assert!((settings.feature_weight - 6.0).abs() < 1e-9);
    }

    #[test]
    fn epochs_fill_the_time() {
        let mut settings = Settings::of(&data(80), "resnet20");
        assert!(settings.balanced && settings.is_adam);
        settings.measured = [0.1, 0.05];
        settings.take_time(1.0, &data(80));
        // Ten steps and an evaluation an epoch.
        assert_eq!((settings.epochs, settings.eval_every), (57, 1));
        settings.measured = [0.1, 2.0];
        settings.take_time(1.0, &data(80));
        assert_eq!((settings.epochs, settings.eval_every), (50, 10));
        assert!(check(0.0, None).is_err() && check(1.0, Some(1.0)).is_err());
    }
}
