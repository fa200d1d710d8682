//! The width of a text, estimated without a font.

/// The width of a text of this size in pixels, as the wider of the usual sans-serif fonts have it.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(em).sum::<f64>() * size
}

/// The text, cut to fit `most` pixels, with an ellipsis where something was cut.
pub(crate) fn fit(text: &str, size: f64, most: f64) -> String {
    if width(text, size) <= most {
        return text.to_owned();
    }
    let mut room = most / size - em('…');
    let mut out = String::new();
    for character in text.chars() {
        room -= em(character);
        if room < 0.0 {
            break;
        }
        out.push(character);
    }
    format!("{}…", out.trim_end())
}

/// The text with what XML cannot hold, or what has no width, made a space.
pub(crate) fn printable(text: &str) -> String {
    let bad =
        |character: char| character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}');
    text.chars()
        .map(|character| if bad(character) { ' ' } else { character })
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The width of a character in units of the font size.
fn em(character: char) -> f64 {
    match character {
        'i' | 'j' | 'l' | '\'' | '|' => 0.3,
        'f' | 'r' | 't' | 'I' | '.' | ',' | ':' | ';' | '!' | '(' | ')' | '[' | ']' | '/' | ' '
        | '-' => 0.38,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '…' => 0.95,
        'A'..='Z' | '&' => 0.72,
        '\0'..='\u{024f}' => 0.62,
        // Scripts whose characters are as wide as they are high.
        '\u{1100}'..='\u{11ff}'
        | '\u{2e80}'..='\u{d7af}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff00}'.. => 1.0,
        _ => 0.66,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut() {
        assert_eq!(fit("truck", 10.0, 100.0), "truck");
        let cut = fit("a very long name of a class", 10.0, 60.0);
        assert!(cut.ends_with('…') && cut.len() < 20, "{cut}");
        assert!(width(&cut, 10.0) <= 60.0);
        assert_eq!(fit("abc", 10.0, 1.0), "…");
    }

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(printable("a\u{1}b\nc\u{ffff}"), "a b c");
    }
}
