//! Convolutions of small maps as products of matrices.
//!
//! A line of few positions fills no vector. Here the channels of the result lie in the vectors, and what each
//! position sees is a row of a matrix, whose rows are gathered for as many positions as are computed at once.
//! That costs a move for each number of the matrix, which pays where there are many channels.

use std::ops::Range;

use rayon::prelude::*;

use super::geometry::{Axis, Geometry, SLACK};
use super::job::Finish;
use super::kernels::{Packed, Product, blocks};
use crate::buffer::Buffer;
use crate::numbers::positive;
use crate::simd::Path;

/// Positions whose rows are gathered together, about.
const POSITIONS: usize = 64;
/// Numbers of a row that are multiplied before the next strip of channels: so many of all rows stay in the
/// second-level cache.
const DEPTH: usize = 512;
/// A product without bias begins with these.
const ZEROS: [f32; 8] = [0.0; 8];

/// A convolution without groups, position by position.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    geometry: &'a Geometry,
    path: Path,
    /// Height and width of a channel with the padding that positions see.
    padded: [usize; 2],
    /// Where each number of a row lies from the first that its position sees.
    reads: Vec<usize>,
}

/// Buffers of a thread.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    planes: Buffer,
    rows: Buffer,
    slopes: Buffer,
    out: Buffer,
}

