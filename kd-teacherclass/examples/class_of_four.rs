//! A class of four students of one teacher, in about a minute on two cores:
//!
//! ```text
//! cargo run -p kd-teacherclass --example class_of_four
//! ```
//!
//! The teacher learns 2,000 images of the small Fashion-MNIST that kd brings along, then four students learn
//! a chunk of its dense vector each. Shown are the error of each student, the accuracy of the class with the
//! teacher's head as it was copied and with the tuned one, and what it costs that students are missing. One
//! seed tells nothing about what is better; it shows what is measured.
#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::sync::atomic::AtomicBool;

use burn::tensor::{Device, Tensor};
use kd_core::{
    CountCosts, DataRoots, DatasetInfo, Error, FrozenTeacher, Loader, LoaderConfig, Metrics,
    NamedGradients, NetworkInput, Normalisation, OptimizerConfig, Preprocessing, Result, RunFolder,
    Runner, Snapshot, Split, StagedNetwork, StepContext, Subset, Trained,
};
use kd_losses::cross_entropy;
use kd_models::{Budget, ChunkCnnConfig, Network, NetworkSpec, Structure, fit_widths};
use kd_teacherclass::{NewStudent, TeacherClass, TeacherClassConfig, student_training};

const IMAGES: [usize; 3] = [1, 28, 28];
const FEATURES: usize = 64;

fn spec(config: ChunkCnnConfig, outputs: usize) -> NetworkSpec {
    NetworkSpec::with_structure("network", Structure::ChunkCnn(config), outputs, IMAGES)
}

fn main() -> Result<()> {
    let temporary = tempfile::tempdir().map_err(Error::io("create", "a temporary folder"))?;
    let info = DatasetInfo::find("fashion-mnist-mini")?;
    let load = |split| Ok::<_, Error>(Subset::all(&info.load(split, &DataRoots::default())?));
    let data = [load(Split::Train)?.per_class(200, 0)?, load(Split::Test)?];

    let teacher = teacher(&data[0])?;
    let large = teacher.costs(IMAGES)?;
    let students = widths_for(large.params())?;
    let device = Device::flex();
    let frozen = FrozenTeacher::new(&teacher, normalisation()?, &device);
    let make = move |new: &NewStudent| {
        Network::build(
            &spec(students.clone(), new.chunk.length),
            new.seed,
            &Device::flex(),
        )
    };
    let mut training = student_training();
    training.epochs = Some(20);
    training.batch_size = 64;
    let method = TeacherClass::new(
        Box::new(frozen),
        make,
        normalisation()?,
        data,
        training,
        &device,
    )
    .with_config(TeacherClassConfig::of(4));

    let folder = RunFolder::create(&temporary.path().join("class"))?;
    let outcomes = Runner::new(&folder, &AtomicBool::new(false)).run(&method, &mut ())?;
    let class = method.class(&folder, Snapshot::Last)?;
    let small = class.costs(IMAGES)?;
    println!(
        "teacher {} parameters, {} MACs; class {} and {}, its students {} each",
        large.params(),
        large.macs(),
        small.params(),
        small.macs(),
        small.by_stage()[0].1.params
    );
    let last = outcomes.last().map(|head| head.last.clone());
    show(&last.unwrap_or_default());
    Ok(())
}

fn show(last: &Metrics) {
    let value = |name: &str| last.get(name).copied().unwrap_or_default();
    for student in 0..4 {
        let nmse = value(&format!("student_{student}_nmse"));
        println!("student {student}: normalised error {nmse:.3}");
    }
    println!("copied head {:.1} %", 100.0 * value("copied_head_accuracy"));
    println!("tuned head  {:.1} %", 100.0 * value("accuracy"));
    println!("missing   zeros  means  a head for the others");
    for missing in 1..4 {
        let of = |policy: &str| 100.0 * value(&format!("{policy}_without_{missing}_accuracy"));
        let [zero, mean, head] = ["zero", "mean", "head"].map(of);
        println!("{missing}        {zero:5.1}  {mean:5.1}  {head:5.1}");
    }
}

fn normalisation() -> Result<Normalisation> {
    Normalisation::new(vec![0.286], vec![0.353])
}

/// Widths with which four students and their head have a tenth of the teacher's parameters.
fn widths_for(of_teacher: u64) -> Result<ChunkCnnConfig> {
    let wanted = Budget::parameters(of_teacher as f64 / 10.0).wanted(None)?;
    let mut template = ChunkCnnConfig::template();
    template.blocks = vec![vec![6], vec![8]];
    fit_widths(&template, wanted, |widths| {
        let [parameters, macs] = widths.counts(IMAGES, FEATURES / 4)?;
        Some([4 * parameters + 10 * 64 + 10, 4 * macs + 10 * 64])
    })
}

/// A teacher that has learnt the labels.
fn teacher(samples: &Subset) -> Result<Network> {
    let device = Device::flex();
    let mut config = ChunkCnnConfig::template();
    config.blocks = vec![vec![16], vec![32]];
    config.hidden = vec![128, FEATURES];
    let network = Network::build(&spec(config, 10), 0, &device.clone().autodiff())?;
    let mut teacher = Trained::new("teacher", network, OptimizerConfig::adam())?;
    let loader = Loader::new(samples.clone(), LoaderConfig::new(64), &device)?;
    let preprocessing = Preprocessing::from(normalisation()?);
    let steps = loader.steps_per_epoch();
    for step in 0..15 * steps {
        let batch = loader.batch(step / steps, step % steps)?;
        let input: Tensor<4> = preprocessing.input(&batch)?;
        let logits = teacher.network().forward(&input.lifted());
        let loss = cross_entropy(logits, Tensor::from_inner(batch.targets), 0.0)
            .map_err(|error| Error::method("the loss of the teacher", error))?;
        let mut gradients = NamedGradients::new();
        teacher.collect(&mut gradients, &mut loss.backward());
        teacher.step(StepContext::at_rate(step, 2e-3), &gradients);
    }
    Ok(teacher.valid())
}
