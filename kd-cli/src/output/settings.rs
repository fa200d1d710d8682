//! Settings of the output: how much the command says and in what form, set once at its start.

use std::io::IsTerminal;
use std::sync::OnceLock;

use clap::ValueEnum;

use crate::args::{OutputOptions, ProgressForm};

/// What holds for the whole command.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct Settings {
    /// Nothing but errors, and the object of `--json`.
    pub(crate) quiet: bool,
    /// Whether errors are objects.
    pub(crate) json: bool,
    /// The form of progress.
    pub(crate) progress: ProgressForm,
    /// Whether it is said what can be done next.
    pub(crate) hints: bool,
    /// Whether standard error may have colours.
    colour: bool,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// Takes what was typed; `json` says whether `--json` was.
pub(crate) fn set(options: OutputOptions, json: bool) {
    let is_terminal = std::io::stderr().is_terminal();
    let usual = match (is_terminal, json) {
        (true, _) => ProgressForm::Bar,
        (false, true) => ProgressForm::None,
        (false, false) => ProgressForm::Plain,
    };
    let asked = || options.progress.or_else(of_environment).unwrap_or(usual);
    let progress = if options.quiet {
        ProgressForm::None
    } else {
        asked()
    };
    let in_words = matches!(progress, ProgressForm::Plain | ProgressForm::Bar);
    SETTINGS.get_or_init(|| Settings {
        quiet: options.quiet,
        json,
        progress,
        hints: in_words && (is_terminal || options.progress.is_some()),
        colour: is_terminal && may_colour(|name| std::env::var(name).ok()),
    });
}

/// The form that the environment asks for.
fn of_environment() -> Option<ProgressForm> {
    ProgressForm::from_str(&std::env::var("KD_PROGRESS").ok()?, true).ok()
}

/// What was set; a program that sets nothing says everything in plain words.
pub(crate) fn settings() -> Settings {
    SETTINGS.get().copied().unwrap_or(Settings {
        quiet: false,
        json: false,
        progress: ProgressForm::Plain,
        hints: false,
        colour: false,
    })
}

/// Whether the environment allows colours: `NO_COLOR` is not set to anything, and the terminal has them.
fn may_colour(variable: impl Fn(&str) -> Option<String>) -> bool {
    variable("NO_COLOR").is_none_or(|value| value.is_empty())
        && variable("TERM").is_none_or(|value| value != "dumb")
}

/// Whether bars have colours.
pub(crate) fn has_colour() -> bool {
    settings().colour
}

/// The text with its first word in colour, if it is one that grades the rest.
pub(crate) fn coloured(text: &str) -> String {
    const WORDS: [(&str, u8); 4] = [
        ("error:", 31),
        ("warning:", 33),
        ("note:", 36),
        ("next:", 32),
    ];
    let word = WORDS.iter().find(|(word, _)| text.starts_with(word));
    match word.filter(|_| settings().colour) {
        Some((word, code)) => format!("\u{1b}[1;{code}m{word}\u{1b}[0m{}", &text[word.len()..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_rules_of_no_color() {
        let with = |no_color: Option<&str>, term: Option<&str>| {
            let (no_color, term) = (no_color.map(str::to_owned), term.map(str::to_owned));
            may_colour(|name| match name {
                "NO_COLOR" => no_color.clone(),
                _ => term.clone(),
            })
        };
        assert!(with(None, Some("xterm")));
        assert!(with(Some(""), None));
        assert!(!with(Some("1"), Some("xterm")));
        assert!(!with(Some("0"), None));
        assert!(!with(None, Some("dumb")));
    }
}
