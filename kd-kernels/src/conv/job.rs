//! One convolution of a batch on slices, on all threads: which way it is computed, and the result.

mod backward;

pub(super) use backward::Wanted;

use std::ops::Range;

use rayon::prelude::*;

use super::columns::{self, Columns};
use super::geometry::{Axis, Geometry, SLACK, lines};
use super::kernels::{Packed, Product};
use super::planes::Places;
use super::winograd::{self, Winograd};
use crate::buffer::Buffer;
use crate::numbers::{positive, zeros};
use crate::simd::Path;

/// A convolution, how it is computed, and where its result is put.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) geometry: Geometry,
    pub(super) places: Places,
    pub(super) path: Path,
}

/// What is done to a result before it is written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Finish<'a> {
    /// Added to it, of its shape.
    pub(super) addend: Option<&'a [f32]>,
    /// Whether negative numbers become 0.
    pub(super) relu: bool,
}

impl<'a> Finish<'a> {
    /// For a part of the result.
    fn of(self, range: Range<usize>) -> Self {
        let addend = self.addend.map(|addend: &'a [f32]| &addend[range]);
        Self { addend, ..self }
    }

    /// Finishes numbers that are already in place: those of `range`.
    fn apply(&self, range: Range<usize>, y: &mut [f32]) {
        if let Some(addend) = self.addend {
            y.iter_mut()
                .zip(&addend[range])
                .for_each(|(y, more)| *y += more);
        }
        if self.relu {
            for y in y.iter_mut() {
                *y = positive(*y);
            }
        }
    }
}

/// Buffers of a thread, used again for each of its tasks.
#[derive(Debug, Default)]
struct Scratch {
    planes: Buffer,
    slopes: Buffer,
    rows: Buffer,
    tiles: winograd::Buffers,
    columns: columns::Buffers,
}

/// Channels of input and result from which on tiles are worth the additions that they cost.
const TILED_CHANNELS: usize = 48;
/// Height and width of a result from which on few of its tiles are padding.
const TILED_SIZE: usize = 8;
/// Positions of a line from which on lines fill vectors.
const SMALL_LINE: usize = 8;
/// Channels from which on gathering what positions see is little beside the product.
const SMALL_CHANNELS: usize = 32;

/// The planes that one product reads: where, and how many floats each has.
struct Source<'a> {
    planes: &'a [f32],
    plane: usize,
    images: usize,
}

impl Job {
    /// `[channels, height, width]` of the result.
    pub(super) fn image(&self) -> [usize; 3] {
        self.places.image(&self.geometry)
    }

    /// The shape of the result.
    pub(super) fn shape(&self) -> [usize; 4] {
        let [channels, height, width] = self.image();
        [self.geometry.batch_size, channels, height, width]
    }

    /// Numbers of one image of the result.
    fn image_size(&self) -> usize {
        self.image().iter().product()
    }

    /// Channels that are computed at once.
    fn block(&self) -> usize {
        self.path.block()
    }

    /// Whether the result is computed by tiles. This goes by the layer alone, so that what an image gives
    /// does not depend on the batch.
    pub(super) fn is_tiled(&self) -> bool {
        let geometry = &self.geometry;
        let plain = |axis: &Axis| {
            (axis.kernel, axis.stride, axis.dilation) == (3, 1, 1) && axis.positions >= TILED_SIZE
        };
        let few = geometry.inputs.min(geometry.outputs) < TILED_CHANNELS;
        let plain = plain(&geometry.rows) && plain(&geometry.columns) && geometry.groups == 1;
        plain && !few && self.places == Places::Plain
    }

    /// Whether the result is computed position by position, because its lines fill no vectors. This goes by
    /// the layer alone, too.
    pub(super) fn is_small(&self) -> bool {
        let geometry = &self.geometry;
        let is_small =
            geometry.columns.positions < SMALL_LINE && geometry.outputs >= SMALL_CHANNELS;
        is_small && geometry.groups == 1 && self.places == Places::Plain
    }

    /// Whether the gradient of the weight is computed position by position: its sums over a short line cost
    /// as much as the line.
    fn has_small_gradient(&self) -> bool {
        let geometry = &self.geometry;
        let few =
            geometry.columns.positions <= SMALL_LINE && geometry.outputs >= 4 * SMALL_CHANNELS;
        self.is_small() || (few && geometry.groups == 1 && self.places == Places::Plain)
    }

