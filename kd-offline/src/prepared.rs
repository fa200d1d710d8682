//! The part of a run that is made once: loaders, shapes of all taps, requests to the teachers.

use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;
use kd_core::{
    Answer, Batch, Dataset, Error, Loader, LoaderConfig, NetworkInput, Plan, Preprocessing,
    Requested, Result, Selection, Subset, TaskNetwork, check_memory, detached_copy,
};

use crate::kinds::Binder;
use crate::objective::BoundLosses;
use crate::taps::{FullAnswer, StudentTrace, TapShapes, as_read, is_of_pixels};
use crate::{LossConfig, Offline};

/// Everything that check, caches and phase of a run share.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) train: Loader,
    pub(crate) held_out: Loader,
    pub(crate) plan: Plan,
    /// Student and teachers, shown one sample.
    pub(crate) student: TapShapes,
    trace: StudentTrace,
    pub(crate) teachers: Vec<FullAnswer>,
    /// The losses as they are at first, until a phase takes them.
    losses: Mutex<Option<BoundLosses>>,
    /// The request to each teacher in every step.
    pub(crate) requested: Vec<Requested>,
    /// The number of parameters that are trained beside the student.
    pub(crate) extra_parameters: u64,
    /// The request to each teacher whose answers are kept: the one of a step, and always the output, so that
    /// recipes with other losses find more in a cache.
    pub(crate) kept_requests: Vec<Requested>,
}

impl<S: TaskNetwork> Offline<S> {
    /// Everything that is made once; the first call makes it.
    ///
    /// # Errors
    ///
    /// As [`Offline::check`].
    pub(crate) fn prepared(&self) -> Result<&Prepared> {
        if let Some(prepared) = self.prepared.get() {
            return Ok(prepared);
        }
        let prepared = Box::new(self.prepare()?);
        Ok(self.prepared.get_or_init(|| prepared))
    }

    fn prepare(&self) -> Result<Prepared> {
        if self.losses.is_empty() {
            let problem = "is empty; name at least one, for example `kind = \"cross-entropy\"`";
            return Err(Error::config("losses", problem));
        }
        self.training.check()?;
        for part in [&self.data.train, &self.data.held_out] {
            self.check_data(part.dataset())?;
        }
        let [train, held_out] = self.loaders()?;

        let sample = self.sample()?;
        let (student, trace) = self.show_student(&sample)?;
        let teachers = self.teachers.iter();
        let teachers = teachers.map(|teacher| FullAnswer::of(teacher.as_ref(), &sample));
        let teachers: Vec<FullAnswer> = teachers.collect::<Result<_>>()?;
        let logits = self.losses.iter().any(LossConfig::reads_logits);
        self.check_classes(&student, if logits { &teachers } else { &[] })?;

        if let Some(index) = teachers
            .iter()
            .position(|teacher| teacher.shapes.is_of_pixels != student.is_of_pixels)
        {
            let problem = "outputs a class of each image where the student outputs one of each pixel, or the \
                           other way round; use a teacher of the same task";
            return Err(Error::config(format!("teachers.{index}"), problem));
        }
        self.check_memory(&student)?;
        let answers: Vec<&FullAnswer> = teachers.iter().collect();
        let losses = self.bind(0, &self.losses, &student, &trace, &answers)?;
        let metric = if is_of_pixels::<S>() {
            "mean_iou"
        } else {
            "accuracy"
        };
        let selection = Some(Selection::highest(metric));
        let plan = self.training.plan(train.steps_per_epoch(), selection)?;
        let requested = losses.requested.clone();
        for (answer, requested) in teachers.iter().zip(&requested) {
            // Logits of pixels are a map like any other, between which a regressor may stand.
            if requested.has_output() && !student.is_of_pixels {
                self.check_classes(&student, std::slice::from_ref(answer))?;
            }
        }
        let kept_requests = requested.iter().cloned().map(Requested::with_output);
        Ok(Prepared {
            train,
            held_out,
            plan,
            student,
            trace,
            teachers,
            kept_requests: kept_requests.collect(),
            requested,
            extra_parameters: losses.parameters(),
            losses: Mutex::new(Some(losses)),
        })
    }

    /// Checks that the maps of a batch, each once, fit into the memory there is.
    fn check_memory(&self, student: &TapShapes) -> Result<()> {
        let samples = self.data.train.len().min(self.training.batch_size) as u64;
        let numbers: usize = student.stage_sizes().sum();
        let bytes = (numbers as u64 * 4).saturating_mul(samples);
        let what = format!("the student's maps of {samples} samples");
        check_memory("train.batch_size", &what, bytes)
    }

    /// The losses of the recipe, bound, as they are before the first step.
    pub(crate) fn initial_losses(&self, prepared: &Prepared) -> Result<BoundLosses> {
        let mut losses = prepared
            .losses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(losses) = losses.take() {
            return Ok(losses);
        }
        let answers: Vec<&FullAnswer> = prepared.teachers.iter().collect();
        self.bind(
            0,
            &self.losses,
            &prepared.student,
            &prepared.trace,
            &answers,
        )
    }

