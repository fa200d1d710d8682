//! Schedules and weighted sums: what they give at each time, what a recipe may write, and what reaches the total.

mod support;

use burn::tensor::{Device, Tensor};
use kd_losses::{Combined, Error, Schedule, WeightedSum};
use support::{Outcome, numbers};

fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-12,
        "found {found}, expected {expected}"
    );
}

fn text<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn schedules_have_their_values_at_each_time() {
    let (from, to, begin, epochs) = (3.0, 1.0, 10.0, 4.0);
    let linear = Schedule::Linear {
        from,
        to,
        begin,
        epochs,
    };
    let cosine = Schedule::Cosine {
        from,
        to,
        begin,
        epochs,
    };
    // Both ends are exact, and what is before and after them is level.
    for schedule in [linear, cosine] {
        for (epoch, expected) in [
            (-1.0, 3.0),
            (0.0, 3.0),
            (10.0, 3.0),
            (12.0, 2.0),
            (14.0, 1.0),
            (99.0, 1.0),
        ] {
            close(schedule.at(epoch), expected);
        }
    }
    close(linear.at(11.0), 2.5);
    close(linear.at(13.5), 1.25);
    // (1 - cos(45 degrees)) / 2 of the way down from 3 to 1
    close(cosine.at(11.0), 3.0 - (1.0 - 0.5_f64.sqrt()));
    let warm_up = Schedule::WarmUp {
        to: 5.0,
        epochs: 10.0,
    };
    for (epoch, expected) in [(0.0, 0.0), (2.5, 1.25), (10.0, 5.0), (11.0, 5.0)] {
        close(warm_up.at(epoch), expected);
    }
    let window = Schedule::Window {
        value: 7.0,
        from_epoch: 2.0,
        until_epoch: 3.5,
    };
    for (epoch, expected) in [(1.999, 0.0), (2.0, 7.0), (3.4, 7.0), (3.5, 0.0), (9.0, 0.0)] {
        close(window.at(epoch), expected);
    }
    close(Schedule::from(0.9).at(1e9), 0.9);
}

#[test]
fn the_largest_weight_is_the_one_farthest_from_zero() {
    let (begin, epochs) = (0.0, 1.0);
    close(Schedule::from(-2.0).largest(), 2.0);
    close(
        Schedule::Linear {
            from: -3.0,
            to: 1.0,
            begin,
            epochs,
        }
        .largest(),
        3.0,
    );
    close(
        Schedule::Cosine {
            from: 0.0,
            to: 1.0,
            begin,
            epochs,
        }
        .largest(),
        1.0,
    );
    close(Schedule::WarmUp { to: 4.0, epochs }.largest(), 4.0);
    close(
        Schedule::Window {
            value: 0.0,
            from_epoch: 0.0,
            until_epoch: 1.0,
        }
        .largest(),
        0.0,
    );
    assert!(Schedule::from(1.0).is_constant());
    assert!(!Schedule::WarmUp { to: 4.0, epochs }.is_constant());
}

