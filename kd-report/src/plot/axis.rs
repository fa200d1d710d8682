//! The axis of a plot: a range of values and the round numbers on it.

use std::collections::BTreeSet;

use super::text;

/// The scale of an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps are equal differences.
    #[default]
    Linear,
    /// Equal steps are equal factors; only values above 0 have a place on it.
    Log,
}

/// A range of values with marked numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    /// Whether it ends where values end, so that what lies beyond is drawn at its end.
    is_cut: bool,
    pub(crate) ticks: Vec<Tick>,
}

/// A marked number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) label: String,
}

impl Axis {
    /// An axis of measured values, which are finite, and positive for [`Scale::Log`]; there is at least one.
    ///
    /// `margin` is the share of the range that is left free at both ends, `wanted` about how many ticks there
    /// should be.
    pub(crate) fn new(scale: Scale, values: &[f64], margin: f64, wanted: usize) -> Self {
        let ends = ends(values);
        match scale {
            Scale::Linear => Self::linear(ends, margin, wanted, false),
            Scale::Log => Self::log(values, ends, margin),
        }
    }

    /// An axis of what was set or counted: of whole numbers such as epochs it marks only whole numbers.
    pub(crate) fn of_settings(scale: Scale, values: &[f64], margin: f64, wanted: usize) -> Self {
        let whole = values.iter().all(|value| value.fract() == 0.0);
        match scale {
            Scale::Linear => Self::linear(ends(values), margin, wanted, whole),
            Scale::Log => Self::log(values, ends(values), margin),
        }
    }

    /// The same, which ends at `most` if it went beyond: above it there are no values.
    pub(crate) fn up_to(mut self, most: Option<f64>) -> Self {
        let inside =
            |most: &f64| self.scale == Scale::Linear && self.low < *most && *most < self.high;
        if let Some(most) = most.filter(inside) {
            self.high = most;
            self.is_cut = true;
            let end = most + 1e-9 * most.abs();
            self.ticks.retain(|tick| tick.value <= end);
        }
        self
    }

    fn linear([least, most]: [f64; 2], margin: f64, wanted: usize, whole: bool) -> Self {
        let mut span = most - least;
        let (mut low, mut high) = (least, most);
        // A difference in the last digits of a number is none that a picture can show.
        let constant = span <= 1e-9 * least.abs().max(most.abs());
        if constant {
            let room = if whole { 1.0 } else { 0.1 * least.abs() };
            let room = if room > 1e-12 * least.abs() && room > 0.0 {
                room
            } else {
                0.1 * least.abs().max(1.0)
            };
            (low, high) = (least - room, most + room);
            span = high - low;
        } else {
            low -= margin * span;
            high += margin * span;
        }
        // An axis of values that are never negative does not show negative numbers.
        if least >= 0.0 && low < 0.0 {
            low = 0.0;
        }
        let mut step = round_step(span / wanted.max(1) as f64);
        if whole && step < 1.0 {
            step = 1.0;
        }
        let ticks = linear_ticks(low, high, step);
        Self {
            scale: Scale::Linear,
            low,
            high,
            is_cut: false,
            ticks,
        }
    }

    fn log(values: &[f64], [least, most]: [f64; 2], margin: f64) -> Self {
        let (from, to) = (least.log10(), most.log10());
        let room = if to - from < 1e-9 {
            0.3
        } else {
            (to - from) * margin.max(0.02)
        };
        let (low, high) = (from - room, to + room);
        let distinct: BTreeSet<u64> = values.iter().map(|value| value.to_bits()).collect();
        let marked: Vec<f64> = if distinct.len() <= 9 {
            // The values of a sweep are what a reader looks for.
            distinct.into_iter().map(f64::from_bits).collect()
        } else {
            decades(low, high)
        };
        let ticks = marked.into_iter().map(|value| Tick {
            value,
            label: shortest(value),
        });
        Self {
            scale: Scale::Log,
            low,
            high,
            is_cut: false,
            ticks: ticks.collect(),
        }
    }

    /// The marked numbers that have room beside each other in letters of `size`, each with its place.
    pub(crate) fn apart(&self, place: impl Fn(f64) -> f64, size: f64) -> Vec<(f64, &str)> {
        let mut free_from = f64::NEG_INFINITY;
        let mut shown = Vec::new();
        for tick in &self.ticks {
            let (at, half) = (place(tick.value), text::width(&tick.label, size) / 2.0);
            if at - half >= free_from {
                shown.push((at, tick.label.as_str()));
                free_from = at + half + 8.0;
            }
        }
        shown
    }

    /// The place of a value, from 0 at the low end to 1 at the high end.
    pub(crate) fn share(&self, value: f64) -> f64 {
        let value = match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(f64::MIN_POSITIVE).log10(),
        };
        let share = (value - self.low) / (self.high - self.low);
        if self.is_cut { share.min(1.0) } else { share }
    }
}

fn ends(values: &[f64]) -> [f64; 2] {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    [low, high]
}

