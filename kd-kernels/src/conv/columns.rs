//! The pixels under each position of a convolution, as the columns of a matrix.

use std::ops::Range;

/// Numbers of the matrix that a tile is of, about: it is to stay in a cache near a core.
const TILE: usize = 1 << 17;
/// Columns of a tile, at least and at most.
const WIDTH: [usize; 2] = [64, 1024];
/// Images that a tile may be of: more of them would leave too few tiles for the threads.
const IMAGES: usize = 16;

/// The matrix `[channels * kernel_height * kernel_width, positions]` of a batch, made tile by tile.
///
/// Without a stride the lines of an image are put down with their padding, one behind the other. What all
/// positions of some lines see through one place of the kernel is then one run of numbers. At the end of each
/// line some columns are of no position, and nothing is made of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    pub(super) batch_size: usize,
    pub(super) channels: usize,
    pub(super) size: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) padding: [usize; 2],
}

/// Some lines of positions of some images.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    pub(super) images: Range<usize>,
    pub(super) lines: Range<usize>,
    /// From the first column of a line to that of the next.
    pub(super) pitch: usize,
}

impl Tile {
    /// Columns of the tile: image by image, line by line.
    pub(super) fn width(&self) -> usize {
        self.images.len() * self.lines.len() * self.pitch
    }
}

impl Columns {
    pub(super) fn shape(&self) -> [usize; 4] {
        let [height, width] = self.size;
        [self.batch_size, self.channels, height, width]
    }

    pub(super) fn image_size(&self) -> usize {
        self.channels * self.size[0] * self.size[1]
    }

    /// What one position sees.
    pub(super) fn depth(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// Lines of positions, and positions in a line.
    pub(super) fn positions(&self) -> [usize; 2] {
        [0, 1].map(|axis| {
            let all = self.size[axis] + 2 * self.padding[axis];
            (all - self.kernel[axis]) / self.stride[axis] + 1
        })
    }

    /// Height and width with the padding.
    fn padded(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.size[axis] + 2 * self.padding[axis])
    }

    /// Whether images are put down with their padding: not where pixels are skipped, nor where most columns
    /// would be of no position.
    fn is_padded(&self) -> bool {
        self.stride == [1, 1] && 3 * (self.kernel[1] - 1) <= self.padded()[1]
    }

    fn pitch(&self) -> usize {
        if self.is_padded() {
            self.padded()[1]
        } else {
            self.positions()[1]
        }
    }

    /// How many lines of how many images a tile is of.
    fn tile(&self) -> [usize; 2] {
        let (lines, pitch) = (self.positions()[0], self.pitch());
        let width = (TILE / self.depth().max(1)).clamp(WIDTH[0], WIDTH[1]);
        let images = (width / (lines * pitch).max(1)).clamp(1, IMAGES);
        let in_tile = (width / pitch.max(1)).clamp(1, lines);
        [if images > 1 { lines } else { in_tile }, images]
    }

    /// How many images a tile is of: one, unless the maps are small.
    pub(super) fn images_in_tile(&self) -> usize {
        self.tile()[1]
    }

    /// The tiles of `images`, which are no more than a tile may be of.
    pub(super) fn tiles(&self, images: Range<usize>) -> impl Iterator<Item = Tile> + use<> {
        let lines = self.positions()[0];
        let [in_tile, _] = self.tile();
        let pitch = self.pitch();
        (0..lines).step_by(in_tile).map(move |top| Tile {
            images: images.clone(),
            lines: top..lines.min(top + in_tile),
            pitch,
        })
    }

    /// Numbers of one image as [`Columns::lay`] puts it down.
    fn laid_size(&self) -> usize {
        if self.is_padded() {
            self.channels * self.padded().iter().product::<usize>()
        } else {
            self.image_size()
        }
    }

    /// Puts `images` of the batch `x` down as the columns are made of them.
    pub(super) fn lay(&self, x: &[f32], images: &Range<usize>, laid: &mut Vec<f32>) {
        let size = self.image_size();
        let x = &x[images.start * size..images.end * size];
        if !self.is_padded() {
            laid.clear();
            laid.extend_from_slice(x);
            return;
        }
        self.blank(images.len(), laid);
        let width = self.size[1].max(1);
        for (from, place) in x.chunks_exact(width).zip(self.padded_lines()) {
            laid[place..place + width].copy_from_slice(from);
        }
    }

    /// Zeros in the place of so many images.
    pub(super) fn blank(&self, images: usize, laid: &mut Vec<f32>) {
        // The last run ends behind the last line.
        let behind = self.kernel[1] - 1;
        laid.clear();
        laid.resize(images * self.laid_size() + behind, 0.0);
    }

