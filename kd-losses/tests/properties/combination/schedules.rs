//! Schedules of a weight: values at each time, and their form in a recipe.

use super::close;
use crate::support::Outcome;
use kd_losses::Schedule;

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
    // exp(-5 (1 - epoch / 80)^2), computed in 64-bit floats apart from the crate.
    let ramp_up = Schedule::RampUp {
        to: 2.0,
        epochs: 80.0,
    };
    for (epoch, expected) in [
        (-1.0, 0.006_737_946_999_085),
        (0.0, 0.006_737_946_999_085),
        (1.0, 0.007_629_131_630_941),
        (5.0, 0.012_344_665_531_385),
        (10.0, 0.021_750_359_344_450),
        (20.0, 0.060_054_667_895_308),
        (39.5, 0.277_635_739_927_509),
        (40.0, 0.286_504_796_860_190),
        (60.0, 0.731_615_628_946_642),
        (79.0, 0.999_219_055_096_324),
        (80.0, 1.0),
        (99.0, 1.0),
    ] {
        close(ramp_up.at(epoch), 2.0 * expected);
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
    close(Schedule::RampUp { to: -4.0, epochs }.largest(), 4.0);
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
            Schedule::RampUp { to: 1.0, epochs },
            r#"{"kind":"ramp-up","to":1.0,"epochs":8.0}"#,
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
fn the_ramp_up_of_a_run_is_80_of_300_epochs() {
    for (total_epochs, epochs) in [(300, 80.0), (200, 53.0), (20, 5.0), (2, 1.0)] {
        let expected = Schedule::RampUp { to: 0.5, epochs };
        assert_eq!(Schedule::ramp_up(0.5, total_epochs), expected);
    }
    for total_epochs in [0, 1] {
        assert_eq!(Schedule::ramp_up(0.5, total_epochs), Schedule::from(0.5));
    }
}

#[test]
fn a_ramp_up_rises_from_nearly_nothing_without_a_jump() {
    let ramp_up = Schedule::ramp_up(1.0, 30);
    let weights: Vec<f64> = (0..=800)
        .map(|step| ramp_up.at(f64::from(step) / 100.0))
        .collect();
    assert!(weights[0] > 0.0 && weights[0] < 0.01);
    for pair in weights.windows(2) {
        assert!(pair[1] > pair[0] && pair[1] - pair[0] < 0.005, "{pair:?}");
    }
}
