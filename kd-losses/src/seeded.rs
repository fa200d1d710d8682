//! Initial values that depend on a seed and on nothing else.
//!
//! Burn's initialisers draw from a generator that belongs to the device and whose state depends on
//! everything drawn before. Here value `i` is a function of `(seed, i)`, so a run that is resumed,
//! or that makes its modules in another order, starts from the same numbers on every backend.

use burn::module::Param;
use burn::nn::conv::{Conv2d, ConvTranspose2d};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, PaddingConfig2d};
use burn::tensor::{Device, Tensor, TensorData};

/// The increment of the state of splitmix64 at each draw: 2^64 divided by the golden ratio, made odd.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Draw number `index` of the splitmix64 generator started at `seed` (Steele, Lea, Flood, "Fast
/// splittable pseudorandom number generators", OOPSLA 2014, with the mixing constants of the
/// generator's later public domain version).
pub(crate) fn splitmix64(seed: u64, index: u64) -> u64 {
    let state = seed.wrapping_add(GAMMA.wrapping_mul(index.wrapping_add(1)));
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Endless values in `[-bound, bound)`, each made of the upper 24 bits of a draw.
pub(crate) fn uniform(seed: u64, bound: f32) -> impl Iterator<Item = f32> {
    // 2^23: 24 bits over it lie in [0, 2), exactly representable.
    let half = 8_388_608.0_f32;
    (0..).map(move |index| ((splitmix64(seed, index) >> 40) as f32 / half - 1.0) * bound)
}

/// `count` ones and zeros, each 0 with the probability `ratio`: a function of `(seed, draw, position)`.
///
/// Draw number `draw` is a generator of its own, so that a step that is repeated, or made first after a
/// resume, has the same mask.
pub(crate) fn mask(seed: u64, draw: u64, ratio: f64, count: usize) -> Vec<f32> {
    // Layers take the draws 0, 1, 2, ... of the seed; this is the last of all.
    let stream = splitmix64(splitmix64(seed, u64::MAX), draw);
    // 2^53: the upper 53 bits over it lie in [0, 1), exactly representable.
    let one = 9_007_199_254_740_992.0_f64;
    let kept = |position| (splitmix64(stream, position) >> 11) as f64 / one >= ratio;
    (0..)
        .map(|position| if kept(position) { 1.0 } else { 0.0 })
        .take(count)
        .collect()
}

/// Makes the layers of a module one after the other, each with values of its own.
///
/// Layer number `i` draws from `splitmix64(seed, i)`, so that a layer more at the end changes nothing before
/// it. Weights and biases are uniform in `[-b, b)` with `b = 1 / sqrt(fan_in)`, the range of `PyTorch`'s
/// layers.
pub(crate) struct Layers<'a> {
    seed: u64,
    made: u64,
    device: &'a Device,
}

/// The shape of a convolution: square kernel, equal strides and paddings along both axes.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    pub(crate) size: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) bias: bool,
}

impl Kernel {
    /// 1x1, without a bias.
    pub(crate) const POINT: Self = Self {
        size: 1,
        stride: 1,
        padding: 0,
        bias: false,
    };

    /// 3x3 that keeps height and width, without a bias.
    pub(crate) const SQUARE: Self = Self {
        size: 3,
        stride: 1,
        padding: 1,
        bias: false,
    };

    pub(crate) const fn with_bias(mut self) -> Self {
        self.bias = true;
        self
    }
}

impl<'a> Layers<'a> {
    pub(crate) fn new(seed: u64, device: &'a Device) -> Self {
        let made = 0;
        Self { seed, made, device }
    }

    /// The values of the next layer.
    fn next(&mut self, fan_in: usize) -> impl Iterator<Item = f32> + use<> {
        let seed = splitmix64(self.seed, self.made);
        self.made += 1;
        uniform(seed, (fan_in as f32).sqrt().recip())
    }

