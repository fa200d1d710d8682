//! Numbers of two devices side by side.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::TensorData;
use kd_core::Tensors;

/// A tensor whose largest number is smaller than this part of the largest beside it is compared on that
/// scale: what cancels out has no digits of its own.
const SMALL: f64 = 1e-3;

/// Comparisons of one subject: all of them are made before the first that fails is reported.
pub(crate) struct Compared {
    subject: &'static str,
    /// How far a number may be off, as a part of the largest in its tensor.
    tolerance: f64,
    count: usize,
    largest: (f64, String),
    wrong: Vec<String>,
}

impl Compared {
    pub(crate) fn new(subject: &'static str, tolerance: f64) -> Self {
        Self {
            subject,
            tolerance,
            count: 0,
            largest: (0.0, String::new()),
            wrong: Vec::new(),
        }
    }

    /// Does a part of the comparisons. A panic in it is a difference as any other.
    pub(crate) fn part(&mut self, what: impl Display, part: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| part(self))).is_err() {
            self.wrong.push(format!("{what}: panicked"));
        }
    }

    /// Compares tensors of one kind, such as all gradients of a network, by name.
    pub(crate) fn tensors(&mut self, what: impl Display, found: &Tensors, expected: &Tensors) {
        let names = |tensors: &Tensors| tensors.keys().cloned().collect::<Vec<_>>();
        if names(found) != names(expected) {
            let names = [names(found), names(expected)];
            self.wrong.push(format!("{what}: names {names:?}"));
            return;
        }
        let floor = SMALL * expected.values().map(largest).fold(0.0, f64::max);
        for (name, expected) in expected {
            let (found, what) = (&found[name], format!("{what} {name}"));
            if found.shape() != expected.shape() {
                let shapes = [found.shape(), expected.shape()];
                self.wrong.push(format!("{what}: shapes {shapes:?}"));
                continue;
            }
            let pairs = found.iter::<f64>().zip(expected.iter::<f64>());
            // A number that is none is as far off as can be.
            let off = pairs.map(|(one, other)| {
                let off = (one - other).abs();
                if off.is_nan() { f64::INFINITY } else { off }
            });
            let off = off.fold(0.0, f64::max);
            let scale = largest(expected).max(floor);
            self.difference(what, if off == 0.0 { 0.0 } else { off / scale });
        }
    }

    /// Compares a number on its own scale.
    pub(crate) fn number(&mut self, what: impl Display, found: f64, expected: f64) {
        let off = (found - expected).abs();
        let relative = off / expected.abs().max(f64::MIN_POSITIVE);
        let relative = if found.is_finite() {
            relative
        } else {
            f64::INFINITY
        };
        self.difference(what, if off == 0.0 { 0.0 } else { relative });
    }

    /// Notes a difference, relative to whatever it is measured by.
    pub(crate) fn difference(&mut self, what: impl Display, relative: f64) {
        self.count += 1;
        if relative > self.largest.0 {
            self.largest = (relative, what.to_string());
        }
        if relative > self.tolerance {
            self.wrong.push(format!("{what}: off by {relative:.2e}"));
        }
    }

    /// Says what the largest difference was, and fails if one is too large.
    pub(crate) fn end(self) {
        let Self {
            subject,
            tolerance,
            count,
            largest: (relative, at),
            wrong,
        } = self;
        println!(
            "{subject}: {count} compared, tolerance {tolerance:.0e}, largest difference {relative:.1e} ({at})"
        );
        assert!(count > 0, "{subject}: nothing was compared");
        assert!(
            wrong.is_empty(),
            "{subject}: {} differ by more than {tolerance:.0e}:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    }
}

/// The largest number of a tensor, without its sign.
fn largest(tensor: &TensorData) -> f64 {
    tensor.iter::<f64>().map(f64::abs).fold(0.0, f64::max)
}

#[test]
fn what_differs_is_found() {
    let pair = |values: [f32; 2]| {
        let data = TensorData::new(values.to_vec(), [2]);
        Tensors::from([("pair".to_owned(), data)])
    };
    let is_wrong = |found: &Tensors| {
        let mut compared = Compared::new("pairs", 1e-3);
        compared.tensors("one", found, &pair([1.0, 2.0]));
        !compared.wrong.is_empty()
    };
    assert!(!is_wrong(&pair([1.001, 2.0])));
    for other in [[1.0, 2.01], [f32::NAN, 2.0], [1.0, f32::INFINITY]] {
        assert!(is_wrong(&pair(other)), "{other:?}");
    }
    assert!(is_wrong(&Tensors::new()));
    let mut compared = Compared::new("numbers", 1e-3);
    compared.number("near", 1.0005, 1.0);
    compared.number("the same", 0.0, 0.0);
    assert!(compared.wrong.is_empty());
    compared.number("none", f64::NAN, 1.0);
    compared.number("far", 1.002, 1.0);
    compared.part("stopped", |_| panic!("as it should"));
    assert_eq!(compared.wrong.len(), 3, "{:?}", compared.wrong);
}
