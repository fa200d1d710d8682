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