#[test]
fn recipes_write_a_number_or_a_table() -> Outcome {
    let read = |json: &str| serde_json::from_str::<Schedule>(json);
    for number in ["3", "3.0", "-3", "0"] {
        let schedule = read(number)?;
        assert!(schedule.is_constant());
        close(schedule.at(0.0), number.parse()?);
    }
    assert_eq!(serde_json::to_string(&Schedule::from(0.5))?, "0.5");
    assert_eq!(
        read(r#"{"kind": "constant", "value": 2}"#)?,
        Schedule::from(2.0)
    );
    let (begin, epochs) = (1.0, 8.0);
    for (schedule, json) in [
        (
            Schedule::Linear {
                from: 0.0,
                to: 1.0,
                begin,
                epochs,
            },
            r#"{"kind":"linear","from":0.0,"to":1.0,"begin":1.0,"epochs":8.0}"#,
        ),
        (
            Schedule::Cosine {
                from: 1.0,
                to: 0.0,
                begin,
                epochs,
            },
            r#"{"kind":"cosine","from":1.0,"to":0.0,"begin":1.0,"epochs":8.0}"#,
        ),
        (
            Schedule::WarmUp { to: 1.0, epochs },
            r#"{"kind":"warm-up","to":1.0,"epochs":8.0}"#,
        ),
        (
            Schedule::Window {
                value: 1.0,
                from_epoch: 1.0,
                until_epoch: 8.0,
            },
            r#"{"kind":"window","value":1.0,"from_epoch":1.0,"until_epoch":8.0}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&schedule)?, json);
        assert_eq!(read(json)?, schedule);
    }
    // Times that are usually 0 may be left out.
    let linear = read(r#"{"kind": "linear", "from": 1, "to": 0, "epochs": 2}"#)?;
    close(linear.at(1.0), 0.5);
    let window = read(r#"{"kind": "window", "value": 1, "until_epoch": 2}"#)?;
    close(window.at(0.0), 1.0);

    for (json, words) in [
        (
            r#""linear""#,
            "invalid type: string \"linear\", expected a number or a table with `kind`",
        ),
        ("true", "expected a number or a table with `kind`"),
        ("[1]", "expected a number or a table with `kind`"),
        (r#"{"value": 1}"#, "missing field `kind`"),
        (
            r#"{"kind": "step"}"#,
            "unknown variant `step`, expected one of `constant`, `linear`",
        ),
        (
            r#"{"kind": "warm-up", "to": 1, "epochs": 2, "begin": 1}"#,
            "unknown field `begin`",
        ),
        (r#"{"kind": "warm-up", "to": 1}"#, "missing field `epochs`"),
    ] {
        let found = match read(json) {
            Ok(schedule) => format!("{schedule:?}"),
            Err(error) => error.to_string(),
        };
        assert!(found.contains(words), "{json}: {found}");
    }
    Ok(())
}

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
fn terms_are_weighted_in_the_total_and_not_in_the_report() -> Outcome {
    let device = Device::flex().autodiff();
    let leaf = Tensor::<1>::from_data([3.0], &device).require_grad();
    let combined = WeightedSum::new()
        .add("square", 0.5, leaf.clone().square())
        .add("plain", 1.0, leaf.clone())
        .add("constant", -2.0, Tensor::from_data([4.0], &Device::flex()))
        .finish()?;
    close(numbers(combined.total.clone())[0], 4.5 + 3.0 - 8.0);
    let gradient = leaf.grad(&combined.total.backward()).map(numbers);
    assert_eq!(gradient, Some(vec![3.0 + 1.0]));
    for ((name, value), (expected_name, expected)) in
        combined
            .terms
            .into_iter()
            .zip([("square", 9.0), ("plain", 3.0), ("constant", 4.0)])
    {
        assert_eq!(name, expected_name);
        assert!(!value.is_autodiff(), "{name} keeps the graph alive");
        close(numbers(value)[0], expected);
    }
    Ok(())
}

#[test]
fn a_term_of_weight_zero_reaches_neither_total_nor_gradient() -> Outcome {
    let device = Device::flex().autodiff();
    let leaf = Tensor::<1>::from_data([3.0], &device).require_grad();
    let unused = Tensor::<1>::from_data([-1.0], &device).require_grad();
    // The root of a negative number: NaN, and so is its gradient.
    let poison = unused.clone().sqrt() * leaf.clone();
    let combined = WeightedSum::new()
        .add("poison", 0.0, poison.clone())
        .add("good", 2.0, leaf.clone())
        .finish()?;
    close(numbers(combined.total.clone())[0], 6.0);
    let gradients = combined.total.backward();
    assert_eq!(leaf.grad(&gradients).map(numbers), Some(vec![2.0]));
    assert!(unused.grad(&gradients).is_none());
    assert!(numbers(combined.terms[0].1.clone())[0].is_nan());

    // All of them 0: the sum of nothing, which a training step may still differentiate.
    let Combined { total, terms, .. } = WeightedSum::new().add("poison", 0.0, poison).finish()?;
    close(numbers(total.clone())[0], 0.0);
    assert!(leaf.grad(&total.backward()).is_none());
    assert_eq!(terms.len(), 1);

    // What learns has weight 0, and what counts is constant.
    let constant = Tensor::<1>::from_data([2.0], &Device::flex());
    let sum = WeightedSum::new().add("off", 0.0, leaf.clone() * 5.0);
    let Combined { total, .. } = sum.add("constant", 1.0, constant).finish()?;
    close(numbers(total.clone())[0], 2.0);
    assert!(leaf.grad(&total.backward()).is_none());
    Ok(())
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

#[test]
fn public_types_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    send_and_sync::<Combined>();
    send_and_sync::<Schedule>();
    send_and_sync::<WeightedSum>();
}
