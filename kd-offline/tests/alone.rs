//! What a teacher says of a sample is a function of that sample alone, to the last bit, whatever batch it stands in.

mod support;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{Draws, Normalisation, StagedNetwork};
use kd_offline::{FrozenTeacher, Teacher};

/// A network whose head is as wide as that of a ResNet-50, where products of matrices begin to depend on the batch.
#[derive(Module, Debug)]
struct Wide {
    stem: Conv2d,
    norm: BatchNorm,
    fc: Linear,
}

impl Wide {
    fn new() -> Self {
        let device = Device::flex();
        device.seed(1);
        Self {
            stem: Conv2dConfig::new([3, 32], [3, 3]).init(&device),
            norm: BatchNormConfig::new(32).init(&device),
            fc: LinearConfig::new(32 * 64, 100).init(&device),
        }
    }
}

impl StagedNetwork for Wide {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        vec!["stem".into()]
    }

    fn forward_stage(&self, _stage: usize, input: &Tensor<4>, _: &[Tensor<4>]) -> Tensor<4> {
        relu(self.norm.forward(self.stem.forward(input.clone())))
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        maps[0].clone().flatten(1, 3)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc.forward(dense)
    }
}

fn images(samples: usize) -> Tensor<4> {
    let mut draws = Draws::new(3, "images", 0, 0);
    let values: Vec<f32> = (0..samples * 3 * 100)
        .map(|_| f32::from(draws.bits().to_le_bytes()[0]) / 255.0)
        .collect();
    Tensor::from_data(
        TensorData::new(values, [samples, 3, 10, 10]),
        &Device::flex(),
    )
}

fn bits<const D: usize>(tensor: Tensor<D>) -> Vec<u32> {
    tensor.into_data().iter::<f32>().map(f32::to_bits).collect()
}

#[test]
fn the_batch_that_a_sample_stands_in_changes_no_bit_of_the_answer() {
    let samples = 256;
    let images = images(samples);
    let teacher = FrozenTeacher::new(&Wide::new(), Normalisation::identity(3), &Device::flex());
    let said = |batch_size: usize| {
        let (mut logits, mut maps) = (Vec::new(), Vec::new());
        for first in (0..samples).step_by(batch_size) {
            let here = batch_size.min(samples - first);
            let batch = images.clone().narrow(0, first, here);
            let answer = teacher.answer(batch, &["stem".into()]).unwrap();
            logits.extend(bits(answer.logits));
            maps.extend(answer.maps.into_iter().flat_map(bits));
        }
        (logits, maps)
    };
    let alone = said(1);
    for batch_size in [2, 3, 7, 16, 33, 64, 100, 256] {
        assert!(said(batch_size) == alone, "batches of {batch_size}");
    }
}

#[test]
fn the_place_of_a_sample_in_its_batch_changes_no_bit_of_the_answer() {
    let images = images(40);
    let teacher = FrozenTeacher::new(&Wide::new(), Normalisation::identity(3), &Device::flex());
    let answer = |images: Tensor<4>| bits(teacher.answer(images, &[]).unwrap().logits);
    let forwards = answer(images.clone());
    let backwards = answer(images.flip([0]));
    for (row, (a, b)) in forwards.chunks(100).zip(backwards.rchunks(100)).enumerate() {
        assert_eq!(a, b, "sample {row}");
    }
}

#[test]
fn an_empty_batch_is_refused() {
    let teacher = support::teacher(&support::Small::new([3, 4], 3, 1));
    let none = Tensor::zeros([0, 1, 8, 8], &Device::flex());
    let error = teacher.answer(none, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "batch for a teacher: expected at least one sample, got none; leave empty batches out"
    );
}