    /// Binds losses of the recipe, the first of which has the index `first`, and computes each once.
    pub(crate) fn bind(
        &self,
        first: usize,
        losses: &[LossConfig],
        student: &TapShapes,
        trace: &StudentTrace,
        teachers: &[&FullAnswer],
    ) -> Result<BoundLosses> {
        let train = &self.data.train;
        let weights = self.class_weights()?;
        let binder = Binder {
            student,
            requested: vec![Requested::nothing(); teachers.len()],
            teachers: teachers.iter().map(|answer| &answer.shapes).collect(),
            ensemble: self.ensemble,
            seed: self.seed,
            index: first,
            device: &self.device,
            batch_size: self.training.batch_size.min(train.len()),
            ids: train.ids(),
            labels: train.dataset().labels(),
            class_weights: weights.as_deref(),
        };
        let bound = BoundLosses::bind(losses, binder)?;
        let answers = teachers.iter().zip(&bound.requested);
        let answers: Vec<Answer> = answers
            .map(|(answer, requested)| answer.part(requested))
            .collect();
        let advice = |index: usize| {
            let loss = &losses[index];
            let teacher = teachers.get(loss.which_teacher())?;
            student.of_one_size(&teacher.shapes, loss.taps())
        };
        bound.try_on(
            trace,
            &answers,
            &self.teachers,
            train.ids(),
            student.is_of_pixels,
            &advice,
        )?;
        Ok(bound)
    }

    /// The weights of the classes, if the training has any.
    fn class_weights(&self) -> Result<Option<Vec<f64>>> {
        let Some(weights) = &self.training.class_weights else {
            return Ok(None);
        };
        if is_of_pixels::<S>() {
            let problem = "are for a class of each image, and the data have masks; remove them";
            return Err(Error::config("train.class_weights", problem));
        }
        if !self
            .losses
            .iter()
            .any(|loss| loss.kind() == "cross-entropy")
        {
            let problem = "has no effect without a loss `cross-entropy`; add one, or remove it";
            return Err(Error::config("train.class_weights", problem));
        }
        let weights = weights.of(&self.data.train.class_counts());
        weights.map(Some).map_err(|error| error.within("train"))
    }

    /// The loaders of the training data and of the held-out data.
    fn loaders(&self) -> Result<[Loader; 2]> {
        let plain = self.device.clone().inner();
        let train = LoaderConfig {
            seed: self.seed,
            bank_seed: self.bank_seed,
            views: self.data.views,
            augment: self.data.augment.clone(),
            drop_last: self.training.drop_last,
            balanced: self.training.balanced,
            ..LoaderConfig::new(self.training.batch_size)
        };
        let held_out = LoaderConfig::ordered(self.training.eval_batch_size);
        Ok([
            Loader::new(self.data.train.clone(), train, &plain)?,
            Loader::new(self.data.held_out.clone(), held_out, &plain)?,
        ])
    }

    /// One sample to learn shapes from: a black image, or the first training sample if the student takes no
    /// images.
    pub(crate) fn sample(&self) -> Result<Batch> {
        let plain = self.device.clone().inner();
        let train = &self.data.train;
        if let Preprocessing::Images(_) = self.preprocessing {
            let shape = train.dataset().shape();
            let shape = [shape.channels, shape.height, shape.width];
            return Ok(Batch::black(shape, 1, &plain));
        }
        let first = train.ids().iter().take(1).copied().collect();
        let first = Subset::from_ids(train.dataset(), first)?;
        Loader::new(first, LoaderConfig::ordered(1), &plain)?.batch(0, 0)
    }

    /// Shows a sample to a copy of the student in training form, as in a step; its batch norms forget it with
    /// the copy.
    pub(crate) fn show_student(&self, sample: &Batch) -> Result<(TapShapes, StudentTrace)> {
        let input: S::Input = self.preprocessing.input(sample)?;
        let student = detached_copy(&self.student);
        let trace = as_read::<S>(student.forward_traced(&input.lifted()));
        let shapes = TapShapes::of_student(student.stage_names(), &trace);
        // Without the graph, which would hold the copy.
        let trace = StudentTrace {
            maps: trace.maps.into_iter().map(Tensor::detach).collect(),
            dense: trace.dense.detach(),
            output: trace.output.detach(),
        };
        Ok((shapes, trace))
    }

    /// Checks that the data have what the student's outputs are compared with.
    pub(crate) fn check_data(&self, data: &Dataset) -> Result<()> {
        if !is_of_pixels::<S>() {
            return data.check_labelled();
        }
        if self.training.balanced {
            let problem = "is for a class of each image, and the data have masks; remove it";
            return Err(Error::config("train.balanced", problem));
        }
        if data.masks().is_some() {
            return Ok(());
        }
        let problem = format!(
            "must have a mask for each image, as the student outputs a class for each pixel; `{}` has a \
             class for each image",
            data.name()
        );
        Err(Error::config("data", problem))
    }

    fn check_classes(&self, student: &TapShapes, teachers: &[FullAnswer]) -> Result<()> {
        let data = self.data.train.dataset();
        let teachers = teachers.iter().enumerate();
        let teachers =
            teachers.map(|(index, answer)| (format!("teacher {index}"), answer.shapes.classes));
        for (who, found) in std::iter::once(("student".into(), student.classes)).chain(teachers) {
            if found != data.classes() {
                return Err(Error::Shape {
                    what: who,
                    expected: format!(
                        "{} classes, as data set `{}` has",
                        data.classes(),
                        data.name()
                    ),
                    found: format!("{found}"),
                    remedy: "use a network and a data set of the same number of classes, or losses that \
                             read no logits of the teacher"
                        .into(),
                });
            }
        }
        Ok(())
    }
}
