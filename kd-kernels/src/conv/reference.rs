//! Every kernel against the sums as they are written, in 64 bits, on every instruction set that the machine
//! has.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::geometry::{Axis, Geometry};
use super::job::{Finish, Job, Wanted};
use super::planes::Places;
use crate::simd::Path;

/// A convolution; pairs are lines and columns.
#[derive(Clone, Copy, Debug)]
struct Case {
    batch_size: usize,
    /// Groups, and channels of input and result of each.
    channels: [usize; 3],
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
}

/// The result, and the gradients of input, weight and bias; of each number also the sum of the sizes of its
/// terms.
type Sums = [Vec<[f64; 2]>; 4];

impl Case {
    const fn new(batch_size: usize, channels: [usize; 3], size: [usize; 2], kernel: usize) -> Self {
        Self {
            batch_size,
            channels,
            size,
            kernel: [kernel; 2],
            stride: [1; 2],
            padding: [kernel / 2; 2],
            dilation: [1; 2],
        }
    }

    const fn with_stride(self, stride: usize) -> Self {
        Self {
            stride: [stride; 2],
            ..self
        }
    }

    fn positions(&self) -> Option<[usize; 2]> {
        let axis = |axis: usize| {
            let window = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
            let room = (self.size[axis] + 2 * self.padding[axis]).checked_sub(window)?;
            Some(room / self.stride[axis] + 1)
        };
        Some([axis(0)?, axis(1)?])
    }

    fn job(&self, path: Path) -> Option<Job> {
        let positions = self.positions()?;
        let axes = [0, 1].map(|axis| Axis {
            size: self.size[axis],
            kernel: self.kernel[axis],
            stride: self.stride[axis],
            dilation: self.dilation[axis],
            before: self.padding[axis],
            positions: positions[axis],
        });
        let geometry = Geometry::new(self.batch_size, self.channels, axes);
        Some(Job {
            geometry,
            places: Places::Plain,
            path,
        })
    }

    /// Numbers of input, weight, bias and result.
    fn counts(&self) -> Option<[usize; 4]> {
        let [groups, inputs, outputs] = self.channels;
        let [lines, line] = self.positions()?;
        Some([
            self.batch_size * groups * inputs * self.size[0] * self.size[1],
            groups * outputs * inputs * self.kernel[0] * self.kernel[1],
            groups * outputs,
            self.batch_size * groups * outputs * lines * line,
        ])
    }

    fn reference(&self, [x, w, b, dy]: [&[f32]; 4]) -> Option<Sums> {
        let [groups, inputs, outputs] = self.channels;
        let [lines, line] = self.positions()?;
        let mut sums: Sums = self.counts()?.map(|count| vec![[0.0; 2]; count]);
        sums.rotate_right(1);
        let add = |sum: &mut [f64; 2], left: f32, right: f32| {
            let term = f64::from(left) * f64::from(right);
            sum[0] += term;
            sum[1] += term.abs();
        };
        for at in 0..dy.len() {
            let (rest, column) = (at / line, at % line);
            let (rest, row) = (rest / lines, rest % lines);
            let (image, output) = (rest / (groups * outputs), rest % (groups * outputs));
            add(&mut sums[0][at], b[output], 1.0);
            add(&mut sums[3][output], dy[at], 1.0);
            for tap in 0..inputs * self.kernel[0] * self.kernel[1] {
                let (rest, right) = (tap / self.kernel[1], tap % self.kernel[1]);
                let (input, down) = (rest / self.kernel[0], rest % self.kernel[0]);
                let pixel = |axis: usize, position: usize, tap: usize| {
                    let place = position * self.stride[axis] + tap * self.dilation[axis];
                    let place = place.checked_sub(self.padding[axis])?;
                    (place < self.size[axis]).then_some(place)
                };
                let (Some(y), Some(x_at)) = (pixel(0, row, down), pixel(1, column, right)) else {
                    continue;
                };
                let channel = image * groups * inputs + output / outputs * inputs + input;
                let pixel = (channel * self.size[0] + y) * self.size[1] + x_at;
                let weight = output * inputs * self.kernel[0] * self.kernel[1] + tap;
                add(&mut sums[0][at], w[weight], x[pixel]);
                add(&mut sums[1][pixel], w[weight], dy[at]);
                add(&mut sums[2][weight], dy[at], x[pixel]);
            }
        }
        Some(sums)
    }

    /// Compares result and gradients on every path.
    fn check(&self) {
        let Some(counts) = self.counts() else { return };
        let [x, w, b, dy] = [0, 1, 2, 3].map(|index| numbers(counts[index], index as u64));
        let Some(reference) = self.reference([&x, &w, &b, &dy]) else {
            return;
        };
        for path in Path::all() {
            let Some(job) = self.job(path) else { return };
            let y = job.forward(&x, &job.pack(&w), &b, Finish::default());
            let wanted = Wanted {
                input: true,
                weight: true,
                bias: true,
            };
            let found = job.backward(&x, &w, &dy, wanted);
            let found = [y, found.input, found.weight, found.bias];
            for (what, (found, expected)) in found.iter().zip(&reference).enumerate() {
                assert_eq!(found.len(), expected.len());
                for (at, (found, [expected, size])) in found.iter().zip(expected).enumerate() {
                    let error = (f64::from(*found) - expected).abs();
                    // Tiles add numbers of several pixels before they are multiplied: twice what a plain sum
                    // loses, and more where most terms are small.
                    let allowed = if job.is_tiled() {
                        4e-6 * (size + 1.0)
                    } else {
                        1e-6 * size
                    };
                    assert!(
                        error <= allowed,
                        "{self:?}, {path:?}, {what} {at}: {found} for {expected}"
                    );
                }
            }
        }
    }
}