    /// Weights as the kernels read them: for each group, or for each place of a tile.
    pub(super) fn pack(&self, w: &[f32]) -> Vec<Packed> {
        let Geometry {
            groups,
            inputs,
            outputs,
            ..
        } = self.geometry;
        if self.is_tiled() {
            let (kernels, _) = w.as_chunks::<9>();
            let weight = |output: usize, input: usize| kernels[output * inputs + input];
            return Winograd::weights([inputs, outputs], self.path, weight);
        }
        let depth = self.geometry.depth();
        if self.is_small() {
            let weight = |output: usize, place: usize| w[output * depth + place];
            return vec![Columns::weights([depth, outputs], self.path, weight)];
        }
        let pack = |group: usize| {
            Packed::new(outputs, depth, self.block(), |channel, place| {
                w[(group * outputs + channel) * depth + place]
            })
        };
        (0..groups).map(pack).collect()
    }

    /// The result for the whole batch, with weights that [`Job::pack`] gave.
    pub(super) fn forward(
        &self,
        x: &[f32],
        weights: &[Packed],
        b: &[f32],
        finish: Finish<'_>,
    ) -> Vec<f32> {
        let geometry = &self.geometry;
        let mut y = zeros(geometry.batch_size * self.image_size());
        if y.is_empty() {
            return y;
        }
        let tiles = self
            .is_tiled()
            .then(|| Winograd::new(geometry, weights, self.path));
        let columns = self.is_small().then(|| Columns::new(geometry, self.path));
        let way = (tiles.as_ref(), columns.as_ref());
        let tasks = 2 * rayon::current_num_threads();
        if geometry.batch_size < tasks && self.places == Places::Plain && tasks > 2 {
            self.forward_by_channels(x, weights, way, b, finish, &mut y);
            return y;
        }
        let most = match way {
            (Some(tiles), _) => tiles.images(),
            (_, Some(columns)) => columns.images(),
            _ if geometry.is_dense() => 1,
            _ => geometry.images_in_plane(),
        };
        let most = most.min(geometry.batch_size.div_ceil(tasks));
        let size = self.image_size();
        let chunks = y.par_chunks_mut(most * size).enumerate();
        chunks.for_each_init(Scratch::default, |scratch, (chunk, y)| {
            let images = chunk * most..chunk * most + y.len() / size;
            let finish = finish.of(images.start * size..images.end * size);
            let all = 0..geometry.groups * geometry.outputs;
            if let Some(tiles) = &tiles {
                tiles.forward(x, images, most, all, b, finish, &mut scratch.tiles, y);
                return;
            }
            if let Some(columns) = &columns {
                let buffers = &mut scratch.columns;
                columns.forward(x, images, &weights[0], all, b, finish, buffers, y);
                return;
            }
            let source = self.source(x, images, most, &mut scratch.planes);
            self.product(&source, weights, b, all, finish, &mut scratch.rows, y);
        });
        y
    }

    /// The result of few images, the channels of each divided among the threads.
    fn forward_by_channels(
        &self,
        x: &[f32],
        weights: &[Packed],
        (tiles, columns): (Option<&Winograd<'_>>, Option<&Columns<'_>>),
        b: &[f32],
        finish: Finish<'_>,
        y: &mut [f32],
    ) {
        let geometry = &self.geometry;
        // A thread that computes by tiles transforms the input anew.
        let tasks = if tiles.is_some() { 1 } else { 2 } * rayon::current_num_threads();
        let unit = match columns {
            Some(_) => Columns::strip(self.path),
            None if geometry.groups == 1 => self.block(),
            None => geometry.outputs,
        };
        let channels = geometry.groups * geometry.outputs;
        let channels = channels.div_ceil(unit).div_ceil(tasks) * unit;
        let size = self.image_size();
        let mut planes = Buffer::default();
        for (image, y) in y.chunks_exact_mut(size).enumerate() {
            let finish = finish.of(image * size..(image + 1) * size);
            let images = image..image + 1;
            let source = (tiles.is_none() && columns.is_none())
                .then(|| self.source(x, images.clone(), 1, &mut planes));
            let chunks = y.par_chunks_mut(channels * geometry.out_area()).enumerate();
            chunks.for_each_init(Scratch::default, |scratch, (chunk, y)| {
                let first = chunk * channels;
                let these = first..first + y.len() / geometry.out_area();
                if let Some(source) = &source {
                    self.product(source, weights, b, these, finish, &mut scratch.rows, y);
                } else if let Some(tiles) = tiles {
                    let buffers = &mut scratch.tiles;
                    tiles.forward(x, images.clone(), 1, these, b, finish, buffers, y);
                } else if let Some(columns) = columns {
                    let (images, buffers) = (images.clone(), &mut scratch.columns);
                    columns.forward(x, images, &weights[0], these, b, finish, buffers, y);
                }
            });
        }
    }

