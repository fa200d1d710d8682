//! Schedules of weights, and weighted sums of terms.

mod schedules; // values at each time, and their form in a recipe
mod weighted_sums; // the total, its gradient, and the terms that are reported

fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-12,
        "found {found}, expected {expected}"
    );
}
