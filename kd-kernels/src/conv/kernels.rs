//! The two sums that convolutions are made of, over long rows.

use crate::simd::{Kernel, Lanes};

/// Weights of some channels of a result, in blocks of as many channels as are computed at once.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    values: Vec<f32>,
    depth: usize,
    channels: usize,
    /// Channels of a whole block; the rest is in blocks of 4, 2 and 1.
    block: usize,
}

impl Packed {
    /// Weights `weight(channel, place)`, `depth` for each channel.
    pub(super) fn new(
        channels: usize,
        depth: usize,
        block: usize,
        weight: impl Fn(usize, usize) -> f32,
    ) -> Self {
        let mut values = Vec::with_capacity(channels * depth);
        for [first, size] in blocks(channels, block) {
            for place in 0..depth {
                values.extend((first..first + size).map(|channel| weight(channel, place)));
            }
        }
        Self {
            values,
            depth,
            channels,
            block,
        }
    }

    /// Numbers that lie as a kernel reads them already, those of one channel.
    pub(super) fn of(values: Vec<f32>) -> Self {
        let depth = values.len();
        Self {
            values,
            depth,
            channels: 1,
            block: 1,
        }
    }

    /// The weights of the block of `size` channels from `first`.
    pub(super) fn block(&self, first: usize, size: usize) -> &[f32] {
        &self.values[first * self.depth..(first + size) * self.depth]
    }

    /// First channel, size and weights of each block.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (usize, usize, &[f32])> {
        blocks(self.channels, self.block)
            .map(|[first, size]| (first, size, self.block(first, size)))
    }
}

/// First channel and size of blocks of `block` channels, and of the powers of two that the rest is made of.
pub(super) fn blocks(channels: usize, block: usize) -> impl Iterator<Item = [usize; 2]> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let left = channels - first;
        let size = if left >= block {
            block
        } else {
            1 << left.checked_ilog2()?
        };
        first += size;
        Some([first - size, size])
    })
}

/// `out[channel][place] = bias[channel] + sum over d of weights[d][channel] * planes[reads[d] + place]` for a
/// block of channels.
///
/// The sum of a place is taken in the order of `d`, whatever lies beside it.
pub(super) struct Product<'a> {
    pub(super) planes: &'a [f32],
    /// Where each number of the weight reads for the first place.
    pub(super) reads: &'a [usize],
    /// `[reads.len(), bias.len()]`; see [`Packed`].
    pub(super) weights: &'a [f32],
    pub(super) bias: &'a [f32],
    /// `[bias.len(), pitch]`, with room for whole steps of vectors behind the last place.
    pub(super) out: &'a mut [f32],
    pub(super) pitch: usize,
    pub(super) places: usize,
    /// Whether the sums go on from what `out` holds, not from the bias.
    pub(super) adds: bool,
}

