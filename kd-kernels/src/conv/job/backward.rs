//! The three gradients of a convolution of a batch, on all threads.

use std::ops::Range;

use rayon::prelude::*;

use super::super::columns::Columns;
use super::super::geometry::{Axis, Geometry, SLACK, lines};
use super::super::kernels::{Correlation, Packed, Product};
use super::super::winograd::Winograd;
use super::{Finish, Job, Scratch};
use crate::buffer::Buffer;
use crate::numbers::zeros;

/// In how many parts the images of a backward pass are summed at most. It does not depend on the threads, so
/// that neither do the sums.
const PARTS: usize = 16;
/// Numbers that the sums of all parts together may have, unless two parts have more.
const SUMS: usize = 1 << 22;
/// Positions that a part has at least: to clear, write and add the sums of a part costs as much as some
/// positions.
const POSITIONS: usize = 64;
/// Numbers of all parts above which their sums are added by all threads, so many at a time.
const MANY: usize = 1 << 16;
const AT_A_TIME: usize = 1 << 13;

/// Which gradients are wanted.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv) struct Wanted {
    pub(in crate::conv) input: bool,
    pub(in crate::conv) weight: bool,
    pub(in crate::conv) bias: bool,
}

/// The gradients that were wanted; others are empty.
#[derive(Debug, Default)]
pub(in crate::conv) struct Gradients {
    pub(in crate::conv) input: Vec<f32>,
    pub(in crate::conv) weight: Vec<f32>,
    pub(in crate::conv) bias: Vec<f32>,
}

impl Job {
    /// The gradients of input, weight and bias for that of the result, as far as they are wanted.
    pub(in crate::conv) fn backward(
        &self,
        x: &[f32],
        w: &[f32],
        dy: &[f32],
        wanted: Wanted,
    ) -> Gradients {
        let geometry = &self.geometry;
        let back = self.transposed();
        let back =
            back.filter(|back| back.is_tiled() || back.is_small() || back.geometry.is_dense());
        if let Some(back) = back.filter(|_| wanted.input) {
            let bias = vec![0.0; back.geometry.groups * back.geometry.outputs];
            let weights = back.pack_transposed(w);
            let input = back.forward(dy, &weights, &bias, Finish::default());
            let wanted = Wanted {
                input: false,
                ..wanted
            };
            let others = wanted.weight || wanted.bias;
            let others = if others {
                self.backward(x, w, dy, wanted)
            } else {
                Gradients::default()
            };
            return Gradients { input, ..others };
        }
        let positions = geometry.batch_size * geometry.out_area();
        let most = usize::min(SUMS / w.len().max(1), positions / POSITIONS);
        let parts = most.clamp(2, PARTS);
        let images = geometry.batch_size.div_ceil(parts).max(1);
        let parts = geometry.batch_size.div_ceil(images);
        let back = if wanted.input {
            self.pack_back(w)
        } else {
            Vec::new()
        };
        let part = |scratch: &mut Scratch, index: usize, dx: &mut [f32]| {
            let first = index * images;
            let these = first..(first + images).min(geometry.batch_size);
            self.backward_part(x, &back, dy, these, wanted, scratch, dx)
        };
        let mut dx = zeros(if wanted.input { x.len() } else { 0 });
        let sums: Vec<[Vec<f32>; 2]> = if wanted.input && !dx.is_empty() {
            let chunks = dx
                .par_chunks_mut(images * geometry.image_size())
                .enumerate();
            let sums = chunks.map_init(Scratch::default, |scratch, (index, dx)| {
                part(scratch, index, dx)
            });
            sums.collect()
        } else {
            let parts = (0..parts).into_par_iter();
            parts
                .map_init(Scratch::default, |scratch, index| {
                    part(scratch, index, &mut [])
                })
                .collect()
        };
        let [weight, bias] = added(
            sums,
            [
                if wanted.weight { w.len() } else { 0 },
                if wanted.bias {
                    geometry.groups * geometry.outputs
                } else {
                    0
                },
            ],
        );
        Gradients {
            input: dx,
            weight,
            bias,
        }
    }

    /// The convolution that gives the gradient of the input of that of the result, where it is one of the
    /// same kind.
    fn transposed(&self) -> Option<Self> {
        let geometry = &self.geometry;
        let axis = |axis: Axis| {
            Some(Axis {
                size: axis.positions,
                before: ((axis.kernel - 1) * axis.dilation).checked_sub(axis.before)?,
                positions: axis.size,
                ..axis
            })
        };
        let axes = [axis(geometry.rows)?, axis(geometry.columns)?];
        let channels = [geometry.groups, geometry.outputs, geometry.inputs];
        let is_plain = geometry.rows.stride == 1 && geometry.columns.stride == 1;
        is_plain.then(|| Self {
            geometry: Geometry::new(geometry.batch_size, channels, axes),
            ..self.clone()
        })
    }

