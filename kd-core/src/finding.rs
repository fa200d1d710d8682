//! Findings of a check: in words, with a topic and a grade.

use serde::Serialize;

/// The grade of a finding, mildest first.
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

/// The topic of a finding.
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
    /// The normalisation of the networks' inputs.
    Normalisation,
    /// The knowledge of the teachers.
    Teachers,
    /// Pairs of maps.
    Taps,
    /// Values of the losses and their gradients.
    Losses,
    /// Parameters that must not change, and those that are trained.
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

/// A finding of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Its grade.
    pub grade: Grade,
    /// Its topic.
    pub topic: Topic,
    /// One line that says what, where, and what to do.
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
