//! Names of tensors mapped by rules: parts of names, and patterns between slashes.

use std::collections::BTreeMap;
use std::path::Path;

use kd_core::{Error, Result, Tensors};
use regex::{Regex, RegexBuilder};

use super::choice::{beginnings, shortened};

/// What a pattern may take in memory once it is compiled.
const MOST_BYTES: usize = 1 << 20;

/// Maps the names of `tensors` by `rules`, first by the patterns, then by the parts, and says what was done.
///
/// # Errors
///
/// [`Error::Config`] for a pattern that is none, [`Error::Input`] if a rule fits no name or gives two tensors
/// one name.
pub(super) fn map_names(
    tensors: Tensors,
    rules: &BTreeMap<String, String>,
    path: &Path,
    remarks: &mut Vec<String>,
) -> Result<Tensors> {
    let mut rules = Rules::read(rules)?;
    let mut renamed = Tensors::new();
    let bad = |problem| Error::Input {
        path: path.to_owned(),
        problem,
    };
    for (name, data) in tensors {
        let new = rules.apply(&name);
        if new.is_empty() {
            return Err(bad(format!(
                "has a tensor `{name}` of which `rename` leaves no name"
            )));
        }
        if renamed.insert(new.clone(), data).is_some() {
            return Err(bad(format!(
                "has two tensors that `rename` calls `{new}`, one of them `{name}`; give them different names"
            )));
        }
    }
    for rule in rules.all() {
        let (from, to) = (rule.from, rule.to);
        if rule.used == 0 {
            let begin = shortened(&beginnings(&renamed));
            return Err(bad(format!(
                "has no name with `{from}`, which `rename` replaces; they begin with {begin}"
            )));
        }
        remarks.push(format!(
            "`{from}` replaced by `{to}` in {} names",
            rule.used
        ));
    }
    Ok(renamed)
}

/// A rule, and how many names it was used in.
struct Rule<'a> {
    from: &'a str,
    to: &'a str,
    used: usize,
}

/// The rules of a choice.
struct Rules<'a> {
    patterns: Vec<(Regex, Rule<'a>)>,
    parts: Vec<Rule<'a>>,
}

impl<'a> Rules<'a> {
    fn read(rules: &'a BTreeMap<String, String>) -> Result<Self> {
        let mut read = Self {
            patterns: Vec::new(),
            parts: Vec::new(),
        };
        for (from, to) in rules {
            let rule = Rule { from, to, used: 0 };
            match pattern(from) {
                Some(pattern) => read.patterns.push((compiled(pattern)?, rule)),
                None if from.is_empty() => {
                    let problem =
                        "has an empty part, which is in no name; write a part or a `/pattern/`";
                    return Err(Error::config("rename", problem));
                }
                None => read.parts.push(rule),
            }
        }
        Ok(read)
    }

    fn all(&self) -> impl Iterator<Item = &Rule<'a>> {
        let patterns = self.patterns.iter().map(|(_, rule)| rule);
        patterns.chain(&self.parts)
    }

    /// The new name of `name`; counts the rules that were used.
    fn apply(&mut self, name: &str) -> String {
        let mut name = name.to_owned();
        for (pattern, rule) in &mut self.patterns {
            if pattern.is_match(&name) {
                rule.used += 1;
                name = pattern.replace_all(&name, rule.to).into_owned();
            }
        }
        self.apply_parts(&name)
    }

    fn apply_parts(&mut self, name: &str) -> String {
        let mut out = String::new();
        let mut rest = name;
        while !rest.is_empty() {
            let fits = self
                .parts
                .iter_mut()
                .filter(|rule| rest.starts_with(rule.from));
            if let Some(rule) = fits.max_by_key(|rule| rule.from.len()) {
                rule.used += 1;
                out.push_str(rule.to);
                rest = &rest[rule.from.len()..];
                if rule.from.ends_with('.') {
                    continue;
                }
            }
            let end = rest.find('.').map_or(rest.len(), |dot| dot + 1);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        out
    }
}

/// What stands between the slashes of a pattern.
fn pattern(from: &str) -> Option<&str> {
    let inside = from.strip_prefix('/')?.strip_suffix('/')?;
    (!inside.is_empty()).then_some(inside)
}

fn compiled(pattern: &str) -> Result<Regex> {
    let built = RegexBuilder::new(pattern).size_limit(MOST_BYTES).build();
    built.map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        let why = last.trim_start_matches("error: ");
        Error::config(
            "rename",
            format!("has `/{pattern}/`, which is no regular expression: {why}"),
        )
    })
}
