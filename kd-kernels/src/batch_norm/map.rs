//! Sums over the channels of a map, and maps that are one line in another for each channel.
//!
//! A plane is one channel of one image. Sums of planes are taken in vectors of 32 bits and added up in 64, in
//! an order that depends neither on the threads nor on the instruction set.

use rayon::prelude::*;

use crate::numbers::{narrow, positive, zeros};
use crate::simd::{Kernel, Lanes, Path};

/// Numbers that a task is of, about.
const TASK: usize = 1 << 13;
/// Numbers that are added in 32 bits before they go into a sum of 64.
const RUN: usize = 512;
/// Sums that go on side by side.
const WIDTH: usize = 16;

/// The shape of a map, `[batch_size, channels, area]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map {
    pub(super) batch_size: usize,
    pub(super) channels: usize,
    pub(super) area: usize,
}

/// Mean, biased variance and `1 / sqrt(variance + epsilon)` of each channel.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    pub(super) mean: Vec<f64>,
    pub(super) variance: Vec<f64>,
    pub(super) inverse_std: Vec<f64>,
}

impl Moments {
    /// What makes `y = (x - near) * slope + offset` of each channel. To take a number near the mean away
    /// first keeps the digits of a map whose mean is large beside its spread.
    pub(super) fn lines(&self, gamma: &[f32], beta: &[f32]) -> Vec<[f32; 3]> {
        let moments = self.mean.iter().zip(&self.inverse_std);
        let channels = gamma.iter().zip(beta).zip(moments);
        let line = |((gamma, beta), (mean, inverse)): ((&f32, &f32), (&f64, &f64))| {
            let (near, slope) = (narrow(*mean), f64::from(*gamma) * inverse);
            let offset = f64::from(*beta) - slope * (mean - f64::from(near));
            [near, narrow(slope), narrow(offset)]
        };
        channels.map(line).collect()
    }

    /// What makes `dx = dy * outer + (x - near) * slope + offset` of each channel, given the sums of
    /// [`Map::gradient_sums`].
    ///
    /// ```text
    /// dx = gamma / std * (dy - mean(dy) - normalised * mean(dy * normalised))
    /// ```
    pub(super) fn slopes(&self, gamma: &[f32], sums: &[[f64; 2]], count: f64) -> Vec<[f32; 4]> {
        let channel = |channel: usize| {
            let (mean, inverse) = (self.mean[channel], self.inverse_std[channel]);
            let outer = f64::from(gamma[channel]) * inverse;
            let [sum, projected] = sums[channel].map(|sum| sum / count);
            let slope = -outer * projected * inverse;
            let rounded = mean - f64::from(narrow(mean));
            [mean, outer, slope, -outer * sum - slope * rounded].map(narrow)
        };
        (0..self.mean.len()).map(channel).collect()
    }
}

impl Map {
    pub(super) fn samples_per_channel(&self) -> f64 {
        (self.batch_size * self.area) as f64
    }

    /// Planes of a task.
    fn planes(&self) -> usize {
        (TASK / self.area.max(1)).max(1)
    }

    /// Mean and variance of each channel, in one pass over the map.
    pub(super) fn moments(&self, path: Path, x: &[f32], epsilon: f64) -> Moments {
        let (planes, area) = (self.planes(), self.area.max(1));
        let mut found = vec![[0.0; 2]; self.batch_size * self.channels];
        let tasks = found
            .par_chunks_mut(planes)
            .zip(x.par_chunks(planes * area));
        tasks.for_each(|(found, x)| path.run(PlaneMoments { x, area, found }));
        let count = self.samples_per_channel();
        let size = self.area as f64;
        let channel = |channel: usize| {
            let planes = || found.iter().skip(channel).step_by(self.channels);
            let mean = planes().map(|[sum, _]| sum).sum::<f64>() / count;
            // Squares around the mean of each plane, and those of the planes' means around the whole.
            let squares = |[sum, squares]: &[f64; 2]| squares + size * (sum / size - mean).powi(2);
            let squares: f64 = planes().map(squares).sum();
            (mean, (squares / count).max(0.0))
        };
        let both: Vec<(f64, f64)> = (0..self.channels).map(channel).collect();
        Moments {
            mean: both.iter().map(|(mean, _)| *mean).collect(),
            variance: both.iter().map(|(_, variance)| *variance).collect(),
            inverse_std: both
                .iter()
                .map(|(_, spread)| (spread + epsilon).sqrt().recip())
                .collect(),
        }
    }

