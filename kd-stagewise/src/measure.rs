//! The measures of a phase: the loss of its maps, or how good its outputs are.

use burn::module::Module;
use burn::tensor::Tensor;
use kd_core::{Metrics, NetworkOutput, Result, TaskNetwork};
use kd_losses::Regressor;

use crate::outputs::Tally;
use crate::phase::StagePhase;
use crate::role_batches::RoleBatches;
use crate::terms::TermInputs;

impl<S: TaskNetwork> StagePhase<'_, S> {
    /// The loss of a phase that does not read the student's output, the student as at inference.
    pub(crate) fn map_loss(&self, batches: &RoleBatches) -> Result<Metrics> {
        let (range, student) = (&self.range, self.student.valid());
        let objective = &range.spec.objective;
        let regressors = self.regressors.iter();
        let regressors: Vec<Option<Regressor>> = regressors
            .map(|regressor| regressor.as_ref().map(Module::valid))
            .collect();
        let alone = objective.only_map();
        let alone = alone.filter(|&stage| self.regressors[stage].is_none());
        let (mut sum, mut samples) = (0.0, 0.0);
        let mut spread = Spread::default();
        for batch in batches.all() {
            let batch = batch?;
            let answer = self.teacher.ask::<S::Output>(&batch)?;
            let entry = range.enter(batches, &batch, &answer.maps, &student, None)?;
            let made = range.run(&student, entry);
            let (total, _) = objective.value(&TermInputs {
                names: &range.layout.names,
                student: &made.maps,
                teacher: &answer.maps,
                regressors: &regressors,
                output: made.output.as_ref(),
                teacher_output: None,
                targets: None,
            })?;
            let weight = batch.len() as f64;
            sum += f64::from(total.into_scalar::<f32>()) * weight;
            samples += weight;
            if let Some(map) = alone.and_then(|stage| answer.maps[stage].clone()) {
                spread.add(map);
            }
        }
        let loss = sum / samples;
        let mut metrics = Metrics::from([("map_loss".to_owned(), loss)]);
        if let Some(variance) = spread.variance().filter(|variance| *variance > 0.0) {
            metrics.insert("relative_error".into(), loss / variance);
        }
        Ok(metrics)
    }

    /// The measures of the student's outputs, the student as at inference.
    pub(crate) fn output_metrics(&self, batches: &RoleBatches) -> Result<Metrics> {
        let (range, student) = (&self.range, self.student.valid());
        let dataset = batches.loader.subset().dataset();
        let mut tally = Tally::new(S::Output::TASK, dataset)?;
        // A phase with labels feeds no map of the teacher to the student.
        let teacher = vec![None; range.layout.names.len()];
        for batch in batches.all() {
            let batch = batch?;
            let entry = range.enter(batches, &batch, &teacher, &student, None)?;
            if let Some(output) = range.run(&student, entry).output {
                tally.count(output, &batches.loader, &batch)?;
            }
        }
        tally.metrics()
    }
}

/// The variance of all elements of many maps.
#[derive(Default)]
struct Spread {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Spread {
    fn add(&mut self, map: Tensor<4>) {
        let count = map.dims().iter().product::<usize>() as f64;
        let moments = Tensor::cat(vec![map.clone().mean(), map.square().mean()], 0);
        let moments: Vec<f64> = moments.into_data().iter::<f64>().collect();
        self.count += count;
        self.sum += moments[0] * count;
        self.squares += moments[1] * count;
    }

    fn variance(&self) -> Option<f64> {
        let mean = self.sum / self.count;
        (self.count > 0.0).then(|| self.squares / self.count - mean * mean)
    }
}
