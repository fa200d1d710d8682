//! Random draws as functions of their place.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// The random numbers of one place: a pure function of `(seed, purpose, a, b)`.
///
/// No generator of kd has a state that wanders from one use to the next. A shuffle, a crop, an initial weight
/// makes its own `Draws` from the seed of the run, the purpose, and two counters that say where it is used
/// (an epoch and a sample, a step and a layer, ...). So a run can be stopped at any step and taken up again,
/// and a view of a sample can be made again by anyone, in any order, in any thread.
///
/// The numbers come from `ChaCha8`, keyed by the seed, 64 bits of a hash of the purpose, and the two
/// counters.
///
/// ```
/// use kd_core::Draws;
/// let mut a = Draws::new(7, "flip", 3, 11);
/// let mut b = Draws::new(7, "flip", 3, 11);
/// assert_eq!(a.bits(), b.bits());
/// assert_ne!(a.bits(), Draws::new(7, "flip", 3, 12).bits());
/// ```
#[derive(Clone, Debug)]
pub struct Draws {
    rng: ChaCha8Rng,
}

impl Draws {
    /// The draws that belong to `purpose` at the place `(a, b)` under `seed`.
    pub fn new(seed: u64, purpose: &str, a: u64, b: u64) -> Self {
        let mut key = [0_u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&Sha256::digest(purpose.as_bytes())[..8]);
        key[16..24].copy_from_slice(&a.to_le_bytes());
        key[24..].copy_from_slice(&b.to_le_bytes());
        Self {
            rng: ChaCha8Rng::from_seed(key),
        }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Uniform in `[0, 1)`, with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `[low, high)`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform in `0..n`, without bias; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        // Lemire's multiplication; draws below the threshold would favour small numbers.
        let threshold = n.wrapping_neg() % n;
        loop {
            let wide = u128::from(self.bits()) * u128::from(n);
            if wide & u128::from(u64::MAX) >= u128::from(threshold) {
                return u64::try_from(wide >> 64).unwrap_or(u64::MAX);
            }
        }
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Normal with mean 0 and variance 1 (Box and Muller, one of the pair).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Puts `items` into a uniformly random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.below(last as u64 + 1)).unwrap_or(last);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_coordinate_of_the_place_changes_the_stream() {
        let first = |seed, purpose, a, b| Draws::new(seed, purpose, a, b).bits();
        let here = first(1, "crop", 2, 3);
        assert_eq!(here, first(1, "crop", 2, 3));
        for other in [
            first(2, "crop", 2, 3),
            first(1, "flip", 2, 3),
            first(1, "crop", 3, 3),
            first(1, "crop", 2, 4),
        ] {
            assert_ne!(here, other);
        }
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let mut draws = Draws::new(0, "moments", 0, 0);
        let n = 20_000;
        let uniform = (0..n).map(|_| draws.uniform()).sum::<f64>() / f64::from(n);
        let normals: Vec<f64> = (0..n).map(|_| draws.normal()).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(n);
        let variance = normals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!((uniform - 0.5).abs() < 0.01, "{uniform}");
        assert!(
            mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05,
            "{mean} {variance}"
        );
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_every_position_is_reached() {
        let mut seen = [[0_u32; 4]; 4];
        for round in 0..4000 {
            let mut items = [0, 1, 2, 3];
            Draws::new(9, "shuffle", round, 0).shuffle(&mut items);
            for (position, item) in items.into_iter().enumerate() {
                seen[item][position] += 1;
            }
        }
        assert!(
            seen.iter()
                .flatten()
                .all(|&count| (850..1150).contains(&count)),
            "{seen:?}"
        );
    }
}
