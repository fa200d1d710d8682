//! The objective of a generator: RDSKD's three terms with their penalty, DAFL's, and others beside them.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use kd_core::{Error, LossTerms, PhaseState, Result};
use kd_losses::{
    IncrementPenalty, IncrementPenaltyConfig, IncrementPenaltyState, IncrementReference,
    ModeSeekingForm, activation_norm, batch_entropy, mode_seeking, one_hot_confidence,
};
use serde::{Deserialize, Serialize};

use crate::norm_distance::norm_distance;
use crate::teacher::{ImageTeacher, TeacherBatch};

/// The codes by which two halves of a batch are compared, beside their pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Diversity {
    /// The teacher's probabilities, l2 norms over the whole half: RDSKD's public code.
    Predictions,
    /// The noise, mean absolute differences: mode seeking as Mao et al. have it.
    Noise,
}

/// The features of the activation term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Features {
    /// The input of the head's last layer: of a ResNet what DAFL's public code takes.
    Dense,
    /// The map of the last stage: of a LeNet-5 the 120 values that DAFL's public code takes.
    LastMap,
}

/// The weights of a generator's terms, and the penalty on the first two.
///
/// ```text
/// loss = P(one_hot L_oh) + P(batch_entropy L_ie) + diversity L_ds - activation mean |f| + bn_statistics R_BN
/// ```
///
/// `L_oh` is [`one_hot_confidence`], `L_ie` [`batch_entropy`] in nats, `L_ds` [`mode_seeking`] of the two
/// halves of the batch, `f` the teacher's [`Features`], `R_BN` [`bn_statistics`](kd_losses::bn_statistics),
/// and `P` the [penalty on increments](kd_losses::increment_penalty), with weights of 1 and 1 RDSKD's
/// `exp(L - R)`. A weight of 0 leaves a term out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct GeneratorObjective {
    /// The weight of the one-hot loss.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub one_hot: f64,
    /// The weight of the negative entropy of the mean prediction, in nats.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub batch_entropy: f64,
    /// The reference from which an increase of the two is measured; `none` for a plain weighted sum.
    #[cfg_attr(feature = "recipe", schemars(with = "String"))]
    pub reference: IncrementReference,
    /// The weight of the diversity of the two halves of a batch.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub diversity: f64,
    /// The codes by which they are compared.
    pub compared_by: Diversity,
    /// The weight of the activation term, which is subtracted.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub activation: f64,
    /// The features of which it is the mean size.
    pub features: Features,
    /// The weight of the statistics of the teacher's batch norms.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub bn_statistics: f64,
}

impl Default for GeneratorObjective {
    fn default() -> Self {
        Self::rdskd()
    }
}

impl GeneratorObjective {
    /// RDSKD by its public code: no weights, the increment measured from the second step of each epoch.
    pub fn rdskd() -> Self {
        Self {
            one_hot: 1.0,
            batch_entropy: 1.0,
            reference: IncrementReference::EpochSecondStep,
            diversity: 1.0,
            compared_by: Diversity::Predictions,
            activation: 0.0,
            features: Features::LastMap,
            bn_statistics: 0.0,
        }
    }

    /// DAFL by its public code for MNIST: weights 1, 5 and 0.1. The code takes logarithms to base 10, so that
    /// its 5 is `5 / ln 10` here.
    pub fn dafl() -> Self {
        Self {
            one_hot: 1.0,
            batch_entropy: 5.0 / std::f64::consts::LN_10,
            reference: IncrementReference::None,
            diversity: 0.0,
            activation: 0.1,
            ..Self::rdskd()
        }
    }

    /// Checks every value, and that the teacher has what the terms read.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value out of range, for an objective without terms, and for statistics
    /// of batch norms that the teacher does not have.
    pub fn check(&self, teacher: &dyn ImageTeacher) -> Result<()> {
        let weights = [
            ("one_hot", self.one_hot),
            ("batch_entropy", self.batch_entropy),
            ("diversity", self.diversity),
            ("activation", self.activation),
            ("bn_statistics", self.bn_statistics),
        ];
        for (name, weight) in weights {
            if !(weight.is_finite() && weight >= 0.0) {
                let problem = format!("must be finite and not negative, got {weight}");
                return Err(Error::config(format!("objective.{name}"), problem));
            }
        }
        if weights.iter().all(|(_, weight)| *weight == 0.0) {
            let problem = "has no term; give one of its weights a value above 0";
            return Err(Error::config("objective", problem));
        }
        if self.bn_statistics > 0.0 && teacher.norms() == 0 {
            let problem = "needs a teacher with batch norms, and this one has none; \
                           leave the term out with 0";
            return Err(Error::config("objective.bn_statistics", problem));
        }
        self.penalty().map(drop)
    }

