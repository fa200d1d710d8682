//! Work that is done once: a teacher is not asked twice for the same answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use kd_core::{Answer, Batch, FrozenTeacher, Requested, Result, Teacher, testing};
use kd_stagewise::{Procedure, StageCache, StagewiseConfig};

use crate::support::{Net, bank, data, method, net, procedures, run, teacher, uncached};

/// A question: the data set, the view and the samples that it is about. A blank sample is of no data set.
type Question = (Option<String>, u64, Vec<u32>, Requested);

/// A teacher that notes what it is asked.
#[derive(Clone, Debug)]
struct Noted {
    teacher: Arc<FrozenTeacher<Net>>,
    questions: Arc<Mutex<Vec<Question>>>,
}

impl Noted {
    fn new() -> Self {
        Self {
            teacher: teacher(&net(3, 2, 2)),
            questions: Arc::default(),
        }
    }

    /// The questions since the last call.
    fn taken(&self) -> Vec<Question> {
        std::mem::take(&mut *self.questions.lock().unwrap())
    }
}

impl Teacher for Noted {
    fn stage_names(&self) -> Vec<String> {
        self.teacher.stage_names()
    }

    fn answer(&self, batch: &Batch, requested: &Requested) -> Result<Answer> {
        let source = batch.source.as_ref();
        let dataset = source.map(|source| source.dataset.hash().to_owned());
        let question = (dataset, batch.view, batch.ids.clone(), requested.clone());
        self.questions.lock().unwrap().push(question);
        self.teacher.answer(batch, requested)
    }

    fn hash(&self) -> String {
        self.teacher.hash()
    }
}

/// The number of questions about each sample in each view; the blank one is among them.
fn asked(questions: &[Question]) -> BTreeMap<(Option<String>, u64, u32), usize> {
    let mut counts = BTreeMap::new();
    for (dataset, view, ids, _) in questions {
        for id in ids {
            *counts.entry((dataset.clone(), *view, *id)).or_default() += 1;
        }
    }
    counts
}

fn config(procedure: Procedure) -> StagewiseConfig {
    let mut config = StagewiseConfig::default();
    config.procedure = procedure;
    config
}

/// From the check to the end of the run, with one view and with two, in memory and in files.
#[test]
fn a_teacher_is_asked_once_about_each_view_of_each_sample() {
    let mut small = StageCache::default();
    small.memory_mib = 0;
    for (views, data) in [(1, data()), (2, bank(data()))] {
        for procedure in procedures() {
            for cache in [StageCache::default(), small.clone()] {
                let noted = Noted::new();
                let method = method(data.clone())
                    .with_teacher(Box::new(noted.clone()))
                    .with_config(config(procedure.clone()))
                    .with_cache(cache);
                method.check().unwrap();
                method.steps().unwrap();
                run(&method);
                let counts = asked(&noted.taken());
                assert!(
                    counts.values().all(|count| *count == 1),
                    "{procedure:?}: {counts:?}"
                );
                let (trained, validated) = (views * 60, 20);
                // Outputs alone are measured where a procedure has labels in every phase.
                let expected = match procedure {
                    Procedure::NoTeacher {} | Procedure::RandomTrunk {} => 0,
                    Procedure::Simultaneous {}
                    | Procedure::AttentionTransfer { .. }
                    | Procedure::Hinton { .. } => 1 + trained,
                    _ => 1 + trained + validated,
                };
                assert_eq!(counts.len(), expected, "{procedure:?}");
            }
        }
    }
}

/// A phase of which nothing is kept asks one question a batch, for all that it reads.
#[test]
fn a_step_asks_one_question() {
    for procedure in procedures() {
        let noted = Noted::new();
        let method = method(data())
            .with_teacher(Box::new(noted.clone()))
            .with_config(config(procedure.clone()))
            .with_cache(uncached());
        let (_place, outcomes) = run(&method);
        let steps = |phase: &str| {
            let reads_teacher = !matches!(phase, "head" | "labels");
            // Two epochs of three steps; after each the 20 validation samples in batches of 16, where maps
            // are measured.
            let measured = if phase.starts_with("labels") {
                0
            } else {
                2 * 2
            };
            if reads_teacher { 2 * 3 + measured } else { 0 }
        };
        let phases = outcomes.iter().map(|outcome| steps(&outcome.phase));
        let blank = usize::from(procedure.needs_teacher());
        assert_eq!(
            noted.taken().len(),
            blank + phases.sum::<usize>(),
            "{procedure:?}"
        );
    }
}

/// A second run reads the files of the first and asks for nothing but the shapes.
#[test]
fn files_of_one_run_answer_for_the_next() {
    let place = tempfile::tempdir().unwrap();
    let mut cache = StageCache::default();
    cache.dir = Some(place.path().to_owned());
    let noted = Noted::new();
    let made = || {
        method(data())
            .with_teacher(Box::new(noted.clone()))
            .with_cache(cache.clone())
    };
    let (first, _) = run(&made());
    assert_eq!(asked(&noted.taken()).len(), 1 + 60 + 20);
    let (second, _) = run(&made().with_seed(0));
    assert_eq!(asked(&noted.taken()).len(), 1);
    testing::same_run(first.path(), second.path()).unwrap();
}
