//! Numbers in words of findings: short ones, percentages, counts.

/// A number with at most four digits that count.
pub(super) fn short_number(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 || !number.is_finite() {
        return format!("{number}");
    }
    if !(1e-3..1e6).contains(&size) {
        return format!("{number:.2e}");
    }
    let text = match size {
        1000.0.. => format!("{number:.0}"),
        100.0.. => format!("{number:.1}"),
        10.0.. => format!("{number:.2}"),
        1.0.. => format!("{number:.3}"),
        _ => format!("{number:.4}"),
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A share as a percentage; small ones keep a digit that counts.
pub(super) fn percent(share: f64) -> String {
    let percentage = 100.0 * share;
    if percentage == 0.0 || percentage >= 0.1 {
        format!("{percentage:.1} %")
    } else {
        format!("{} %", short_number(percentage))
    }
}

/// A count with its noun.
pub(super) fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (0.286_041, "0.286"),
            (1.0, "1"),
            (4321.9, "4322"),
            (45.678, "45.68"),
            (1.25e-5, "1.25e-5"),
            (-2.5e7, "-2.50e7"),
            (f64::NAN, "NaN"),
        ];
        for (number, text) in cases {
            assert_eq!(short_number(number), text);
        }
        assert_eq!(
            [percent(0.5), percent(0.0004), percent(0.0)],
            ["50.0 %", "0.04 %", "0.0 %"]
        );
    }
}