impl Kernel for Product<'_> {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each instruction set")]
    fn run<L: Lanes>(self, lanes: L) {
        match self.bias.len() {
            8 => self.block::<L, 8, 3>(lanes),
            4 if L::HAS_MANY_REGISTERS => self.block::<L, 4, 6>(lanes),
            4 => self.block::<L, 4, 3>(lanes),
            2 => self.block::<L, 2, 4>(lanes),
            _ => self.block::<L, 1, 4>(lanes),
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each instruction set")]
    fn block<L: Lanes, const CHANNELS: usize, const VECTORS: usize>(mut self, lanes: L) {
        let mut place = 0;
        loop {
            let left = self.places.saturating_sub(place).div_ceil(L::COUNT);
            // Two and two rather than three and one: a single vector leaves the machine waiting for its sums.
            let vectors = if left == 4 { 2 } else { left.min(VECTORS) };
            let vectors = if vectors < VECTORS {
                vectors.min(2)
            } else {
                vectors
            };
            match vectors {
                0 => return,
                1 => self.step::<L, CHANNELS, 1>(lanes, place),
                2 => self.step::<L, CHANNELS, 2>(lanes, place),
                _ => self.step::<L, CHANNELS, VECTORS>(lanes, place),
            }
            place += vectors * L::COUNT;
        }
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each instruction set")]
    fn step<L: Lanes, const CHANNELS: usize, const VECTORS: usize>(
        &mut self,
        lanes: L,
        place: usize,
    ) {
        let mut sums = [[lanes.splat(0.0); VECTORS]; CHANNELS];
        for (channel, sums) in sums.iter_mut().enumerate() {
            *sums = [lanes.splat(self.bias[channel]); VECTORS];
            if self.adds {
                let out =
                    L::chunks(&self.out[channel * self.pitch + place..][..VECTORS * L::COUNT]);
                for (sum, out) in sums.iter_mut().zip(out) {
                    *sum = lanes.load(out);
                }
            }
        }
        let planes = &self.planes[place..];
        let (weights, _) = self.weights.as_chunks::<CHANNELS>();
        for (read, weights) in self.reads.iter().zip(weights) {
            let row = L::chunks(&planes[*read..][..VECTORS * L::COUNT]);
            let mut values = [lanes.splat(0.0); VECTORS];
            for vector in 0..VECTORS {
                values[vector] = lanes.load(&row[vector]);
            }
            for channel in 0..CHANNELS {
                let weight = lanes.splat(weights[channel]);
                for vector in 0..VECTORS {
                    let sum = &mut sums[channel][vector];
                    *sum = lanes.mul_add(weight, values[vector], *sum);
                }
            }
        }
        for (channel, sums) in sums.iter().enumerate() {
            let out = &mut self.out[channel * self.pitch + place..][..VECTORS * L::COUNT];
            for (sum, out) in sums.iter().zip(L::chunks_mut(out)) {
                lanes.store(*sum, out);
            }
        }
    }
}

/// `into[channel][d] += sum over places of slopes[channel][place] * planes[reads[d] + place]`.
pub(super) struct Correlation<'a> {
    pub(super) planes: &'a [f32],
    pub(super) reads: &'a [usize],
    /// `[channels, pitch]`; zero from the last place to the end of its vector.
    pub(super) slopes: &'a [f32],
    pub(super) pitch: usize,
    pub(super) places: usize,
    /// `[channels, reads.len()]`
    pub(super) into: &'a mut [f32],
}

impl Kernel for Correlation<'_> {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each instruction set")]
    fn run<L: Lanes>(mut self, lanes: L) {
        let channels = self.into.len() / self.reads.len().max(1);
        let most = if L::HAS_MANY_REGISTERS { 8 } else { 4 };
        for [first, size] in blocks(channels, most) {
            match size {
                8 => self.block::<L, 8>(lanes, first),
                4 => self.block::<L, 4>(lanes, first),
                2 => self.block::<L, 2>(lanes, first),
                _ => self.block::<L, 1>(lanes, first),
            }
        }
    }
}

impl Correlation<'_> {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each instruction set")]
    fn block<L: Lanes, const CHANNELS: usize>(&mut self, lanes: L, first: usize) {
        let mut at = 0;
        // Few channels: as many sums at once as hide that an addition takes several cycles.
        while CHANNELS == 1 && at + 9 <= self.reads.len() {
            self.sums::<L, CHANNELS, 9>(lanes, first, at);
            at += 9;
        }
        while at + 3 <= self.reads.len() {
            self.sums::<L, CHANNELS, 3>(lanes, first, at);
            at += 3;
        }
        while at < self.reads.len() {
            self.sums::<L, CHANNELS, 1>(lanes, first, at);
            at += 1;
        }
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each instruction set")]
    fn sums<L: Lanes, const CHANNELS: usize, const READS: usize>(
        &mut self,
        lanes: L,
        first: usize,
        at: usize,
    ) {
        let count = self.places.div_ceil(L::COUNT);
        let slopes: [&[L::Chunk]; CHANNELS] = std::array::from_fn(|channel| {
            &L::chunks(&self.slopes[(first + channel) * self.pitch..])[..count]
        });
        let rows: [&[L::Chunk]; READS] =
            std::array::from_fn(|read| &L::chunks(&self.planes[self.reads[at + read]..])[..count]);
        let mut sums = [[lanes.splat(0.0); READS]; CHANNELS];
        for index in 0..count {
            let mut values = [lanes.splat(0.0); READS];
            for read in 0..READS {
                values[read] = lanes.load(&rows[read][index]);
            }
            for (sums, slopes) in sums.iter_mut().zip(slopes) {
                let slope = lanes.load(&slopes[index]);
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum = lanes.mul_add(slope, value, *sum);
                }
            }
        }
        for (channel, sums) in sums.iter().enumerate() {
            let into = &mut self.into[(first + channel) * self.reads.len() + at..][..READS];
            for (into, sum) in into.iter_mut().zip(sums) {
                *into += lanes.sum(*sum);
            }
        }
    }
}