/// Numbers between -0.5 and 0.5 that are no function of a row or a channel.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    };
    (0..count).map(next).collect()
}

#[test]
fn kernels_are_the_sums_on_every_path() {
    let cases = [
        // Stems, small kernels, strides.
        Case::new(3, [1, 3, 16], [32, 32], 3),
        Case::new(2, [1, 3, 10], [33, 31], 7).with_stride(2),
        Case::new(5, [1, 1, 6], [28, 28], 5),
        Case::new(3, [1, 16, 33], [15, 17], 3).with_stride(2),
        Case::new(3, [1, 4, 9], [12, 11], 5).with_stride(2),
        // By tiles: even and odd sizes, more images than a plane holds.
        Case::new(2, [1, 48, 50], [16, 16], 3),
        Case::new(3, [1, 51, 48], [9, 13], 3),
        Case::new(17, [1, 48, 48], [8, 8], 3),
        Case {
            padding: [0, 2],
            ..Case::new(2, [1, 49, 53], [11, 9], 3)
        },
        // One pixel: whole vectors, and not.
        Case::new(3, [1, 20, 24], [8, 8], 1),
        Case::new(3, [1, 7, 13], [5, 7], 1),
        Case::new(2, [1, 130, 70], [4, 4], 1),
        Case::new(3, [1, 9, 20], [9, 8], 1).with_stride(2),
        // Depthwise and grouped.
        Case::new(4, [13, 1, 1], [9, 14], 3),
        Case::new(4, [6, 1, 3], [7, 7], 5).with_stride(2),
        Case::new(3, [3, 5, 6], [6, 10], 3),
        // Small maps of many channels: position by position.
        Case::new(1, [1, 50, 120], [5, 5], 5),
        Case {
            padding: [0, 0],
            ..Case::new(1, [1, 16, 120], [5, 5], 5)
        },
        Case::new(9, [1, 33, 50], [4, 7], 3),
        Case::new(5, [1, 20, 128], [8, 8], 3).with_stride(2),
        Case::new(6, [1, 130, 129], [2, 3], 1),
        Case::new(3, [1, 9, 130], [8, 8], 3),
        // Maps of one pixel and one line, more padding than kernel.
        Case::new(7, [1, 130, 9], [1, 1], 3),
        Case::new(40, [1, 12, 8], [2, 2], 3),
        Case {
            padding: [4, 3],
            ..Case::new(2, [1, 3, 5], [1, 6], 3)
        },
        Case {
            stride: [3, 3],
            padding: [0, 0],
            ..Case::new(2, [1, 2, 3], [14, 14], 3)
        },
        Case {
            stride: [3, 2],
            padding: [0, 0],
            ..Case::new(2, [1, 2, 3], [14, 13], 1)
        },
        Case {
            dilation: [2, 3],
            ..Case::new(2, [2, 3, 3], [12, 15], 3)
        },
        // Small maps whose gradient of the input is a convolution of small maps with gaps.
        Case {
            kernel: [3, 2],
            padding: [0, 0],
            dilation: [1, 2],
            ..Case::new(5, [1, 50, 52], [7, 7], 3)
        },
        Case {
            padding: [2, 3],
            dilation: [2, 2],
            ..Case::new(3, [1, 49, 50], [6, 7], 3)
        },
    ];
    for case in cases {
        assert!(case.positions().is_some());
        case.check();
    }
}

#[test]
fn kernels_are_the_sums_for_any_shape() {
    let pair = |low: usize, high: usize| [low..=high, low..=high];
    let channels = prop_oneof![
        3 => [1..=3_usize, 1..=13, 1..=19],
        1 => [1..=9_usize, 1..=1, 1..=2],
        1 => [1..=1_usize, 46..=50, 46..=53],
    ];
    let sizes = (1..=7_usize, channels, [1..=19_usize, 1..=33_usize]);
    let windows = (pair(1, 5), pair(1, 3), pair(0, 4), pair(1, 2));
    let mut runner = TestRunner::new(Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(
        &(sizes, windows),
        |((batch_size, channels, size), windows)| {
            let (kernel, stride, padding, dilation) = windows;
            let case = Case {
                batch_size,
                channels,
                size,
                kernel,
                stride,
                padding,
                dilation,
            };
            case.check();
            // The kernel that most networks have.
            Case {
                kernel: [3; 2],
                stride: [1; 2],
                dilation: [1; 2],
                ..case
            }
            .check();
            Ok(())
        },
    );
    result.unwrap();
}

#[test]
fn what_is_added_and_the_relu_are_part_of_the_pass() {
    for case in [
        Case::new(3, [1, 5, 11], [9, 10], 3),
        Case::new(3, [1, 20, 24], [8, 8], 1),
        Case::new(3, [1, 48, 49], [9, 12], 3),
        Case::new(3, [1, 48, 49], [9, 12], 3).with_stride(2),
    ] {
        let [x, w, b, y] = case.counts().unwrap();
        let [x, w, b, more] = [x, w, b, y].map(|count| numbers(count, count as u64));
        for path in Path::all() {
            let job = case.job(path).unwrap();
            let weights = job.pack(&w);
            let plain = job.forward(&x, &weights, &b, Finish::default());
            let run = |addend, relu| job.forward(&x, &weights, &b, Finish { addend, relu });
            let expect = |finish: &dyn Fn(f32, f32) -> f32| -> Vec<f32> {
                plain
                    .iter()
                    .zip(&more)
                    .map(|(y, more)| finish(*y, *more))
                    .collect()
            };
            assert_eq!(run(Some(&more), false), expect(&|y, more| y + more));
            assert_eq!(run(None, true), expect(&|y, _| y.max(0.0)));
            assert_eq!(
                run(Some(&more), true),
                expect(&|y, more| (y + more).max(0.0))
            );
        }
    }
}
