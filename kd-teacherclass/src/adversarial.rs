//! The adversarial losses of a student and of its discriminator, and one step of both.

use burn::module::Module;
use burn::tensor::Tensor;
use kd_core::{LossTerms, NamedGradients, OptimizerConfig, Result, StepContext, Trained};

use crate::config::{ChunkLoss, GanConfig};
use crate::discriminator::{Discriminator, Judgement};
use crate::objective::chunk_mse;

/// The binary cross-entropy of logits with one label for all: that chunks are the teacher's, or a student's.
///
/// ```text
/// teacher's: mean log(1 + exp(-a))      student's: mean log(1 + exp(a))
/// ```
///
/// # Shapes
///
/// - `logits`: `[batch_size, 1]`
/// - result: one element
pub fn chunk_origin_loss(logits: Tensor<2>, is_teachers: bool) -> Tensor<1> {
    let wrong = if is_teachers { -logits } else { logits };
    (wrong.clone().clamp_min(0.0) + (-wrong.abs()).exp().log1p()).mean()
}

/// The loss of a discriminator for chunks that are the teacher's or a student's: their origin, and the
/// teacher's chunk that belongs to them.
///
/// ```text
/// BCE(D_adv(v), origin) + MSE(D_rec(v), d_k)
/// ```
///
/// # Shapes
///
/// - `judgement`: of `[batch_size, chunk_length]`
/// - `target`: `[batch_size, chunk_length]`, a constant
/// - result: one element
///
/// # Errors
///
/// As [`chunk_mse`].
pub fn discriminator_loss(
    judgement: Judgement,
    target: Tensor<2>,
    is_teachers: bool,
) -> Result<Tensor<1>> {
    let origin = chunk_origin_loss(judgement.adversarial, is_teachers);
    Ok(origin + chunk_mse(judgement.reconstruction, target)?)
}

/// The adversarial loss of a student's output that a discriminator has judged, and its two terms before they
/// are weighted.
///
/// ```text
/// gan-literal   w_a BCE(D_adv(S_k(x)), teacher's) + w_r MSE(D_rec(S_k(x)), d_k)
/// gan-direct    w_a BCE(D_adv(S_k(x)), teacher's) + w_r MSE(S_k(x), d_k)
/// ```
///
/// `gan-literal` is the official code: nothing there makes the output itself the teacher's chunk, so that the
/// teacher's head as it was copied is of no use before it is tuned. `gan-direct` is ours.
///
/// # Errors
///
/// As [`chunk_mse`].
pub fn student_gan_loss(
    config: &GanConfig,
    is_direct: bool,
    output: Tensor<2>,
    judgement: Judgement,
    target: Tensor<2>,
) -> Result<[Tensor<1>; 3]> {
    let origin = chunk_origin_loss(judgement.adversarial, true);
    let compared = if is_direct {
        output
    } else {
        judgement.reconstruction
    };
    let mse = chunk_mse(compared, target)?;
    let total = origin.clone() * config.adversarial_weight + mse.clone() * config.mse_weight;
    Ok([total, origin, mse])
}

/// The discriminator of a student under training, with an optimizer of its own.
#[derive(Debug)]
pub(crate) struct Adversary {
    config: GanConfig,
    is_direct: bool,
    discriminator: Trained<Discriminator>,
}

impl Adversary {
    /// The name of the discriminator in a state.
    const NAME: &'static str = "discriminator";

    /// A discriminator on the plain device that begins its training.
    pub(crate) fn new(
        config: &GanConfig,
        loss: ChunkLoss,
        discriminator: Discriminator,
    ) -> Result<Self> {
        let discriminator = discriminator.train();
        Ok(Self {
            config: config.clone(),
            is_direct: loss == ChunkLoss::GanDirect,
            discriminator: Trained::new(Self::NAME, discriminator, OptimizerConfig::adam())?,
        })
    }

    pub(crate) fn discriminator(&self) -> &Trained<Discriminator> {
        &self.discriminator
    }

    pub(crate) fn discriminator_mut(&mut self) -> &mut Trained<Discriminator> {
        &mut self.discriminator
    }

    /// How often the student is moved for each batch.
    pub(crate) fn student_steps(&self) -> usize {
        self.config.student_steps
    }

    /// Moves the discriminator twice: by the teacher's chunks, then by those of the student, both
    /// `[batch_size, chunk_length]` on the plain device.
    pub(crate) fn step(
        &mut self,
        at: StepContext,
        target: &Tensor<2>,
        output: Tensor<2>,
    ) -> Result<LossTerms> {
        let real = self.judge_and_step(at, target.clone(), target.clone(), true)?;
        let fake = self.judge_and_step(at, output, target.clone(), false)?;
        Ok(vec![
            ("discriminator_teacher".into(), real),
            ("discriminator_student".into(), fake),
        ])
    }

    fn judge_and_step(
        &mut self,
        at: StepContext,
        chunks: Tensor<2>,
        target: Tensor<2>,
        is_teachers: bool,
    ) -> Result<Tensor<1>> {
        let network = self.discriminator.network();
        let judgement = network.forward(Tensor::from_inner(chunks));
        let loss = discriminator_loss(judgement, Tensor::from_inner(target), is_teachers)?;
        let mut gradients = NamedGradients::new();
        self.discriminator
            .collect(&mut gradients, &mut loss.clone().backward());
        let at = StepContext {
            lr: self.config.lr,
            momentum: None,
            ..at
        };
        self.discriminator.step(at, &gradients);
        Ok(loss.inner())
    }

    /// The discriminator through which gradients pass to the chunks and that does not change: its batch norms
    /// are at inference.
    pub(crate) fn frozen(&self) -> Discriminator {
        // A copy, as a clone would share the running statistics.
        self.discriminator.valid().train().freeze()
    }

