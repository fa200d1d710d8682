//! The data of a drafted recipe: labelled texts in a table, in two, or in folders.

use std::path::Path;

use kd_core::{DataFiles, Error, Result, Split, Task};
use kd_recipe::model_folder;
use kd_text::{KnownText, TextFiles, TextSettings};

use super::data::{DataDraft, held_out, line, quoted, stem, usual_share, without};
use super::teacher::TeacherDraft;
use crate::args::DraftOptions;

/// Tokens of a text at least, which every network takes, and at most.
const LENGTHS: [usize; 2] = [32, 500];
/// The share of the texts that is not cut.
const WHOLE: f64 = 0.95;
/// Ids of the vocabulary: of few texts and of many.
const VOCABULARIES: [usize; 2] = [1000, 5000];
/// What few texts are.
const FEW: usize = 2000;

impl DataDraft {
    /// Texts of one's own at `path`.
    pub(super) fn texts(
        path: &Path,
        options: &DraftOptions,
        teacher: Option<&TeacherDraft>,
    ) -> Result<Self> {
        refuse_size(options)?;
        let files = TextFiles::open(path, &TextSettings::default(), None)?;
        let name = path.to_string_lossy();
        let counts = counts_of(&files)?;
        let classes = files.class_names().iter().zip(&counts);
        let listed: Vec<String> = classes
            .take(6)
            .map(|(class, count)| format!("{class} {count}"))
            .collect();
        let more = if counts.len() > 6 { ", ..." } else { "" };
        let of_classes = format!("to train on: {}{more}", listed.join(", "));
        let mut lines = vec![
            line("name", "\"text\"", "labelled texts of your own"),
            line("path", &quoted(&name), &of_classes),
        ];
        let [vocabulary, length] = sizes(&files, teacher);
        lines.push(tokens(vocabulary, length, teacher)?);
        let fewest = counts.iter().min().copied().unwrap_or(1);
        let has_test = files.samples(Split::Test).is_some();
        let share = options
            .held_out
            .or((!has_test).then(|| usual_share(fewest)));
        let mut notes = Vec::new();
        if let Some(share) = share.filter(|_| options.held_out.is_none()) {
            notes.push(format!(
                "`{name}` has no test split: {:.0} % of each class are held out to be measured on; nothing \
                 is copied, and `--held-out` sets another share",
                100.0 * share
            ));
        }
        lines.extend(share.map(held_out));
        Ok(Self {
            lines,
            stem: stem(&name),
            task: Task::Classification,
            is_text: true,
            classes: counts.len(),
            train: without(counts.iter().sum(), share),
            uneven: Some([fewest, counts.into_iter().max().unwrap_or(1)]),
            input: [vocabulary, 1, length],
            may_flip: false,
            notes,
        })
    }

    /// Texts that are known by name, with the sizes of the code that they are known from.
    pub(super) fn known_texts(
        known: &KnownText,
        options: &DraftOptions,
        teacher: Option<&TeacherDraft>,
    ) -> Result<Self> {
        refuse_size(options)?;
        let usual = TextSettings::default();
        let of_teacher = teacher.and_then(|teacher| teacher.input);
        let input = of_teacher.unwrap_or([usual.vocabulary(), 1, usual.length()]);
        let classes = known.class_names.len();
        let mut lines = vec![
            line("name", &quoted(known.name), &format!("{classes} classes")),
            tokens(input[0], input[2], teacher)?,
        ];
        lines.extend(options.held_out.map(held_out));
        Ok(Self {
            lines,
            stem: known.name.to_owned(),
            task: Task::Classification,
            is_text: true,
            classes,
            train: without(known.train, options.held_out),
            uneven: None,
            input,
            may_flip: false,
            notes: Vec::new(),
        })
    }
}

fn refuse_size(options: &DraftOptions) -> Result<()> {
    if options.size.is_none() {
        return Ok(());
    }
    let problem = "is for images, and the data are texts; leave it out";
    Err(Error::config("--size", problem))
}

/// The texts of each class to train on.
fn counts_of(files: &TextFiles) -> Result<Vec<usize>> {
    let train = files.load(Split::Train)?;
    let mut counts = vec![0; files.class_names().len()];
    for label in train.labels() {
        if let Some(count) = counts.get_mut(usize::from(*label)) {
            *count += 1;
        }
    }
    Ok(counts)
}

/// Ids and tokens: the teacher's, else such that most texts are whole.
fn sizes(files: &TextFiles, teacher: Option<&TeacherDraft>) -> [usize; 2] {
    if let Some([vocabulary, _, length]) = teacher.and_then(|teacher| teacher.input) {
        return [vocabulary, length];
    }
    let texts = files.texts(Split::Train).unwrap_or_default();
    let words = texts.iter().map(|text| text.split_whitespace().count());
    let few = usize::from(texts.len() >= FEW);
    [VOCABULARIES[few], length_for(words.collect())]
}

/// Tokens for texts of so many words: a multiple of 8 that most of them fit into, the token of the start and
/// marks between the words counted in.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count"
)]
fn length_for(mut words: Vec<usize>) -> usize {
    words.sort_unstable();
    let last = words.len().saturating_sub(1);
    let most = words.get((WHOLE * last as f64).ceil() as usize);
    let tokens = most.map_or(0, |most| most + 1);
    tokens.next_multiple_of(8).clamp(LENGTHS[0], LENGTHS[1])
}

/// The line of the tokenizer: the teacher's, or one that is learnt.
fn tokens(vocabulary: usize, length: usize, teacher: Option<&TeacherDraft>) -> Result<[String; 2]> {
    // A weight file has no tokenizer beside it.
    let teacher = teacher.filter(|teacher| !teacher.is_file);
    if let Some(teacher) = teacher {
        let path = quoted(&model_folder(&teacher.path)?.to_string_lossy());
        let setting = format!("{{ tokenizer = {path} }}");
        return Ok(line("text", &setting, "both read the same token ids"));
    }
    let setting = format!("{{ length = {length}, vocabulary = {vocabulary} }}");
    let why = "tokens of a text, and how many there are";
    Ok(line("text", &setting, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_texts_are_whole() {
        assert_eq!(length_for(vec![]), 32);
        assert_eq!(length_for(vec![3, 90, 3]), 96);
        let mut words = vec![100; 99];
        words.push(4000);
        assert_eq!(length_for(words), 104);
        assert_eq!(length_for(vec![9000]), 500);
    }
}