    /// The weights of this convolution, which is the transposed one of that by `w`.
    fn pack_transposed(&self, w: &[f32]) -> Vec<Packed> {
        let Geometry {
            groups,
            inputs,
            outputs,
            ..
        } = self.geometry;
        if self.is_tiled() {
            let (kernels, _) = w.as_chunks::<9>();
            return Winograd::weights([inputs, outputs], self.path, |output, input| {
                let mut kernel = kernels[input * outputs + output];
                kernel.reverse();
                kernel
            });
        }
        let taps = self.geometry.taps();
        let weight = |group: usize, output: usize, place: usize| {
            let (input, tap) = (group * inputs + place / taps, place % taps);
            w[(input * outputs + output) * taps + taps - 1 - tap]
        };
        if self.is_small() {
            let shape = [inputs * taps, outputs];
            return vec![Columns::weights(shape, self.path, |output, place| {
                weight(0, output, place)
            })];
        }
        let pack = |group: usize| {
            Packed::new(outputs, inputs * taps, self.block(), |output, place| {
                weight(group, output, place)
            })
        };
        (0..groups).map(pack).collect()
    }

    /// The weights of each group and phase as the gradient of the input reads them.
    fn pack_back(&self, w: &[f32]) -> Vec<(Vec<usize>, Vec<Packed>)> {
        let geometry = &self.geometry;
        let (taps, outputs, depth) = (geometry.taps(), geometry.outputs, geometry.depth());
        let distances = geometry.distances();
        let of_phase = |phase: usize| -> (Vec<usize>, Vec<Packed>) {
            let these: Vec<usize> = (0..taps)
                .filter(|&tap| distances[tap][0] == phase)
                .collect();
            let pack = |group: usize| {
                Packed::new(
                    geometry.inputs,
                    outputs * these.len(),
                    self.block(),
                    |input, place| {
                        let (output, tap) = (place / these.len(), these[place % these.len()]);
                        w[(group * outputs + output) * depth + input * taps + tap]
                    },
                )
            };
            let groups = (0..geometry.groups).map(pack).collect();
            (these.iter().map(|&tap| distances[tap][1]).collect(), groups)
        };
        (0..geometry.phases.len()).map(of_phase).collect()
    }

