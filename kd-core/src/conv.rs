//! A convolution that skips every second pixel of an image, as one without skips over four times the channels, on the CPU.

use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;

/// `conv.forward(input)`, faster on the CPU for the first convolution of a network with a stride of two.
///
/// ```text
/// y[o, i, j] = sum over c, s, t of w[o, c, s, t] * x[c, 2 i + s - padding, 2 j + t - padding]
/// ```
///
/// Burn's CPU backend computes a convolution from few channels to few pixel by pixel, which is slow where pixels are skipped.
/// Here the four pixels of each square of two by two become channels, and the kernel, with a row and a column of zeros,
/// goes the same way: the same sums, of the same terms, as a convolution of half the kernel size without a stride, which that
/// backend computes as a product of matrices. The result differs by rounding. Everything else, and everything on another
/// backend, *is* Burn's.
///
/// # Shapes
///
/// `input`: `[batch_size, channels, height, width]`; the result as the layer has it.
pub fn conv2d(conv: &Conv2d, input: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if flex::gains(conv, &input) {
        return flex::halving(conv, input);
    }
    conv.forward(input)
}

#[cfg(feature = "flex")]
mod flex {
    use burn::nn::PaddingConfig2d;
    use burn::nn::conv::Conv2d;
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;
    use burn::tensor::{Device, Tensor};

    /// Up to these channels in and out the backend goes pixel by pixel.
    const FEW: [usize; 2] = [4, 16];

    /// Whether the way around pays: stride 2, few channels, nothing special.
    pub(super) fn gains(conv: &Conv2d, input: &Tensor<4>) -> bool {
        let [_, _, height, width] = input.dims();
        let [outputs, channels, kernel, kernel_width] = conv.weight.val().dims();
        let around = kernel / 2;
        let is_plain = conv.groups == 1
            && conv.dilation == [1, 1]
            && kernel % 2 == 1
            && kernel > 1
            && kernel == kernel_width
            && conv.padding == PaddingConfig2d::Explicit(around, around, around, around);
        conv.stride == [2, 2]
            && is_plain
            && channels <= FEW[0]
            && outputs <= FEW[1]
            && height % 2 == 0
            && width % 2 == 0
            && input.device().inner() == Device::flex()
    }

    /// The convolution by squares of two by two pixels.
    pub(super) fn halving(conv: &Conv2d, input: Tensor<4>) -> Tensor<4> {
        let [batch_size, channels, height, width] = input.dims();
        let weight = conv.weight.val();
        let [outputs, _, kernel, _] = weight.dims();
        let around = kernel / 2;
        let zeros =
            |shape: [usize; 4]| Tensor::<4>::zeros(shape, &weight.device()).cast(weight.dtype());
        // The kernel begins `around` pixels before each even one: where that is odd, it is made to begin with a whole square.
        let with_line = |kernel: Tensor<4>, line: Tensor<4>, axis| {
            let parts = if around % 2 == 1 {
                vec![line, kernel]
            } else {
                vec![kernel, line]
            };
            Tensor::cat(parts, axis)
        };
        let row = zeros([outputs, channels, 1, kernel]);
        let column = zeros([outputs, channels, kernel + 1, 1]);
        let even = with_line(with_line(weight.clone(), row, 2), column, 3);
        let squares = |tensor: Tensor<4>| {
            let [count, channels, height, width] = tensor.dims();
            tensor
                .reshape([count, channels, height / 2, 2, width / 2, 2])
                .permute([0, 1, 3, 5, 2, 4])
                .reshape([count, 4 * channels, height / 2, width / 2])
        };
        let before = around.div_ceil(2);
        let options = ConvOptions::new([1, 1], [before, before], [1, 1], 1);
        let bias = conv.bias.as_ref().map(burn::module::Param::val);
        // The padding behind may be one more than is needed.
        conv2d(squares(input), squares(even), bias, options).slice([
            0..batch_size,
            0..outputs,
            0..height / 2,
            0..width / 2,
        ])
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::nn::PaddingConfig2d;
    use burn::nn::conv::Conv2dConfig;
    use burn::tensor::{Device, Distribution, Tensor};

    use super::{conv2d, flex};

    fn layer(channels: [usize; 2], kernel: usize, stride: usize) -> Conv2dConfig {
        let padding = kernel / 2;
        Conv2dConfig::new(channels, [kernel, kernel])
            .with_stride([stride, stride])
            .with_padding(PaddingConfig2d::Explicit(
                padding, padding, padding, padding,
            ))
            .with_bias(false)
    }

    #[test]
    fn the_way_around_gives_the_same_map_and_the_same_gradients() {
        let device = Device::flex().autodiff();
        for kernel in [3, 5, 7] {
            let conv = layer([3, 8], kernel, 2)
                .with_bias(kernel == 5)
                .init(&device);
            let input = Tensor::<4>::random([2, 3, 10, 14], Distribution::Default, &device);
            assert!(flex::gains(&conv, &input), "kernel {kernel}");
            let weights = Tensor::<4>::random([2, 8, 5, 7], Distribution::Default, &device);
            let both = [true, false].map(|is_ours| {
                let input = input.clone().detach().require_grad();
                let map = if is_ours {
                    conv2d(&conv, input.clone())
                } else {
                    conv.forward(input.clone())
                };
                let gradients = (map.clone() * weights.clone()).sum().backward();
                let of_input = input.grad(&gradients).unwrap();
                let of_kernel = conv.weight.val().grad(&gradients).unwrap();
                [map.inner(), of_input, of_kernel].map(Tensor::into_data)
            });
            let [ours, burns] = both;
            for (ours, burns) in ours.iter().zip(&burns) {
                ours.assert_approx_eq::<f32>(burns, burn::tensor::Tolerance::absolute(2e-5));
            }
        }
    }

    #[test]
    fn other_layers_and_sizes_are_left_to_burn() {
        let device = Device::flex();
        let image = Tensor::<4>::zeros([1, 3, 8, 8], &device);
        let odd = Tensor::<4>::zeros([1, 3, 8, 9], &device);
        let gains =
            |layer: &Conv2dConfig, input: &Tensor<4>| flex::gains(&layer.init(&device), input);
        assert!(gains(&layer([3, 16], 7, 2), &image));
        assert!(!gains(&layer([3, 16], 7, 2), &odd));
        assert!(!gains(&layer([3, 16], 7, 1), &image));
        assert!(!gains(&layer([3, 64], 7, 2), &image));
        assert!(!gains(&layer([3, 16], 1, 2), &image));
        assert!(!gains(&layer([3, 16], 7, 2).with_dilation([2, 2]), &image));
        let valid = layer([3, 16], 7, 2).with_padding(PaddingConfig2d::Valid);
        assert!(!gains(&valid, &image));
    }
}
