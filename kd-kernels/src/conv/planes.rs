//! Images put down in planes, and results taken out of them.

use std::ops::Range;

use super::geometry::Geometry;
use crate::numbers::positive;

/// Where the channels of a product belong in the result of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Places {
    /// Channel for channel, pixel for pixel.
    Plain,
    /// The channels are of four kinds of as many channels: those of the even and odd lines, and in each of
    /// the even and odd pixels, of a map of twice the size. Even ones begin at the first position, odd ones
    /// at the second.
    Doubled,
}

/// Lines of one channel, in a plane and in the result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    count: usize,
    length: usize,
    /// The first place in a plane.
    from: usize,
    /// The first place in an image of the result, from a line to the next, and from a pixel to the next.
    to: usize,
    line: usize,
    pixel: usize,
}

impl Places {
    /// `[channels, height, width]` of the result.
    pub(super) fn image(self, geometry: &Geometry) -> [usize; 3] {
        let channels = geometry.groups * geometry.outputs;
        let [lines, line] = [geometry.rows.positions, geometry.columns.positions];
        match self {
            Self::Plain => [channels, lines, line],
            Self::Doubled => [channels / 4, 2 * (lines - 1), 2 * (line - 1)],
        }
    }

    /// The lines of `channel`.
    pub(super) fn lines(self, geometry: &Geometry, channel: usize) -> Lines {
        let [channels, height, width] = self.image(geometry);
        match self {
            Self::Plain => Lines {
                count: height,
                length: width,
                from: 0,
                to: channel * height * width,
                line: width,
                pixel: 1,
            },
            Self::Doubled => {
                let (kind, channel) = (channel / channels, channel % channels);
                let (down, right) = (kind / 2, kind % 2);
                Lines {
                    count: height / 2,
                    length: width / 2,
                    from: down * geometry.pitch + right,
                    to: (channel * height + down) * width + right,
                    line: 2 * width,
                    pixel: 2,
                }
            }
        }
    }
}

impl Lines {
    /// For each line of an image: its places in the plane, and the first of its pixels in an image of the
    /// result.
    fn each(
        self,
        geometry: &Geometry,
        image: usize,
    ) -> impl Iterator<Item = (Range<usize>, usize)> {
        let (pitch, first) = (geometry.pitch, image * geometry.image + self.from);
        (0..self.count).map(move |line| {
            let from = first + line * pitch;
            (from..from + self.length, self.to + line * self.line)
        })
    }

    /// Takes the lines out of a plane and puts them into `image` of the result, which begins at number
    /// `before` of that image; with what is to be added there, and negative numbers as 0 if `relu`.
    pub(super) fn take(
        self,
        geometry: &Geometry,
        plane: &[f32],
        [image, before]: [usize; 2],
        result: &mut [f32],
        addend: Option<&[f32]>,
        relu: bool,
    ) {
        for (from, to) in self.each(geometry, image) {
            let (at, to, line) = (to, to - before, &plane[from]);
            if self.pixel != 1 {
                let pixels = result[to..].iter_mut().step_by(self.pixel);
                pixels.zip(line).for_each(|(to, from)| *to = *from);
                continue;
            }
            let result = &mut result[to..to + line.len()];
            match addend.map(|addend| &addend[at..at + line.len()]) {
                None if relu => {
                    let pixels = result.iter_mut().zip(line);
                    pixels.for_each(|(to, from)| *to = positive(*from));
                }
                None => copy(result, line),
                Some(addend) => {
                    let pixels = result.iter_mut().zip(line.iter().zip(addend));
                    if relu {
                        pixels.for_each(|(to, (from, more))| *to = positive(from + more));
                    } else {
                        pixels.for_each(|(to, (from, more))| *to = from + more);
                    }
                }
            }
        }
    }

    /// Puts the lines of an image of the result into a plane.
    pub(super) fn put(self, geometry: &Geometry, image: usize, result: &[f32], plane: &mut [f32]) {
        for (to, from) in self.each(geometry, image) {
            let line = &mut plane[to];
            if self.pixel == 1 {
                copy(line, &result[from..from + line.len()]);
            } else {
                let pixels = result[from..].iter().step_by(self.pixel);
                line.iter_mut()
                    .zip(pixels)
                    .for_each(|(to, from)| *to = *from);
            }
        }
    }
}

