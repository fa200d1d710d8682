//! A pool of images that grows batch by batch, each found against the student as it is then: DeepInversion, CMI, Fast-DFKD.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{
    Dataset, Error, ImageClassifier, ImageShape, Loader, LoaderConfig, LossTerms, Metrics, Names,
    Normalisation, Optimizer, OptimizerConfig, Phase, PhaseState, Plan, Result, Schedule, Split,
    StepContext, Tensors, Training, ViewPolicy, export, import, read_tensors, write_tensors,
};
use serde::{Deserialize, Serialize};

use crate::bank::{self, BLOCK, ImageSource, LEFT, pixel_range};
use crate::descent::{Descent, Finder, statistics};
use crate::inversion::{self, Inversion};
use crate::learning::{Shown, Test};
use crate::method::check_training;
use crate::teacher::ImageTeacher;
use crate::views::Views;

/// How a batch of a pool is found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Search {
    /// By descent on pixels: DeepInversion, and Adaptive DeepInversion where it competes with the student.
    Pixels(Inversion),
    /// By descent on a generator and its noise: CMI, Fast-DFKD.
    Generator(Descent),
}

/// A student that learns from a pool of images, to which a batch is added before each epoch.
///
/// The images are kept as bytes, in a file for each batch. A step of the student is a batch of views of images of the whole pool, what the
/// teacher says of those views, and [`soft_target`](kd_losses::soft_target).
///
/// An evaluation also looks at the last batch: `synthetic_on_target` is the share of it that the teacher takes for the class asked for,
/// `synthetic_bn_statistics` how far its statistics are from those of the teacher's batch norms
/// ([`bn_statistics`](kd_losses::bn_statistics)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Pooled {
    /// How a batch is found.
    pub search: Search,
    /// Images of a batch.
    pub batch: usize,
    /// Batches that are found before the student's first step, without looking at it.
    pub warm_up: usize,
    /// Steps of the student between two batches: an epoch.
    pub student_steps: usize,
    /// What the student sees of an image.
    pub views: Views,
    /// What both logits are divided by in the student's loss.
    pub temperature: f64,
    /// The student's training.
    pub training: Training,
}

impl Pooled {
    /// Adaptive DeepInversion with the student's training of the CMI benchmark for CIFAR-10: batches of 256, 400 steps of SGD at 0.1 along a
    /// cosine for each of 200, a temperature of 20.
    pub fn adaptive_inversion() -> Self {
        let mut training = Training::for_epochs(200);
        training.batch_size = 256;
        training.lr = 0.1;
        training.optimizer = OptimizerConfig::Sgd {
            momentum: 0.9,
            weight_decay: 1e-4,
            nesterov: false,
        };
        training.schedule = Schedule::Cosine { final_lr: 0.0 };
        Self {
            search: Search::Pixels(Inversion::default()),
            batch: 256,
            warm_up: 0,
            student_steps: 400,
            views: Views::default(),
            temperature: 20.0,
            training,
        }
    }

    /// DeepInversion: the same without the competition.
    pub fn deep_inversion() -> Self {
        Self {
            search: Search::Pixels(Inversion {
                competition: 0.0,
                ..Inversion::default()
            }),
            ..Self::adaptive_inversion()
        }
    }

    /// CMI by its public code for CIFAR-10.
    pub fn cmi() -> Self {
        Self {
            search: Search::Generator(Descent::cmi()),
            ..Self::adaptive_inversion()
        }
    }

    /// Fast-DFKD with five steps a batch by its public code for CIFAR-10: 20 batches first, then 200 epochs of SGD at 0.2 along a cosine to
    /// 2e-4. The code counts those 20 as epochs, too, 220 in all.
    pub fn fast() -> Self {
        let mut made = Self {
            search: Search::Generator(Descent::fast()),
            warm_up: 20,
            ..Self::adaptive_inversion()
        };
        made.training.lr = 0.2;
        made.training.schedule = Schedule::Cosine { final_lr: 2e-4 };
        made
    }

