//! Initial values that depend on a seed and on nothing else.
//!
//! Burn's initialisers draw from a generator that belongs to the device and whose state depends on
//! everything drawn before. Here value `i` is a function of `(seed, i)`, so a run that is resumed,
//! or that makes its modules in another order, starts from the same numbers on every backend.

/// What splitmix64 adds to its state at each draw: 2^64 divided by the golden ratio, made odd.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Draw number `index` of the splitmix64 generator started at `seed` (Steele, Lea, Flood, "Fast
/// splittable pseudorandom number generators", OOPSLA 2014, with the mixing constants of the
/// generator's later public domain version).
fn splitmix64(seed: u64, index: u64) -> u64 {
    let state = seed.wrapping_add(GAMMA.wrapping_mul(index.wrapping_add(1)));
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Endless values in `[-bound, bound)`, each made of the upper 24 bits of a draw.
pub(crate) fn uniform(seed: u64, bound: f32) -> impl Iterator<Item = f32> {
    // 2^23: 24 bits over it lie in [0, 2), exactly representable.
    let half = 8_388_608.0_f32;
    (0..).map(move |index| ((splitmix64(seed, index) >> 40) as f32 / half - 1.0) * bound)
}

#[cfg(test)]
mod tests {
    use super::{splitmix64, uniform};

    #[test]
    fn draws_are_those_of_the_public_generator() {
        // The first outputs for seed 1234567, as listed with the public domain version.
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        for (index, draw) in (0..).zip(expected) {
            assert_eq!(splitmix64(1_234_567, index), draw);
        }
    }

    #[test]
    fn values_fill_their_range_evenly() {
        let values: Vec<f32> = uniform(3, 0.5).take(10_000).collect();
        assert!(values.iter().all(|value| (-0.5..0.5).contains(value)));
        let mean = values.iter().sum::<f32>() / 10_000.0;
        // Standard deviation of the mean is 0.5 / sqrt(3 * 10000) = 0.0029.
        assert!(mean.abs() < 0.012, "mean {mean}");
    }
}
