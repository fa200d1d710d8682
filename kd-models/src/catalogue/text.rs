//! Networks for text of the catalogue: the template, and those of the teacher-class paper's official code.

use kd_core::{SampleKind, Task};

use super::{Entry, KnownNetwork};
use crate::structure::Structure;
use crate::text_cnn::TextCnnConfig;

pub(super) static CLASSIFIERS: [Entry; 6] = [
    text(
        "text-cnn",
        "Small network for text: embeddings of 16 features, 32 channels, 32 features",
        || Structure::TextCnn(TextCnnConfig::template()),
    ),
    text(
        "tcn-imdb-teacher",
        "Teacher of the teacher-class paper's code on IMDB: embeddings of 32, 64 channels twice, 256 \
         features",
        || Structure::TextCnn(TextCnnConfig::teacher()),
    ),
    text(
        "tcn-imdb-1",
        "Student of the teacher-class paper's code, IMDB, 1 student",
        || Structure::TextCnn(TextCnnConfig::student([128, 64], 2, 64)),
    ),
    text(
        "tcn-imdb-2",
        "Student of the teacher-class paper's code, IMDB, 2 students",
        || Structure::TextCnn(TextCnnConfig::student([128, 64], 3, 64)),
    ),
    text(
        "tcn-imdb-4",
        "Student of the teacher-class paper's code, IMDB, 4 students",
        || Structure::TextCnn(TextCnnConfig::student([128, 32], 3, 32)),
    ),
    text(
        "tcn-imdb-8",
        "Student of the teacher-class paper's code, IMDB, 8 students",
        || Structure::TextCnn(TextCnnConfig::student([32, 32], 3, 16)),
    ),
];

/// An entry of a classifier of texts.
const fn text(
    name: &'static str,
    description: &'static str,
    structure: fn() -> Structure,
) -> Entry {
    let known = KnownNetwork {
        name,
        description,
        task: Task::Classification,
        takes: SampleKind::Texts,
    };
    Entry { known, structure }
}
