//! Contrastive representation distillation.

mod memory;
mod nce;
mod negatives;

pub use memory::CrdMemory;
pub use nce::{crd_log_z, crd_nce};
pub use negatives::{CrdNegatives, CrdSamples};

use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::{Axis, Error, Result};
use crate::features::relation::unit_rows;
use crate::seeded::Layers;
use burn::config::Config;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};
use negatives::Sampler;

const NAME: &str = "crd";
const TEMPERATURE: &str = "the authors' code uses 0.07";

/// The constants of contrastive representation distillation, [`CrdEmbeddings`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct CrdLossConfig {
    /// Width of the embeddings, at least 1.
    ///
    /// 128, the authors' code (`feat_dim`).
    #[config(default = 128)]
    pub dim: usize,
    /// Negatives for each sample of a batch, at least 1, the paper's N.
    ///
    /// 16384, the authors' code (`nce_k`).
    #[config(default = 16384)]
    pub num_negatives: usize,
    /// The divisor of the scores, finite and above 0, the paper's tau.
    ///
    /// 0.07, the authors' code (`nce_t`).
    #[config(default = 0.07)]
    pub temperature: f64,
    /// The share of an old row of the memory that is kept, from 0 to below 1.
    ///
    /// 0.5, the authors' code (`nce_m`).
    #[config(default = 0.5)]
    pub momentum: f64,
    /// The samples that the negatives are drawn from.
    ///
    /// All other samples, as the paper's pairs of independent inputs; the authors' code on CIFAR-100 draws
    /// from the other classes.
    #[config(default = "CrdNegatives::OtherSamples")]
    pub negatives: CrdNegatives,
}

impl CrdLossConfig {
    fn check(&self) -> Result<()> {
        let (dim, negatives) = (self.dim, self.num_negatives);
        let least = "at least 1";
        check::constant(
            "dim",
            dim as f64,
            dim > 0,
            least,
            "the authors' code uses 128",
        )?;
        let advice = "the authors' code uses 16384";
        check::constant(
            "num_negatives",
            negatives as f64,
            negatives > 0,
            least,
            advice,
        )?;
        check::positive("temperature", self.temperature, TEMPERATURE)?;
        let ok = (0.0..1.0).contains(&self.momentum);
        let (range, advice) = ("at least 0 and below 1", "the authors' code uses 0.5");
        check::constant("momentum", self.momentum, ok, range, advice)
    }

    /// Checks the constants and makes the two embeddings, whose initial weights depend on `seed` only.
    ///
    /// For training pass a device with `.autodiff()`.
    ///
    /// # Errors
    ///
    /// A constant outside its range; a width of 0.
    pub fn init(
        &self,
        student_features: usize,
        teacher_features: usize,
        seed: u64,
        device: &Device,
    ) -> Result<CrdEmbeddings> {
        self.check()?;
        for (name, width) in [
            ("student_features", student_features),
            ("teacher_features", teacher_features),
        ] {
            let advice = "give the width of the tapped layer";
            check::constant(name, width as f64, width > 0, "at least 1", advice)?;
        }
        let mut layers = Layers::new(seed, device);
        Ok(CrdEmbeddings {
            student: layers.linear(student_features, self.dim),
            teacher: layers.linear(teacher_features, self.dim),
            num_negatives: self.num_negatives,
            temperature: self.temperature,
            momentum: self.momentum,
        })
    }

    /// Checks the constants and makes a memory of all samples, whose initial rows and negatives depend on
    /// `seed` only.
    ///
    /// Numbers are uniform in `[-b, b)` with `b = 1 / sqrt(dim / 3)`, the range of the authors' code: rows
    /// have a length near 1. The memory lives on the plain device, with or without `.autodiff()` here.
    ///
    /// # Errors
    ///
    /// A constant outside its range; fewer than 2 samples; [`CrdNegatives::OtherClasses`] without labels or
    /// with one class.
    pub fn init_memory(
        &self,
        samples: CrdSamples<'_>,
        seed: u64,
        device: &Device,
    ) -> Result<CrdMemory> {
        self.check()?;
        let of_negatives = CrdMemory::seed_of_negatives(seed);
        let sampler = Sampler::new(self.negatives, samples, of_negatives)?;
        let shape = [samples.count(), self.dim];
        Ok(CrdMemory::new(sampler, shape, seed, device))
    }
}

