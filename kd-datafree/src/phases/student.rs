//! The student phase: a student learns the teacher's logits for the images of a bank.

use burn::tensor::Device;
use kd_core::{
    ImageClassifier, Loader, LoaderConfig, LossTerms, Metrics, Phase, PhaseState, Plan, Result,
    StepContext, Subset, Tensors, Trained, Training, evaluate,
};

use super::inputs::PhaseInputs;
use super::step::SoftTargets;
use super::test_images::TestImages;
use crate::bank::{Bank, BankConfig, ImageSource};
use crate::config::TwoPhases;

/// Images of the bank on which a student is compared with its teacher.
const COMPARED: usize = 5_000;

/// The name of the phase; its result is the student.
pub const STUDENT_PHASE: &str = "student";

/// A bank, and the source from which it is made anew.
pub(crate) struct BankSource<'a> {
    pub(crate) bank: Bank,
    pub(crate) config: &'a BankConfig,
    pub(crate) source: Box<dyn ImageSource + 'a>,
}

/// The phase in which a student learns from a bank.
pub(crate) struct StudentPhase<'a, S> {
    student: Trained<S>,
    plan: Plan,
    training: &'a Training,
    temperature: f64,
    from: BankSource<'a>,
    /// The epoch that the bank is of.
    bank_epoch: usize,
    loader: Loader,
    test: TestImages,
    inputs: PhaseInputs<'a>,
}

impl<'a, S: ImageClassifier> StudentPhase<'a, S> {
    /// The phase before its first step; `student` is on the autodiff form of the device.
    pub(crate) fn new(
        config: &'a TwoPhases,
        student: S,
        from: BankSource<'a>,
        test: TestImages,
        inputs: PhaseInputs<'a>,
    ) -> Result<Self> {
        let training = &config.training;
        let loader = loader(&from.bank, training, inputs.seed, &inputs.device)?;
        Ok(Self {
            student: Trained::new("student", student, training.optimizer.clone())?,
            plan: training.plan(loader.steps_per_epoch(), None)?,
            training,
            temperature: config.temperature,
            from,
            bank_epoch: 0,
            loader,
            test,
            inputs,
        })
    }

    /// Brings the bank to its images of epoch `epoch`.
    fn renew(&mut self, epoch: usize) -> Result<()> {
        let BankSource {
            bank,
            config,
            source,
        } = &mut self.from;
        if epoch == self.bank_epoch || config.refresh == 0.0 {
            return Ok(());
        }
        let PhaseInputs {
            teacher,
            seed,
            device,
        } = &self.inputs;
        let epochs = [self.bank_epoch, epoch];
        *bank = bank.renewed(config, epochs, &**source, *teacher)?;
        self.bank_epoch = epoch;
        self.loader = loader(bank, self.training, *seed, device)?;
        Ok(())
    }

    /// The agreement of a student with the teacher on some images of the bank, whose labels are the teacher's
    /// classes.
    fn agreement(&self, student: &S) -> Result<f64> {
        let bank = &self.from.bank;
        let data = bank.dataset();
        let some: Vec<u32> = (0..).take(data.len().min(COMPARED)).collect();
        let logits = &bank.all_logits()[..some.len() * data.classes()];
        let ordered = LoaderConfig::ordered(self.training.eval_batch_size);
        let loader = Loader::new(Subset::from_ids(data, some)?, ordered, &self.inputs.device)?;
        let normalisation = bank.normalisation();
        let counted = evaluate(&loader, Some(logits), |batch| {
            Ok(student.forward(&normalisation.apply(batch.pixels()?)?))
        })?;
        Ok(counted.summary()?.accuracy)
    }
}

/// Batches of a bank.
fn loader(bank: &Bank, training: &Training, seed: u64, device: &Device) -> Result<Loader> {
    let config = LoaderConfig {
        seed,
        drop_last: true,
        ..LoaderConfig::new(training.batch_size)
    };
    Loader::new(bank.dataset().clone(), config, device)
}

impl<S: ImageClassifier> Phase for StudentPhase<'_, S> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn draws_on(&self) -> Option<(Device, u64)> {
        Some((self.inputs.device.clone(), self.inputs.seed))
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        self.renew(at.epoch)?;
        let batch = self.loader.batch(at.epoch, at.step_in_epoch)?;
        let pixels = batch.pixels()?;
        let bank = &self.from.bank;
        let targets = SoftTargets {
            teacher: bank.logits(&batch.ids, &pixels.device())?,
            images: bank.normalisation().apply(pixels)?,
            temperature: self.temperature,
        };
        targets.step(&mut self.student, self.training, at)
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let student = self.student.valid();
        let mut metrics = self.test.metrics(self.inputs.teacher, &student)?;
        let agreement = self.agreement(&student)?;
        metrics.insert("synthetic_agreement".into(), agreement);
        Ok(metrics)
    }

    fn result(&self) -> Tensors {
        self.student.result()
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        self.student.put(&mut state);
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.student.restore(state)
    }
}
