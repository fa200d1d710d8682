//! A class whose students have dropout. A binary of its own: Burn's CPU backend has one generator for the
//! process, from which other tests draw initial weights.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use burn::tensor::Device;
use kd_core::testing::{run, same_run, stopped_at_every_step};
use kd_core::{
    DataRoots, DatasetInfo, EpochLog, FrozenTeacher, Normalisation, Split, Subset, Training,
};
use kd_models::{ChunkCnnConfig, Network, NetworkSpec, Structure};
use kd_teacherclass::{
    ChunkLoss, NewStudent, TeacherClass, TeacherClassConfig, Trunk, student_training,
};

fn network(config: ChunkCnnConfig, outputs: usize, seed: u64) -> kd_core::Result<Network> {
    let structure = Structure::ChunkCnn(config);
    let spec = NetworkSpec::with_structure("small", structure, outputs, [1, 28, 28]);
    Network::build(&spec, seed, &Device::flex())
}

fn small() -> ChunkCnnConfig {
    let mut config = ChunkCnnConfig::template();
    config.pool = 4;
    config.blocks = vec![vec![3]];
    config.hidden = vec![8];
    config
}

fn student(new: &NewStudent) -> kd_core::Result<Network> {
    let mut config = small();
    config.block_dropout = vec![50];
    config.hidden_dropout = vec![30];
    network(config, new.chunk.length, new.seed)
}

fn training() -> Training {
    let mut training = student_training();
    training.epochs = Some(2);
    training.batch_size = 8;
    training
}

fn method(loss: ChunkLoss) -> TeacherClass<Network> {
    let info = DatasetInfo::find("fashion-mnist-mini").unwrap();
    let data = [Split::Train, Split::Test].map(|split| {
        let data = info.load(split, &DataRoots::default()).unwrap();
        Subset::all(&data).per_class(2, 0).unwrap()
    });
    let (device, plain) = (Device::flex(), Normalisation::identity(1));
    let teacher = network(small(), 10, 5).unwrap();
    let teacher = FrozenTeacher::new(&teacher, plain.clone(), &device);
    let mut config = TeacherClassConfig::of(2);
    config.collapse = 1e9;
    config.loss = loss;
    config.head.epochs = 1;
    if loss != ChunkLoss::Mse {
        config.gan.discriminator = Trunk::FashionMnistShort;
        config.gan.student_steps = 2;
    }
    TeacherClass::new(Box::new(teacher), student, plain, data, training(), &device)
        .with_config(config)
        .with_seed(3)
}

// One test: the generator is that of the process.
#[test]
fn a_class_with_dropout_is_resumed_to_the_bit_and_its_students_draw_differently() {
    for loss in [ChunkLoss::Mse, ChunkLoss::GanLiteral] {
        stopped_at_every_step(|| method(loss)).unwrap();
    }
    let places = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for place in &places {
        run(&method(ChunkLoss::Mse), place.path()).unwrap();
        // What others draw in between is of no account.
        Device::flex().seed(99);
    }
    same_run(places[0].path(), places[1].path()).unwrap();
    let epochs = EpochLog::read_all(places[0].path()).unwrap();
    let of_student = |name: &str| {
        let mut of_phase = epochs.iter().filter(|epoch| epoch.phase == name);
        of_phase.next().unwrap().train["total"]
    };
    assert!((of_student("student-0") - of_student("student-1")).abs() > 0.0);
}