/// Contrastive representation distillation: the student's embedding of a sample must be told from those of
/// others by the teacher's.
///
/// ```text
/// s = normalise(A f + a)      f = student_embedding      v = the teacher's row of the memory
/// t = normalise(B g + b)      g = teacher_embedding      w = the student's row of the memory
/// loss = nce(s against all v) + nce(t against all w)
/// then for each sample of the batch:  w = normalise(momentum w + (1 - momentum) s)    and v with t likewise
/// ```
///
/// `nce` is [`crd_nce`]. This module holds the trained parts, `A`, `a`, `B` and `b`: give it to the optimizer
/// beside the student, save it in checkpoints, leave it out of the finished student. The state, banks and
/// constants, is a [`CrdMemory`] and belongs in the checkpoint, too. Make both with [`CrdLossConfig`].
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::{CrdLossConfig, CrdSamples};
///
/// let device = Device::flex();
/// let config = CrdLossConfig::new().with_dim(8).with_num_negatives(16);
/// let embeddings = config.init(4, 6, 0, &device.clone().autodiff())?;
/// let mut memory = config.init_memory(CrdSamples::Count(100), 1, &device)?;
///
/// let student = Tensor::<2>::ones([2, 4], &device.clone().autodiff()).require_grad();
/// let teacher = Tensor::<2>::ones([2, 6], &device);
/// // Samples 3 and 77 of the training set, in the first step.
/// let loss = embeddings.forward(student.clone(), teacher, &[3, 77], 0, &mut memory)?;
/// assert!(student.grad(&loss.backward()).is_some());
/// assert_eq!(memory.state().len(), 4);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020, arXiv 1910.10699, section 3.
/// The paper has one critic; the authors' code, as here, adds up two, one for each side. It divides by `Z`,
/// which the paper leaves out, and adds 1e-7 beside `m / n`, which log space makes needless. Its negatives
/// come from the other classes without replacement (mode `exact` of its loader for CIFAR-100, with
/// replacement where a class has too few others), or, without a loader's, from all samples with replacement,
/// the sample itself included; ours never include the sample and are with replacement. Its mode `relax`,
/// which takes another sample of the class as the positive, is not offered. A row of the memory whose length
/// is 0 is NaN there and zeros here.
#[derive(Module, Debug)]
pub struct CrdEmbeddings {
    student: Linear,
    teacher: Linear,
    #[module(skip)]
    num_negatives: usize,
    #[module(skip)]
    temperature: f64,
    #[module(skip)]
    momentum: f64,
}

impl CrdEmbeddings {
    /// The weight usual beside a cross-entropy of weight 1: 0.8, the scripts of the authors' code.
    pub const USUAL_WEIGHT: f64 = 0.8;

    /// The number of trained parameters beside the student's,
    /// `(student_features + teacher_features + 2) * dim`.
    pub fn extra_parameters(&self) -> usize {
        self.num_params()
    }

