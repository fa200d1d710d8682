//! Twice the size and a convolution, at the cost of the small size.

use burn::tensor::Tensor;
use burn::tensor::module::{conv2d, interpolate};
use burn::tensor::ops::{ConvOptions, InterpolateMode, InterpolateOptions};

/// The convolution of `map`, every pixel of which was doubled in both directions, done plainly.
///
/// # Shapes
///
/// - `map`: `[batch_size, channels_in, height, width]`
/// - `weight`: `[channels_out, channels_in, 3, 3]`; one row and column of zeros is put around
/// - `bias`: `[channels_out]`
/// - result: `[batch_size, channels_out, 2 * height, 2 * width]`
pub fn doubled_conv2d(map: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
    let [_, _, height, width] = map.dims();
    let size =
        InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([2 * height, 2 * width]);
    let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
    conv2d(interpolate(map, size), weight, bias, options)
}

/// [`doubled_conv2d`] without the large map: the same function with 4/9 of the multiplications.
///
/// In a map whose pixels are doubled, two of three neighbouring pixels are one. An output row `2 i` sees the
/// rows `i - 1, i, i` of the small map, and an output row `2 i + 1` the rows `i, i, i + 1`; so do columns. So
/// each of the four kinds of output pixels is a convolution of the small map with a kernel of two by two,
/// whose numbers are sums of those of the large kernel:
///
/// ```text
/// even:  (w0, w1 + w2) at (i - 1, i)        odd:  (w0 + w1, w2) at (i, i + 1)
/// ```
///
/// All four are one convolution to four times the channels, from which the pixels are put in their places.
/// Shapes are those of [`doubled_conv2d`]; gradients reach map, weight and bias.
pub fn folded_doubled_conv2d(
    map: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
) -> Tensor<4> {
    let [batch_size, _, height, width] = map.dims();
    let [outputs, inputs, _, _] = weight.dims();
    // [outputs, inputs, 2, ...] of the lines of each kind, along one axis of the kernel.
    let pairs = |kernel: Tensor<4>, axis: usize| {
        let line = |place: usize| kernel.clone().narrow(axis, place, 1);
        let even = Tensor::cat(vec![line(0), line(1) + line(2)], axis);
        let odd = Tensor::cat(vec![line(0) + line(1), line(2)], axis);
        [even, odd]
    };
    let kernels: Vec<Tensor<4>> = pairs(weight, 2)
        .into_iter()
        .flat_map(|rows| pairs(rows, 3))
        .collect();
    let kernels = Tensor::cat(kernels, 0).reshape([4 * outputs, inputs, 2, 2]);
    let bias = bias.map(|bias| bias.repeat_dim(0, 4));
    #[cfg(feature = "flex")]
    {
        use super::geometry::{Axis, Geometry};

        let axis = |size| Axis {
            size,
            kernel: 2,
            stride: 1,
            dilation: 1,
            before: 1,
            positions: size + 1,
        };
        let axes = [axis(height), axis(width)];
        let job = super::job::Job {
            geometry: Geometry::new(batch_size, [1, inputs, 4 * outputs], axes),
            places: super::planes::Places::Doubled,
            path: crate::simd::Path::best(),
        };
        let made = super::flex::conv(&map, kernels.clone(), bias.clone(), job);
        if let Some(made) = made {
            return made;
        }
    }
    let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
    // [batch_size, 4 * outputs, height + 1, width + 1]: even pixels begin at the first place, odd ones at the
    // second.
    let all = conv2d(map, kernels, bias, options);
    let kind = |row: usize, column: usize| {
        let first = (2 * row + column) * outputs;
        all.clone()
            .slice([
                0..batch_size,
                first..first + outputs,
                row..row + height,
                column..column + width,
            ])
            .reshape([batch_size, outputs, height, 1, width, 1])
    };
    let row = |row: usize| Tensor::cat(vec![kind(row, 0), kind(row, 1)], 5);
    Tensor::cat(vec![row(0), row(1)], 3).reshape([batch_size, outputs, 2 * height, 2 * width])
}
