//! Convolutions as products of matrices on the CPU.

#[cfg(feature = "flex")]
mod columns;
mod doubled;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "flex")]
mod places;

pub use doubled::{doubled_conv2d, folded_doubled_conv2d};

use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;

/// `conv.forward(input)`, faster on the CPU.
///
/// ```text
/// y[o, i, j] = b[o] + sum over c, s, t of w[o, c, s, t] * x[c, stride i + s - pad, stride j + t - pad]
/// ```
///
/// On the CPU what the positions of some lines of an image see is laid out as the columns of a matrix that
/// fits into a core's cache, and multiplied by the weights; gradients go the same way back. What an image
/// gives does not depend on the batch that it is in, nor do gradients on the number of threads. The result
/// differs from Burn's by rounding. Convolutions of groups, dilated ones, other precisions and everything on
/// another backend *are* Burn's.
///
/// # Shapes
///
/// `input`: `[batch_size, channels, height, width]`; the result as the layer has it.
pub fn conv2d(conv: &Conv2d, input: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if let Some(columns) = columns_of(conv, &input) {
        let bias = conv.bias.as_ref().map(burn::module::Param::val);
        let made = flex::conv(
            &input,
            conv.weight.val(),
            bias,
            columns,
            places::Places::Plain,
        );
        if let Some(made) = made {
            return made;
        }
    }
    conv.forward(input)
}

/// The matrix of a layer that is a plain convolution whose kernel fits into its input.
#[cfg(feature = "flex")]
fn columns_of(conv: &Conv2d, input: &Tensor<4>) -> Option<columns::Columns> {
    use burn::nn::PaddingConfig2d;

    let [batch_size, channels, height, width] = input.dims();
    let [_, inputs, kernel_height, kernel_width] = conv.weight.val().dims();
    let padding = match conv.padding {
        PaddingConfig2d::Valid => [0, 0],
        PaddingConfig2d::Explicit(top, left, bottom, right) if top == bottom && left == right => {
            [top, left]
        }
        _ => return None,
    };
    let fits = height + 2 * padding[0] >= kernel_height && width + 2 * padding[1] >= kernel_width;
    let is_plain = conv.groups == 1 && conv.dilation == [1, 1] && inputs == channels;
    // One pixel, or few positions, is a product of matrices for Burn, too.
    let is_worth_it = kernel_height * kernel_width > 1 && height * width > 0 && batch_size > 0;
    if !(fits && is_plain && is_worth_it) {
        return None;
    }
    let columns = columns::Columns {
        batch_size,
        channels,
        size: [height, width],
        kernel: [kernel_height, kernel_width],
        stride: conv.stride,
        padding,
    };
    let [lines, line] = columns.positions();
    (lines * line >= FEW).then_some(columns)
}

