//! Statistics of few samples: intervals and differences beyond chance.
//!
//! A measured accuracy of `k` out of `n` has a binomial error. Everything that is called clear here lies
//! outside of three standard errors: by chance alone that happens about once in 740 times on one side.

/// Three standard errors.
const Z: f64 = 3.0;

/// The interval of the true share when `hits` of `count` were seen: Wilson's at three standard errors.
///
/// ```text
/// (p + z^2 / 2n +- z * sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)
/// ```
pub(super) fn interval(hits: usize, count: usize) -> [f64; 2] {
    if count == 0 {
        return [0.0, 1.0];
    }
    let (n, p) = (count as f64, hits as f64 / count as f64);
    let square = Z * Z / n;
    let half = Z * (p * (1.0 - p) / n + square / (4.0 * n)).sqrt();
    let centre = p + square / 2.0;
    let [low, high] = [centre - half, centre + half].map(|end| end / (1.0 + square));
    // Rounding would leave out a share of 0 or 1 that is the very one that was seen.
    [
        if hits == 0 { 0.0 } else { low.max(0.0) },
        if hits == count { 1.0 } else { high.min(1.0) },
    ]
}

/// The number of standard errors by which the first of two shares lies above the second, both measured on the
/// same samples.
///
/// Only samples on which the two differ tell anything (McNemar): if neither were better, each of those would
/// fall to either side like a coin, so that the difference of the two counts has the standard error
/// `sqrt(gained + lost)`.
pub(super) fn paired(gained: usize, lost: usize) -> f64 {
    let differing = (gained + lost) as f64;
    if differing == 0.0 {
        return 0.0;
    }
    (gained as f64 - lost as f64) / differing.sqrt()
}

/// Whether so many standard errors are clear.
pub(super) fn is_clear(standard_errors: f64) -> bool {
    standard_errors > Z
}

/// The number of standard errors by which the mean of `differences` lies above 0; 0 for fewer than two.
pub(super) fn above_zero(differences: &[f64]) -> f64 {
    let n = differences.len() as f64;
    if differences.len() < 2 {
        return 0.0;
    }
    let mean = differences.iter().sum::<f64>() / n;
    let squares: f64 = differences.iter().map(|x| (x - mean).powi(2)).sum();
    let error = (squares / (n - 1.0) / n).sqrt();
    if error > 0.0 { mean / error } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-4, "{found}, not {expected}");
    }

    /// By hand for 128 of 256: z^2/n = 0.035156; half = 3 sqrt(0.25/256 + 0.035156/1024) = 0.095379, over
    /// 1.035156.
    #[test]
    fn the_interval_is_wilsons() {
        let [low, high] = interval(128, 256);
        close(low, 0.5 - 0.092_14);
        close(high, 0.5 + 0.092_14);
        // Even all or none right leave room, unlike the plain binomial error, which would be 0.
        close(interval(256, 256)[0], 256.0 / 265.0);
        close(interval(0, 256)[1], 9.0 / 265.0);
        // What was seen lies inside, to the last bit.
        for count in 1..300 {
            assert!(interval(0, count)[0] <= 0.0 && interval(count, count)[1] >= 1.0);
        }
        let [low, high] = interval(0, 0);
        close(low, 0.0);
        close(high, 1.0);
    }

    #[test]
    fn only_samples_that_differ_count() {
        close(paired(0, 0), 0.0);
        close(paired(9, 0), 3.0);
        close(paired(0, 9), -3.0);
        close(paired(60, 40), 2.0);
        assert!(is_clear(paired(10, 0)) && !is_clear(paired(9, 0)));
    }

    #[test]
    fn a_mean_is_compared_with_its_own_error() {
        // Mean 2, standard deviation 1, error 1 / sqrt(4).
        close(
            above_zero(&[1.0, 1.0, 3.0, 3.0]),
            2.0 / (4.0_f64 / 3.0 / 4.0).sqrt(),
        );
        close(above_zero(&[1.0]), 0.0);
        close(above_zero(&[1.0, 1.0]), 0.0);
    }
}