    /// What a product of some images of the batch reads: planes for at most `most` images, or the batch
    /// itself.
    fn source<'a>(
        &self,
        x: &'a [f32],
        images: Range<usize>,
        most: usize,
        planes: &'a mut Buffer,
    ) -> Source<'a> {
        let (geometry, count) = (&self.geometry, images.len());
        if most == 1 && geometry.is_dense() {
            let size = geometry.image_size();
            let planes = &x[images.start * size..][..size];
            return Source {
                planes,
                plane: geometry.area(),
                images: 1,
            };
        }
        let plane = geometry.plane(most);
        let planes = self.lay(x, images, plane, planes);
        Source {
            planes,
            plane,
            images: count,
        }
    }

    /// Puts some images of the batch down.
    fn lay<'a>(
        &self,
        x: &[f32],
        images: Range<usize>,
        plane: usize,
        planes: &'a mut Buffer,
    ) -> &'a [f32] {
        let geometry = &self.geometry;
        let size = geometry.image_size();
        let all = geometry.groups * geometry.inputs * geometry.phases.len() * plane;
        let planes = planes.take(all);
        geometry.lay(&x[images.start * size..], images.len(), plane, planes);
        planes
    }

    /// Computes `channels` of the result for the images of `source` and puts them into `y`, which begins with
    /// the first of these channels.
    #[expect(clippy::too_many_arguments, reason = "what a product reads and writes")]
    fn product(
        &self,
        source: &Source<'_>,
        weights: &[Packed],
        b: &[f32],
        channels: Range<usize>,
        finish: Finish<'_>,
        rows: &mut Buffer,
        y: &mut [f32],
    ) {
        let geometry = &self.geometry;
        let outputs = geometry.outputs;
        let places = geometry.span(source.images);
        let pitch = lines(places + SLACK);
        let rows = rows.take_any(self.block() * pitch);
        let reads = geometry.reads(source.plane);
        let size = self.image_size();
        let before = if source.images == 1 {
            channels.start * geometry.out_area()
        } else {
            0
        };
        for group in channels.start / outputs..channels.end.div_ceil(outputs) {
            let of_group = geometry.inputs * geometry.phases.len() * source.plane;
            let planes = &source.planes[group * of_group..][..of_group];
            for (first, count, weights) in weights[group].blocks() {
                let first = group * outputs + first;
                if !channels.contains(&first) {
                    continue;
                }
                let bias = &b[first..first + count];
                let is_whole = geometry.is_dense() && source.images == 1;
                let (out, pitch) = if is_whole {
                    let area = geometry.out_area();
                    let from = (first - channels.start) * area;
                    (&mut y[from..from + count * area], area)
                } else {
                    (&mut rows[..count * pitch], pitch)
                };
                let reads = &reads;
                let adds = false;
                self.path.run(Product {
                    planes,
                    reads,
                    weights,
                    bias,
                    out,
                    pitch,
                    places,
                    adds,
                });
                if is_whole {
                    let range = first * pitch..(first + count) * pitch;
                    let from = (first - channels.start) * pitch;
                    finish.apply(range, &mut y[from..from + count * pitch]);
                    continue;
                }
                for (channel, row) in (first..).zip(rows.chunks_exact(pitch).take(count)) {
                    let places = self.places.lines(geometry, channel);
                    for image in 0..source.images {
                        let range = image * size..;
                        let addend = finish.addend.map(|addend| &addend[range.clone()]);
                        places.take(
                            geometry,
                            row,
                            [image, before],
                            &mut y[range],
                            addend,
                            finish.relu,
                        );
                    }
                }
            }
        }
    }
}