impl<'a> Columns<'a> {
    pub(super) fn new(geometry: &'a Geometry, path: Path) -> Self {
        let padded = [geometry.rows, geometry.columns].map(|axis: Axis| {
            let seen = (axis.positions - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1;
            seen.max(axis.before + axis.size)
        });
        let [height, width] = padded;
        let (rows, columns) = (geometry.rows, geometry.columns);
        let mut reads = Vec::with_capacity(geometry.depth());
        for channel in 0..geometry.inputs {
            for down in 0..rows.kernel {
                for right in 0..columns.kernel {
                    let line = channel * height + down * rows.dilation;
                    reads.push(line * width + right * columns.dilation);
                }
            }
        }
        Self {
            geometry,
            path,
            padded,
            reads,
        }
    }

    /// Channels of the result that lie in the vectors of one product.
    pub(super) fn strip(path: Path) -> usize {
        3 * path.lanes()
    }

    /// Weights strip by strip, `[strip][depth][channels of a strip]`; channels that are not there are zeros.
    pub(super) fn weights(
        [depth, outputs]: [usize; 2],
        path: Path,
        weight: impl Fn(usize, usize) -> f32 + Sync,
    ) -> Packed {
        /// Places of a channel that are written before the next channel: they stay in the first-level cache.
        const PLACES: usize = 64;
        let strip = Self::strip(path);
        let mut all = vec![0.0_f32; outputs.div_ceil(strip) * strip * depth];
        let strips = all.par_chunks_mut(strip * depth).enumerate();
        strips.for_each(|(index, all)| {
            let first = index * strip;
            for (part, all) in all.chunks_mut(PLACES * strip).enumerate() {
                for lane in 0..strip.min(outputs - first) {
                    let to = all.iter_mut().skip(lane).step_by(strip);
                    to.zip(part * PLACES..)
                        .for_each(|(to, place)| *to = weight(first + lane, place));
                }
            }
        });
        Packed::of(all)
    }

    /// Images that are computed together.
    pub(super) fn images(&self) -> usize {
        POSITIONS.div_ceil(self.geometry.out_area()).max(1)
    }

    /// Floats of an image with its padding.
    fn image(&self) -> usize {
        self.geometry.inputs * self.padded[0] * self.padded[1]
    }

    /// Puts `images` of the batch `x` down with their padding.
    fn lay<'b>(&self, x: &[f32], images: Range<usize>, planes: &'b mut Buffer) -> &'b [f32] {
        let (geometry, [height, width]) = (self.geometry, self.padded);
        let planes = planes.take(images.len() * self.image());
        let x = &x[images.start * geometry.image_size()..images.end * geometry.image_size()];
        let (top, left) = (geometry.rows.before, geometry.columns.before);
        let channels = planes.chunks_exact_mut(height * width);
        for (to, from) in channels.zip(x.chunks_exact(geometry.area())) {
            let lines = to.chunks_exact_mut(width).skip(top);
            for (to, from) in lines.zip(from.chunks_exact(geometry.columns.size)) {
                to[left..left + from.len()].copy_from_slice(from);
            }
        }
        planes
    }

    /// Where the first number that each position of `images` images sees lies.
    fn bases(&self, images: usize) -> Vec<usize> {
        let geometry = self.geometry;
        let (rows, columns) = (geometry.rows, geometry.columns);
        let mut bases = Vec::with_capacity(images * geometry.out_area());
        for image in 0..images {
            for line in 0..rows.positions {
                let first = image * self.image() + line * rows.stride * self.padded[1];
                bases.extend(
                    (0..columns.positions).map(|position| first + position * columns.stride),
                );
            }
        }
        bases
    }

    /// `channels` of the result of `images` of the batch `x`, put into `y`, which begins with the first of
    /// these channels. Where there are several images, `channels` are all; they begin with a strip.
    #[expect(clippy::too_many_arguments, reason = "what is read and written")]
    pub(super) fn forward(
        &self,
        x: &[f32],
        images: Range<usize>,
        weights: &Packed,
        channels: Range<usize>,
        bias: &[f32],
        finish: Finish<'_>,
        buffers: &mut Buffers,
        y: &mut [f32],
    ) {
        let (geometry, depth, count) = (self.geometry, self.reads.len(), images.len());
        let (strip, area) = (Self::strip(self.path), geometry.out_area());
        let planes = self.lay(x, images, &mut buffers.planes);
        let bases = self.bases(count);
        let rows = buffers.rows.take_any(bases.len() * depth);
        for [first, size] in blocks(bases.len(), self.path.block()) {
            let rows = &mut rows[first * depth..(first + size) * depth];
            gather(planes, &bases[first..first + size], &self.reads, rows);
        }
        // [strips, positions, channels of a strip]
        let strips = channels.len().div_ceil(strip);
        let sums = bases.len() * strip;
        let out = buffers.out.take_any(strips * sums + SLACK);
        let weights = &weights.block(0, 1)[channels.start * depth..];
        let reads: Vec<usize> = (0..DEPTH.min(depth)).map(|place| place * strip).collect();
        for start in (0..depth).step_by(DEPTH) {
            let places = start..depth.min(start + DEPTH);
            for (index, out) in out.chunks_exact_mut(sums).take(strips).enumerate() {
                let planes = &weights[index * strip * depth..][..strip * depth];
                for [first, size] in blocks(bases.len(), self.path.block()) {
                    let from = first * depth + places.start * size;
                    self.path.run(Product {
                        planes: &planes[places.start * strip..places.end * strip],
                        reads: &reads[..places.len()],
                        weights: &rows[from..from + places.len() * size],
                        bias: &ZEROS[..size],
                        out: &mut out[first * strip..(first + size) * strip],
                        pitch: strip,
                        places: strip.min(channels.len() - index * strip),
                        adds: start > 0,
                    });
                }
            }
        }
        let image = geometry.outputs * area;
        for (index, channel) in channels.clone().enumerate() {
            let out = &out[index / strip * sums + index % strip..];
            for image_index in 0..count {
                let at = image_index * image + channel * area;
                let y = &mut y[at - channels.start * area..][..area];
                let sums = out.iter().skip(image_index * area * strip).step_by(strip);
                for (position, (y, sum)) in y.iter_mut().zip(sums).enumerate() {
                    let value = sum + bias[channel];
                    let value = value + finish.addend.map_or(0.0, |addend| addend[at + position]);
                    *y = if finish.relu { positive(value) } else { value };
                }
            }
        }
    }

    /// Adds the gradient of the weight for that of the result of `images` of the batch to `dw`.
    pub(super) fn weight_gradient(
        &self,
        x: &[f32],
        dy: &[f32],
        images: Range<usize>,
        buffers: &mut Buffers,
        dw: &mut [f32],
    ) {
        let (geometry, depth, count) = (self.geometry, self.reads.len(), images.len());
        let (outputs, area) = (geometry.outputs, geometry.out_area());
        let Buffers {
            planes,
            rows,
            slopes,
            out,
        } = buffers;
        let planes = self.lay(x, images.clone(), planes);
        let bases = self.bases(count);
        // [strips, positions, channels of a strip]
        let (strip, positions) = (Self::strip(self.path), bases.len());
        let strips = outputs.div_ceil(strip);
        let slopes = slopes.take_any(strips * positions * strip);
        let dy = &dy[images.start * outputs * area..images.end * outputs * area];
        for (index, line) in dy.chunks_exact(area).enumerate() {
            let (image, channel) = (index / outputs, index % outputs);
            let first = (channel / strip * positions + image * area) * strip + channel % strip;
            let to = slopes[first..].iter_mut().step_by(strip);
            to.zip(line).for_each(|(to, from)| *to = *from);
        }
        let reads: Vec<usize> = (0..positions).map(|position| position * strip).collect();
        let out = out.take_any(self.path.block() * strip);
        let rows = rows.take_any(positions * self.path.block());
        for [first, size] in blocks(depth, self.path.block()) {
            let rows = &mut rows[..positions * size];
            // The same numbers, those of a position side by side.
            gather(planes, &self.reads[first..first + size], &bases, rows);
            for (index, planes) in slopes.chunks_exact(positions * strip).enumerate() {
                let channels = index * strip..outputs.min((index + 1) * strip);
                self.path.run(Product {
                    planes,
                    reads: &reads,
                    weights: rows,
                    bias: &ZEROS[..size],
                    out,
                    pitch: strip,
                    places: channels.len(),
                    adds: false,
                });
                for (lane, channel) in channels.enumerate() {
                    let dw = &mut dw[channel * depth + first..][..size];
                    let sums = out.iter().skip(lane).step_by(strip);
                    dw.iter_mut().zip(sums).for_each(|(dw, sum)| *dw += sum);
                }
            }
        }
    }
}

/// For each of `downs` the numbers of `planes` at all `firsts` from there: `[downs.len(), firsts.len()]`.
fn gather(planes: &[f32], firsts: &[usize], downs: &[usize], to: &mut [f32]) {
    if let Ok(firsts) = <&[usize; 8]>::try_from(firsts) {
        for (down, to) in downs.iter().zip(to.as_chunks_mut::<8>().0) {
            let planes = &planes[*down..];
            for (to, first) in to.iter_mut().zip(firsts) {
                *to = planes[*first];
            }
        }
        return;
    }
    for (down, to) in downs.iter().zip(to.chunks_exact_mut(firsts.len())) {
        for (to, first) in to.iter_mut().zip(firsts) {
            *to = planes[down + first];
        }
    }
}
