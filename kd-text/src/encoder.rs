//! A tokenizer: texts made into token ids of one length.

use std::fmt;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kd_core::{CountedWork, Error, Result, TokenizerFile, tell_counted};
use serde_json::{Map, Value, json};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::wordlevel::WordLevelTrainer;
use tokenizers::utils::padding::PaddingStrategy;
use tokenizers::{Tokenizer, TruncationParams};

use crate::settings::{End, MOST, TextSettings};

/// The ids that are no words, in the order of their numbers: filling, the start of a text, unknown words.
const RESERVED: [&str; 3] = ["[PAD]", "[START]", "[UNK]"];
/// Letters and digits, with apostrophes inside.
const WORD: &str = r"[\p{L}\p{M}\p{N}]+(?:'[\p{L}\p{M}\p{N}]+)*";
/// Texts that are made into ids at once.
const AT_ONCE: usize = 256;
/// What is told of the vocabulary that is learnt.
const LEARNING: &str = "learning the words";
/// The time between two tellings of how far it is.
const TELLING: Duration = Duration::from_millis(100);
/// The file of a tokenizer in a model folder.
pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// A tokenizer that makes texts into token ids of one length.
///
/// One that is learnt ([`Encoder::learn`]) knows whole words: runs of letters and digits, with apostrophes
/// inside. The ids 0 to 2 are for filling, for the start of a text and for words that are not in the
/// vocabulary; the most frequent words follow, those of one frequency in the order of the alphabet. Every
/// text begins with the id of the start. A long text keeps it, where Keras's loses it when it cuts the front.
///
/// Its file ([`Encoder::file`]) is read by the Python package `tokenizers` and gives the same ids there.
///
/// ```
/// use kd_text::{Encoder, TextSettings};
/// let settings: TextSettings = toml::from_str("length = 4\nvocabulary = 6").unwrap();
/// let encoder = Encoder::learn(["good good film", "bad film, good"], &settings)?;
/// // "good" has id 3, "film" 4, "bad" 5; texts are filled up and cut at the front.
/// assert_eq!(encoder.ids(&["A good film!", "bad bad good film"])?, [1, 2, 3, 4, 1, 5, 3, 4]);
/// assert_eq!(encoder.ids(&["film"])?, [0, 0, 1, 4]);
/// # Ok::<(), kd_core::Error>(())
/// ```
pub struct Encoder {
    tokenizer: Tokenizer,
    file: TokenizerFile,
    vocabulary: usize,
    length: usize,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("vocabulary", &self.vocabulary)
            .field("length", &self.length)
            .field("sha256", &self.file.sha256())
            .finish_non_exhaustive()
    }
}

impl Encoder {
    /// Learns the vocabulary of `texts`, which should be those of the training split alone.
    ///
    /// # Errors
    ///
    /// As [`TextSettings::check`]; [`Error::Config`] if there is no word in any of the texts.
    pub fn learn<S: AsRef<str> + Send>(
        texts: impl IntoIterator<Item = S, IntoIter: Send>,
        settings: &TextSettings,
    ) -> Result<Self> {
        settings.check()?;
        let words = words(texts.into_iter(), settings)?;
        if words.is_empty() {
            let problem = "cannot be learnt: there is no word in any of the texts to train on";
            return Err(Error::config("text.vocabulary", problem));
        }
        let all = RESERVED.map(str::to_owned).into_iter().chain(words);
        let vocabulary: Map<String, Value> = all.zip((0..).map(Value::from)).collect();
        let described = description(settings, vocabulary).to_string();
        let tokenizer = Tokenizer::from_bytes(described).map_err(failed)?;
        let text = tokenizer.to_string(true).map_err(failed)?;
        Self::new(&TokenizerFile::new(text))
    }

