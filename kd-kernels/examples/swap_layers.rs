//! A residual network of your own on these kernels: the layers stay Burn's, `forward` calls other functions.
//!
//! ```text
//! cargo run --release -p kd-kernels --features flex --example swap_layers
//! ```

use std::time::Instant;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Tensor};
use kd_kernels::{ConvLayer, fold_batch_norm};

/// `relu(norm2(conv2(relu(norm1(conv1(x))))) + x)`; norms are gone once they are folded.
#[derive(Module, Debug)]
struct Block {
    conv1: Conv2d,
    norm1: Option<BatchNorm>,
    conv2: Conv2d,
    norm2: Option<BatchNorm>,
}

impl Block {
    fn new(width: usize, device: &Device) -> Self {
        let conv = || {
            let padding = PaddingConfig2d::Explicit(1, 1, 1, 1);
            let config = Conv2dConfig::new([width, width], [3, 3]).with_padding(padding);
            config.with_bias(false).init(device)
        };
        let norm = || Some(BatchNormConfig::new(width).init(device));
        Self {
            conv1: conv(),
            norm1: norm(),
            conv2: conv(),
            norm2: norm(),
        }
    }

    /// With Burn's operations.
    fn plain(&self, input: Tensor<4>) -> Tensor<4> {
        let normed = |conv: &Conv2d, norm: &Option<BatchNorm>, map| match norm {
            Some(norm) => norm.forward(conv.forward(map)),
            None => conv.forward(map),
        };
        let hidden = relu(normed(&self.conv1, &self.norm1, input.clone()));
        relu(normed(&self.conv2, &self.norm2, hidden) + input)
    }

    /// With these kernels.
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let first = ConvLayer::new(&self.conv1).norm(self.norm1.as_ref()).relu();
        let hidden = first.forward(input.clone());
        let second = ConvLayer::new(&self.conv2).norm(self.norm2.as_ref());
        second.plus(input).relu().forward(hidden)
    }

    /// For inference: the norms in the convolutions.
    fn folded(&self) -> Self {
        let mut block = self.clone();
        for (conv, norm) in [
            (&mut block.conv1, &mut block.norm1),
            (&mut block.conv2, &mut block.norm2),
        ] {
            if let Some(norm) = norm.take() {
                *conv = fold_batch_norm(conv, &norm);
            }
        }
        block
    }
}

fn milliseconds(mut run: impl FnMut()) -> f64 {
    run();
    let start = Instant::now();
    (0..3).for_each(|_| run());
    start.elapsed().as_secs_f64() / 3.0 * 1e3
}

#[expect(clippy::print_stdout, reason = "an example")]
fn main() {
    let device = Device::flex();
    device.seed(1);
    let images = Tensor::<4>::random([32, 64, 16, 16], Distribution::Default, &device);

    let graph = device.clone().autodiff();
    let block = Block::new(64, &graph);
    let batch = Tensor::from_inner(images.clone());
    let train = |forward: &dyn Fn(Tensor<4>) -> Tensor<4>| {
        milliseconds(|| drop(forward(batch.clone()).sum().backward()))
    };
    println!(
        "a step:    Burn {:.1} ms",
        train(&|images| block.plain(images))
    );
    println!(
        "           kd   {:.1} ms",
        train(&|images| block.forward(images))
    );

    let block = block.valid().folded();
    let difference = (block.forward(images.clone()) - block.plain(images.clone()))
        .abs()
        .max();
    println!(
        "inference: Burn {:.1} ms",
        milliseconds(|| drop(block.plain(images.clone())))
    );
    println!(
        "           kd   {:.1} ms",
        milliseconds(|| drop(block.forward(images.clone())))
    );
    println!(
        "largest difference: {:.1e}",
        difference.into_scalar::<f32>()
    );
}
