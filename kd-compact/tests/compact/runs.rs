//! Runs of the method on small networks: stopped at every step, budgets, baselines.

use burn::tensor::Device;
use kd_compact::{
    CUT_PHASE, Compact, CompactSettings, Criterion, SPARSIFY_PHASE, TRAIN_PHASE, Update, cut_spec,
    cut_training, graph_of, sparsify_training,
};
use kd_core::{
    CountCosts, DataRoots, DatasetInfo, EpochLog, ErrorKind, FrozenTeacher, Metrics, Names,
    Normalisation, OptimizerConfig, RunFolder, Snapshot, Split, Subset, Training, import, testing,
};
use kd_models::{InvertedBlock, InvertedBlocks, Network, NetworkSpec, Structure};

const INPUT: [usize; 3] = [1, 28, 28];

/// A MobileNetV2 of two stages.
pub(crate) fn spec() -> NetworkSpec {
    let block = |hidden, width, stride, expands, adds| InvertedBlock {
        hidden,
        width,
        stride,
        expands,
        adds,
    };
    let blocks = InvertedBlocks {
        stem: 6,
        stem_stride: 2,
        stages: vec![
            vec![block(6, 4, 2, false, false)],
            vec![block(12, 6, 2, true, false), block(12, 6, 1, true, true)],
        ],
        last: 10,
    };
    NetworkSpec::with_structure("tiny", Structure::PaperMobileNetV2(blocks), 10, INPUT)
}

fn data() -> [Subset; 2] {
    let info = DatasetInfo::find("fashion-mnist-mini").unwrap();
    [Split::Train, Split::Test].map(|split| {
        let data = info.load(split, &DataRoots::default()).unwrap();
        Subset::all(&data).per_class(2, 0).unwrap()
    })
}

fn short(mut training: Training) -> Training {
    training.epochs = Some(2);
    training.batch_size = 8;
    training
}

pub(crate) fn settings(criterion: Criterion) -> CompactSettings {
    let mut settings = CompactSettings::default();
    settings.compact.criterion = criterion;
    settings.compact.recalibrate = 2;
    if criterion != Criterion::None {
        settings.budget.macs = Some(serde_json::from_str("0.5").unwrap());
    }
    settings
}

pub(crate) fn method(settings: CompactSettings) -> Compact<Network> {
    let (spec, device) = (spec(), Device::flex());
    let network = Network::build(&spec, 5, &device).unwrap();
    let teacher = FrozenTeacher::new(&network, Normalisation::identity(1), &device);
    let graph = graph_of(&spec).unwrap();
    let build = move |widths: &_| Network::build(&cut_spec(&spec, widths)?, 9, &Device::flex());
    let plain = Normalisation::identity(1);
    Compact::new(
        &network,
        graph,
        build,
        Box::new(teacher),
        plain,
        data(),
        &device,
    )
    .unwrap()
    .with_settings(settings)
    .with_training(short(sparsify_training()), short(cut_training()))
    .with_seed(3)
}

/// The last evaluations of a run, by phase.
pub(crate) fn evaluations(run: &std::path::Path, phase: &str) -> Metrics {
    let epochs = EpochLog::read_all(run).unwrap();
    let of_phase = epochs
        .into_iter()
        .rev()
        .filter(|epoch| epoch.phase == phase);
    let mut evaluated = of_phase.filter_map(|epoch| epoch.evaluation);
    evaluated.next().unwrap()
}

#[test]
fn a_run_stopped_at_every_step_ends_as_an_undisturbed_one() {
    testing::stopped_at_every_step(|| method(settings(Criterion::Sparsify))).unwrap();
}

#[test]
fn the_baselines_stopped_at_every_step_end_as_undisturbed_ones() {
    for criterion in [Criterion::L1, Criterion::Uniform] {
        testing::stopped_at_every_step(|| method(settings(criterion))).unwrap();
    }
}