    /// The tokenizer of a file.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if it is none, is not known beyond its hash, gives no ids of one length, or more of
    /// them than 65,536.
    pub fn new(file: &TokenizerFile) -> Result<Self> {
        let bad = |problem: String| Error::config("text.tokenizer", problem);
        let json = file.json().ok_or_else(|| {
            bad(
                "is not known: only its hash is; give a model folder that has the file `tokenizer.json`"
                    .into(),
            )
        })?;
        let tokenizer = Tokenizer::from_bytes(json)
            .map_err(|error| bad(format!("is no tokenizer that can be read: {error}")))?;
        if let Some(token) = token_without_ids(json) {
            let problem = format!("adds `{token}` to each text, and does not say its ids");
            return Err(bad(problem));
        }
        let length = length(&tokenizer).ok_or_else(|| {
            bad(
                "gives texts of different lengths; give one whose file has `padding` with the strategy \
                 `Fixed` and `truncation` of the same length"
                    .into(),
            )
        })?;
        let ids = tokenizer.get_vocab(true).into_values();
        let vocabulary = ids.max().map_or(0, |most| most as usize + 1);
        if !(2..=MOST).contains(&length) || !(1..=MOST).contains(&vocabulary) {
            let problem = format!(
                "has {vocabulary} ids and texts of {length} tokens; at most {MOST} of each can be used, and \
                 texts must have 2 tokens"
            );
            return Err(bad(problem));
        }
        Ok(Self {
            tokenizer,
            file: file.clone(),
            vocabulary,
            length,
        })
    }

    /// Reads the tokenizer of a model folder, or the file of one.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if there is none or it is not UTF-8, and those of [`Encoder::new`].
    pub fn open(path: &Path) -> Result<Self> {
        let inside = path.join(TOKENIZER);
        let file = if path.is_dir() { &inside } else { path };
        let text = std::fs::read_to_string(file).map_err(|error| {
            let problem = format!(
                "cannot be read as a tokenizer ({error}); give a model folder of a text network, or a \
                 `tokenizer.json`"
            );
            Error::Input {
                path: file.to_owned(),
                problem,
            }
        })?;
        Self::new(&TokenizerFile::new(text)).map_err(|error| Error::Input {
            path: file.to_owned(),
            problem: error.to_string(),
        })
    }

    /// The token ids of texts, one after the other: `[texts, length]`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the tokenizer fails on a text, as one without an id for unknown words does.
    pub fn ids<S: AsRef<str>>(&self, texts: &[S]) -> Result<Vec<u16>> {
        let mut ids = Vec::with_capacity(texts.len() * self.length);
        for (block, some) in texts.chunks(AT_ONCE).enumerate() {
            tell("making token ids", block * AT_ONCE, texts.len());
            let some: Vec<&str> = some.iter().map(AsRef::as_ref).collect();
            let encoded = self.tokenizer.encode_batch_fast(some, true);
            for text in encoded.map_err(failed)? {
                // The vocabulary has at most 65,536 ids.
                ids.extend(
                    text.get_ids()
                        .iter()
                        .filter_map(|&id| u16::try_from(id).ok()),
                );
            }
        }
        tell("making token ids", texts.len(), texts.len());
        Ok(ids)
    }

    /// The file that it is.
    pub fn file(&self) -> &TokenizerFile {
        &self.file
    }