    /// `(x - near) * slope + offset`, with what is added to it, negative numbers as 0 if `relu`.
    pub(super) fn normalised(
        &self,
        path: Path,
        x: &[f32],
        lines: &[[f32; 3]],
        addend: Option<&[f32]>,
        relu: bool,
    ) -> Vec<f32> {
        let (planes, area) = (self.planes(), self.area.max(1));
        let mut y = zeros(x.len());
        let tasks = y.par_chunks_mut(planes * area).enumerate();
        tasks.for_each(|(task, y)| {
            let range = task * planes * area..task * planes * area + y.len();
            path.run(Normalise {
                x: &x[range.clone()],
                addend: addend.map(|addend| &addend[range]),
                y,
                lines,
                area,
                first: task * planes,
                relu,
            });
        });
        y
    }

    /// For each channel the sums of `dy` and of `dy * normalised`, where `dy` is first made 0 in all places
    /// where `y` is not positive.
    pub(super) fn gradient_sums(
        &self,
        path: Path,
        x: &[f32],
        y: Option<&[f32]>,
        dy: &mut [f32],
        moments: &Moments,
    ) -> Vec<[f64; 2]> {
        let (planes, area) = (self.planes(), self.area.max(1));
        let near: Vec<f32> = moments.mean.iter().copied().map(narrow).collect();
        let mut found = vec![[0.0; 2]; self.batch_size * self.channels];
        let tasks = found
            .par_chunks_mut(planes)
            .zip(dy.par_chunks_mut(planes * area));
        tasks.enumerate().for_each(|(task, (found, dy))| {
            let range = task * planes * area..task * planes * area + dy.len();
            path.run(PlaneSums {
                x: &x[range.clone()],
                y: y.map(|y| &y[range]),
                dy,
                near: &near,
                area,
                first: task * planes,
                found,
            });
        });
        let channel = |channel: usize| {
            let planes = found.iter().skip(channel).step_by(self.channels);
            let add =
                |[sum, product]: [f64; 2], more: &[f64; 2]| [sum + more[0], product + more[1]];
            let [sum, product] = planes.fold([0.0; 2], add);
            let rounded = moments.mean[channel] - f64::from(near[channel]);
            [
                sum,
                (product - rounded * sum) * moments.inverse_std[channel],
            ]
        };
        (0..self.channels).map(channel).collect()
    }

    /// Makes the gradient of the input of that of the result, in its place.
    pub(super) fn input_gradient(
        &self,
        path: Path,
        x: &[f32],
        slopes: &[[f32; 4]],
        dy: &mut [f32],
    ) {
        let (planes, area) = (self.planes(), self.area.max(1));
        let tasks = dy
            .par_chunks_mut(planes * area)
            .zip(x.par_chunks(planes * area));
        tasks.enumerate().for_each(|(task, (dy, x))| {
            path.run(InputGradient {
                x,
                dy,
                slopes,
                area,
                first: task * planes,
            });
        });
    }
}

/// For each plane its sum and the sum of its squares around its mean.
struct PlaneMoments<'a> {
    x: &'a [f32],
    area: usize,
    found: &'a mut [[f64; 2]],
}

impl Kernel for PlaneMoments<'_> {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each instruction set")]
    fn run<L: Lanes>(self, _: L) {
        let size = self.area as f64;
        for (x, found) in self.x.chunks_exact(self.area).zip(self.found) {
            let sum = sum_of(x, |x| x);
            let mean = sum / size;
            let near = narrow(mean);
            let squares = sum_of(x, |x| (x - near) * (x - near));
            let rounded = mean - f64::from(near);
            *found = [sum, squares - size * rounded * rounded];
        }
    }
}

struct Normalise<'a> {
    x: &'a [f32],
    addend: Option<&'a [f32]>,
    y: &'a mut [f32],
    lines: &'a [[f32; 3]],
    area: usize,
    first: usize,
    relu: bool,
}

impl Kernel for Normalise<'_> {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each instruction set")]
    fn run<L: Lanes>(self, _: L) {
        match (self.addend, self.relu) {
            (None, false) => self.planes(|value, _| value),
            (None, true) => self.planes(|value, _| positive(value)),
            (Some(_), false) => self.planes(|value, more| value + more),
            (Some(_), true) => self.planes(|value, more| positive(value + more)),
        }
    }
}

