//! Initial weights, each a function of the seed and of the path of its tensor.

use burn::module::Module;
use burn::tensor::TensorData;

use crate::draws::Draws;
use crate::error::Result;
use crate::network::tensors::{Names, Tensors, export, import};

/// How the weights of convolutions and linear layers are drawn. Norms begin with scale 1, shift 0, mean 0,
/// variance 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheme {
    /// As a PyTorch layer comes: weights and biases uniform in `+-1/sqrt(fan_in)`.
    PyTorch,
    /// Weights of convolutions and linear layers normal with variance `2 / fan_in`; biases as PyTorch.
    KaimingFanIn,
    /// Weights of convolutions normal with variance `2 / fan_out`; linear layers and biases as PyTorch.
    KaimingFanOut,
    /// The same with biases of zero.
    KaimingFanOutZeroBias,
    /// Weights of convolutions normal with variance `2 / fan_out`, those of linear layers normal with
    /// standard deviation 0.01; biases of zero.
    KaimingFanOutSmallLinear,
    /// Weights uniform with variance `2 / fan_in`; biases as PyTorch.
    KaimingUniform,
    /// Weights uniform with variance `2 / (fan_in + fan_out)`; biases of zero.
    XavierUniformZeroBias,
    /// Weights normal with standard deviation 0.02, the scales of norms as well, around 1; biases of zero.
    Small,
}

/// Draws all tensors of `module` anew.
///
/// The numbers are made on the host and depend on `(seed, path, place in the tensor)` alone: neither on the
/// device, nor on a global generator, nor on the order of the layers. Two networks that share a path and a
/// shape, such as `resnet20` for 10 and for 100 classes, begin with the same numbers there.
///
/// # Errors
///
/// [`Error::Mismatch`](crate::Error::Mismatch) if the module has two tensors of one path.
pub fn initialise<M: Module>(module: &M, scheme: Scheme, seed: u64) -> Result<M> {
    initialise_parts(module, |_| scheme, seed)
}

/// As [`initialise`], with the scheme of each layer by its path.
///
/// # Errors
///
/// As [`initialise`].
pub fn initialise_parts<M: Module>(
    module: &M,
    scheme_of: impl Fn(&str) -> Scheme,
    seed: u64,
) -> Result<M> {
    let blank = export(module, Names::PyTorch);
    let shape_of = |name: &str| blank.get(name).map(|data| data.shape().as_slice().to_vec());
    let tensors: Tensors = blank
        .iter()
        .map(|(name, data)| {
            let shape = data.shape().as_slice().to_vec();
            let (layer, field) = name.rsplit_once('.').unwrap_or(("", name));
            let weight_shape = shape_of(&format!("{layer}.weight")).unwrap_or_default();
            let law = law(scheme_of(layer), field, &weight_shape);
            let values = law.draw(
                Draws::new(seed, &format!("init {name}"), 0, 0),
                shape.iter().product(),
            );
            (name.clone(), TensorData::new(values, shape))
        })
        .collect();
    import(module, &tensors, Names::PyTorch, "initial weights")
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Law {
    Constant(f32),
    Uniform(f64),
    Normal(f64),
    NearOne(f64),
}

impl Law {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "weights are kept in 32 bits"
    )]
    fn draw(self, mut draws: Draws, count: usize) -> Vec<f32> {
        let one = |_| match self {
            Self::Constant(value) => value,
            Self::Uniform(bound) => draws.between(-bound, bound) as f32,
            Self::Normal(std) => (std * draws.normal()) as f32,
            Self::NearOne(std) => (1.0 + std * draws.normal()) as f32,
        };
        (0..count).map(one).collect()
    }
}