    /// Takes the gradient of some images out of what was put down for them.
    pub(super) fn lift(&self, laid: &[f32], dx: &mut [f32]) {
        if !self.is_padded() {
            dx.copy_from_slice(&laid[..dx.len()]);
            return;
        }
        let width = self.size[1].max(1);
        for (to, place) in dx.chunks_exact_mut(width).zip(self.padded_lines()) {
            to.copy_from_slice(&laid[place..place + width]);
        }
    }

    /// Where the lines of the planes of images begin between their padding, plane by plane.
    fn padded_lines(&self) -> impl Iterator<Item = usize> + use<> {
        let ([height, _], [top, left]) = (self.size, self.padding);
        let [padded_height, pitch] = self.padded();
        (0..).flat_map(move |plane| {
            (0..height).map(move |line| (plane * padded_height + top + line) * pitch + left)
        })
    }

    /// The rows of a tile: channel, and line and pixel of the kernel.
    fn rows(&self) -> impl Iterator<Item = [usize; 3]> + use<> {
        let Self {
            channels,
            kernel: [height, width],
            ..
        } = *self;
        (0..channels).flat_map(move |channel| {
            (0..height).flat_map(move |down| (0..width).map(move |right| [channel, down, right]))
        })
    }

    /// For each image of a tile and each row: its place in the tile, which is of `lines * pitch` numbers, and
    /// where they are in what is laid down. For images with their padding.
    fn long_runs(&self, tile: &Tile, mut each: impl FnMut(Range<usize>, usize)) {
        let [height, pitch] = self.padded();
        let run = tile.lines.len() * pitch;
        let mut place = 0;
        for [channel, down, right] in self.rows() {
            for image in 0..tile.images.len() {
                let plane = (image * self.channels + channel) * height * pitch;
                each(
                    place..place + run,
                    plane + (tile.lines.start + down) * pitch + right,
                );
                place += run;
            }
        }
    }

    /// For each line of a tile and each row: its place in the tile, and where the pixels that its positions
    /// see are in what is laid down, with the range of positions that see one.
    fn short_runs(
        &self,
        tile: &Tile,
        mut each: impl FnMut(Range<usize>, Option<(Range<usize>, usize)>),
    ) {
        let ([height, width], [_, stride]) = (self.size, self.stride);
        let mut place = 0;
        for [channel, down, right] in self.rows() {
            let (left, line) = (self.padding[1], tile.pitch);
            let low = left.saturating_sub(right).div_ceil(stride).min(line);
            let high = (width + left).saturating_sub(right).div_ceil(stride);
            let inside = low..high.clamp(low, line);
            let pixel = (low * stride + right).saturating_sub(left);
            for image in 0..tile.images.len() {
                let plane = (image * self.channels + channel) * height * width;
                for line in tile.lines.clone() {
                    let y = (line * self.stride[0] + down).checked_sub(self.padding[0]);
                    let y = y.filter(|&y| y < height && !inside.is_empty());
                    let seen = y.map(|y| (inside.clone(), plane + y * width + pixel));
                    each(place..place + tile.pitch, seen);
                    place += tile.pitch;
                }
            }
        }
    }

    /// Writes the columns of a tile into `tall`, `[depth, width of the tile]`.
    pub(super) fn fill(&self, laid: &[f32], tile: &Tile, tall: &mut [f32]) {
        if self.is_padded() {
            self.long_runs(tile, |run, place| {
                let count = run.len();
                tall[run].copy_from_slice(&laid[place..place + count]);
            });
            return;
        }
        self.short_runs(tile, |run, seen| {
            let run = &mut tall[run];
            let Some((inside, pixel)) = seen else {
                run.fill(0.0);
                return;
            };
            run[..inside.start].fill(0.0);
            run[inside.end..].fill(0.0);
            let pixels = laid[pixel..].iter().step_by(self.stride[1]);
            run[inside]
                .iter_mut()
                .zip(pixels)
                .for_each(|(to, from)| *to = *from);
        });
    }

    /// Adds each number of `tall` to where [`Columns::fill`] would have taken it from.
    pub(super) fn add(&self, tall: &[f32], tile: &Tile, laid: &mut [f32]) {
        if self.is_padded() {
            self.long_runs(tile, |run, place| {
                let to = &mut laid[place..place + run.len()];
                to.iter_mut()
                    .zip(&tall[run])
                    .for_each(|(to, from)| *to += from);
            });
            return;
        }
        self.short_runs(tile, |run, seen| {
            let Some((inside, pixel)) = seen else { return };
            let pixels = laid[pixel..].iter_mut().step_by(self.stride[1]);
            pixels
                .zip(&tall[run][inside])
                .for_each(|(to, from)| *to += from);
        });
    }
}
