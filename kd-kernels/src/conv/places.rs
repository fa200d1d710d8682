//! The places of a product's rows in the result of a convolution.

use super::columns::Tile;

/// Where what a convolution gives for each row of its weight and each position is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Places {
    /// Row is channel, position is pixel.
    Plain,
    /// The rows are of four kinds of as many channels: those of the even and odd lines, and in each of the
    /// even and odd pixels, of a map of twice the size. Even ones begin at the first position, odd ones at
    /// the second.
    Doubled,
}

impl Places {
    /// `[channels, height, width]` of the result.
    pub(super) fn image(self, rows: usize, [lines, line]: [usize; 2]) -> [usize; 3] {
        match self {
            Self::Plain => [rows, lines, line],
            Self::Doubled => [rows / 4, 2 * (lines - 1), 2 * (line - 1)],
        }
    }

    /// For each line of the tile and each row: its place in the product, which positions of it count, and
    /// where the first of them is in the result, from which every `step`th number is theirs.
    fn runs(
        self,
        tile: &Tile,
        positions: [usize; 2],
        rows: usize,
        mut each: impl FnMut(usize, usize, std::ops::Range<usize>, usize),
    ) {
        let [channels, height, width] = self.image(rows, positions);
        let columns = tile.width();
        for row in 0..rows {
            let (channel, [odd_line, odd]) = match self {
                Self::Plain => (row, [0, 0]),
                Self::Doubled => {
                    let kind = row / channels;
                    (row % channels, [kind / 2, kind % 2])
                }
            };
            let mut place = row * columns;
            for image in tile.images.clone() {
                let plane = (image * channels + channel) * height * width;
                for line in tile.lines.clone() {
                    let (y, inside, x) = match self {
                        Self::Plain => (Some(line), 0..width, 0),
                        Self::Doubled => {
                            let y = line.checked_sub(odd_line).map(|line| 2 * line + odd_line);
                            (y, odd..odd + width / 2, odd)
                        }
                    };
                    if let Some(y) = y.filter(|&y| y < height) {
                        each(row, place, inside, plane + y * width + x);
                    }
                    place += tile.pitch;
                }
            }
        }
    }

    /// Puts the product of a tile with its bias into the result `y`, which begins at image `first`.
    pub(super) fn put(
        self,
        product: &[f32],
        bias: &[f32],
        tile: &Tile,
        positions: [usize; 2],
        first: usize,
        y: &mut [f32],
    ) {
        let rows = bias.len();
        let before = first * self.image(rows, positions).iter().product::<usize>();
        self.runs(tile, positions, rows, |row, place, inside, to| {
            let bias = bias[row];
            let from = product[place..place + tile.pitch][inside].iter();
            let to = &mut y[to - before..];
            match self {
                Self::Plain => to
                    .iter_mut()
                    .zip(from)
                    .for_each(|(to, from)| *to = from + bias),
                Self::Doubled => {
                    let to = to.iter_mut().step_by(2);
                    to.zip(from).for_each(|(to, from)| *to = from + bias);
                }
            }
        });
    }

    /// Takes the gradient of a tile's product out of that of the result, `dy`, of the whole batch.
    pub(super) fn take(
        self,
        dy: &[f32],
        tile: &Tile,
        positions: [usize; 2],
        rows: usize,
        product: &mut [f32],
    ) {
        // Columns of no position, and positions that do not count.
        product.fill(0.0);
        self.runs(tile, positions, rows, |_, place, inside, from| {
            let to = product[place..place + tile.pitch][inside].iter_mut();
            let from = dy[from..].iter();
            match self {
                Self::Plain => to.zip(from).for_each(|(to, from)| *to = *from),
                Self::Doubled => to.zip(from.step_by(2)).for_each(|(to, from)| *to = *from),
            }
        });
    }
}
