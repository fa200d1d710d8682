//! Students and ensembles made of a run's result; parameters and costs against the specification's table.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::testing::{run, run_folder};
use kd_core::{CountCosts, Names, Snapshot, StagedNetwork, Tensors, count_parameters, export};
use kd_models::{Network, NetworkSpec};
use kd_online::{
    BranchCosts, Branches, Combiner, CombinerSizes, Objective, Online, OnlineConfig, RESULT_PHASE,
};

use crate::support::{
    SIZE, Tiny, config, data, normalisation, numbers, online_data, peers, training,
};

fn trained(config: &OnlineConfig) -> (Online, Tensors) {
    let online = Online::new(
        peers(config, 3),
        config.clone(),
        online_data(12),
        training(2, 5),
        &Device::flex(),
    );
    let folder = tempfile::tempdir().unwrap();
    run(&online, folder.path()).unwrap();
    let folder = run_folder(folder.path()).unwrap();
    let result = folder.result(RESULT_PHASE, Snapshot::Last).unwrap();
    (online, result)
}

fn blank(count: usize, shared: Option<&str>) -> Branches<Tiny> {
    Branches::drawn(count, shared, 99, Tiny::drawn).unwrap()
}

fn images() -> Tensor<4> {
    let pixels = data(6, 8);
    let values: Vec<f32> = pixels
        .images()
        .iter()
        .map(|&byte| f32::from(byte) / 255.0)
        .collect();
    let images = Tensor::<1>::from_floats(values.as_slice(), &Device::flex());
    normalisation()
        .apply(images.reshape([6, 1, SIZE, SIZE]))
        .unwrap()
}

/// E6 of the specification.
#[test]
fn a_student_is_the_branch_to_the_last_bit() {
    for (toml, count, student) in [
        ("kind = \"okdmde\"\nshared = \"stem\"", 3, 0),
        ("kind = \"okddip\"\nshared = \"stem\"", 4, 3),
        ("kind = \"dml\"", 2, 0),
    ] {
        let config = config(toml);
        assert_eq!(config.student(), student);
        let (online, result) = trained(&config);
        let branches = blank(count, config.shared.as_deref())
            .with_result(&result)
            .unwrap();
        let combiner = online.combiner_of(&result).unwrap();
        let ensemble = branches.clone().into_ensemble(&config, combiner);
        let output = ensemble.forward(&images()).unwrap();
        for index in 0..count {
            let student = branches.clone().into_student(index).unwrap();
            let logits = student.forward(&images()).into_data();
            assert_eq!(
                logits,
                output.branches[index].clone().into_data(),
                "{toml}: {index}"
            );
            // Its tensors are those of its part of the result, which is a whole network.
            let part = format!("branch-{index}/");
            for (name, tensor) in export(&student, Names::PyTorch) {
                assert_eq!(result[&format!("{part}{name}")], tensor, "{toml}: {name}");
            }
        }
        let error = branches.into_student(count).unwrap_err().to_string();
        assert!(error.contains("must be below"), "{error}");
    }
}

#[test]
fn an_ensemble_is_the_gate_over_the_peers() {
    let config = config("kind = \"okdmde\"\nshared = \"stem\"");
    let (online, result) = trained(&config);
    let branches = blank(3, Some("stem")).with_result(&result).unwrap();
    let combiner = online.combiner_of(&result).unwrap();
    let output = branches
        .into_ensemble(&config, combiner)
        .forward(&images())
        .unwrap();
    let combined = numbers(&output.combined.clone().unwrap().into_data());
    let mean = numbers(&output.mean.clone().into_data());
    assert_ne!(combined, mean);
    let all: Vec<Vec<f64>> = output
        .branches
        .iter()
        .map(|z| numbers(&z.to_data()))
        .collect();
    for (place, (combined, mean)) in combined.iter().zip(&mean).enumerate() {
        let own: Vec<f64> = all.iter().map(|z| z[place]).collect();
        assert!((own.iter().sum::<f64>() / 3.0 - mean).abs() < 1e-6);
        let (least, most) = own
            .iter()
            .fold((f64::MAX, f64::MIN), |(a, b), &z| (a.min(z), b.max(z)));
        assert!((least - 1e-6..=most + 1e-6).contains(combined));
    }
    assert_eq!(numbers(&output.logits().into_data()), combined);
}