/// The law of the tensor `field` of a layer whose weight has the shape `weight`: `[out, in, height, width]`
/// of a convolution, `[out, in]` of a linear layer, `[features]` of a norm.
fn law(scheme: Scheme, field: &str, weight: &[usize]) -> Law {
    let fan_in = weight.iter().skip(1).product::<usize>() as f64;
    let receptive = weight.iter().skip(2).product::<usize>();
    let fan_out = weight.first().map_or(0, |out| out * receptive) as f64;
    match (field, weight.len(), scheme) {
        ("weight", 0 | 1, Scheme::Small) => Law::NearOne(0.02),
        ("weight", 0 | 1, _) | ("running_var", ..) => Law::Constant(1.0),
        ("bias", 0 | 1, _)
        | ("running_mean", ..)
        | (
            "bias",
            _,
            Scheme::KaimingFanOutZeroBias
            | Scheme::KaimingFanOutSmallLinear
            | Scheme::XavierUniformZeroBias
            | Scheme::Small,
        ) => Law::Constant(0.0),
        ("weight", _, Scheme::Small) => Law::Normal(0.02),
        ("weight", _, Scheme::KaimingFanIn) => Law::Normal((2.0 / fan_in).sqrt()),
        (
            "weight",
            4,
            Scheme::KaimingFanOut
            | Scheme::KaimingFanOutZeroBias
            | Scheme::KaimingFanOutSmallLinear,
        ) => Law::Normal((2.0 / fan_out).sqrt()),
        ("weight", _, Scheme::KaimingFanOutSmallLinear) => Law::Normal(0.01),
        ("weight", _, Scheme::KaimingUniform) => Law::Uniform((6.0 / fan_in).sqrt()),
        ("weight", _, Scheme::XavierUniformZeroBias) => {
            let fan_in_and_out = fan_in + fan_out;
            Law::Uniform((6.0 / fan_in_and_out).sqrt())
        }
        _ => Law::Uniform(fan_in.sqrt().recip()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_tensor_has_its_law() {
        let conv = [8, 4, 3, 3];
        assert_eq!(
            law(Scheme::PyTorch, "weight", &conv),
            Law::Uniform(1.0 / 6.0)
        );
        assert_eq!(law(Scheme::PyTorch, "bias", &conv), Law::Uniform(1.0 / 6.0));
        assert_eq!(
            law(Scheme::KaimingFanIn, "weight", &conv),
            Law::Normal((2.0_f64 / 36.0).sqrt())
        );
        assert_eq!(
            law(Scheme::KaimingFanOut, "weight", &conv),
            Law::Normal((2.0_f64 / 72.0).sqrt())
        );
        assert_eq!(
            law(Scheme::KaimingFanOut, "weight", &[3, 16]),
            Law::Uniform(0.25)
        );
        assert_eq!(
            law(Scheme::KaimingFanIn, "weight", &[3, 8]),
            Law::Normal(0.5)
        );
        assert_eq!(
            law(Scheme::KaimingFanIn, "bias", &[3, 16]),
            Law::Uniform(0.25)
        );
        let small = Scheme::KaimingFanOutSmallLinear;
        assert_eq!(
            law(small, "weight", &conv),
            Law::Normal((2.0_f64 / 72.0).sqrt())
        );
        assert_eq!(law(small, "weight", &[3, 16]), Law::Normal(0.01));
        assert_eq!(law(small, "bias", &conv), Law::Constant(0.0));
        assert_eq!(law(Scheme::Small, "weight", &conv), Law::Normal(0.02));
        assert_eq!(law(Scheme::Small, "weight", &[8]), Law::NearOne(0.02));
        assert_eq!(law(Scheme::Small, "bias", &[3, 16]), Law::Constant(0.0));
        let zero = Scheme::KaimingFanOutZeroBias;
        assert_eq!(law(zero, "weight", &[3, 16]), Law::Uniform(0.25));
        assert_eq!(law(zero, "bias", &[3, 16]), Law::Constant(0.0));
        assert_eq!(
            law(Scheme::KaimingUniform, "weight", &conv),
            Law::Uniform((6.0_f64 / 36.0).sqrt())
        );
        let xavier = Scheme::XavierUniformZeroBias;
        assert_eq!(
            law(xavier, "weight", &conv),
            Law::Uniform((6.0_f64 / 108.0).sqrt())
        );
        assert_eq!(law(xavier, "bias", &conv), Law::Constant(0.0));
        for (field, value) in [
            ("weight", 1.0),
            ("bias", 0.0),
            ("running_mean", 0.0),
            ("running_var", 1.0),
        ] {
            assert_eq!(
                law(Scheme::KaimingFanOut, field, &[16]),
                Law::Constant(value)
            );
        }
    }
}
