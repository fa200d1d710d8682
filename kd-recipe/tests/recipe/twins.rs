//! `method = "twins"`: two networks that are trained together on one loss, their outputs made small. It
//! learns nothing; it has what the framework must serve: a phase that may be skipped, models that are parts
//! of one result, one of them with a writer of its own, and hooks for check and report.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Tensor;
use kd_core::{
    Finding, Loader, LoaderConfig, LossTerms, Method, Metrics, NamedGradients, NetworkInput, Phase,
    PhaseState, Plan, Preprocessing, Result, RunFolder, StagedNetwork, StepContext, Tensors, Topic,
    Trained, Training, detached_copy, evaluate, write_tensors,
};
use kd_models::{ModelConfig, Network};
use kd_recipe::{
    Check, Context, DataRecipe, MadeModel, MethodRecipe, MethodReport, NetworkRecipe, Prepared,
};
use kd_report::{Align, Section, Table};
use serde::{Deserialize, Serialize};

/// The recipe.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Twins {
    data: DataRecipe,
    student: NetworkRecipe,
    #[serde(default)]
    warm_up: bool,
    train: Training,
}

/// A recipe of a few steps on data that kd brings along.
pub(crate) const RECIPE: &str = r#"
method = "twins"
device = "cpu"

[data]
name = "fashion-mnist-mini"
per_class = 2
held_out = 0.02

[student]
name = "lenet5-half"

[train]
epochs = 2
batch_size = 10
"#;

impl MethodRecipe for Twins {
    const METHOD: &'static str = "twins";
    const ABOUT: &'static str = "two networks made small together";

    fn prepare(&mut self, at: &Context) -> Result<Prepared> {
        let (twins, config) = self.twins(at)?;
        let models = move |_: &RunFolder| {
            let tensors = |made: &kd_recipe::MadeTensors<'_>| {
                std::fs::create_dir_all(&made.folder).unwrap();
                write_tensors(&made.folder.join("second.safetensors"), &made.tensors)
            };
            Ok(vec![
                MadeModel::new("model", "both", config.clone()).of_part("first/"),
                MadeModel::written_by("second", "both", tensors).of_part("second/"),
            ])
        };
        let spec = twins.config.network.clone();
        Ok(Prepared::new(twins)
            .with_spec(spec)
            .with_models(models)
            .with_extra_parameters(7)
            .with_largest_part_macs(1_234)
            .with_step_macs(4_321))
    }

    fn check(&mut self, at: &Context) -> Result<Check> {
        let facts = at.facts(&self.data)?;
        let (twins, config) = self.twins(at)?;
        let student = kd_recipe::NewNetwork {
            network: twins.networks[0].clone(),
            config,
            weights: None,
        };
        let mut check = Check::of_student(&student, &facts)?;
        check
            .findings
            .push(Finding::warning(Topic::Losses, "nothing is learnt"));
        let mut table = Table::new([("network", Align::Left), ("seed", Align::Right)]);
        table.row(["second", &(at.seed() + 1).to_string()])?;
        check.sections.push(Section::new("twins").with_table(table));
        Ok(check)
    }

    fn report(&self, run: &Path) -> Result<MethodReport> {
        let second = run.join("second").is_dir();
        let text = format!("The second network is there: {second}.");
        let mut report = MethodReport::default();
        report.sections.push(Section::new("Twins").with_text(text));
        report.costs.push(("networks".into(), "2".into()));
        report
            .findings
            .push(Finding::warning(Topic::Losses, "the twins are alike"));
        Ok(report)
    }
}