    /// The loss of a student by a frozen discriminator: total, origin, mean squared error.
    pub(crate) fn student_loss(
        &self,
        frozen: &Discriminator,
        output: Tensor<2>,
        target: Tensor<2>,
    ) -> Result<[Tensor<1>; 3]> {
        let judgement = frozen.forward(output.clone());
        student_gan_loss(&self.config, self.is_direct, output, judgement, target)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use burn::tensor::Device;
    use kd_core::{Names, Tensors, export, import, read_tensors};

    use super::*;
    use crate::discriminator::TrunkLayer;

    fn fixture() -> Tensors {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gan.safetensors");
        read_tensors(&file).unwrap()
    }

    fn part(fixture: &Tensors, prefix: &str) -> Tensors {
        let inside = |(name, data): (&String, &burn::tensor::TensorData)| {
            let name = name.strip_prefix(prefix)?;
            Some((name.to_owned(), data.clone().convert::<f32>()))
        };
        fixture.iter().filter_map(inside).collect()
    }

    fn plain(fixture: &Tensors, name: &str) -> Tensor<2> {
        Tensor::from_data(fixture[name].clone(), &Device::flex())
    }

    fn off(found: &burn::tensor::TensorData, expected: &burn::tensor::TensorData) -> f64 {
        let pairs = found.iter::<f64>().zip(expected.iter::<f64>());
        pairs
            .map(|(found, expected)| (found - expected).abs() / expected.abs().max(1.0))
            .fold(0.0, f64::max)
    }

    fn adversary(fixture: &Tensors, loss: ChunkLoss) -> Adversary {
        let config = GanConfig {
            lr: 1e-2,
            adversarial_weight: 0.7,
            mse_weight: 1.3,
            ..GanConfig::default()
        };
        let layer = |width, relu, norm, leaky| TrunkLayer {
            width,
            bias: true,
            relu,
            norm,
            leaky,
        };
        let layers = [
            layer(5, false, false, true),
            TrunkLayer {
                bias: false,
                ..layer(6, false, true, true)
            },
            layer(4, true, true, false),
        ];
        let new = Discriminator::new(3, &layers, 0, &Device::flex()).unwrap();
        let tensors = part(fixture, "before/");
        let discriminator = import(&new, &tensors, Names::PyTorch, "the fixture").unwrap();
        Adversary::new(&config, loss, discriminator).unwrap()
    }

    /// The student's output, with weight and bias.
    fn student(fixture: &Tensors, device: &Device) -> (Tensor<2>, Tensor<2>, Tensor<1>) {
        let x = Tensor::<2>::from_data(fixture["x"].clone(), device);
        let mut weight = Tensor::<2>::from_data(fixture["weight"].clone(), device);
        let mut bias = Tensor::<1>::from_data(fixture["bias"].clone(), device);
        if device.is_autodiff() {
            (weight, bias) = (weight.require_grad(), bias.require_grad());
        }
        let output = x.matmul(weight.clone().transpose()) + bias.clone().unsqueeze();
        (output, weight, bias)
    }

    #[test]
    fn a_step_of_both_is_that_of_float64() {
        let fixture = fixture();
        for (loss, name) in [
            (ChunkLoss::GanLiteral, "literal"),
            (ChunkLoss::GanDirect, "direct"),
        ] {
            let mut adversary = adversary(&fixture, loss);
            let target = plain(&fixture, "target");
            let (output, ..) = student(&fixture, &Device::flex());
            let at = StepContext::at_rate(0, 1e-3);
            let terms = adversary.step(at, &target, output).unwrap();
            let terms: BTreeMap<_, _> = terms.into_iter().collect();
            for who in ["teacher", "student"] {
                let found = terms[&format!("discriminator_{who}")].clone().into_data();
                assert!(
                    off(&found, &fixture[&format!("loss_{who}")]) < 2e-6,
                    "{who}"
                );
            }
            let stepped = export(adversary.discriminator().network(), Names::PyTorch);
            let expected = part(&fixture, "after/");
            assert_eq!(stepped.len(), expected.len());
            for (tensor, found) in &stepped {
                assert!(off(found, &expected[tensor]) < 5e-6, "{tensor}");
            }

            let device = Device::flex().autodiff();
            let (output, weight, bias) = student(&fixture, &device);
            let frozen = adversary.frozen();
            let target = Tensor::from_inner(target);
            let losses = adversary.student_loss(&frozen, output, target).unwrap();
            let joined = Tensor::cat(losses.clone().to_vec(), 0).into_data();
            assert!(
                off(&joined, &fixture[&format!("{name}/losses")]) < 5e-6,
                "{name}"
            );
            let gradients = losses[0].backward();
            let weight = weight.grad(&gradients).unwrap().into_data();
            assert!(
                off(&weight, &fixture[&format!("{name}/weight")]) < 5e-6,
                "{name}"
            );
            let bias = bias.grad(&gradients).unwrap().into_data();
            assert!(
                off(&bias, &fixture[&format!("{name}/bias")]) < 5e-6,
                "{name}"
            );
            // The student's loss has left the discriminator as it was.
            let after = export(adversary.discriminator().network(), Names::PyTorch);
            assert_eq!(after, stepped);
        }
    }

    #[test]
    fn the_origin_of_extreme_logits_is_finite() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_data([[200.0], [-200.0]], &device);
        for is_teachers in [true, false] {
            let loss = chunk_origin_loss(logits.clone(), is_teachers).into_scalar::<f32>();
            assert!((loss - 100.0).abs() < 1e-3, "{loss}");
        }
    }
}
