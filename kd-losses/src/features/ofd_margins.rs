//! The margins of the margin ReLU.

use crate::check;
use crate::error::Result;
use core::f64::consts::TAU;

/// The expected response of each of a teacher's channels where it is negative, from the batch norm before its
/// ReLU.
///
/// ```text
/// m = E[x | x < 0] = mean - s phi(mean / s) / Phi(-mean / s)       where Phi(-mean / s) > 0.001
/// m = -3 s                                                         elsewhere
///
/// x = normal with this mean and the deviation s = |std|
/// phi, Phi = density and distribution function of the standard normal
/// ```
///
/// `mean` is the batch norm's shift (its beta, the bias of `PyTorch`) and `std` its scale (its gamma), whose
/// sign does not matter: behind a batch norm a channel has that mean and deviation, and is taken to be
/// normal. Where a channel is hardly ever negative (its mean is more than 3.09 deviations above 0) the
/// expectation rests on nothing, and the margin is three deviations below 0, as in the authors' code; between
/// both forms the margin jumps from about `-0.3 s` to `-3 s`. A deviation of 0 gives the limit, the smaller
/// of `mean` and 0. All margins are finite and at most 0.
///
/// The numbers are read and computed on the host, once before training.
///
/// # Errors
///
/// Lists of unequal length; a number that is not finite.
///
/// # Examples
///
/// ```
/// use kd_losses::ofd_margins;
///
/// // The mean of the negative half of a standard normal is -sqrt(2 / pi).
/// let margins = ofd_margins(&[0.0], &[1.0])?;
/// assert!((margins[0] + (2.0 / std::f64::consts::PI).sqrt()).abs() < 1e-12);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Heo et al., "A Comprehensive Overhaul of Feature Distillation", ICCV 2019, arXiv 1904.01866, section 3,
/// and the authors' code, where the bound of 0.001 and the 3 deviations come from.
pub fn ofd_margins(mean: &[f64], std: &[f64]) -> Result<Vec<f64>> {
    check::one_for_each_channel("ofd_margins", "std", std.len(), mean.len())?;
    let mut margins = Vec::with_capacity(mean.len());
    for (&mean, &std) in mean.iter().zip(std) {
        for (name, value) in [("mean", mean), ("std", std)] {
            let advice = "give shift and scale of the batch norm before the ReLU";
            check::constant(name, value, value.is_finite(), "finite", advice)?;
        }
        margins.push(margin(mean, std.abs()));
    }
    Ok(margins)
}

fn margin(mean: f64, deviation: f64) -> f64 {
    if deviation == 0.0 {
        return mean.min(0.0);
    }
    let z = mean / deviation;
    let negative = normal_distribution(-z);
    if negative > 0.001 {
        mean - deviation * density(z) / negative
    } else {
        -3.0 * deviation
    }
}

fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / TAU.sqrt()
}

/// Phi(x) = 1/2 + phi(x) (x + x^3 / 3 + x^5 / (3 * 5) + ...), whose terms all have the sign of x.
///
/// For x down to -3.1, below which it is not asked for, the subtraction costs three of sixteen digits.
fn normal_distribution(x: f64) -> f64 {
    if x.abs() > 8.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        odd += 2.0;
        term *= x * x / odd;
        sum += term;
    }
    0.5 + density(x) * sum
}

#[cfg(test)]
mod tests {
    use super::{margin, normal_distribution};

    #[test]
    fn the_distribution_function_is_that_of_the_tables() {
        for (x, expected) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_542_9),
            (-1.0, 0.158_655_253_931_457_05),
            (-3.0, 0.001_349_898_031_630_094_6),
            (2.5, 0.993_790_334_674_223_8),
            (6.0, 0.999_999_999_013_412_3),
            (40.0, 1.0),
            (-40.0, 0.0),
        ] {
            let found = normal_distribution(x);
            assert!((found - expected).abs() < 1e-15, "{x}: {found}");
        }
    }

    #[test]
    fn a_margin_is_the_mean_of_the_negative_part() {
        // The integral of x times the density over the negative half line, by the midpoint rule.
        for (mean, deviation) in [(0.3, 0.8), (-1.2, 0.5), (2.0, 0.7), (-30.0, 1.0)] {
            let (mut weight, mut moment) = (0.0, 0.0);
            let low = f64::min(mean, 0.0) - 12.0 * deviation;
            for step in 0..100_000 {
                let x = low * (f64::from(step) + 0.5) / 100_000.0;
                let z = (x - mean) / deviation;
                let density = (-0.5 * z * z).exp();
                weight += density;
                moment += x * density;
            }
            let (found, expected) = (margin(mean, deviation), moment / weight);
            assert!((found - expected).abs() < 1e-6, "{found}, {expected}");
        }
    }

    #[test]
    fn where_nothing_is_negative_it_is_three_deviations() {
        assert_eq!(margin(3.2, 1.0).to_bits(), (-3.0_f64).to_bits());
        assert!(margin(3.0, 1.0) > -0.4);
        assert_eq!(margin(0.7, 0.0).to_bits(), 0.0_f64.to_bits());
        assert_eq!(margin(-0.7, 0.0).to_bits(), (-0.7_f64).to_bits());
    }
}