    /// Refuses, as the value of `field`, a batch that cannot be halved where its halves are compared.
    pub(crate) fn check_batch(&self, field: &str, size: usize) -> Result<()> {
        if self.diversity > 0.0 && !size.is_multiple_of(2) {
            let problem = format!("must be even, as its halves are compared, got {size}");
            return Err(Error::config(field, problem));
        }
        Ok(())
    }

    fn penalty(&self) -> Result<IncrementPenalty> {
        let config = IncrementPenaltyConfig::new().with_reference(self.reference);
        config
            .init()
            .map_err(|error| Error::config("objective.reference", error.to_string()))
    }
}

/// A [`GeneratorObjective`] with the references of its penalties.
#[derive(Debug)]
pub(crate) struct GeneratorLoss {
    config: GeneratorObjective,
    one_hot: IncrementPenalty,
    batch_entropy: IncrementPenalty,
}

fn wrong(error: kd_losses::Error) -> Error {
    Error::method("the terms of the generator", error)
}

/// Terms as they are reported, unweighted and without a graph, and as they are summed.
#[derive(Default)]
struct WeightedSum {
    report: LossTerms,
    terms: Vec<Tensor<1>>,
}

impl WeightedSum {
    fn add(&mut self, name: &str, value: Tensor<1>, summand: Tensor<1>) {
        self.report
            .push((name.to_owned(), value.without_autodiff()));
        self.terms.push(summand);
    }

    fn add_weighted(&mut self, name: &str, value: Tensor<1>, weight: f64) {
        self.add(name, value.clone(), value.mul_scalar(weight));
    }

    fn finish(mut self) -> (LossTerms, Tensor<1>) {
        let total = Tensor::cat(self.terms, 0).sum();
        self.report
            .push(("total".into(), total.clone().without_autodiff()));
        (self.report, total)
    }
}

/// The names of the references in a checkpoint.
const REFERENCES: [&str; 2] = ["one_hot", "batch_entropy"];

impl GeneratorLoss {
    pub(crate) fn new(config: &GeneratorObjective) -> Result<Self> {
        Ok(Self {
            config: config.clone(),
            one_hot: config.penalty()?,
            batch_entropy: config.penalty()?,
        })
    }

    /// The terms of images that a generator has made of `noise`, unweighted, and their weighted sum;
    /// `inspected` is the teacher's output for them.
    ///
    /// `step_in_epoch` is counted from 0: by it the penalties know when to take a reference.
    pub(crate) fn forward(
        &mut self,
        images: &Tensor<4>,
        noise: &Tensor<2>,
        inspected: &TeacherBatch,
        step_in_epoch: usize,
    ) -> Result<(LossTerms, Tensor<1>)> {
        let GeneratorObjective {
            one_hot,
            batch_entropy: entropy,
            diversity,
            activation,
            bn_statistics,
            features,
            ..
        } = self.config;
        let mut sum = WeightedSum::default();
        if one_hot > 0.0 {
            let value = one_hot_confidence(inspected.logits.clone()).map_err(wrong)?;
            let weighted = value.clone().mul_scalar(one_hot);
            let penalised = self.one_hot.forward(weighted, step_in_epoch);
            sum.add("one_hot", value, penalised.map_err(wrong)?);
        }
        if entropy > 0.0 {
            let value = batch_entropy(inspected.logits.clone()).map_err(wrong)?;
            let weighted = value.clone().mul_scalar(entropy);
            let penalised = self.batch_entropy.forward(weighted, step_in_epoch);
            sum.add("batch_entropy", value, penalised.map_err(wrong)?);
        }
        if diversity > 0.0 {
            let value = self.diversity(images, noise, inspected.logits.clone());
            sum.add_weighted("diversity", value.map_err(wrong)?, diversity);
        }
        if activation > 0.0 {
            let value = match (features, inspected.maps.last()) {
                (Features::LastMap, Some(map)) => activation_norm(map.clone()),
                _ => activation_norm(inspected.dense.clone()),
            };
            sum.add_weighted("activation", value.map_err(wrong)?, activation);
        }
        if bn_statistics > 0.0 {
            sum.add_weighted("bn_statistics", norm_distance(inspected)?, bn_statistics);
        }
        Ok(sum.finish())
    }

