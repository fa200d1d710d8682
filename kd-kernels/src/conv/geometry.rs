//! A convolution over long rows: where in a plane with its padding each tap of the kernel reads.
//!
//! The lines of a channel are put down one behind the other, each with its padding, and images one behind the
//! other, so that a plane is one long row. A position of the result is a place in that row, and each tap of
//! the kernel reads at a fixed distance from it. The padding behind a line is the padding before the next.
//! Places between lines are of no position; what is computed there is not read.
//!
//! With a stride of `s` there are `s * s` such planes: one for each remainder of line and column. A tap reads
//! one of them, again at a fixed distance.

use crate::buffer::LINE;

/// Floats behind a plane, so that vectors may read beyond its last position.
pub(super) const SLACK: usize = 128;
/// Floats of a plane, about: several small images share one, so that the ends of vectors are few.
const PLANE: usize = 1024;
/// Floats of all planes of some images, at most, unless one image has more: they stay in the second-level
/// cache.
const PLANES: usize = 1 << 17;

/// Floats in whole cache lines, and not so many that rows of them fall onto the same places of a cache.
pub(super) fn lines(floats: usize) -> usize {
    let floats = floats.next_multiple_of(LINE);
    if floats.is_multiple_of(16 * LINE) {
        floats + LINE
    } else {
        floats
    }
}

/// One direction of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) size: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    /// Padding before the first pixel; that behind the last follows from the number of positions.
    pub(super) before: usize,
    /// Positions.
    pub(super) positions: usize,
}

impl Axis {
    /// The plane that tap `tap` reads, and its distance there.
    pub(super) fn tap(&self, tap: usize) -> [usize; 2] {
        let place = tap * self.dilation;
        [place % self.stride, place / self.stride]
    }

    /// The largest distance of a tap.
    fn reach(&self) -> usize {
        (self.kernel - 1) * self.dilation / self.stride
    }

    /// Zeros before the first pixel of a plane.
    pub(super) fn lead(&self, phase: usize) -> usize {
        self.before.saturating_sub(phase).div_ceil(self.stride)
    }

    /// The place behind the last pixel of a plane.
    fn end(&self, phase: usize) -> usize {
        let all = self.before + self.size;
        all.saturating_sub(phase).div_ceil(self.stride)
    }

    /// The first pixel of a plane, and how many there are, each `stride` behind the one before.
    pub(super) fn pixels(&self, phase: usize) -> [usize; 2] {
        let lead = self.lead(phase);
        let first = (lead * self.stride + phase).saturating_sub(self.before);
        [first, self.end(phase).saturating_sub(lead)]
    }

    /// From a line to the next in a plane: pixels and the zeros between them, those before and behind shared.
    fn pitch(&self) -> usize {
        let needed = self.positions + self.reach();
        let of_phase = |phase| self.end(phase).max(needed.saturating_sub(self.lead(phase)));
        let longest = (0..self.stride)
            .filter(|&phase| self.has_taps(phase))
            .map(of_phase)
            .max();
        longest.unwrap_or(0).max(self.positions)
    }

    fn has_taps(&self, phase: usize) -> bool {
        (0..self.kernel).any(|tap| self.tap(tap)[0] == phase)
    }
}

/// A convolution of a batch, and how it lies in planes.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub(super) batch_size: usize,
    pub(super) groups: usize,
    /// Channels of a group.
    pub(super) inputs: usize,
    /// Channels of a group of the result.
    pub(super) outputs: usize,
    pub(super) rows: Axis,
    pub(super) columns: Axis,
    /// From a line to the next in a plane.
    pub(super) pitch: usize,
    /// From an image to the next in a plane.
    pub(super) image: usize,
    /// The remainders of line and column that taps read, a plane each.
    pub(super) phases: Vec<[usize; 2]>,
}

impl Geometry {
    pub(super) fn new(
        batch_size: usize,
        [groups, inputs, outputs]: [usize; 3],
        [rows, columns]: [Axis; 2],
    ) -> Self {
        let pitch = columns.pitch();
        let downs = (0..rows.stride).filter(|&phase| rows.has_taps(phase));
        let rights = || (0..columns.stride).filter(|&phase| columns.has_taps(phase));
        let phases = downs
            .flat_map(|down| rights().map(move |right| [down, right]))
            .collect();
        Self {
            batch_size,
            groups,
            inputs,
            outputs,
            rows,
            columns,
            pitch,
            image: rows.pitch() * pitch,
            phases,
        }
    }