#[test]
fn every_criterion_meets_the_budget_with_a_really_smaller_network() {
    let whole = spec().costs(&Device::flex()).unwrap();
    for criterion in [
        Criterion::Sparsify,
        Criterion::Slimming,
        Criterion::L1,
        Criterion::GroupNorm,
        Criterion::Random,
        Criterion::Uniform,
    ] {
        let place = tempfile::tempdir().unwrap();
        let method = method(settings(criterion));
        method.check().unwrap();
        testing::run(&method, place.path()).unwrap();
        let folder = RunFolder::open(place.path()).unwrap();
        let small = cut_spec(&spec(), &method.widths(&folder).unwrap()).unwrap();
        let blank = Network::blank(&small, &Device::flex()).unwrap();
        let result = folder.result(TRAIN_PHASE, Snapshot::Last).unwrap();
        let trained = import(&blank, &result, Names::PyTorch, "the test").unwrap();
        let macs = trained.costs(INPUT).unwrap().macs();
        let limit = whole.macs() / 2;
        assert!(macs <= limit, "{criterion:?}: {macs} {limit}");
        let found = evaluations(place.path(), CUT_PHASE);
        assert_eq!(found["macs"], macs as f64, "{criterion:?}");
        if criterion != Criterion::Uniform {
            assert_eq!(found["masked_accuracy"], found["accuracy"], "{criterion:?}");
        }
    }
}

#[test]
fn a_network_that_is_retrained_keeps_the_widths_and_not_the_weights() {
    let mut cuts = Vec::new();
    for retrain in [false, true] {
        let place = tempfile::tempdir().unwrap();
        let mut settings = settings(Criterion::L1);
        settings.compact.retrain = retrain;
        let method = method(settings);
        testing::run(&method, place.path()).unwrap();
        let folder = RunFolder::open(place.path()).unwrap();
        let widths = method.widths(&folder).unwrap();
        let tensors = folder.result(CUT_PHASE, Snapshot::Last).unwrap();
        let small = cut_spec(&spec(), &widths).unwrap();
        let new = Network::build(&small, 9, &Device::flex()).unwrap();
        let is_new = tensors == kd_core::export(&new, Names::PyTorch);
        assert_eq!(is_new, retrain);
        let metrics = evaluations(place.path(), CUT_PHASE);
        assert_eq!(metrics.contains_key("masked_accuracy"), !retrain);
        cuts.push(widths);
    }
    assert_eq!(cuts[0], cuts[1]);
}

#[test]
fn the_control_is_not_cut_and_trained_on() {
    let place = tempfile::tempdir().unwrap();
    let method = method(settings(Criterion::None));
    testing::run(&method, place.path()).unwrap();
    let folder = RunFolder::open(place.path()).unwrap();
    let same = cut_spec(&spec(), &method.widths(&folder).unwrap()).unwrap();
    assert_eq!(same.structure().unwrap(), spec().structure().unwrap());
    let cut = folder.result(CUT_PHASE, Snapshot::Last).unwrap();
    let blank = Network::build(&spec(), 5, &Device::flex()).unwrap();
    assert_eq!(cut, kd_core::export(&blank, Names::PyTorch));
    assert_ne!(cut, folder.result(TRAIN_PHASE, Snapshot::Last).unwrap());
}

#[test]
fn without_strength_all_channels_live_and_under_a_huge_one_nothing_is_lost_but_them() {
    let whole = spec().costs(&Device::flex()).unwrap();
    for update in [Update::Proximal, Update::Subgradient] {
        for (strength, macs) in [(0.0, Some(whole.macs() as f64)), (1e4, None)] {
            let place = tempfile::tempdir().unwrap();
            let mut settings = settings(Criterion::Sparsify);
            settings.compact.strength = Some(strength);
            settings.compact.update = update;
            testing::run(&method(settings), place.path()).unwrap();
            let found = evaluations(place.path(), SPARSIFY_PHASE);
            match macs {
                Some(macs) => assert_eq!(found["live_macs"], macs),
                None => assert!(found["live_macs"] <= whole.macs() as f64),
            }
            assert!(found["loss"].is_finite());
        }
    }
}