    /// Checks every value, and that the teacher has what the terms read.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value out of range.
    pub fn check(&self, teacher: &dyn ImageTeacher) -> Result<()> {
        match &self.search {
            Search::Pixels(inversion) => inversion.check(teacher),
            Search::Generator(descent) => descent.check(teacher),
        }
        .map_err(|error| error.within("search"))?;
        check_training(&self.training)?;
        for (name, count) in [("batch", self.batch), ("student_steps", self.student_steps)] {
            if count == 0 {
                return Err(Error::config(name, "must be above 0"));
            }
        }
        let first = self.batch * self.warm_up.max(1);
        if self.training.batch_size > first {
            let problem = format!(
                "must be at most {first}, as many images as there are at the first step; got {}",
                self.training.batch_size
            );
            return Err(Error::config("train.batch_size", problem));
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            let problem = format!("must be finite and above 0, got {}", self.temperature);
            return Err(Error::config("temperature", problem));
        }
        self.views.augment().check_for(teacher.image())
    }

    /// How many batches there are when epoch `epoch` begins.
    fn batches(&self, epoch: usize) -> usize {
        // In the first epoch those of the warm-up stand for its own.
        self.warm_up.max(1) + epoch
    }

    /// Parameters that learn beside the student.
    pub(crate) fn extra_parameters(&self, teacher: &dyn ImageTeacher, device: &Device) -> usize {
        let count = match &self.search {
            Search::Pixels(_) => 0,
            Search::Generator(descent) => Finder::parameters(descent, teacher, device),
        };
        usize::try_from(count).unwrap_or(usize::MAX)
    }
}

/// The phase of a [`Pooled`] run; its result is the student.
pub(crate) struct Growing<'a, S> {
    student: S,
    optimizer: Optimizer,
    plan: Plan,
    config: &'a Pooled,
    teacher: &'a dyn ImageTeacher,
    finder: Option<Finder>,
    folder: PathBuf,
    /// The bytes of all batches so far.
    images: Vec<u8>,
    batches: usize,
    loader: Option<Loader>,
    test: Test,
    seed: u64,
    device: Device,
}

/// The folder of the pool in a run folder.
const FOLDER: &str = "pool";
const IMAGES: &str = "images";
const NAME: &str = "synthetic pool";

/// The phase before its first step.
pub(crate) fn start<'a, S: ImageClassifier>(
    config: &'a Pooled,
    student: S,
    teacher: &'a dyn ImageTeacher,
    test: Test,
    run: &Path,
    (seed, device): (u64, &Device),
) -> Result<Growing<'a, S>> {
    let finder = match &config.search {
        Search::Pixels(_) => None,
        Search::Generator(descent) => Some(Finder::new(descent, teacher, seed, device)?),
    };
    Ok(Growing {
        student,
        optimizer: Optimizer::new(config.training.optimizer.clone())?,
        plan: config.training.plan(config.student_steps, None)?,
        config,
        teacher,
        finder,
        folder: run.join(FOLDER),
        images: Vec::new(),
        batches: 0,
        loader: None,
        test,
        seed,
        device: device.clone(),
    })
}