/// Positions of a result below which Burn's way is as fast.
#[cfg(feature = "flex")]
const FEW: usize = 16;

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::module::Module;
    use burn::nn::PaddingConfig2d;
    use burn::nn::conv::{Conv2d, Conv2dConfig};
    use burn::tensor::{Device, Distribution, Tensor, TensorData, Tolerance};

    use super::{columns_of, conv2d};

    /// Channels in and out, kernel, stride, padding, size of the input.
    struct Case {
        channels: [usize; 2],
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        size: [usize; 2],
    }

    const fn case(
        channels: [usize; 2],
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        size: [usize; 2],
    ) -> Case {
        Case {
            channels,
            kernel,
            stride,
            padding,
            size,
        }
    }

    /// Both ways of laying an image down, one tile for many images and many tiles for one, more padding than
    /// kernel, pixels that no position sees.
    const CASES: [Case; 11] = [
        case([3, 8], [3, 3], [1, 1], [1, 1], [8, 8]),
        case([1, 6], [5, 5], [1, 1], [2, 2], [28, 28]),
        case([6, 16], [5, 5], [1, 1], [0, 0], [14, 14]),
        case([40, 5], [3, 3], [1, 1], [1, 1], [24, 30]),
        case([3, 8], [7, 7], [2, 2], [3, 3], [14, 10]),
        case([4, 8], [3, 3], [2, 2], [1, 1], [9, 12]),
        case([2, 3], [1, 3], [1, 1], [0, 1], [5, 9]),
        case([2, 3], [3, 1], [1, 2], [1, 0], [9, 8]),
        case([2, 3], [3, 3], [1, 1], [4, 4], [5, 6]),
        case([2, 3], [3, 3], [3, 3], [0, 0], [14, 14]),
        case([2, 3], [6, 6], [1, 1], [1, 2], [8, 7]),
    ];

    impl Case {
        fn layer(&self, has_bias: bool, device: &Device) -> Conv2d {
            let [top, left] = self.padding;
            Conv2dConfig::new(self.channels, self.kernel)
                .with_stride(self.stride)
                .with_padding(PaddingConfig2d::Explicit(top, left, top, left))
                .with_bias(has_bias)
                .init(device)
        }

        fn images(&self, count: usize, device: &Device) -> Tensor<4> {
            let shape = [count, self.channels[0], self.size[0], self.size[1]];
            Tensor::random(shape, Distribution::Default, device)
        }
    }

    fn numbers<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
        tensor.clone().into_data().iter::<f32>().collect()
    }

    /// The sums as they are written, in 64 bits.
    fn plain(case: &Case, conv: &Conv2d, images: &Tensor<4>, shape: [usize; 4]) -> TensorData {
        let (x, w) = (numbers(images), numbers(&conv.weight.val()));
        let bias = conv.bias.as_ref().map(|bias| numbers(&bias.val()));
        let [_, inputs, height, width] = images.dims();
        let at = |image: usize, channel: usize, y: usize, x_at: usize| {
            let inside = |place: usize, padding: usize, size: usize| {
                place.checked_sub(padding).filter(|&place| place < size)
            };
            let y = inside(y, case.padding[0], height)?;
            let x_at = inside(x_at, case.padding[1], width)?;
            Some(x[((image * inputs + channel) * height + y) * width + x_at])
        };
        let [count, outputs, lines, line] = shape;
        let [down, right] = case.kernel;
        let mut all = Vec::new();
        for image in 0..count {
            for output in 0..outputs {
                for i in 0..lines {
                    for j in 0..line {
                        let mut sum = bias.as_ref().map_or(0.0, |bias| f64::from(bias[output]));
                        for channel in 0..inputs {
                            for s in 0..down {
                                for t in 0..right {
                                    let pixel = at(
                                        image,
                                        channel,
                                        i * case.stride[0] + s,
                                        j * case.stride[1] + t,
                                    );
                                    let place =
                                        ((output * inputs + channel) * down + s) * right + t;
                                    sum += f64::from(w[place]) * f64::from(pixel.unwrap_or(0.0));
                                }
                            }
                        }
                        all.push(sum);
                    }
                }
            }
        }
        TensorData::new(all, shape).convert::<f32>()
    }

    #[test]
    fn maps_are_the_sums_and_gradients_are_burns() {
        let device = Device::flex().autodiff();
        for (index, case) in CASES.iter().enumerate() {
            let conv = case.layer(index % 2 == 0, &device);
            let images = case.images(19, &device);
            assert!(columns_of(&conv, &images).is_some(), "case {index}");
            let shape = conv2d(&conv, images.clone()).dims();
            let weights = Tensor::<4>::random(shape, Distribution::Default, &device);
            let both = [true, false].map(|is_ours| {
                let images = images.clone().detach().require_grad();
                let map = if is_ours {
                    conv2d(&conv, images.clone())
                } else {
                    conv.forward(images.clone())
                };
                let gradients = (map.clone() * weights.clone()).sum().backward();
                let of_input = images.grad(&gradients).unwrap();
                let of_kernel = conv.weight.val().grad(&gradients).unwrap();
                let bias = conv.bias.as_ref();
                let of_bias = bias.map(|bias| bias.val().grad(&gradients).unwrap().into_data());
                let maps = [map.inner(), of_input, of_kernel].map(Tensor::into_data);
                (maps, of_bias)
            });
            let near = Tolerance::rel_abs(2e-5, 5e-4);
            let [(ours, our_bias), (burns, burns_bias)] = both;
            ours[0].assert_approx_eq::<f32>(&plain(case, &conv, &images, shape), near);
            for (ours, burns) in ours.iter().zip(&burns) {
                ours.assert_approx_eq::<f32>(burns, near);
            }
            assert_eq!(our_bias.is_some(), burns_bias.is_some());
            if let (Some(ours), Some(burns)) = (our_bias, burns_bias) {
                ours.assert_approx_eq::<f32>(&burns, near);
            }
        }
    }

    #[test]
    fn an_image_gives_the_same_in_every_batch_and_on_every_number_of_threads() {
        let device = Device::flex();
        let bits = |tensor: Tensor<4>| -> Vec<u32> {
            numbers(&tensor).into_iter().map(f32::to_bits).collect()
        };
        let pool = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap()
        };
        for case in &CASES {
            let graph = device.clone().autodiff();
            let conv = case.layer(true, &graph);
            let images = case.images(21, &graph).require_grad();
            let run = || {
                let map = conv2d(&conv, images.clone());
                let gradients = map.clone().square().sum().backward();
                let of_kernel = conv.weight.val().grad(&gradients).unwrap();
                let of_input = images.grad(&gradients).unwrap();
                [map.inner(), of_kernel, of_input].map(bits)
            };
            let all = pool(1).install(run);
            assert_eq!(all, pool(3).install(run));
            let row = all[0].len() / 21;
            for image in [0, 7, 20] {
                let alone = images.clone().inner().narrow(0, image, 1);
                let map = conv2d(&plain_copy(&conv), alone);
                assert_eq!(bits(map), all[0][image * row..(image + 1) * row]);
            }
        }
    }

    fn plain_copy(conv: &Conv2d) -> Conv2d {
        conv.valid().to_device(&Device::flex())
    }

    #[test]
    fn a_frozen_layer_passes_gradients_on() {
        let device = Device::flex();
        let conv = CASES[0].layer(true, &device);
        let images = CASES[0]
            .images(2, &device.clone().autodiff())
            .require_grad();
        let gradients = conv2d(&conv, images.clone()).sum().backward();
        let ours = images.grad(&gradients).unwrap().into_data();
        let gradients = conv.forward(images.clone()).sum().backward();
        let burns = images.grad(&gradients).unwrap().into_data();
        ours.assert_approx_eq::<f32>(&burns, Tolerance::absolute(1e-5));
    }

    #[test]
    fn other_layers_are_left_to_burn() {
        let device = Device::flex();
        let image = Tensor::<4>::zeros([1, 4, 8, 8], &device);
        let is_ours = |config: Conv2dConfig| columns_of(&config.init(&device), &image).is_some();
        let layer = |kernel| Conv2dConfig::new([4, 4], [kernel, kernel]);
        assert!(is_ours(layer(3)));
        assert!(!is_ours(layer(1)));
        assert!(!is_ours(layer(8)));
        assert!(!is_ours(layer(3).with_groups(2)));
        assert!(!is_ours(layer(3).with_dilation([2, 2])));
        assert!(!is_ours(layer(3).with_padding(PaddingConfig2d::Same)));
        assert!(!is_ours(
            layer(3).with_padding(PaddingConfig2d::Explicit(1, 1, 0, 0))
        ));
    }
}
