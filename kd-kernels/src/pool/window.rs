//! The windows of a pooling: the largest number of each, and where it is.

use std::ops::Range;

use rayon::prelude::*;

use crate::numbers::zeros;

/// Pixels that a task has at least.
const PIXELS: usize = 1 << 14;

/// One axis of a pooling.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) size: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    /// Padding before the first pixel.
    pub(super) before: usize,
    pub(super) positions: usize,
}

impl Axis {
    /// The pixels that the window at `position` sees.
    fn pixels(&self, position: usize) -> Range<usize> {
        let start = position * self.stride;
        let end = (start + self.kernel).saturating_sub(self.before);
        start.saturating_sub(self.before)..end.min(self.size)
    }
}

/// The windows of a pooling over every channel of every image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    pub(super) rows: Axis,
    pub(super) columns: Axis,
}

/// The larger number; none if one of them is none.
fn larger(one: f32, other: f32) -> f32 {
    if other > one || other.is_nan() {
        other
    } else {
        one
    }
}

impl Windows {
    fn area(&self) -> usize {
        self.rows.size * self.columns.size
    }

    fn out_area(&self) -> usize {
        self.rows.positions * self.columns.positions
    }

    /// Channels that one task does.
    fn channels(&self) -> usize {
        (PIXELS / self.area().max(1)).max(1)
    }

    /// The maximum of every window; `x` holds channels, one behind the other.
    pub(super) fn maxima(&self, x: &[f32]) -> Vec<f32> {
        let channels = self.channels();
        let mut y = zeros(x.len() / self.area() * self.out_area());
        let tasks = y.par_chunks_mut(channels * self.out_area());
        tasks
            .zip(x.par_chunks(channels * self.area()))
            .for_each(|(y, x)| {
                let mut line = vec![0.0; self.columns.size];
                let planes = x.chunks_exact(self.area());
                for (x, y) in planes.zip(y.chunks_exact_mut(self.out_area())) {
                    self.maxima_of_plane(x, y, &mut line);
                }
            });
        y
    }

    fn maxima_of_plane(&self, x: &[f32], y: &mut [f32], line: &mut [f32]) {
        let width = self.columns.size;
        for (row, y) in y.chunks_exact_mut(self.columns.positions).enumerate() {
            let rows = self.rows.pixels(row);
            line.copy_from_slice(&x[rows.start * width..][..width]);
            for row in rows.skip(1) {
                let row = &x[row * width..][..width];
                for (line, &pixel) in line.iter_mut().zip(row) {
                    *line = larger(*line, pixel);
                }
            }
            for (column, y) in y.iter_mut().enumerate() {
                let pixels = &line[self.columns.pixels(column)];
                let (first, rest) = pixels.split_first().unwrap_or((&f32::NAN, &[]));
                *y = rest.iter().copied().fold(*first, larger);
            }
        }
    }

    /// The gradient of the pixels: every result's goes to the first pixel of its window that has its value.
    pub(super) fn gradient(&self, x: &[f32], y: &[f32], dy: &[f32]) -> Vec<f32> {
        let channels = self.channels();
        let (size, out_size) = (channels * self.area(), channels * self.out_area());
        let mut dx = zeros(x.len());
        dx.par_chunks_mut(size).enumerate().for_each(|(task, dx)| {
            let planes = dx.chunks_exact_mut(self.area());
            let x = x[task * size..].chunks_exact(self.area());
            let y = y[task * out_size..].chunks_exact(self.out_area());
            let dy = dy[task * out_size..].chunks_exact(self.out_area());
            for (((dx, x), y), dy) in planes.zip(x).zip(y).zip(dy) {
                self.gradient_of_plane(x, y, dy, dx);
            }
        });
        dx
    }

    fn gradient_of_plane(&self, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]) {
        for (place, (y, dy)) in y.iter().zip(dy).enumerate() {
            let (row, column) = (
                place / self.columns.positions,
                place % self.columns.positions,
            );
            let is_it = |pixel: &f32| pixel >= y || (pixel.is_nan() && y.is_nan());
            let columns = self.columns.pixels(column);
            let found = self.rows.pixels(row).find_map(|row| {
                let from = row * self.columns.size + columns.start;
                let pixels = &x[from..from + columns.len()];
                Some(from + pixels.iter().position(is_it)?)
            });
            if let Some(pixel) = found {
                dx[pixel] += dy;
            }
        }
    }
}
