//! The findings of a check: warnings of settings, and the steps, images, bytes and parameters of a run.

use kd_core::{Finding, ImageShape, Plan, Result, Topic, Training};

use crate::bank::ARTIFACT_IMAGES;
use crate::config::{DataFreeConfig, GENERATOR_EPOCH, Joint, Pooled, Search, Synthetic, TwoPhases};
use crate::phases::{GENERATOR_PHASE, STUDENT_PHASE};
use crate::teacher::ImageTeacher;

/// With a momentum of 0.1 running statistics are within 1 % of those of steady batches after 44 steps.
const FEW_STEPS: usize = 50;

impl DataFreeConfig {
    /// Warnings of what is known to go wrong with these settings, before anything is made.
    pub fn findings(&self) -> Vec<Finding> {
        let Self::TwoPhases(TwoPhases {
            synthetic: Synthetic::Generator { .. },
            generator_training,
            ..
        }) = self
        else {
            return Vec::new();
        };
        let steps = generator_training.plan(GENERATOR_EPOCH, None);
        let steps = steps.map_or(usize::MAX, |plan| plan.total_steps);
        if steps >= FEW_STEPS {
            return Vec::new();
        }
        let text = format!(
            "the generator learns for {steps} steps, in which its running statistics, by which it makes \
             the images, are not yet those of its batches; give `generator_training` 50 steps or more"
        );
        vec![Finding::warning(Topic::Schedule, text)]
    }
}

/// The steps of each phase and the images that they make or learn from.
pub(crate) fn scope(config: &DataFreeConfig, teacher: &dyn ImageTeacher) -> Result<Vec<Finding>> {
    let image = teacher.image();
    match config {
        DataFreeConfig::TwoPhases(config) => of_two_phases(config, teacher),
        DataFreeConfig::Joint(config) => of_joint(config, image),
        DataFreeConfig::Pooled(config) => of_pool(config, image),
    }
}

/// The parameters that learn beside the student and are thrown away.
pub(crate) fn extra_parameters(parameters: u64) -> Option<Finding> {
    let text = format!(
        "{parameters} parameters learn beside the student's and are thrown away when the run is done"
    );
    (parameters > 0).then(|| Finding::note(Topic::Costs, text))
}

fn of_two_phases(config: &TwoPhases, teacher: &dyn ImageTeacher) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if let Synthetic::Generator { .. } = config.synthetic {
        let training = &config.generator_training;
        let plan = training.plan(GENERATOR_EPOCH, None)?;
        findings.push(steps(GENERATOR_PHASE, &plan, training));
    }
    let images = config.bank.rounded();
    let plan = config
        .training
        .plan(images / config.training.batch_size.max(1), None)?;
    findings.push(steps(STUDENT_PHASE, &plan, &config.training));
    findings.extend(config.training.rate_findings(&plan));
    let logits = 4 * teacher.classes();
    let bytes = images as u64 * (teacher.image().bytes() + logits) as u64;
    let text = format!(
        "the bank has {images} images of {} with the teacher's logits, {}",
        teacher.image(),
        mebibytes(bytes)
    );
    findings.push(Finding::ok(Topic::Data, text));
    Ok(findings)
}

fn of_joint(config: &Joint, image: ImageShape) -> Result<Vec<Finding>> {
    let plan = config.training.plan(config.rounds_per_epoch, None)?;
    let text = format!(
        "phase `{STUDENT_PHASE}`: {} rounds, {} an epoch, with {} images a step; steps of a round: \
         generator {}, student {}",
        plan.total_steps,
        plan.steps_per_epoch,
        config.training.batch_size,
        config.generator_steps,
        config.student_steps
    );
    let made = format!(
        "images are made for each step and not kept; at the end {ARTIFACT_IMAGES} of {image} are left as \
         a bank"
    );
    let mut findings = config.training.rate_findings(&plan);
    findings.push(Finding::ok(Topic::Schedule, text));
    findings.push(Finding::ok(Topic::Data, made));
    Ok(findings)
}

fn of_pool(config: &Pooled, image: ImageShape) -> Result<Vec<Finding>> {
    let plan = config.training.plan(config.student_steps, None)?;
    let batches = config.batches(plan.epochs().saturating_sub(1));
    let images = batches as u64 * config.batch as u64;
    let searched = match &config.search {
        Search::Pixels(search) => search.steps,
        Search::Generator(search) => search.steps,
    };
    let found = format!(
        "the pool grows to {batches} batches of {} images of {image}, {}; each batch is found in {searched} \
         steps of descent through the teacher",
        config.batch,
        mebibytes(images * image.bytes() as u64)
    );
    let mut findings = config.training.rate_findings(&plan);
    findings.push(steps(STUDENT_PHASE, &plan, &config.training));
    findings.push(Finding::ok(Topic::Data, found));
    Ok(findings)
}

fn steps(phase: &str, plan: &Plan, training: &Training) -> Finding {
    let text = format!(
        "phase `{phase}`: {} steps, {} an epoch, with {} images a step",
        plan.total_steps, plan.steps_per_epoch, training.batch_size
    );
    Finding::ok(Topic::Schedule, text)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