    /// The loss of a batch, after which `memory` holds the batch's embeddings.
    ///
    /// `ids` are the positions of the batch's samples in the training set. `draw` numbers the calls, for
    /// example the step of the run: the negatives of a sample are a function of the memory's seed, `draw` and
    /// the sample. Of a sample that is twice in a batch the last embedding is kept. The first batch of a
    /// memory estimates the normalisation constants.
    ///
    /// # Shapes
    ///
    /// - `student_embedding`: `[batch_size, student_features]`
    /// - `teacher_embedding`: `[batch_size, teacher_features]`
    /// - result: `[1]`, in nats, never negative, summed over candidates, the mean over the batch
    ///
    /// The teacher is a constant: no gradient reaches it; one reaches its trained embedding. Values and
    /// gradients are finite for inputs of 1e4 and for zeros.
    ///
    /// # Errors
    ///
    /// An empty batch; unequal batch sizes; widths other than those of `init`; an id outside the memory; a
    /// memory of another width; tensors of different dtypes or on different devices. The memory is as before
    /// then.
    pub fn forward(
        &self,
        student_embedding: Tensor<2>,
        teacher_embedding: Tensor<2>,
        ids: &[usize],
        draw: u64,
        memory: &mut CrdMemory,
    ) -> Result<Tensor<1>> {
        check::embedding_batches(NAME, &student_embedding, &teacher_embedding)?;
        let [student_features, dim] = self.student.weight.dims();
        let [teacher_features, _] = self.teacher.weight.dims();
        let name = "student_embedding";
        check::width(NAME, name, &student_embedding, student_features)?;
        check::width(
            NAME,
            "teacher_embedding",
            &teacher_embedding,
            teacher_features,
        )?;
        let shape = student_embedding.dims();
        if ids.len() != shape[0] {
            return Err(Error::UnequalShapes {
                loss: NAME,
                axis: Axis::Batch,
                left: name,
                left_shape: shape.to_vec(),
                right: "ids",
                right_shape: vec![ids.len()],
            });
        }
        memory.check(ids, &student_embedding, dim)?;

        let student = unit_rows(self.student.forward(student_embedding));
        let teacher = unit_rows(self.teacher.forward(teacher_embedding.without_autodiff()));
        let candidates = memory.sampler.draw(ids, self.num_negatives, draw);
        let candidates = TensorData::new(candidates, [ids.len(), self.num_negatives + 1]);
        let candidates = Tensor::from_data(candidates, &memory.student_bank().device());

        let temperature = self.temperature;
        let [of_student, of_teacher] =
            memory.log_z([&student, &teacher], &candidates, temperature)?;
        let bank = memory.teacher_bank();
        let against = candidates.clone();
        let loss = crd_nce(student.clone(), bank, against, of_student, temperature)?;
        let bank = memory.student_bank();
        let loss = loss + crd_nce(teacher.clone(), bank, candidates, of_teacher, temperature)?;
        memory.update(ids, [student, teacher], self.momentum);
        Ok(loss)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: NAME,
    title: "Contrastive representation distillation",
    family: Family::Features,
    about: "each sample's embedding told from those of others in a memory",
    paper: Paper {
        authors: "Tian et al.",
        year: 2019,
        arxiv: "1910.10699",
        place: "section 3",
    },
    inputs: "two embeddings `[batch, features]`, widths may differ; the samples' positions in the training \
        set",
    constants: &[
        Constant {
            name: "dim",
            source: "the authors' code",
        },
        Constant {
            name: "num_negatives",
            source: "the authors' code",
        },
        Constant {
            name: "temperature",
            source: "the authors' code",
        },
        Constant {
            name: "momentum",
            source: "the authors' code",
        },
        Constant {
            name: "negatives",
            source: "the paper; the authors' code on CIFAR-100: `other-classes`",
        },
    ],
    defaults: Some(|| CrdLossConfig::new().to_string()),
    extra_parameters: "`(student features + teacher features + 2) * dim`",
    usual_weight: Some(UsualWeight {
        value: CrdEmbeddings::USUAL_WEIGHT,
        source: "the authors' code",
    }),
    cost: "state of `2 * samples * dim` numbers; a step reads `batch * (num_negatives + 1)` rows of each \
        bank, or, where the bank has at most 16 rows for each candidate, multiplies the whole bank, in \
        blocks of 64 MiB",
    disagreements: "one critic (the paper) or two; a constant Z (the code) or none (the paper); negatives of \
        other classes without replacement, or of all samples with replacement, the sample itself included; \
        here two critics and Z as the code, negatives with replacement, never the sample itself",
};
