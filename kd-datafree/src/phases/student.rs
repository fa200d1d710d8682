//! The second phase: a student that learns from synthetic images what the teacher says of them.

use burn::tensor::{Device, Tensor};
use kd_core::{
    Batch, ImageClassifier, Loader, LoaderConfig, LossTerms, Metrics, NamedGradients, Names,
    Optimizer, Phase, PhaseState, Plan, Result, StepContext, Subset, Tensors, Training, evaluate,
    export, import,
};
use kd_losses::soft_target;

use crate::bank::{Bank, BankConfig, ImageSource};
use crate::teacher::ImageTeacher;

/// How many images of the bank a student is compared with its teacher on.
const LOOKED_AT: usize = 5_000;

/// The name of the phase; its result is the student.
pub const STUDENT_PHASE: &str = "student";

pub(crate) struct Learning<'a, S> {
    pub(crate) student: S,
    pub(crate) optimizer: Optimizer,
    pub(crate) plan: Plan,
    pub(crate) training: &'a Training,
    pub(crate) temperature: f64,
    pub(crate) teacher: &'a dyn ImageTeacher,
    pub(crate) source: Box<dyn ImageSource + 'a>,
    pub(crate) bank_config: &'a BankConfig,
    pub(crate) bank: Bank,
    /// The epoch that the bank is of.
    pub(crate) bank_epoch: usize,
    pub(crate) loader: Loader,
    pub(crate) test: Test,
    pub(crate) seed: u64,
    pub(crate) device: Device,
}

/// Real images to be measured on, if there are any; nothing is ever learnt from them.
#[derive(Debug)]
pub(crate) struct Test {
    loader: Option<Loader>,
    /// What the teacher says of them, asked once.
    logits: Option<Vec<f32>>,
}

impl Test {
    pub(crate) fn new(loader: Option<Loader>) -> Self {
        Self {
            loader,
            logits: None,
        }
    }

    /// How well a student does on them, and how often it agrees with the teacher; `classify` takes what the teacher takes.
    pub(crate) fn metrics(
        &mut self,
        teacher: &dyn ImageTeacher,
        classify: impl Fn(Tensor<4>) -> Tensor<2>,
    ) -> Result<Metrics> {
        let Some(loader) = &self.loader else {
            return Ok(Metrics::new());
        };
        let how = teacher.normalisation();
        let said = if let Some(said) = self.logits.take() {
            said
        } else {
            let mut all = Vec::new();
            for batch in loader.epoch(0) {
                let input = how.apply(batch?.pixels)?;
                all.extend(teacher.look(input).logits.into_data().iter::<f32>());
            }
            all
        };
        let summary = evaluate(loader, Some(&said), |pixels| {
            Ok(classify(how.apply(pixels)?))
        })?;
        self.logits = Some(said);
        let summary = summary.summary()?;
        let mut metrics = Metrics::from([
            ("accuracy".to_owned(), summary.accuracy),
            ("loss".to_owned(), summary.loss),
        ]);
        if let Some(teacher) = summary.teacher {
            metrics.insert("agreement".into(), teacher.agreement);
        }
        Ok(metrics)
    }
}

/// Images that a student is shown, and what the teacher says of them, both plain.
pub(crate) struct Shown {
    /// As the teacher takes them.
    pub(crate) input: Tensor<4>,
    pub(crate) teacher: Tensor<2>,
    pub(crate) temperature: f64,
}

impl Shown {
    /// A step of `student` down [`soft_target`], and that loss.
    pub(crate) fn step<S: ImageClassifier>(
        self,
        student: S,
        optimizer: &mut Optimizer,
        training: &Training,
        lr: f64,
    ) -> Result<(S, Tensor<1>)> {
        let logits = student.forward(&Tensor::from_inner(self.input));
        let loss = soft_target(logits, Tensor::from_inner(self.teacher), self.temperature)
            .map_err(|error| kd_core::Error::method("the student's loss", error))?;
        let mut raw = loss.backward();
        let mut gradients = NamedGradients::new();
        gradients.collect("student", &student, &mut raw);
        training.clip(&mut gradients);
        let student = optimizer.step("student", student, lr, &gradients);
        Ok((student, loss.inner()))
    }
}

/// Batches of a bank.
pub(crate) fn loader(
    bank: &Bank,
    training: &Training,
    seed: u64,
    device: &Device,
) -> Result<Loader> {
    let config = LoaderConfig {
        seed,
        drop_last: true,
        ..LoaderConfig::new(training.batch_size)
    };
    Loader::new(bank.dataset().clone(), config, device)
}

impl<S: ImageClassifier> Learning<'_, S> {
    /// Brings the bank to where it is in epoch `epoch`.
    fn renew(&mut self, epoch: usize) -> Result<()> {
        if epoch == self.bank_epoch || self.bank_config.refresh == 0.0 {
            return Ok(());
        }
        let epochs = [self.bank_epoch, epoch];
        self.bank = self
            .bank
            .renewed(self.bank_config, epochs, &*self.source, self.teacher)?;
        self.bank_epoch = epoch;
        self.loader = loader(&self.bank, self.training, self.seed, &self.device)?;
        Ok(())
    }

    fn logits(&self, batch: &Batch) -> Result<Tensor<2>> {
        self.bank.logits(&batch.ids, &batch.pixels.device())
    }
}

impl<S: ImageClassifier> Phase for Learning<'_, S> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        self.renew(at.epoch)?;
        let batch = self.loader.batch(at.epoch, at.step_in_epoch)?;
        let shown = Shown {
            teacher: self.logits(&batch)?,
            input: self.bank.normalisation().apply(batch.pixels)?,
            temperature: self.temperature,
        };
        self.optimizer.set_momentum(self.plan.lr.momentum(at.step));
        let student = self.student.clone();
        let (student, loss) = shown.step(student, &mut self.optimizer, self.training, at.lr)?;
        self.student = student;
        Ok(vec![("total".into(), loss)])
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let student = self.student.valid();
        let mut metrics = self
            .test
            .metrics(self.teacher, |input| student.forward(&input))?;
        // The label of a synthetic image is the teacher's class.
        let ordered = LoaderConfig::ordered(self.training.eval_batch_size);
        let bank = self.bank.dataset();
        let some: Vec<u32> = (0..).take(bank.len().min(LOOKED_AT)).collect();
        let said = &self.bank.all_logits()[..some.len() * bank.classes()];
        let bank = Loader::new(Subset::from_ids(bank, some)?, ordered, &self.device)?;
        let how = self.bank.normalisation();
        let summary = evaluate(&bank, Some(said), |pixels| {
            Ok(student.forward(&how.apply(pixels)?))
        })?;
        let summary = summary.summary()?;
        metrics.insert("synthetic_agreement".into(), summary.accuracy);
        Ok(metrics)
    }

    fn result(&self) -> Tensors {
        export(&self.student, Names::PyTorch)
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        state.put_optimizer(&self.optimizer);
        state.put("student", export(&self.student, Names::Burn));
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        let student = state.part("student");
        self.student = import(&self.student, &student, Names::Burn, "checkpoint")?;
        state.restore_optimizer(&mut self.optimizer, &self.device)
    }
}