    /// A convolution; weight `[channels_out, channels_in, size, size]`.
    pub(crate) fn conv(
        &mut self,
        channels_in: usize,
        channels_out: usize,
        kernel: Kernel,
    ) -> Conv2d {
        let Kernel {
            size,
            stride,
            padding,
            bias,
        } = kernel;
        let shape = [channels_out, channels_in, size, size];
        let mut values = self.next(channels_in * size * size);
        let weight = self.param(shape, &mut values);
        Conv2d {
            weight,
            bias: bias.then(|| self.param([channels_out], &mut values)),
            stride: [stride, stride],
            kernel_size: [size, size],
            dilation: [1, 1],
            groups: 1,
            padding: PaddingConfig2d::Explicit(padding, padding, padding, padding),
        }
    }

    /// A transposed convolution that keeps height and width; weight `[channels_in, channels_out, 3, 3]`.
    ///
    /// `PyTorch` takes the second axis of the weight for the fan-in here too, although it is the output.
    pub(crate) fn conv_transpose(
        &mut self,
        channels_in: usize,
        channels_out: usize,
        bias: bool,
    ) -> ConvTranspose2d {
        let mut values = self.next(channels_out * 9);
        let weight = self.param([channels_in, channels_out, 3, 3], &mut values);
        ConvTranspose2d {
            weight,
            bias: bias.then(|| self.param([channels_out], &mut values)),
            stride: [1, 1],
            kernel_size: [3, 3],
            dilation: [1, 1],
            groups: 1,
            padding: [1, 1],
            padding_out: [0, 0],
            channels: [channels_in, channels_out],
        }
    }

    /// A fully connected layer; weight `[features_in, features_out]`, as Burn has it.
    pub(crate) fn linear(&mut self, features_in: usize, features_out: usize) -> Linear {
        let mut values = self.next(features_in);
        Linear {
            weight: self.param([features_in, features_out], &mut values),
            bias: Some(self.param([features_out], &mut values)),
        }
    }

    /// A batch norm with scale 1 and shift 0.
    pub(crate) fn batch_norm(&self, channels: usize) -> BatchNorm {
        BatchNormConfig::new(channels).init(self.device)
    }

    /// A parameter filled from `values`.
    pub(crate) fn param<const D: usize>(
        &self,
        shape: [usize; D],
        values: &mut impl Iterator<Item = f32>,
    ) -> Param<Tensor<D>> {
        let values: Vec<f32> = values.take(shape.iter().product()).collect();
        Param::from_data(TensorData::new(values, shape), self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::{mask, splitmix64, uniform};

    #[test]
    fn draws_are_those_of_the_public_generator() {
        // The first outputs for seed 1234567, as listed with the public domain version.
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        for (index, draw) in (0..).zip(expected) {
            assert_eq!(splitmix64(1_234_567, index), draw);
        }
    }

    #[test]
    fn values_fill_their_range_evenly() {
        let values: Vec<f32> = uniform(3, 0.5).take(10_000).collect();
        assert!(values.iter().all(|value| (-0.5..0.5).contains(value)));
        let mean = values.iter().sum::<f32>() / 10_000.0;
        // Standard deviation of the mean is 0.5 / sqrt(3 * 10000) = 0.0029.
        assert!(mean.abs() < 0.012, "mean {mean}");
    }

    #[test]
    fn a_mask_is_a_function_of_seed_and_draw_and_has_its_share_of_zeros() {
        let first = mask(3, 0, 0.65, 20_000);
        assert_eq!(first, mask(3, 0, 0.65, 20_000));
        assert_ne!(first, mask(3, 1, 0.65, 20_000));
        assert_ne!(first, mask(4, 0, 0.65, 20_000));
        assert_eq!(first[..100], mask(3, 0, 0.65, 100));
        // Standard deviation of the share is sqrt(0.65 * 0.35 / 20000) = 0.0034.
        let kept = first.iter().sum::<f32>() / 20_000.0;
        assert!((kept - 0.35).abs() < 0.014, "{kept}");
        assert!(mask(3, 0, 0.0, 1000).iter().all(|&value| value > 0.5));
    }
}