impl<S: ImageClassifier> Growing<'_, S> {
    fn file(&self, batch: usize) -> PathBuf {
        self.folder.join(format!("{batch:05}.safetensors"))
    }

    /// Finds batches until there are those of epoch `epoch`.
    fn grow(&mut self, epoch: usize) -> Result<()> {
        let wanted = self.config.batches(epoch);
        if self.batches >= wanted {
            return Ok(());
        }
        while self.batches < wanted {
            let batch = self.batches;
            let images = self.find(batch)?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "rounded, and from 0 to 255"
            )]
            let byte = |value: f32| (value * 255.0).round() as u8;
            let bytes: Vec<u8> = images.into_data().iter::<f32>().map(byte).collect();
            std::fs::create_dir_all(&self.folder).map_err(Error::io("make", &self.folder))?;
            let ImageShape {
                channels,
                height,
                width,
            } = self.teacher.image();
            let shape = [self.config.batch, channels, height, width];
            let tensors = [(IMAGES.to_owned(), TensorData::new(bytes.clone(), shape))];
            write_tensors(&self.file(batch), &tensors.into())?;
            self.images.extend(bytes);
            self.batches += 1;
        }
        self.load()
    }

    /// Batch `index`, pixels in `[0, 1]`.
    fn find(&mut self, index: usize) -> Result<Tensor<4>> {
        let looks = index >= self.config.warm_up;
        let student = looks.then_some(&self.student);
        let (count, at) = (self.config.batch, index as u64);
        match (&self.config.search, &mut self.finder) {
            (Search::Generator(_), Some(finder)) => finder.batch(student, self.teacher, at, count),
            (Search::Pixels(inversion), _) => {
                let from = (self.seed, at);
                inversion.batch(student, self.teacher, from, count, &self.device)
            }
            (Search::Generator(_), None) => Err(Error::config("pool", "has no generator")),
        }
    }

    /// Makes a data set of the images.
    fn load(&mut self) -> Result<()> {
        let count = self.batches * self.config.batch;
        // A student learns from the teacher's logits of its views: labels are not looked at.
        let dataset = Dataset::new(
            NAME,
            Split::Train,
            self.teacher.image(),
            self.teacher.classes(),
            self.images.clone(),
            vec![0; count],
        )?;
        let config = LoaderConfig {
            seed: self.seed,
            drop_last: true,
            views: ViewPolicy::Unlimited,
            augment: self.config.views.augment(),
            ..LoaderConfig::new(self.config.training.batch_size)
        };
        self.loader = Some(Loader::new(dataset, config, &self.device)?);
        Ok(())
    }

    /// The last `count` images.
    fn last(&self, count: usize) -> LastImages<'_> {
        let bytes = count * self.teacher.image().bytes();
        LastImages {
            images: &self.images[self.images.len() - bytes..],
            image: self.teacher.image(),
            normalisation: self.teacher.normalisation(),
            device: &self.device,
        }
    }

    /// How near the last batch is to what it was made for: the share that the teacher takes for the class asked for, and the distance of
    /// its statistics from those of the teacher's batch norms.
    fn found(&self) -> Result<Metrics> {
        let Some(index) = self.batches.checked_sub(1) else {
            return Ok(Metrics::new());
        };
        let (count, classes) = (self.config.batch, self.teacher.classes());
        let asked = match &self.finder {
            Some(finder) => finder.targets(index as u64, count, classes),
            None => inversion::targets(count, classes, &self.device),
        };
        let seen = self.teacher.look(self.last(count).from(0, count)?);
        let right = seen.logits.clone().argmax(1).flatten(0, 1).equal(asked);
        let mut metrics = Metrics::from([(
            "synthetic_on_target".to_owned(),
            right.float().mean().into_scalar(),
        )]);
        if self.teacher.norms() > 0 {
            let (distance, _) = statistics(&seen, &[], 0.0)?;
            metrics.insert("synthetic_bn_statistics".into(), distance.into_scalar());
        }
        Ok(metrics)
    }

    /// Images for a step, as the teacher takes them.
    fn input(&self, at: StepContext) -> Result<Tensor<4>> {
        let loader = self.loader.as_ref();
        let loader = loader.ok_or_else(|| Error::config("pool", "is empty"))?;
        let size = loader.steps_per_epoch();
        // The pool of an epoch is gone through again and again, each time in another order.
        let times = at.epoch * self.config.student_steps + at.step_in_epoch / size;
        let batch = loader.batch(times, at.step_in_epoch % size)?;
        self.teacher.normalisation().apply(batch.pixels)
    }
}