impl Normalise<'_> {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each instruction set")]
    fn planes(self, finish: impl Fn(f32, f32) -> f32) {
        let area = self.area;
        // Without an addend its place is taken by the map, which `finish` does not look at.
        let addend = self.addend.unwrap_or(self.x);
        let sources = self.x.chunks_exact(area).zip(addend.chunks_exact(area));
        let planes = self.y.chunks_exact_mut(area).zip(sources);
        let mut channel = self.first % self.lines.len();
        for (y, (x, addend)) in planes {
            let [near, slope, offset] = self.lines[channel];
            channel = if channel + 1 == self.lines.len() {
                0
            } else {
                channel + 1
            };
            for (y, (x, more)) in y.iter_mut().zip(x.iter().zip(addend)) {
                *y = finish((x - near) * slope + offset, *more);
            }
        }
    }
}

/// For each plane the sums of `dy` and of `dy * (x - near)`.
struct PlaneSums<'a> {
    x: &'a [f32],
    y: Option<&'a [f32]>,
    dy: &'a mut [f32],
    near: &'a [f32],
    area: usize,
    first: usize,
    found: &'a mut [[f64; 2]],
}

impl Kernel for PlaneSums<'_> {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each instruction set")]
    fn run<L: Lanes>(self, _: L) {
        let area = self.area;
        let planes = self
            .dy
            .chunks_exact_mut(area)
            .zip(self.x.chunks_exact(area));
        for (index, ((dy, x), found)) in planes.zip(self.found).enumerate() {
            let near = self.near[(self.first + index) % self.near.len()];
            if let Some(y) = self.y {
                let y = &y[index * area..][..area];
                // No number in `y` lets the gradient through, as Burn's ReLU does.
                dy.iter_mut()
                    .zip(y)
                    .for_each(|(dy, y)| *dy = if *y <= 0.0 { 0.0 } else { *dy });
            }
            *found = sums_of(dy, x, near);
        }
    }
}

struct InputGradient<'a> {
    x: &'a [f32],
    dy: &'a mut [f32],
    slopes: &'a [[f32; 4]],
    area: usize,
    first: usize,
}

impl Kernel for InputGradient<'_> {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each instruction set")]
    fn run<L: Lanes>(self, _: L) {
        let area = self.area;
        let planes = self
            .dy
            .chunks_exact_mut(area)
            .zip(self.x.chunks_exact(area));
        for (index, (dy, x)) in planes.enumerate() {
            let [near, outer, slope, offset] =
                self.slopes[(self.first + index) % self.slopes.len()];
            for (dy, x) in dy.iter_mut().zip(x) {
                *dy = *dy * outer + ((x - near) * slope + offset);
            }
        }
    }
}

/// The sum of `term` of each number.
#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled for each instruction set")]
fn sum_of(plane: &[f32], term: impl Fn(f32) -> f32) -> f64 {
    let mut all = 0.0;
    for run in plane.chunks(RUN) {
        let (whole, rest) = run.as_chunks::<WIDTH>();
        let mut sums = [0.0_f32; WIDTH];
        for values in whole {
            for lane in 0..WIDTH {
                sums[lane] += term(values[lane]);
            }
        }
        all += total(sums) + rest.iter().map(|&x| f64::from(term(x))).sum::<f64>();
    }
    all
}

/// The sums of `dy` and of `dy * (x - near)`.
#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled for each instruction set")]
fn sums_of(dy: &[f32], x: &[f32], near: f32) -> [f64; 2] {
    let mut all = [0.0; 2];
    for (dy, x) in dy.chunks(RUN).zip(x.chunks(RUN)) {
        let ((dys, last_dys), (xs, last_xs)) = (dy.as_chunks::<WIDTH>(), x.as_chunks::<WIDTH>());
        let (mut sums, mut products) = ([0.0_f32; WIDTH], [0.0_f32; WIDTH]);
        for (dy, x) in dys.iter().zip(xs) {
            for lane in 0..WIDTH {
                sums[lane] += dy[lane];
                products[lane] += dy[lane] * (x[lane] - near);
            }
        }
        all[0] += total(sums);
        all[1] += total(products);
        for (dy, x) in last_dys.iter().zip(last_xs) {
            all[0] += f64::from(*dy);
            all[1] += f64::from(dy * (x - near));
        }
    }
    all
}

/// The sum of all lanes, by halves.
#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled for each instruction set")]
fn total(sums: [f32; WIDTH]) -> f64 {
    let wide = sums.map(f64::from);
    let eight: [f64; 8] = std::array::from_fn(|lane| wide[lane] + wide[lane + 8]);
    let four: [f64; 4] = std::array::from_fn(|lane| eight[lane] + eight[lane + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}
