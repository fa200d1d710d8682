//! A teacher whose answers are read where they are kept.

use burn::tensor::Tensor;

use crate::cache::store::Store;
use crate::error::Result;
use crate::loader::batch::Batch;
use crate::network::output::Output;
use crate::network::preprocessing::Preprocessing;
use crate::network::tensors::Tensors;
use crate::teacher::answer::{Answer, Requested};
use crate::teacher::contract::Teacher;

/// The name of the field of a teacher's output in caches; maps go by the name of their tap.
pub const OUTPUT_FIELD: &str = "logits";

/// Answers of a teacher for all views of some samples, in memory or in a file: a [`Store`] whose fields are
/// called as taps and [`OUTPUT_FIELD`].
#[derive(Clone, Debug)]
pub struct KeptAnswers(Store);

impl KeptAnswers {
    /// The answers in a store.
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.0
    }

    /// Whether it has the answer to `requested` for a batch.
    pub fn has(&self, batch: &Batch, requested: &Requested) -> bool {
        let fields = requested.taps().iter().map(String::as_str);
        let output = requested.has_output().then_some(OUTPUT_FIELD);
        let samples = self.0.samples().ids();
        fields.chain(output).all(|field| self.0.has(field))
            && batch
                .source
                .as_ref()
                .is_some_and(|source| source.is_same(self.0.source()))
            && batch.ids.iter().all(|id| samples.binary_search(id).is_ok())
    }

    /// The answer for a batch, on the device of the store.
    ///
    /// # Errors
    ///
    /// If it is not there, and those of reading a file.
    pub fn answer(&self, batch: &Batch, requested: &Requested) -> Result<Answer> {
        let read = |tap: &String| self.0.read(tap, batch.view, &batch.ids);
        let maps = requested
            .taps()
            .iter()
            .map(read)
            .collect::<Result<Vec<Tensor<4>>>>()?;
        let output = requested
            .has_output()
            .then(|| self.output(batch))
            .transpose()?;
        Ok(Answer::new(output, maps))
    }

    fn output(&self, batch: &Batch) -> Result<Output> {
        let fields = self.0.fields();
        let field = fields.iter().find(|field| field.name == OUTPUT_FIELD);
        let (view, ids) = (batch.view, batch.ids.as_slice());
        Ok(match field.map_or(1, |field| field.shape.len()) {
            3 => Output::Pixels(self.0.read(OUTPUT_FIELD, view, ids)?),
            _ => Output::Classes(self.0.read(OUTPUT_FIELD, view, ids)?),
        })
    }
}

/// A teacher that reads its answers where they are kept, and computes the others: a teacher itself.
///
/// A batch says which data set and which views it is of, so that the answers for the training data and those
/// for the held-out data can be kept apart and several methods can share them. At full precision the answers
/// are those of the teacher to the bit.
#[derive(Debug)]
pub struct CachedTeacher<T> {
    teacher: T,
    kept: Vec<KeptAnswers>,
}

impl<T: Teacher> CachedTeacher<T> {
    /// A teacher of which nothing is kept yet.
    pub fn new(teacher: T) -> Self {
        Self {
            teacher,
            kept: Vec::new(),
        }
    }

    /// With these answers, too.
    #[must_use]
    pub fn with(mut self, answers: KeptAnswers) -> Self {
        self.kept.push(answers);
        self
    }

    /// The answers that are kept.
    pub fn kept(&self) -> &[KeptAnswers] {
        &self.kept
    }

    /// Whether the answer to `requested` for a batch is read and not computed, so that its samples need not
    /// be rendered.
    pub fn has(&self, batch: &Batch, requested: &Requested) -> bool {
        self.kept.iter().any(|kept| kept.has(batch, requested))
    }
}

impl<T: Teacher> Teacher for CachedTeacher<T> {
    fn stage_names(&self) -> Vec<String> {
        self.teacher.stage_names()
    }

    fn answer(&self, batch: &Batch, requested: &Requested) -> Result<Answer> {
        match self.kept.iter().find(|kept| kept.has(batch, requested)) {
            Some(kept) => kept.answer(batch, requested),
            None => self.teacher.answer(batch, requested),
        }
    }

    fn hash(&self) -> String {
        self.teacher.hash()
    }

    fn preprocessing(&self) -> Option<&Preprocessing> {
        self.teacher.preprocessing()
    }

    fn classify(&self, dense: Tensor<2>) -> Result<Tensor<2>> {
        self.teacher.classify(dense)
    }

    fn classify_pixels(&self, dense: Tensor<4>) -> Result<Tensor<4>> {
        self.teacher.classify_pixels(dense)
    }

    fn parameters(&self) -> Option<u64> {
        self.teacher.parameters()
    }

    fn stage_tensors(&self, stage: usize) -> Option<Tensors> {
        self.teacher.stage_tensors(stage)
    }
}