#[test]
fn a_block_without_strength_keeps_its_own_channels() {
    let place = tempfile::tempdir().unwrap();
    let mut settings = settings(Criterion::Sparsify);
    settings.compact.strength = Some(30.0);
    let mut block = kd_compact::BlockConfig::default();
    block.strength = Some(0.0);
    settings.blocks.insert("stage2".into(), block);
    testing::run(&method(settings), place.path()).unwrap();
    let folder = RunFolder::open(place.path()).unwrap();
    let left = folder.result(SPARSIFY_PHASE, Snapshot::Last).unwrap();
    let smallest = |name: &str| {
        let scales = left[name].iter::<f32>();
        scales.fold(f32::INFINITY, |least, scale| least.min(scale.abs()))
    };
    let [inside, outside] = ["features.2.conv.0.1.weight", "features.4.1.weight"].map(smallest);
    assert!(inside > 0.999 && outside < 0.98, "{inside} {outside}");
}

#[test]
fn a_stronger_penalty_leaves_fewer_live_channels() {
    let live = |strength: f64| {
        let place = tempfile::tempdir().unwrap();
        let mut settings = settings(Criterion::Sparsify);
        settings.compact.strength = Some(strength);
        settings.budget.macs = Some(serde_json::from_str("0.3").unwrap());
        testing::run(&method(settings), place.path()).unwrap();
        evaluations(place.path(), SPARSIFY_PHASE)["live_macs"]
    };
    let left = [1.0, 300.0].map(live);
    assert!(left[1] < left[0], "{left:?}");
}

#[test]
fn adam_has_no_momentum_that_would_lengthen_a_proximal_step() {
    let place = tempfile::tempdir().unwrap();
    let adam = || {
        let mut training = short(sparsify_training());
        training.lr = 1e-3;
        training.optimizer = OptimizerConfig::adam();
        training
    };
    let method = method(settings(Criterion::Sparsify)).with_training(adam(), adam());
    assert!(method.strength().unwrap() > 0.0);
    testing::run(&method, place.path()).unwrap();
}

#[test]
fn a_description_of_another_network_is_refused() {
    let device = Device::flex();
    let network = Network::build(&spec(), 5, &device).unwrap();
    let teacher = FrozenTeacher::new(&network, Normalisation::identity(1), &device);
    let other = NetworkSpec::new("mobilenetv2-mini", 10, INPUT);
    let graph = graph_of(&other).unwrap();
    let made = Compact::new(
        &network,
        graph,
        |_| Network::build(&spec(), 0, &Device::flex()),
        Box::new(teacher),
        Normalisation::identity(1),
        data(),
        &device,
    );
    let text = made.map(drop).unwrap_err().to_string();
    assert!(text.starts_with("the description of the network"), "{text}");
}

#[test]
fn settings_out_of_range_are_refused_by_their_keys() {
    let refused = |change: fn(&mut CompactSettings)| {
        let mut settings = settings(Criterion::Sparsify);
        change(&mut settings);
        let error = method(settings).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        error.to_string()
    };
    let text = refused(|settings| settings.distill.weight = 1.5);
    assert_eq!(text, "`distill.weight` must be 0 to 1, got 1.5");
    let text = refused(|settings| settings.distill.temperature = 0.0);
    assert_eq!(
        text,
        "`distill.temperature` must be finite and above 0, got 0"
    );
    let text = refused(|settings| settings.compact.recalibrate = 0);
    assert_eq!(text, "`compact.recalibrate` must be at least 1, got 0");
    let text = refused(|settings| settings.budget = kd_compact::BudgetConfig::default());
    assert!(text.starts_with("`budget` is missing"), "{text}");
    let text = refused(|settings| settings.compact.criterion = Criterion::None);
    assert!(text.contains("nothing is cut; leave it out"), "{text}");
    let text = refused(|settings| {
        settings
            .blocks
            .insert("layer9".into(), kd_compact::BlockConfig::default());
    });
    assert!(text.starts_with("unknown block `layer9`"), "{text}");
}
