//! What a check found, in words and with a grade.

use serde::Serialize;

/// How bad a finding is, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// Looked at and found right.
    Ok,
    /// Worth knowing; a good run may have it.
    Note,
    /// Runs, but most likely does not do what was meant.
    Warning,
    /// Cannot run, or would measure something else than it says.
    Error,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Topic {
    /// Samples and classes of the data.
    Data,
    /// Weight files.
    Weights,
    /// Numbers of classes and sizes of images.
    Shapes,
    /// What the networks' inputs are normalised with.
    Normalisation,
    /// What the teachers know.
    Teachers,
    /// Pairs of maps.
    Taps,
    /// Values of the losses and their gradients.
    Losses,
    /// What must not change, and what is trained.
    Frozen,
    /// Steps and learning rates.
    Schedule,
    /// Time and memory.
    Costs,
}

impl Topic {
    /// The word for it in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Weights => "weights",
            Self::Shapes => "shapes",
            Self::Normalisation => "normalisation",
            Self::Teachers => "teachers",
            Self::Taps => "taps",
            Self::Losses => "losses",
            Self::Frozen => "frozen",
            Self::Schedule => "schedule",
            Self::Costs => "costs",
        }
    }
}

impl Grade {
    /// The word for it in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub grade: Grade,
    /// What it is about.
    pub topic: Topic,
    /// What, where, and what to do, in one line.
    pub text: String,
}

impl Finding {
    /// A finding.
    pub fn new(grade: Grade, topic: Topic, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { grade, topic, text }
    }

    /// Something that is right.
    pub fn ok(topic: Topic, text: impl Into<String>) -> Self {
        Self::new(Grade::Ok, topic, text)
    }

    /// Something worth knowing.
    pub fn note(topic: Topic, text: impl Into<String>) -> Self {
        Self::new(Grade::Note, topic, text)
    }

    /// Something that is most likely a mistake.
    pub fn warning(topic: Topic, text: impl Into<String>) -> Self {
        Self::new(Grade::Warning, topic, text)
    }

    /// Something that stops the run or makes it worthless.
    pub fn error(topic: Topic, text: impl Into<String>) -> Self {
        Self::new(Grade::Error, topic, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_are_ordered_from_mild_to_bad() {
        let mut grades = [Grade::Error, Grade::Ok, Grade::Warning, Grade::Note];
        grades.sort();
        let words: Vec<&str> = grades.iter().map(|grade| grade.word()).collect();
        assert_eq!(words, ["ok", "note", "warning", "error"]);
    }
}
