//! Features for a task that nobody has taught them: a teacher that knows the digits 0 to 4 alone, a class of
//! its students, and the digits 5 to 9, on MNIST.
//!
//! ```text
//! cargo run --release -p kd-teacherclass --example transfer -- [SEEDS]
//!     three seeds where nothing is said; MNIST is read as `kd` reads it (`kd data info mnist`)
//! ```
//!
//! All networks have learnt from 10,000 images of the digits 0 to 4. Then a linear head ([`LinearProbe`]) is
//! fitted to their frozen features of 2,000 images of the digits 5 to 9, once for the digit and once for
//! whether it is even, and measured on the test images of these. Features of several kinds differ in number,
//! and more of them let a linear head do more; so there is a distilled network whose last hidden layer is as
//! wide as the teacher's, and one that has learnt nothing. All students have about 30,000 parameters, a
//! class in all of them together.
#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use burn::tensor::{Device, Tensor};
use kd_core::{
    Batch, DataRoots, DatasetInfo, Error, FrozenTeacher, Loader, LoaderConfig, NamedGradients,
    Normalisation, OptimizerConfig, Preprocessing, Result, RunFolder, Runner, Snapshot, Split,
    StagedNetwork, StepContext, Subset, Trained,
};
use kd_losses::{cross_entropy, soft_target};
use kd_models::{Budget, ChunkCnnConfig, Network, NetworkSpec, Structure, fit_widths};
use kd_report::{Align, Summary, Table};
use kd_teacherclass::{
    Class, LinearProbe, NewStudent, TeacherClass, TeacherClassConfig, student_training,
};

const IMAGES: [usize; 3] = [1, 28, 28];
const DIGITS: usize = 10;
/// The first digit that the teacher does not know.
const FIRST_NEW: u16 = 5;
/// Units of the teacher's dense vector.
const FEATURES: usize = 256;
const STUDENTS: usize = 4;
const PARAMETERS: u64 = 30_000;
const BATCH: usize = 128;
const TEACHER_EPOCHS: usize = 6;
const STUDENT_EPOCHS: usize = 10;
/// The ridge of the linear heads, a share of the features' mean variance.
const RIDGE: f64 = 1e-2;

/// The images, each from one half of the digits.
struct Data {
    /// Digits 0 to 4, to train on and to measure on.
    known: [Subset; 2],
    /// Digits 5 to 9, likewise.
    new: [Subset; 2],
}

fn main() -> Result<()> {
    let seeds = std::env::args().nth(1).map_or(Ok(3), |seeds| seeds.parse());
    let seeds: u64 = seeds.map_err(|_| Error::config("SEEDS", "must be a number of seeds"))?;
    let mut found: BTreeMap<(usize, String, usize), [Vec<f64>; 2]> = BTreeMap::new();
    for seed in 0..seeds.max(1) {
        let data = data(seed)?;
        for (place, (title, features)) in all_features(&data, seed)?.into_iter().enumerate() {
            let count = features[0].dims()[1];
            let entry = found.entry((place, title, count)).or_default();
            for (task, accuracies) in entry.iter_mut().enumerate() {
                accuracies.push(probed(&data, &features, task)?);
            }
        }
    }
    let columns = [
        ("features of", Align::Left),
        ("number", Align::Right),
        ("digits 5 to 9 (%)", Align::Right),
        ("even or odd (%)", Align::Right),
    ];
    let failed = |error: kd_report::Error| Error::method("the table", error);
    let mut table = Table::new(columns);
    for ((_, title, count), accuracies) in found {
        let mut row = vec![title, count.to_string()];
        for values in accuracies {
            let summary = Summary::of(&values).map_err(failed)?;
            row.push(summary.times(100.0).to_string());
        }
        table.row(row).map_err(failed)?;
    }
    println!("{table}");
    Ok(())
}

