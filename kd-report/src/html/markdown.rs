//! The few forms of Markdown that reports use, as HTML: code, strong text, escaped characters.

use maud::{Markup, html};

use super::encode::visible;

/// A paragraph.
pub(super) fn paragraph(text: &str) -> Markup {
    html! { p { (pieces(text, true)) } }
}

/// The text of a cell, in which code and strong text are marked and nothing is escaped.
pub(super) fn cell(text: &str) -> Markup {
    pieces(text, false)
}

/// A piece of text and how it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Plain(String),
    Code(String),
    Strong(String),
}

fn pieces(text: &str, whole: bool) -> Markup {
    html! {
        @for piece in split(text, whole) {
            @match piece {
                Piece::Plain(text) => (visible(&text)),
                Piece::Code(text) => code { (visible(&text)) },
                Piece::Strong(text) => strong { (visible(&text)) },
            }
        }
    }
}

/// Takes a text apart; `whole` says whether characters in it may be escaped.
fn split(text: &str, whole: bool) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let marked = if character == '`' {
            between(rest, "`").map(|(inner, after)| (Piece::Code(inner.to_owned()), after))
        } else if rest.starts_with("**") {
            between(rest, "**").map(|(inner, after)| (Piece::Strong(inner.to_owned()), after))
        } else {
            None
        };
        if let Some((piece, after)) = marked {
            if !plain.is_empty() {
                found.push(Piece::Plain(std::mem::take(&mut plain)));
            }
            found.push(piece);
            rest = after;
            continue;
        }
        rest = &rest[character.len_utf8()..];
        match (character, rest.chars().next()) {
            ('\\', Some(escaped)) if whole && escaped.is_ascii_punctuation() => {
                plain.push(escaped);
                rest = &rest[1..];
            }
            ('&', _) if whole && rest.starts_with("lt;") => {
                plain.push('<');
                rest = &rest[3..];
            }
            _ => plain.push(character),
        }
    }
    if !plain.is_empty() {
        found.push(Piece::Plain(plain));
    }
    found
}

/// What stands between a mark and the next one, and what follows.
fn between<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let inner = text.strip_prefix(mark)?;
    let end = inner.find(mark).filter(|&end| end > 0)?;
    Some((&inner[..end], &inner[end + mark.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_tags() {
        let made = paragraph("**Warning:** `a<b>` is 1 &lt; 2, a\\_b & c.").into_string();
        assert_eq!(
            made,
            "<p><strong>Warning:</strong> <code>a&lt;b&gt;</code> is 1 &lt; 2, a_b &amp; c.</p>"
        );
    }

    #[test]
    fn what_is_not_marked_to_its_end_is_text() {
        assert_eq!(
            paragraph("a ` b ** c \\").into_string(),
            "<p>a ` b ** c \\</p>"
        );
        assert_eq!(paragraph("`` é**").into_string(), "<p>`` é**</p>");
    }

    #[test]
    fn a_cell_has_no_escapes() {
        let made = cell("**a** `b` \\_ &lt;<i>").into_string();
        assert_eq!(
            made,
            "<strong>a</strong> <code>b</code> \\_ &amp;lt;&lt;i&gt;"
        );
    }
}