    /// The gradients of some images; `dx` is theirs, those of weight and bias are their sums.
    #[expect(
        clippy::too_many_arguments,
        reason = "what a backward pass reads and writes"
    )]
    fn backward_part(
        &self,
        x: &[f32],
        back: &[(Vec<usize>, Vec<Packed>)],
        dy: &[f32],
        images: Range<usize>,
        wanted: Wanted,
        scratch: &mut Scratch,
        dx: &mut [f32],
    ) -> [Vec<f32>; 2] {
        let geometry = &self.geometry;
        let channels = geometry.groups * geometry.outputs;
        let weights = if wanted.weight {
            channels * geometry.depth()
        } else {
            0
        };
        let mut dw = vec![0.0_f32; weights];
        let mut db = vec![0.0_f32; if wanted.bias { channels } else { 0 }];
        if self.has_small_gradient() && wanted.weight && !wanted.input {
            let columns = Columns::new(geometry, self.path);
            columns.weight_gradient(x, dy, images.clone(), &mut scratch.columns, &mut dw);
            let size = self.image_size();
            let planes =
                dy[images.start * size..images.end * size].chunks_exact(geometry.out_area());
            for (index, plane) in planes.enumerate() {
                if let Some(db) = db.get_mut(index % channels) {
                    *db += sum(plane);
                }
            }
            return [dw, db];
        }
        let in_plane = geometry.images_in_plane();
        let (size, input_size) = (self.image_size(), geometry.image_size());
        let plane = geometry.plane(in_plane);
        for first in images.clone().step_by(in_plane) {
            let these = first..(first + in_plane).min(images.end);
            let Scratch {
                planes,
                slopes,
                rows,
                ..
            } = &mut *scratch;
            // [channels, reach and plane], with zeros where no position is.
            let slopes = slopes.take(channels * plane);
            self.put(&dy[first * size..], these.len(), plane, slopes);
            if wanted.weight {
                let planes = self.lay(x, these.clone(), plane, planes);
                self.weight_gradient(planes, slopes, plane, these.len(), &mut dw);
            }
            if wanted.input {
                let from = (first - images.start) * input_size;
                let dx = &mut dx[from..from + these.len() * input_size];
                self.input_gradient(back, slopes, plane, these.len(), rows, dx);
            }
            for (db, row) in db.iter_mut().zip(slopes.chunks_exact(plane)) {
                *db += sum(row);
            }
        }
        [dw, db]
    }

    /// Puts gradients of the result of some images down, each channel behind as many zeros as a tap reaches.
    fn put(&self, dy: &[f32], images: usize, plane: usize, slopes: &mut [f32]) {
        let (geometry, size) = (&self.geometry, self.image_size());
        let reach = geometry.lead();
        for (channel, row) in slopes.chunks_exact_mut(plane).enumerate() {
            let row = &mut row[reach..];
            let places = self.places.lines(geometry, channel);
            for (image, dy) in dy.chunks_exact(size).take(images).enumerate() {
                places.put(geometry, image, dy, row);
            }
            row[images * geometry.image..].fill(0.0);
        }
    }

    fn weight_gradient(
        &self,
        planes: &[f32],
        slopes: &[f32],
        plane: usize,
        images: usize,
        dw: &mut [f32],
    ) {
        let geometry = &self.geometry;
        let reads = geometry.reads(plane);
        let of_group = geometry.inputs * geometry.phases.len() * plane;
        let dw = dw.chunks_exact_mut(geometry.outputs * geometry.depth());
        for (group, into) in dw.enumerate() {
            self.path.run(Correlation {
                planes: &planes[group * of_group..][..of_group],
                reads: &reads,
                slopes: &slopes[group * geometry.outputs * plane + geometry.lead()..],
                pitch: plane,
                places: geometry.span(images),
                into,
            });
        }
    }

    fn input_gradient(
        &self,
        back: &[(Vec<usize>, Vec<Packed>)],
        slopes: &[f32],
        plane: usize,
        images: usize,
        rows: &mut Buffer,
        dx: &mut [f32],
    ) {
        let geometry = &self.geometry;
        let (inputs, outputs, reach) = (geometry.inputs, geometry.outputs, geometry.lead());
        let bias = vec![0.0_f32; self.block()];
        for (phase, (distances, weights)) in geometry.phases.iter().zip(back) {
            // From the first line of pixels to the last.
            let (start, places) = geometry.pixel_span(*phase, images);
            let pitch = lines(places + SLACK);
            let rows = rows.take_any(self.block() * pitch);
            let reads: Vec<usize> = (0..outputs)
                .flat_map(|output| {
                    distances
                        .iter()
                        .map(move |distance| output * plane + reach + start - distance)
                })
                .collect();
            for (group, weights) in weights.iter().enumerate() {
                let slopes = &slopes[group * outputs * plane..][..outputs * plane];
                for (first, count, weights) in weights.blocks() {
                    self.path.run(Product {
                        planes: slopes,
                        reads: &reads,
                        weights,
                        bias: &bias[..count],
                        out: &mut rows[..count * pitch],
                        pitch,
                        places,
                        adds: false,
                    });
                    let channels = (group * inputs + first..).zip(rows.chunks_exact(pitch));
                    for (channel, row) in channels.take(count) {
                        for image in 0..images {
                            let at = image * geometry.image_size() + channel * geometry.area();
                            let dx = &mut dx[at..at + geometry.area()];
                            geometry.lift(*phase, [image, start], row, dx);
                        }
                    }
                }
            }
        }
    }
}

/// The sums of all parts, in their order.
fn added(sums: Vec<[Vec<f32>; 2]>, sizes: [usize; 2]) -> [Vec<f32>; 2] {
    let mut sums = sums.into_iter();
    let mut all = sums
        .next()
        .unwrap_or_else(|| sizes.map(|size| vec![0.0; size]));
    let parts: Vec<[Vec<f32>; 2]> = sums.collect();
    for (which, all) in all.iter_mut().enumerate() {
        let add = |(place, all): (usize, &mut [f32])| {
            let from = place * AT_A_TIME;
            for part in &parts {
                let part = &part[which][from..from + all.len()];
                all.iter_mut()
                    .zip(part)
                    .for_each(|(all, part)| *all += part);
            }
        };
        if all.len() * parts.len() < MANY {
            all.chunks_mut(AT_A_TIME).enumerate().for_each(add);
        } else {
            all.par_chunks_mut(AT_A_TIME).enumerate().for_each(add);
        }
    }
    all
}

fn sum(row: &[f32]) -> f32 {
    let (whole, rest) = row.as_chunks::<16>();
    let mut lanes = [0.0_f32; 16];
    for values in whole {
        lanes
            .iter_mut()
            .zip(values)
            .for_each(|(lane, value)| *lane += value);
    }
    lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()
}