#[test]
fn a_leader_is_no_part_of_the_mean() {
    let config = config("kind = \"okddip\"\nshared = \"stem\"");
    let (online, result) = trained(&config);
    let branches = blank(4, Some("stem")).with_result(&result).unwrap();
    let combiner = online.combiner_of(&result).unwrap();
    let output = branches
        .into_ensemble(&config, combiner)
        .forward(&images())
        .unwrap();
    let all: Vec<Vec<f64>> = output
        .branches
        .iter()
        .map(|z| numbers(&z.to_data()))
        .collect();
    let mean = numbers(&output.mean.into_data());
    for (place, mean) in mean.iter().enumerate() {
        let of_peers: f64 = all[..3].iter().map(|z| z[place]).sum();
        assert!((of_peers / 3.0 - mean).abs() < 1e-6);
    }
}

#[test]
fn averaged_students_are_in_the_result_as_whole_networks() {
    let config = config("kind = \"pcl\"\nshared = \"stem\"\nviews = \"same\"\naverage_decay = 0.5");
    let (_, result) = trained(&config);
    let branches = blank(3, Some("stem"));
    let averages = branches.with_averages(&result).unwrap();
    let students = branches.with_result(&result).unwrap();
    let logits = |branches: Branches<Tiny>| {
        let student = branches.into_student(1).unwrap();
        numbers(&student.forward(&images()).into_data())
    };
    assert_ne!(logits(averages), logits(students));
}

#[test]
fn unused_tensors_are_neither_counted_nor_trained() {
    let config = config("kind = \"okdmde\"\nshared = \"stem\"");
    let online = Online::new(
        peers(&config, 3),
        config,
        online_data(12),
        training(1, 5),
        &Device::flex(),
    );
    let tiny = count_parameters(&Tiny::blank(&Device::flex()));
    assert_eq!(online.peers().parameters(), 3 * tiny - 2 * 20);
    let gate = 12 * 4 + 8 + (4 + 1) + (3 + 3);
    assert_eq!(
        online.trained_parameters().unwrap(),
        3 * tiny - 2 * 20 + gate
    );
    let network = Tiny::drawn(0).unwrap();
    assert_eq!(
        network.num_params() as u64,
        tiny + 8,
        "statistics are counted by Burn"
    );
}

/// A network, the last stage that its branches share, and the specification's counts: shared, one branch,
/// one network, three and four branches.
type Counts = (&'static str, &'static str, [u64; 5]);

#[rustfmt::skip]
const COUNTS: [Counts; 8] = [
    ("crd-resnet8", "layer2", [19_664, 58_378, 78_042, 194_798, 253_176]),
    ("crd-resnet14", "layer2", [42_896, 132_362, 175_258, 439_982, 572_344]),
    ("crd-resnet20", "layer2", [66_128, 206_346, 272_474, 685_166, 891_512]),
    ("crd-resnet32", "layer2", [112_592, 354_314, 466_906, 1_175_534, 1_529_848]),
    ("okddip-resnet110", "layer2", [275_280, 872_458, 1_147_738, 2_892_654, 3_765_112]),
    ("okddip-wrn-20-8", "layer2", [1_629_776, 5_218_314, 6_848_090, 17_284_718, 22_503_032]),
    ("okddip-vgg16", "layer3", [7_640_640, 7_612_938, 15_253_578, 30_479_454, 38_092_392]),
    ("okddip-densenet-40-12", "block2", [115_848, 60_274, 176_122, 296_670, 356_944]),
];

