//! "Did you mean": the known word nearest to a mistyped one.

/// The word of `known` that `typed` most likely stands for, if any is near enough.
///
/// Near enough means a Damerau-Levenshtein distance of at most a third of the longer word, or one word
/// beginning with the other.
///
/// ```
/// assert_eq!(kd_core::nearest("epcohs", ["epochs", "seed"]), Some("epochs"));
/// assert_eq!(kd_core::nearest("xyz", ["epochs", "seed"]), None);
/// ```
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(typed, word), word))
        .filter(|(distance, word)| {
            let longer = typed.chars().count().max(word.chars().count());
            let prefix = typed.len() >= 3 && (word.starts_with(typed) || typed.starts_with(word));
            prefix || *distance * 3 <= longer
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `; did you mean `x`?` or nothing, for the end of an error text.
pub(crate) fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(typed, known).map_or_else(String::new, |word| format!("; did you mean `{word}`?"))
}
