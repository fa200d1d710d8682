//! Errors of schedules and weighted sums.

use crate::support::text;
use burn::tensor::{Device, Tensor};
use kd_losses::{Schedule, WeightedSum};

#[test]
fn schedules_are_checked() {
    let (from, to, begin, epochs) = (0.0, 1.0, 0.0, 1.0);
    for (schedule, words) in [
        (
            Schedule::from(f64::NAN),
            "`value` must be finite, got NaN; 0 turns a term off",
        ),
        (
            Schedule::Linear {
                from: f64::INFINITY,
                to,
                begin,
                epochs,
            },
            "`from` must be finite, got inf; 0 turns a term off",
        ),
        (
            Schedule::Cosine {
                from,
                to: f64::NAN,
                begin,
                epochs,
            },
            "`to` must be finite, got NaN; 0 turns a term off",
        ),
        (
            Schedule::Linear {
                from,
                to,
                begin: -1.0,
                epochs,
            },
            "`begin` must be finite and at least 0, got -1; epochs are counted from 0",
        ),
        (
            Schedule::Cosine {
                from,
                to,
                begin,
                epochs: 0.0,
            },
            "`epochs` must be finite and above 0, got 0; for a weight that does not change write a number",
        ),
        (
            Schedule::WarmUp {
                to,
                epochs: f64::INFINITY,
            },
            "`epochs` must be finite and above 0, got inf; for a weight that does not change write a number",
        ),
        (
            Schedule::RampUp {
                to: f64::NEG_INFINITY,
                epochs,
            },
            "`to` must be finite, got -inf; 0 turns a term off",
        ),
        (
            Schedule::RampUp { to, epochs: -1.0 },
            "`epochs` must be finite and above 0, got -1; for a weight that does not change write a number",
        ),
        (
            Schedule::Window {
                value: 1.0,
                from_epoch: 2.0,
                until_epoch: 2.0,
            },
            "`until_epoch` must be finite and above `from_epoch`, got 2; the window ends before this epoch; \
             use a number to weigh a term always",
        ),
        (
            Schedule::Window {
                value: 1.0,
                from_epoch: -2.0,
                until_epoch: 2.0,
            },
            "`from_epoch` must be finite and at least 0, got -2; epochs are counted from 0",
        ),
        (
            Schedule::Linear {
                from,
                to,
                begin,
                epochs,
            },
            "no error",
        ),
        (
            Schedule::Window {
                value: -1.0,
                from_epoch: 0.0,
                until_epoch: 0.5,
            },
            "no error",
        ),
    ] {
        assert_eq!(text(schedule.check()), words, "{schedule:?}");
    }
}

#[test]
fn weighted_sums_say_what_is_wrong() {
    let device = Device::flex();
    let one = || Tensor::<1>::from_data([1.0], &device);
    let sum = || WeightedSum::new().add("kd", 1.0, one());
    assert_eq!(
        text(WeightedSum::new().finish()),
        "a weighted sum has no terms; add one at least"
    );
    assert_eq!(
        text(sum().add("hint", 1.0, one()).add("kd", 0.0, one()).finish()),
        "a weighted sum has two terms called `kd`; give each a name of its own"
    );
    for (weight, printed) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        assert_eq!(
            text(sum().add("hint", weight, one()).finish()),
            format!(
                "the weight of the term `hint` must be finite, got {printed}; 0 turns a term off"
            )
        );
    }
    for length in [0, 2] {
        let value = Tensor::<1>::zeros([length], &device);
        assert_eq!(
            text(sum().add("hint", 1.0, value).finish()),
            format!(
                "the term `hint` [{length}] is not one number; reduce it to `[1]`, for example by its mean"
            )
        );
    }
    let wide = one().cast(burn::tensor::DType::F64);
    assert_eq!(
        text(sum().add("hint", 1.0, wide).finish()),
        "the terms `kd` (F32) and `hint` (F64) differ in dtype; bring all terms to one"
    );
}