    /// Taps of a kernel.
    pub(super) fn taps(&self) -> usize {
        self.rows.kernel * self.columns.kernel
    }

    /// Numbers of the weight of one channel of the result.
    pub(super) fn depth(&self) -> usize {
        self.inputs * self.taps()
    }

    /// Pixels of an image.
    pub(super) fn area(&self) -> usize {
        self.rows.size * self.columns.size
    }

    /// Positions of an image.
    pub(super) fn out_area(&self) -> usize {
        self.rows.positions * self.columns.positions
    }

    pub(super) fn image_size(&self) -> usize {
        self.groups * self.inputs * self.area()
    }

    /// Images that share a plane.
    pub(super) fn images_in_plane(&self) -> usize {
        let planes = self.groups * (self.inputs * self.phases.len()).max(self.outputs);
        let small = PLANE.div_ceil(self.image.max(1));
        let cached = PLANES / (self.image * planes).max(1);
        small.min(cached).min(self.batch_size.div_ceil(4)).max(1)
    }

    /// Whether the images of a batch are planes as they lie there: a kernel of one pixel, and positions that
    /// fill whole vectors.
    pub(super) fn is_dense(&self) -> bool {
        let plain =
            |axis: &Axis| axis.kernel == 1 && axis.stride == 1 && axis.positions == axis.size;
        let fills = self.area().is_multiple_of(16) && self.area() >= 64;
        plain(&self.rows)
            && plain(&self.columns)
            && self.columns.before == 0
            && self.rows.before == 0
            && fills
    }

    /// The farthest that a tap reads from its position.
    fn reach(&self) -> usize {
        self.rows.reach() * self.pitch + self.columns.reach()
    }

    /// Zeros before the first position in a plane of gradients: as many as a tap reaches, in whole cache
    /// lines.
    pub(super) fn lead(&self) -> usize {
        self.reach().next_multiple_of(LINE)
    }

    /// Floats of a plane of `images` images.
    pub(super) fn plane(&self, images: usize) -> usize {
        lines(images * self.image + self.lead() + SLACK)
    }

    /// Places from the first position of `images` images to the last.
    pub(super) fn span(&self, images: usize) -> usize {
        images.saturating_sub(1) * self.image
            + self.rows.positions.saturating_sub(1) * self.pitch
            + self.columns.positions
    }

    /// The first place of a line of pixels of `images` images, and places from there to the last pixel.
    pub(super) fn pixel_span(&self, [down, right]: [usize; 2], images: usize) -> (usize, usize) {
        let [_, lines] = self.rows.pixels(down);
        let first = self.rows.lead(down) * self.pitch;
        let last = lines.saturating_sub(1) * self.pitch + self.columns.end(right);
        (first, images.saturating_sub(1) * self.image + last)
    }

    /// For each tap the plane that it reads, as an index of `phases`, and its distance.
    pub(super) fn distances(&self) -> Vec<[usize; 2]> {
        let taps = (0..self.rows.kernel)
            .flat_map(|down| (0..self.columns.kernel).map(move |right| [down, right]));
        taps.map(|[down, right]| {
            let ([row_phase, row], [column_phase, column]) =
                (self.rows.tap(down), self.columns.tap(right));
            let phase = [row_phase, column_phase];
            let index = self
                .phases
                .iter()
                .position(|found| *found == phase)
                .unwrap_or(0);
            [index, row * self.pitch + column]
        })
        .collect()
    }

    /// Where each number of a channel's weight reads: the planes of a group's channels lie one behind the
    /// other.
    pub(super) fn reads(&self, plane: usize) -> Vec<usize> {
        let taps = self.distances();
        let channels = (0..self.inputs).flat_map(|channel| {
            let first = channel * self.phases.len();
            taps.iter()
                .map(move |[phase, distance]| (first + phase) * plane + distance)
        });
        channels.collect()
    }
}