/// E7 of the specification; kd-models counts the networks.
#[test]
fn parameters_are_those_of_the_specification() {
    let device = Device::flex();
    for (name, stage, [shared, branch, single, three, four]) in COUNTS {
        let spec = NetworkSpec::new(name, 10, [3, 32, 32]);
        let blank = || Network::blank(&spec, &device).unwrap();
        let costs = blank().costs([3, 32, 32]).unwrap();
        for (count, all) in [(1, single), (3, three), (4, four)] {
            let networks = (0..count).map(|_| blank()).collect();
            let branches = Branches::new(networks, Some(stage)).unwrap();
            assert_eq!(branches.parameters(), all, "{name} with {count}");
            let costs = branches.costs(&costs);
            assert_eq!(costs.trunk.params, shared, "{name}");
            assert_eq!(costs.branch.params, branch, "{name}");
            assert_eq!(
                (costs.single().params, costs.all().params),
                (single, all),
                "{name}"
            );
        }
    }
}

#[test]
fn four_branches_cost_twice_a_network_and_not_four_times() {
    let costs = |name: &str, input: [usize; 3]| -> BranchCosts {
        let spec = NetworkSpec::new(name, 10, input);
        let network = Network::blank(&spec, &Device::flex()).unwrap();
        let costs = network.costs(input).unwrap();
        let networks = (0..4).map(|_| Network::blank(&spec, &Device::flex()).unwrap());
        let branches = Branches::new(networks.collect(), Some("layer2")).unwrap();
        branches.costs(&costs)
    };
    let millions = |macs: u64| macs as f64 / 1e6;
    for (name, input, [trunk, branch, single, all]) in [
        ("crd-resnet32", [3, 32, 32], [46.6, 22.6, 69.1, 137.0]),
        ("crd-resnet20", [3, 32, 32], [27.7, 13.1, 40.8, 80.1]),
        ("crd-resnet8", [1, 28, 28], [6.54, 2.81, 9.35, 17.8]),
    ] {
        let costs = costs(name, input);
        let found = [costs.trunk, costs.branch, costs.single(), costs.all()];
        for (found, expected) in found.iter().zip([trunk, branch, single, all]) {
            let off = (millions(found.macs) - expected).abs() / expected;
            assert!(off < 0.01, "{name}: {found:?}, expected {expected}");
        }
        let whole = costs.networks();
        assert_eq!(whole.macs, 4 * costs.single().macs);
        assert!(
            (costs.compute_factor() - all / single).abs() < 0.02,
            "{name}"
        );
    }
}

/// E7 of the specification: what combines the peers.
#[test]
fn parts_that_combine_peers_have_the_sizes_of_the_specification() {
    let parameters = |objective: &Objective, peers: usize, channels: usize, trunk: usize| {
        let sizes = serde_sizes(peers, channels, trunk);
        let combiner = Combiner::new(objective, sizes, 0, &Device::flex()).unwrap();
        combiner.unwrap().parameters()
    };
    let gate = config("kind = \"okdmde\"").objective;
    assert_eq!(parameters(&gate, 3, 64, 32), 12_963);
    assert_eq!(parameters(&gate, 4, 64, 32), 17_068);
    assert_eq!(parameters(&gate, 4, 256, 128), 271_012);
    assert_eq!(parameters(&gate, 4, 512, 512), 1_082_692);
    let okddip = config("kind = \"okddip\"").objective;
    assert_eq!(parameters(&okddip, 3, 64, 32), 1_024);
    assert_eq!(parameters(&okddip, 3, 256, 128), 16_384);
    assert_eq!(parameters(&okddip, 3, 512, 512), 65_536);
    let one = config("kind = \"one\"\nshared = \"stem\"").objective;
    assert_eq!(parameters(&one, 4, 64, 32), 32 * 4 + 4 + 8);
    let sizes = serde_sizes(4, 64, 32);
    let combiner = Combiner::new(&gate, sizes, 0, &Device::flex())
        .unwrap()
        .unwrap();
    let first = 4 * 64 * 64 * 64;
    assert_eq!(combiner.macs(sizes), first + 64 * 8 + 8 * 4);
}

fn serde_sizes(peers: usize, channels: usize, trunk: usize) -> CombinerSizes {
    CombinerSizes::new(peers, [channels, 8, 8], Some(trunk), channels, 10)
}
