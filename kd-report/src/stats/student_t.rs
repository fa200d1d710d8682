//! Quantiles of Student's t distribution.

use crate::{Error, Result};

/// The value that Student's t with so many degrees of freedom stays below with this probability.
///
/// The distribution function is the finite sum for whole degrees of freedom, inverted by bisection; the error
/// is below 1e-9 of the value between probabilities of 0.001 and 0.999. Above 100000 degrees of freedom the
/// value for 100000 is given, which differs by less than 1e-4.
///
/// # Errors
///
/// [`Error::Config`] for no degrees of freedom or a probability that is not between 0 and 1.
///
/// # Examples
///
/// ```
/// let t = kd_report::student_t_quantile(0.975, 2)?;
/// assert!((t - 4.302_653).abs() < 1e-6);
/// # Ok::<(), kd_report::Error>(())
/// ```
///
/// # References
///
/// Abramowitz, Stegun, "Handbook of Mathematical Functions", 1964, equations 26.7.3 and 26.7.4.
pub fn student_t_quantile(probability: f64, degrees_of_freedom: usize) -> Result<f64> {
    if !(probability > 0.0 && probability < 1.0) {
        return Err(Error::Config {
            field: "probability",
            problem: format!("must be between 0 and 1, got {probability}"),
        });
    }
    if degrees_of_freedom == 0 {
        return Err(Error::Config {
            field: "degrees_of_freedom",
            problem: "must be 1 or more, got 0; two values have 1".into(),
        });
    }
    let freedom = degrees_of_freedom.min(100_000);
    // The share of the distribution that lies between -t and t.
    let inside = (2.0 * probability - 1.0).abs();
    let (mut low, mut high) = (0.0, std::f64::consts::FRAC_PI_2);
    // Halving a double 60 times leaves nothing between the bounds.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if within(middle, freedom) < inside {
            low = middle;
        } else {
            high = middle;
        }
    }
    let t = f64::midpoint(low, high).tan() * (freedom as f64).sqrt();
    Ok(t.copysign(probability - 0.5))
}

/// The probability that `|T| < tan(angle) * sqrt(freedom)`.
fn within(angle: f64, freedom: usize) -> f64 {
    let (sin, cos) = angle.sin_cos();
    // The terms are cos^k times a product of fractions, for even k or for odd k below the degrees of freedom.
    let odd = freedom % 2 == 1;
    let mut power = usize::from(odd);
    let mut term = if odd { cos } else { 1.0 };
    let mut sum = 0.0;
    while power + 2 <= freedom {
        sum += term;
        let (above, below) = (power as f64 + 1.0, power as f64 + 2.0);
        term *= cos * cos * above / below;
        power += 2;
        if term < 1e-18 {
            break;
        }
    }
    if odd {
        (angle + sin * sum) * std::f64::consts::FRAC_2_PI
    } else {
        sin * sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.t.ppf(probability, freedom)` of scipy 1.17, printed with 12 digits by
    /// `tests/fixtures/student_t.py`.
    #[expect(clippy::unreadable_literal, reason = "the lines are the script's")]
    const TABLE: &[(f64, usize, f64)] = &[
        (0.975, 1, 12.7062047362),
        (0.975, 2, 4.30265272975),
        (0.975, 3, 3.18244630528),
        (0.975, 4, 2.7764451052),
        (0.975, 5, 2.57058183564),
        (0.975, 9, 2.2621571628),
        (0.975, 10, 2.22813885199),
        (0.975, 29, 2.04522964213),
        (0.975, 100, 1.98397151852),
        (0.975, 1000, 1.96233908083),
        (0.95, 1, 6.31375151468),
        (0.95, 2, 2.91998558035),
        (0.95, 3, 2.3533634348),
        (0.95, 4, 2.13184678633),
        (0.95, 5, 2.01504837333),
        (0.95, 9, 1.83311293266),
        (0.95, 10, 1.81246112281),
        (0.95, 29, 1.69912702653),
        (0.95, 100, 1.66023432609),
        (0.95, 1000, 1.64637881729),
        (0.995, 1, 63.6567411629),
        (0.995, 2, 9.92484320092),
        (0.995, 3, 5.84090930973),
        (0.995, 4, 4.60409487135),
        (0.995, 5, 4.03214298356),
        (0.995, 9, 3.24983554159),
        (0.995, 10, 3.16927267262),
        (0.995, 29, 2.75638590367),
        (0.995, 100, 2.62589052144),
        (0.995, 1000, 2.58075469807),
        (0.6, 1, 0.324919696233),
        (0.6, 2, 0.288675134595),
        (0.6, 3, 0.276670662333),
        (0.6, 4, 0.270722294708),
        (0.6, 5, 0.267180865704),
        (0.6, 9, 0.260955336474),
        (0.6, 10, 0.260184829492),
        (0.6, 29, 0.255683634571),
        (0.6, 100, 0.254022182458),
        (0.6, 1000, 0.253414515839),
    ];

    #[test]
    fn quantiles_are_those_of_scipy() {
        for &(probability, freedom, expected) in TABLE {
            let found = student_t_quantile(probability, freedom).unwrap();
            let error = (found - expected).abs() / expected.abs();
            assert!(error < 1e-9, "{probability} {freedom}: {found} {expected}");
        }
    }

    #[test]
    fn the_median_is_zero_and_the_two_sides_mirror_each_other() {
        assert!(student_t_quantile(0.5, 7).unwrap().abs() < 1e-12);
        let (low, high) = (student_t_quantile(0.1, 4), student_t_quantile(0.9, 4));
        assert!((low.unwrap() + high.unwrap()).abs() < 1e-12);
    }

    #[test]
    fn many_degrees_of_freedom_come_to_the_normal_distribution() {
        let t = student_t_quantile(0.975, usize::MAX).unwrap();
        assert!((t - 1.959_964).abs() < 1e-4, "{t}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for probability in [0.0, 1.0, -1.0, f64::NAN] {
            assert!(student_t_quantile(probability, 3).is_err());
        }
        assert!(student_t_quantile(0.975, 0).is_err());
    }
}