fn data(seed: u64) -> Result<Data> {
    let info = DatasetInfo::find("mnist")?;
    let of = |split, is_new: bool, per_class: Option<usize>| {
        let mut all = Subset::all(&info.load(split, &DataRoots::from_env())?);
        if let Some(count) = per_class {
            all = all.per_class(count, seed)?;
        }
        let dataset = all.dataset();
        let is_wanted = |&id: &u32| {
            dataset
                .label(id)
                .is_some_and(|label| (label >= FIRST_NEW) == is_new)
        };
        Subset::from_ids(
            dataset,
            all.ids().iter().copied().filter(is_wanted).collect(),
        )
    };
    Ok(Data {
        known: [
            of(Split::Train, false, Some(2000))?,
            of(Split::Test, false, None)?,
        ],
        new: [
            of(Split::Train, true, Some(400))?,
            of(Split::Test, true, None)?,
        ],
    })
}

/// Features of the new digits, to fit a head on and to measure it on, by each network.
fn all_features(data: &Data, seed: u64) -> Result<Vec<(String, [Tensor<2>; 2])>> {
    let teacher = trained(teacher_widths(), data, TEACHER_EPOCHS, seed, None)?;
    let class = class(&teacher, data, seed)?;
    let (narrow, wide) = (student_widths()?, wide_widths());
    let distilled = trained(narrow, data, STUDENT_EPOCHS, seed, Some(&teacher))?;
    let distilled_wide = trained(wide.clone(), data, STUDENT_EPOCHS, seed, Some(&teacher))?;
    let untrained = network(wide, seed, &Device::flex())?;
    let dense = |network: &Network| features(data, |images| network.forward_traced(images).dense);
    let of_class = features(data, |images| class.forward_traced(images).dense)?;
    let logits = features(data, |images| distilled.forward(images))?;
    Ok(vec![
        ("the teacher".into(), dense(&teacher)?),
        (format!("a class of {STUDENTS}"), of_class),
        ("a distilled network".into(), dense(&distilled)?),
        ("a distilled network, logits".into(), logits),
        (
            "a distilled network as wide as the teacher".into(),
            dense(&distilled_wide)?,
        ),
        ("the same, untrained".into(), dense(&untrained)?),
    ])
}

fn features(data: &Data, of: impl Fn(&Tensor<4>) -> Tensor<2>) -> Result<[Tensor<2>; 2]> {
    let preprocessing = preprocessing()?;
    let of_subset = |subset: &Subset| {
        let loader = Loader::new(subset.clone(), LoaderConfig::ordered(500), &Device::flex())?;
        let rows = loader
            .epoch(0)
            .map(|batch| Ok(of(&preprocessing.input(&batch?)?)));
        Ok::<_, Error>(Tensor::cat(rows.collect::<Result<Vec<_>>>()?, 0))
    };
    Ok([of_subset(&data.new[0])?, of_subset(&data.new[1])?])
}

/// The accuracy of a linear head on features: of the digit for task 0, of whether it is even for task 1.
fn probed(data: &Data, features: &[Tensor<2>; 2], task: usize) -> Result<f64> {
    let labels = |subset: &Subset| -> Vec<usize> {
        let labels = subset
            .ids()
            .iter()
            .filter_map(|&id| subset.dataset().label(id));
        let of_task = |label: u16| {
            if task == 0 {
                label - FIRST_NEW
            } else {
                label % 2
            }
        };
        labels.map(|label| usize::from(of_task(label))).collect()
    };
    let probe = LinearProbe::fit(&features[0], &labels(&data.new[0]), RIDGE)?;
    Ok(probe.accuracy(features[1].clone(), &labels(&data.new[1])))
}

fn preprocessing() -> Result<Preprocessing> {
    Ok(Normalisation::new(vec![0.1307], vec![0.3081])?.into())
}

fn network(widths: ChunkCnnConfig, seed: u64, device: &Device) -> Result<Network> {
    let spec = NetworkSpec::with_structure("network", Structure::ChunkCnn(widths), DIGITS, IMAGES);
    Network::build(&spec, seed, device)
}

/// That of recipes/bench-class.toml without its dropout.
fn teacher_widths() -> ChunkCnnConfig {
    ChunkCnnConfig {
        blocks: vec![vec![32, 64]],
        hidden: vec![FEATURES; 2],
        padded: false,
        ..ChunkCnnConfig::template()
    }
}