    /// The number of ids; every id is below it.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The number of tokens of a text.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// The first special token that a template of the tokenizer adds without saying its ids, on which the library
/// would panic with the first text.
fn token_without_ids(json: &str) -> Option<String> {
    let file: Value = serde_json::from_str(json).ok()?;
    let processor = file.get("post_processor")?;
    let several = processor.get("processors").and_then(Value::as_array);
    let all = several.map_or(std::slice::from_ref(processor), Vec::as_slice);
    all.iter().find_map(|processor| {
        let known = processor.get("special_tokens")?;
        let pieces = ["single", "pair"]
            .into_iter()
            .filter_map(|name| processor.get(name)?.as_array());
        let mut added = pieces
            .flatten()
            .filter_map(|piece| piece.get("SpecialToken")?.get("id")?.as_str());
        added
            .find(|token| known.get(token).is_none())
            .map(str::to_owned)
    })
}

/// The words of texts, the most frequent first, as many as the vocabulary has room for.
fn words<S: AsRef<str> + Send>(
    texts: impl Iterator<Item = S> + Send,
    settings: &TextSettings,
) -> Result<Vec<String>> {
    let unk = RESERVED
        .map(str::to_owned)
        .into_iter()
        .zip((0..).map(Value::from));
    let described = description(settings, unk.collect()).to_string();
    let mut counting = Tokenizer::from_bytes(described).map_err(failed)?;
    let trainer = WordLevelTrainer::builder()
        .vocab_size(settings.vocabulary() - RESERVED.len())
        .show_progress(false)
        .build()
        .map_err(failed)?;
    let mut trainer = TrainerWrapper::WordLevelTrainer(trainer);
    let total = texts.size_hint().0;
    let counted = |count: &AtomicUsize| {
        let texts = texts.inspect(|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        counting.train(&mut trainer, texts).map(|_| ())
    };
    telling(total, counted).map_err(failed)?;
    let mut words: Vec<(String, u32)> = counting.get_vocab(false).into_iter().collect();
    words.sort_by_key(|(_, id)| *id);
    Ok(words.into_iter().map(|(word, _)| word).collect())
}

/// Does `work`, which counts texts, in a thread of its own, and tells meanwhile how far it is: the library
/// takes the texts on threads in which nobody listens.
fn telling<T: Send>(total: usize, work: impl FnOnce(&AtomicUsize) -> T + Send) -> T {
    let count = AtomicUsize::new(0);
    let caller = std::thread::current();
    let outcome = std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            let outcome = work(&count);
            caller.unpark();
            outcome
        });
        while !working.is_finished() {
            // When all are taken, they still have to be put together.
            let taken = count.load(Ordering::Relaxed);
            tell(LEARNING, taken.min(total.saturating_sub(1)), total);
            std::thread::park_timeout(TELLING);
        }
        working.join()
    });
    tell(LEARNING, total, total);
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Tells how many texts are done, if it is known how many there are.
fn tell(what: &str, done: usize, total: usize) {
    if total > 0 {
        tell_counted(CountedWork {
            what,
            unit: "texts",
            done: done as u64,
            total: total as u64,
        });
    }
}

/// The tokenizer of a vocabulary, as its file has it.
fn description(settings: &TextSettings, vocabulary: Map<String, Value>) -> Value {
    let side = |end: End| match end {
        End::Front => "Left",
        End::Back => "Right",
    };
    let [pad, start, unknown] = RESERVED;
    let begun = json!({ "SpecialToken": { "id": start, "type_id": 0 } });
    let text = |id: &str| json!({ "Sequence": { "id": id, "type_id": 0 } });
    json!({
        "version": "1.0",
        "truncation": {
            "direction": side(settings.cut()),
            "max_length": settings.length(),
            "strategy": "LongestFirst",
            "stride": 0,
        },
        "padding": {
            "strategy": { "Fixed": settings.length() },
            "direction": side(settings.padding()),
            "pad_to_multiple_of": null,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": pad,
        },
        "added_tokens": [],
        "normalizer": settings.lower_case().then(|| json!({ "type": "Lowercase" })),
        "pre_tokenizer": {
            "type": "Split",
            "pattern": { "Regex": WORD },
            "behavior": "Removed",
            "invert": true,
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begun, text("A")],
            "pair": [begun, text("A"), text("B")],
            "special_tokens": { start: { "id": start, "ids": [1], "tokens": [start] } },
        },
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": unknown },
    })
}

/// The length that every text gets; none where texts keep lengths of their own.
fn length(tokenizer: &Tokenizer) -> Option<usize> {
    let PaddingStrategy::Fixed(length) = tokenizer.get_padding()?.strategy else {
        return None;
    };
    let TruncationParams { max_length, .. } = tokenizer.get_truncation()?;
    (*max_length == length).then_some(length)
}

/// A failure of the library.
fn failed(error: impl fmt::Display) -> Error {
    Error::config("text.tokenizer", format!("failed: {error}"))
}