/// Of 1, 2, 5, 10, 20, ... (and their tenths, ...) the one next to `raw` by factor.
fn round_step(raw: f64) -> f64 {
    let magnitude = 10_f64.powf(raw.log10().floor());
    let digit = raw / magnitude;
    // The middles between them are the roots of 2, 10 and 50.
    let round = [(1.0, 2.0), (2.0, 10.0), (5.0, 50.0)];
    let round = round.into_iter().find(|(_, end)| digit * digit < *end);
    magnitude * round.map_or(10.0, |(round, _)| round)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "decimals are between 0 and 12, and a range has few steps"
)]
fn linear_ticks(low: f64, high: f64, step: f64) -> Vec<Tick> {
    let decimals = (-(step.log10() + 1e-9).floor()).clamp(0.0, 12.0) as usize;
    let largest = low.abs().max(high.abs());
    let first = (low / step - 1e-9).ceil();
    let count = ((high / step + 1e-9).floor() - first).clamp(0.0, 100.0) as usize;
    (0..=count)
        .map(|index| {
            let value = (first + index as f64) * step;
            let label = if (1e-4..1e6).contains(&largest) {
                format!("{value:.decimals$}")
            } else {
                scientific(value)
            };
            Tick {
                value,
                label: if value == 0.0 { "0".into() } else { label },
            }
        })
        .collect()
}

/// Powers of ten; where there are few of them, with twice and five times them.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the exponent of a number up to 1e100 is a small number"
)]
fn decades(low: f64, high: f64) -> Vec<f64> {
    let digits: &[f64] = if high - low < 3.0 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let every = (((high - low) / 8.0).ceil() as i32).max(1);
    (low.floor() as i32..=high.ceil() as i32)
        .filter(|exponent| exponent % every == 0)
        .flat_map(|exponent| {
            digits
                .iter()
                .map(move |digit| digit * 10_f64.powi(exponent))
        })
        .filter(|value| (low..=high).contains(&value.log10()))
        .collect()
}

fn shortest(value: f64) -> String {
    if (1e-4..1e6).contains(&value) {
        // Powers of ten below 1 are not exact.
        let text = format!("{value:.8}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        scientific(value)
    }
}

fn scientific(value: f64) -> String {
    let text = format!("{value:.3e}");
    match text.split_once('e') {
        Some((digits, exponent)) if digits.contains('.') => {
            let digits = digits.trim_end_matches('0').trim_end_matches('.');
            format!("{digits}e{exponent}")
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        let axis = Axis::new(Scale::Linear, &[0.0, 1.0], 0.0, 5);
        assert_eq!(labels(&axis), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        let axis = Axis::new(Scale::Linear, &[1.0, 30.0], 0.0, 6);
        assert_eq!(labels(&axis), ["5", "10", "15", "20", "25", "30"]);
        let axis = Axis::new(Scale::Linear, &[84.11, 84.63], 0.05, 5);
        assert_eq!(
            labels(&axis),
            ["84.1", "84.2", "84.3", "84.4", "84.5", "84.6"]
        );
        let axis = Axis::new(Scale::Linear, &[-3e8, 2e8], 0.0, 5);
        assert_eq!(labels(&axis), ["-3e8", "-2e8", "-1e8", "0", "1e8", "2e8"]);
    }

    #[test]
    fn a_constant_has_its_value_in_the_middle() {
        for value in [0.0, 5.0, -0.37, 1e-30, 1e90] {
            let axis = Axis::new(Scale::Linear, &[value, value], 0.05, 5);
            let share = axis.share(value);
            assert!((0.0..=0.6).contains(&share), "{value} {share}");
            assert!(!axis.ticks.is_empty(), "{value}");
        }
        let axis = Axis::new(Scale::Log, &[4.0], 0.05, 5);
        assert!((axis.share(4.0) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn an_axis_ends_where_values_end() {
        let all = |most| Axis::new(Scale::Linear, &[100.0, 100.0], 0.05, 6).up_to(most);
        assert!(all(None).share(100.0) < 0.6 && labels(&all(None)).contains(&"110"));
        let cut = all(Some(100.0));
        assert_eq!(labels(&cut), ["90", "95", "100"]);
        // A spread beyond it is drawn up to it.
        assert!(
            [100.0, 130.0]
                .iter()
                .all(|value| (cut.share(*value) - 1.0).abs() < 1e-12)
        );
        let below = Axis::new(Scale::Linear, &[40.0, 60.0], 0.05, 6);
        assert_eq!(below.clone().up_to(Some(100.0)), below);
    }

    #[test]
    fn few_whole_numbers_get_no_fractions() {
        let axis = Axis::of_settings(Scale::Linear, &[1.0, 3.0], 0.0, 6);
        assert_eq!(labels(&axis), ["1", "2", "3"]);
    }

    #[test]
    fn a_logarithmic_axis_marks_the_values_of_a_sweep_or_decades() {
        let axis = Axis::new(Scale::Log, &[1.0, 4.0, 16.0, 0.1], 0.05, 5);
        assert_eq!(labels(&axis), ["0.1", "1", "4", "16"]);
        let many: Vec<f64> = (1..=1000).map(f64::from).collect();
        let axis = Axis::new(Scale::Log, &many, 0.0, 5);
        assert_eq!(labels(&axis), ["1", "10", "100", "1000"]);
        let axis = Axis::new(Scale::Log, &many[..50], 0.0, 5);
        assert_eq!(labels(&axis), ["1", "2", "5", "10", "20", "50"]);
    }
}
