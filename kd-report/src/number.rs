//! Numbers as people read them.

/// A count with thousands set apart.
///
/// ```
/// assert_eq!(kd_report::count(61_706), "61,706");
/// ```
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share in percent, in words where it is not a number.
///
/// ```
/// assert_eq!(kd_report::percent(f64::NAN), "not a number");
/// assert_eq!(kd_report::percent(0.255), "25.50 %");
/// ```
pub fn percent(share: f64) -> String {
    if share.is_nan() {
        return "not a number".into();
    }
    format!("{:.2} %", 100.0 * share)
}

/// Seconds in the two largest units that they fill.
///
/// ```
/// let told = [2.34, 75.0, 3700.0, 90_000.0].map(kd_report::duration);
/// assert_eq!(told, ["2.3 s", "1 min 15 s", "1 h 1 min", "1 d 1 h"]);
/// ```
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what takes longer than a whole number can say is shown as the largest"
)]
pub fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (days, hours, minutes) = (whole / 86400, whole / 3600 % 24, whole / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {} s", whole % 60),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}