/// Copies a line. Those of the usual lengths are a few instructions, where a call for any length takes longer
/// than the copy.
#[inline]
fn copy(to: &mut [f32], from: &[f32]) {
    /// Four numbers each at the places that are given. As one integer, because the compiler makes a call of
    /// copies of arrays.
    macro_rules! fours {
        ($count:literal: $($place:literal)*) => {
            if let (Some(to), Some(from)) = (fours_mut::<$count>(to), fours::<$count>(from)) {
                $(to[$place] = pulp::cast(pulp::cast::<[f32; 4], u128>(from[$place]));)*
                return;
            }
        };
    }
    match from.len() {
        4 => fours!(1: 0),
        8 => fours!(2: 0 1),
        16 => fours!(4: 0 1 2 3),
        32 => fours!(8: 0 1 2 3 4 5 6 7),
        _ => {}
    }
    to.copy_from_slice(from);
}

/// Exactly so many groups of four numbers.
fn fours<const COUNT: usize>(values: &[f32]) -> Option<&[[f32; 4]; COUNT]> {
    values.as_chunks().0.try_into().ok()
}

/// As [`fours`], to be written.
fn fours_mut<const COUNT: usize>(values: &mut [f32]) -> Option<&mut [[f32; 4]; COUNT]> {
    values.as_chunks_mut().0.try_into().ok()
}

impl Geometry {
    /// Puts `images` down: `[channels, phases, plane]`. What lies between pixels is left as it is, and is to
    /// be zero.
    pub(super) fn lay(&self, x: &[f32], images: usize, plane: usize, planes: &mut [f32]) {
        let channels = self.groups * self.inputs;
        for channel in 0..channels {
            for (index, phase) in self.phases.iter().enumerate() {
                let to = &mut planes[(channel * self.phases.len() + index) * plane..][..plane];
                for image in 0..images {
                    let x = &x[(image * channels + channel) * self.area()..][..self.area()];
                    self.pixels(*phase, image, |places, pixels| {
                        let line = &mut to[places];
                        if self.columns.stride == 1 {
                            copy(line, &x[pixels..pixels + line.len()]);
                        } else {
                            let pixels = x[pixels..].iter().step_by(self.columns.stride);
                            line.iter_mut()
                                .zip(pixels)
                                .for_each(|(to, from)| *to = *from);
                        }
                    });
                }
                to[images * self.image..].fill(0.0);
            }
        }
    }

    /// Takes the pixels of a phase of one channel of an image out of a row of places, the first of which is
    /// place `before`.
    pub(super) fn lift(
        &self,
        phase: [usize; 2],
        [image, before]: [usize; 2],
        row: &[f32],
        x: &mut [f32],
    ) {
        self.pixels(phase, image, |places, pixels| {
            let line = &row[places.start - before..places.end - before];
            if self.columns.stride == 1 {
                copy(&mut x[pixels..pixels + line.len()], line);
            } else {
                let pixels = x[pixels..].iter_mut().step_by(self.columns.stride);
                pixels.zip(line).for_each(|(to, from)| *to = *from);
            }
        });
    }

    /// For each line of pixels of a phase: its places in the plane, and the first of its pixels in the
    /// channel.
    pub(super) fn pixels(
        &self,
        [down, right]: [usize; 2],
        image: usize,
        mut each: impl FnMut(Range<usize>, usize),
    ) {
        let ([top, lines], [left, line]) = (self.rows.pixels(down), self.columns.pixels(right));
        let lines = if line == 0 { 0 } else { lines };
        let first =
            image * self.image + self.rows.lead(down) * self.pitch + self.columns.lead(right);
        for index in 0..lines {
            let place = first + index * self.pitch;
            let pixel = (top + index * self.rows.stride) * self.columns.size + left;
            each(place..place + line, pixel);
        }
    }
}
