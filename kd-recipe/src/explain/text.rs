//! Doc comments as plain text.

/// The words of a doc comment: lines joined, links of the documentation reduced to what they show.
pub(super) fn plain(doc: &str) -> String {
    let mut paragraphs = Vec::new();
    let mut is_code = false;
    for paragraph in doc.split("\n\n") {
        let fences = paragraph.matches("```").count();
        let was_code = is_code;
        is_code ^= fences % 2 == 1;
        if was_code || fences > 0 || paragraph.starts_with(['#', '|']) {
            continue;
        }
        let joined = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        paragraphs.push(without_links(&joined));
    }
    paragraphs.join("\n\n")
}

/// `[text](place)` and `[text]` as `text`, where the text is code or a place follows.
fn without_links(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('[') {
        let (before, link) = rest.split_at(start);
        out.push_str(before);
        let Some(end) = link.find(']') else {
            rest = link;
            break;
        };
        let (shown, after) = (&link[1..end], &link[end + 1..]);
        let place = after.strip_prefix('(').and_then(|after| after.find(')'));
        match place {
            Some(close) => {
                out.push_str(shown);
                rest = &after[close + 2..];
            }
            None if shown.starts_with('`') && shown.ends_with('`') => {
                out.push_str(shown);
                rest = after;
            }
            None => {
                out.push_str(&link[..=end]);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_code_are_left_out() {
        let doc = "How [`Training`] goes,\nsee [the page](https://x) and `[train]`.\n\n```\nlet a = 1;\n\n\
                   let b = 2;\n```\n\nA share in `[0, 1)`.";
        assert_eq!(
            plain(doc),
            "How `Training` goes, see the page and `[train]`.\n\nA share in `[0, 1)`."
        );
        assert_eq!(plain("open [ end"), "open [ end");
    }
}