    /// Image `i` of the first half against image `i` of the second.
    fn diversity(
        &self,
        images: &Tensor<4>,
        noise: &Tensor<2>,
        logits: Tensor<2>,
    ) -> kd_losses::Result<Tensor<1>> {
        let half = images.dims()[0] / 2;
        let (codes, form, epsilon) = match self.config.compared_by {
            Diversity::Predictions => (softmax(logits, 1), ModeSeekingForm::Norms, 1e-6),
            Diversity::Noise => (noise.clone(), ModeSeekingForm::Inverse, 1e-5),
        };
        let [first, second] = [0, half].map(|from| images.clone().narrow(0, from, half));
        let [first_codes, second_codes] = [0, half].map(|from| codes.clone().narrow(0, from, half));
        mode_seeking(first, second, first_codes, second_codes, form, epsilon)
    }

    /// Puts the references of the penalties into a state.
    pub(crate) fn put(&self, state: &mut PhaseState) {
        for (name, penalty) in REFERENCES.iter().zip([&self.one_hot, &self.batch_entropy]) {
            if let Some(reference) = penalty.state().reference {
                let name = format!("reference/{name}");
                state.tensors.insert(name, reference.into_data());
            }
        }
    }

    /// Takes them back.
    pub(crate) fn restore(&mut self, state: &PhaseState, device: &Device) -> Result<()> {
        let references = state.part("reference");
        for (name, penalty) in REFERENCES
            .iter()
            .zip([&mut self.one_hot, &mut self.batch_entropy])
        {
            let reference = references.get(*name).map(|data| {
                Tensor::<1>::from_data(data.clone(), (&device.clone().inner(), data.dtype()))
            });
            penalty
                .restore(IncrementPenaltyState { reference })
                .map_err(|error| Error::method("the reference of the checkpoint", error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, TensorData, Tolerance};

    use super::*;

    const LOGITS: [[f64; 3]; 4] = [
        [2.0, 0.0, -1.0],
        [0.5, 1.5, 0.0],
        [-1.0, 0.0, 3.0],
        [1.0, 0.8, 0.2],
    ];
    const IMAGES: [[[[f64; 2]; 2]; 1]; 4] = [
        [[[0.0, 1.0], [2.0, 3.0]]],
        [[[1.0, 1.0], [0.0, -1.0]]],
        [[[2.0, 0.0], [-2.0, 1.0]]],
        [[[-1.0, 0.5], [0.0, 1.0]]],
    ];

    fn inspected(logits: Tensor<2>) -> TeacherBatch {
        TeacherBatch {
            dense: logits.clone(),
            logits,
            maps: Vec::new(),
            norms: Vec::new(),
        }
    }

    /// Losses by name, and the gradients of images and logits, in 64 bits.
    fn step(
        terms: &mut GeneratorLoss,
        place: usize,
    ) -> (Vec<(String, f64)>, Option<TensorData>, TensorData) {
        let device = Device::flex().autodiff();
        let options = (&device, DType::F64);
        let images = Tensor::<4>::from_data(TensorData::from(IMAGES), options).require_grad();
        let logits = Tensor::<2>::from_data(TensorData::from(LOGITS), options).require_grad();
        let noise = Tensor::<2>::zeros([4, 2], &device).cast(DType::F64);
        let (report, total) = terms
            .forward(&images, &noise, &inspected(logits.clone()), place)
            .unwrap();
        let gradients = total.backward();
        let report = report
            .into_iter()
            .map(|(name, value)| (name, value.into_scalar::<f64>()))
            .collect();
        (
            report,
            images.grad(&gradients).map(Tensor::into_data),
            logits.grad(&gradients).unwrap().into_data(),
        )
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-7, "{found} is not {expected}");
    }

    #[test]
    fn the_terms_are_those_of_an_independent_computation() {
        let mut terms = GeneratorLoss::new(&GeneratorObjective::rdskd()).unwrap();
        let (report, images, logits) = step(&mut terms, 0);
        let names = ["one_hot", "batch_entropy", "diversity", "total"];
        let values = [
            0.379_755_855_8,
            -1.091_725_277_6,
            0.219_805_536_4,
            2.017_370_088_2,
        ];
        for ((name, value), (expected, number)) in report.iter().zip(names.iter().zip(values)) {
            assert_eq!(name, expected);
            near(*value, number);
        }
        let of_logits = [
            [-0.035_960_83, 0.029_983_26, 0.005_977_58],
            [0.078_261_61, -0.126_851_60, 0.048_589_99],
            [0.002_628_32, 0.010_862_26, -0.013_490_58],
            [-0.187_180_16, 0.113_709_59, 0.073_470_57],
        ];
        let tolerance = Tolerance::absolute(2e-8);
        logits.assert_approx_eq::<f64>(&TensorData::from(of_logits), tolerance);
        let first = [
            [[
                [0.013_221_39, -0.006_610_69],
                [-0.026_442_77, -0.013_221_39],
            ]],
            [[[-0.013_221_39, -0.003_305_35], [0.0, 0.013_221_39]]],
        ];
        let second = first.map(|image| image.map(|rows| rows.map(|row| row.map(|x: f64| -x))));
        let of_images = [first[0], first[1], second[0], second[1]];
        let images = images.unwrap();
        images.assert_approx_eq::<f64>(&TensorData::from(of_images), tolerance);
    }

    #[test]
    fn the_penalties_weigh_by_what_was_remembered() {
        let device = Device::flex();
        let mut terms = GeneratorLoss::new(&GeneratorObjective::rdskd()).unwrap();
        let mut state = PhaseState::default();
        for (name, value) in [("one_hot", 0.5), ("batch_entropy", -0.9)] {
            let data = TensorData::new(vec![value], [1]);
            state.tensors.insert(format!("reference/{name}"), data);
        }
        // In 64 bits, as the losses of this test are.
        for (penalty, name) in [
            (&mut terms.one_hot, "one_hot"),
            (&mut terms.batch_entropy, "batch_entropy"),
        ] {
            let data = state.part("reference")[name].clone();
            let reference = Some(Tensor::<1>::from_data(data, (&device, DType::F64)));
            penalty
                .restore(IncrementPenaltyState { reference })
                .unwrap();
        }
        let (report, _, logits) = step(&mut terms, 0);
        near(report[3].1, 1.932_043_093_0);
        let expected = [
            [-0.009_447_05, 0.010_092_28, -0.000_645_23],
            [0.050_727_31, -0.080_002_39, 0.029_275_08],
            [0.000_489_77, 0.003_409_34, -0.003_899_12],
            [-0.099_551_68, 0.055_016_59, 0.044_535_10],
        ];
        logits.assert_approx_eq::<f64>(&TensorData::from(expected), Tolerance::absolute(2e-8));
        // What they remember goes into a checkpoint and comes back.
        let mut kept = PhaseState::default();
        terms.put(&mut kept);
        assert_eq!(kept.tensors.len(), 2);
        let mut again = GeneratorLoss::new(&GeneratorObjective::rdskd()).unwrap();
        again.restore(&kept, &device).unwrap();
        let mut same = PhaseState::default();
        again.put(&mut same);
        assert_eq!(kept.tensors, same.tensors);
    }

    #[test]
    fn references_are_those_of_the_second_step_of_an_epoch() {
        let mut terms = GeneratorLoss::new(&GeneratorObjective::rdskd()).unwrap();
        let totals: Vec<f64> = [0, 1, 2, 3]
            .map(|place| step(&mut terms, place).0[3].1)
            .to_vec();
        // Against 0 twice; then the losses are what they were at the second step, and each penalty is 1.
        near(totals[0], 2.017_370_088_2);
        near(totals[1], 2.017_370_088_2);
        near(totals[2], 2.219_805_536_4);
        near(totals[3], 2.219_805_536_4);
    }

    #[test]
    fn the_activation_term_reads_the_features_that_are_named() {
        let device = Device::flex();
        let activation = |features: Features| {
            let objective = GeneratorObjective {
                features,
                ..GeneratorObjective::dafl()
            };
            let mut terms = GeneratorLoss::new(&objective).unwrap();
            let logits = Tensor::<2>::from_data(LOGITS, &device);
            let images = Tensor::<4>::from_data(IMAGES, &device);
            let mut batch = inspected(logits);
            batch.maps = [7.0, -2.0]
                .map(|value| Tensor::full([4, 5, 1, 1], value, &device))
                .into();
            let noise = Tensor::zeros([4, 2], &device);
            let (report, _) = terms.forward(&images, &noise, &batch, 0).unwrap();
            report[2].1.clone().into_scalar::<f64>()
        };
        near(activation(Features::LastMap), -2.0);
        assert!((activation(Features::Dense) + 11.0 / 12.0).abs() < 1e-6);
    }

    #[test]
    fn dafl_is_a_plain_weighted_sum() {
        let mut terms = GeneratorLoss::new(&GeneratorObjective::dafl()).unwrap();
        let (report, images, _) = step(&mut terms, 5);
        assert!(
            images.is_none(),
            "no term but those through the teacher reads the images"
        );
        let names: Vec<&str> = report.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["one_hot", "batch_entropy", "activation", "total"]);
        // The features are the logits here: the mean of their sizes is 11 / 12.
        near(report[2].1, -11.0 / 12.0);
        let entropy = 5.0 * -1.091_725_277_6 / 10.0_f64.ln();
        near(report[3].1, 0.379_755_855_8 + entropy - 0.1 * 11.0 / 12.0);
    }
}