impl Twins {
    fn twins(&mut self, at: &Context) -> Result<(TwoNetworks, ModelConfig)> {
        self.train.check()?;
        let facts = at.facts(&self.data)?;
        facts.check_labelled()?;
        self.student.spec(&facts)?;
        let data = at.data(&self.data)?;
        let first = at.network::<Network>(&mut self.student, &data, at.seed())?;
        let second = at.network::<Network>(&mut self.student, &data, at.seed() + 1)?;
        let config = LoaderConfig {
            seed: at.seed(),
            ..LoaderConfig::new(self.train.batch_size)
        };
        let held_out = LoaderConfig::ordered(self.train.eval_batch_size);
        let twins = TwoNetworks {
            networks: [first.network, second.network],
            preprocessing: first.config.preprocessing.clone(),
            config: first.config.clone(),
            training: self.train.clone(),
            warm_up: self.warm_up,
            train: Loader::new(data.train, config, at.device())?,
            held_out: Loader::new(data.held_out, held_out, at.device())?,
        };
        Ok((twins, first.config))
    }
}

#[derive(Debug)]
struct TwoNetworks {
    networks: [Network; 2],
    config: ModelConfig,
    preprocessing: Preprocessing,
    training: Training,
    warm_up: bool,
    train: Loader,
    held_out: Loader,
}

impl Method for TwoNetworks {
    fn phases(&self) -> Vec<String> {
        vec!["warm-up".into(), "both".into()]
    }

    fn skips(&self, index: usize, _earlier: &RunFolder) -> Result<bool> {
        Ok(index == 0 && !self.warm_up)
    }

    fn start(&self, _index: usize, _earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        let trained = |name: &str, network: &Network| {
            let network = detached_copy(network).train();
            Trained::new(name, network, self.training.optimizer.clone())
        };
        let [first, second] = &self.networks;
        Ok(Box::new(Both {
            method: self,
            plan: self.training.plan(self.train.steps_per_epoch(), None)?,
            twins: [trained("first", first)?, trained("second", second)?],
        }))
    }
}

struct Both<'a> {
    method: &'a TwoNetworks,
    plan: Plan,
    twins: [Trained<Network>; 2],
}

impl Phase for Both<'_> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let batch = self.method.train.batch(at.epoch, at.step_in_epoch)?;
        let input: Tensor<4> = self.method.preprocessing.input(&batch)?;
        let input = input.lifted();
        let [first, second] = &self.twins;
        let outputs = [first, second].map(|twin| twin.network().forward(&input));
        let loss = outputs.map(|output| output.square().mean());
        let loss = loss.into_iter().reduce(|a, b| a + b).unwrap();
        let mut raw = loss.backward();
        let mut gradients = NamedGradients::new();
        for twin in &self.twins {
            twin.collect(&mut gradients, &mut raw);
        }
        self.twins
            .iter_mut()
            .for_each(|twin| twin.step(at, &gradients));
        Ok(vec![("total".into(), loss.inner())])
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let network = self.twins[0].valid();
        let metrics = evaluate(&self.method.held_out, None, |batch| {
            Ok(network.forward(&self.method.preprocessing.input(batch)?))
        })?;
        let accuracy = metrics.summary()?.accuracy;
        Ok(Metrics::from([("accuracy".to_owned(), accuracy)]))
    }

    fn result(&self) -> Tensors {
        let parts = self.twins.iter().flat_map(|twin| {
            let named = twin.result().into_iter();
            named.map(|(name, tensor)| (format!("{}/{name}", twin.name()), tensor))
        });
        parts.collect()
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        self.twins.iter().for_each(|twin| twin.put(&mut state));
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.twins
            .iter_mut()
            .try_for_each(|twin| twin.restore(state))
    }
}

/// The notices that were taken.
#[derive(Debug, Default)]
pub(crate) struct Heard(std::sync::Mutex<Vec<String>>);

impl Heard {
    /// In words.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl kd_recipe::Notices for Heard {
    fn take(&self, notice: &kd_recipe::Notice) {
        self.0.lock().unwrap().push(match notice {
            kd_recipe::Notice::Note(text) => text.clone(),
            kd_recipe::Notice::Finding(finding) => finding.text.clone(),
            other => format!("{other:?}"),
        });
    }
}