impl<S: ImageClassifier> Phase for Growing<'_, S> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        self.grow(at.epoch)?;
        let input = self.input(at)?;
        let teacher = self.teacher.look(input.clone()).logits;
        self.optimizer.set_momentum(self.plan.lr.momentum(at.step));
        let shown = Shown {
            input,
            teacher,
            temperature: self.config.temperature,
        };
        let (training, student) = (&self.config.training, self.student.clone());
        let (student, loss) = shown.step(student, &mut self.optimizer, training, at.lr)?;
        self.student = student;
        Ok(vec![("total".into(), loss)])
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let student = self.student.valid();
        let mut metrics = self
            .test
            .metrics(self.teacher, |input| student.forward(&input))?;
        metrics.extend(self.found()?);
        Ok(metrics)
    }

    fn result(&self) -> Tensors {
        export(&self.student, Names::PyTorch)
    }

    /// Images of the last batches, to be looked at.
    fn artifacts(&self) -> Result<BTreeMap<String, Tensors>> {
        let count = LEFT.min(self.batches * self.config.batch);
        bank::left(&self.last(count), self.teacher, count)
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        state.put_optimizer(&self.optimizer);
        state.put("student", export(&self.student, Names::Burn));
        let batches = serde_json::json!(self.batches);
        state.values.insert(BATCHES.to_owned(), batches);
        if let Some(finder) = &self.finder {
            finder.put(&mut state);
        }
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        let student = state.part("student");
        self.student = import(&self.student, &student, Names::Burn, "checkpoint")?;
        if let Some(finder) = &mut self.finder {
            finder.restore(state)?;
        }
        let batches = state.values.get(BATCHES).cloned().unwrap_or_default();
        let batches: usize = serde_json::from_value(batches)
            .map_err(|error| Error::method("the batches of the checkpoint", error))?;
        self.images.clear();
        for batch in 0..batches {
            let path = self.file(batch);
            let images = read_tensors(&path)?.remove(IMAGES);
            let size = self.config.batch * self.teacher.image().bytes();
            let images: Vec<u8> = images.map_or_else(Vec::new, |data| data.iter::<u8>().collect());
            if images.len() != size {
                let problem = "is not a batch of this run; begin the run anew".to_owned();
                return Err(Error::Input { path, problem });
            }
            self.images.extend(images);
        }
        self.batches = batches;
        if batches > 0 {
            self.load()?;
        }
        state.restore_optimizer(&mut self.optimizer, &self.device)
    }
}

/// Bytes of pixels; the last block begins anew where they end.
struct LastImages<'a> {
    images: &'a [u8],
    image: ImageShape,
    normalisation: &'a Normalisation,
    device: &'a Device,
}

impl LastImages<'_> {
    /// `count` images from number `first` on, as the teacher takes them.
    fn from(&self, first: usize, count: usize) -> Result<Tensor<4>> {
        let ImageShape {
            channels,
            height,
            width,
        } = self.image;
        let size = self.image.bytes();
        let all = self.images.len() / size;
        let image = |place: usize| {
            let at = (first + place) % all * size;
            &self.images[at..at + size]
        };
        let bytes = (0..count).flat_map(image);
        let pixels: Vec<f32> = bytes.map(|&byte| f32::from(byte) / 255.0).collect();
        let data = TensorData::new(pixels, [count, channels, height, width]);
        self.normalisation
            .apply(Tensor::from_data(data, self.device))
    }
}

impl ImageSource for LastImages<'_> {
    fn images(&self, block: u64, _generation: u64) -> Result<Tensor<4>> {
        self.from(usize::try_from(block).unwrap_or_default() * BLOCK, BLOCK)
    }

    fn range(&self) -> Result<[Vec<f64>; 2]> {
        Ok(pixel_range(self.normalisation))
    }
}

/// Where the number of batches is kept.
const BATCHES: &str = "batches";