fn student_widths() -> Result<ChunkCnnConfig> {
    let wanted = Budget::parameters(PARAMETERS as f64).wanted(None)?;
    fit_widths(&ChunkCnnConfig::template(), wanted, |widths| {
        widths.counts(IMAGES, DIGITS)
    })
}

/// As many parameters, most of them in a last hidden layer as wide as the teacher's.
fn wide_widths() -> ChunkCnnConfig {
    ChunkCnnConfig {
        blocks: vec![vec![8, 8], vec![11]],
        hidden: vec![FEATURES],
        ..ChunkCnnConfig::template()
    }
}

/// A network that has learnt the known digits: from their labels, or from a teacher with temperature 4.
fn trained(
    widths: ChunkCnnConfig,
    data: &Data,
    epochs: usize,
    seed: u64,
    teacher: Option<&Network>,
) -> Result<Network> {
    let network = network(widths, seed, &Device::flex().autodiff())?;
    let mut trained = Trained::new("network", network, OptimizerConfig::adam())?;
    let config = LoaderConfig {
        seed,
        ..LoaderConfig::new(BATCH)
    };
    let loader = Loader::new(data.known[0].clone(), config, &Device::flex())?;
    let preprocessing = preprocessing()?;
    let steps = loader.steps_per_epoch();
    for step in 0..epochs * steps {
        let batch = loader.batch(step / steps, step % steps)?;
        let images: Tensor<4> = preprocessing.input(&batch)?;
        let logits = trained
            .network()
            .forward(&Tensor::from_inner(images.clone()));
        let loss = loss(
            logits,
            &batch,
            teacher.map(|teacher| teacher.forward(&images)),
        )
        .map_err(|error| Error::method("the loss of a network", error))?;
        let mut gradients = NamedGradients::new();
        trained.collect(&mut gradients, &mut loss.backward());
        trained.step(StepContext::at_rate(step, 1e-3), &gradients);
    }
    Ok(trained.valid())
}

fn loss(
    logits: Tensor<2>,
    batch: &Batch,
    teacher: Option<Tensor<2>>,
) -> kd_losses::Result<Tensor<1>> {
    let of_labels = cross_entropy(
        logits.clone(),
        Tensor::from_inner(batch.targets.clone()),
        0.0,
    )?;
    match teacher {
        Some(teacher) => {
            Ok(of_labels * 0.1 + soft_target(logits, Tensor::from_inner(teacher), 4.0)? * 0.9)
        }
        None => Ok(of_labels),
    }
}

/// A class that has learnt the teacher's dense vector of the known digits.
fn class(teacher: &Network, data: &Data, seed: u64) -> Result<Class<Network>> {
    let chunk = FEATURES / STUDENTS;
    let head = (FEATURES * DIGITS) as u64;
    let wanted = Budget::parameters(PARAMETERS as f64).wanted(None)?;
    let students = STUDENTS as u64;
    let widths = fit_widths(&ChunkCnnConfig::template(), wanted, |widths| {
        let [parameters, macs] = widths.counts(IMAGES, chunk)?;
        Some([
            students * parameters + head + DIGITS as u64,
            students * macs + head,
        ])
    })?;
    let make = move |new: &NewStudent| {
        let structure = Structure::ChunkCnn(widths.clone());
        let spec = NetworkSpec::with_structure("student", structure, new.chunk.length, IMAGES);
        Network::build(&spec, new.seed, &Device::flex())
    };
    let mut training = student_training();
    training.epochs = Some(STUDENT_EPOCHS);
    let device = Device::flex();
    let frozen = FrozenTeacher::new(teacher, preprocessing()?, &device);
    let known = data.known.clone();
    let method = TeacherClass::new(
        Box::new(frozen),
        make,
        preprocessing()?,
        known,
        training,
        &device,
    )
    .with_config(TeacherClassConfig::of(STUDENTS))
    .with_seed(seed);
    let place = tempfile::tempdir().map_err(Error::io("create", "a temporary folder"))?;
    let folder = RunFolder::create(&place.path().join("class"))?;
    Runner::new(&folder, &AtomicBool::new(false)).run(&method, &mut ())?;
    method.class(&folder, Snapshot::Last)
}
