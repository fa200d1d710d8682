//! E10 of the specification, its worked examples: numbers of a hand calculation in 64 bits, by other means
//! than the fixtures. Diversity of the same logits is measured in `measure_sums.rs`.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{Names, export, import};
use kd_losses::{ClassifierOverlap, classifier_diversification};
use kd_online::{
    BranchOutput, Branches, Combiner, CombinerSizes, LossInputs, Objective, OnlineConfig,
    OnlineLoss,
};

use crate::support::{Tiny, branches, config, numbers};

/// Three peers, two samples, three classes; the labels are 0 and 1.
const LOGITS: [[[f32; 3]; 2]; 3] = [
    [[2.0, 0.5, -1.0], [0.0, 1.0, 0.5]],
    [[1.0, 1.0, 0.0], [-0.5, 2.0, 0.0]],
    [[0.5, -0.5, 1.5], [1.0, 0.0, -1.0]],
];

/// Two features of each peer for both samples.
const FEATURES: [[[f32; 2]; 2]; 3] = [
    [[1.0, 0.0], [0.5, 0.5]],
    [[0.0, 1.0], [1.0, -1.0]],
    [[1.0, 1.0], [0.0, 2.0]],
];

fn labels() -> Tensor<1, Int> {
    Tensor::from_data([0, 1], &Device::flex())
}

/// Outputs of real branches with the numbers above put into them.
fn outputs() -> Vec<BranchOutput> {
    let device = Device::flex();
    let input = Tensor::ones([2, 1, 5, 5], &device);
    let mut outputs = branches(3, Some("stem"), 0).forward(&[input]).unwrap();
    for ((output, logits), features) in outputs.iter_mut().zip(LOGITS).zip(FEATURES) {
        output.logits = Tensor::from_data(logits, &device);
        output.dense = Tensor::from_data(features, &device);
        output.map = output.map.clone().without_autodiff();
        output.trunk = output.trunk.clone().map(Tensor::without_autodiff);
    }
    outputs
}

fn near(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 2e-6,
        "{found}, expected {expected}"
    );
}

/// The terms of the loss at the end of the ramp-up.
fn terms(toml: &str, combiner: Option<&Combiner>) -> Vec<(String, f64)> {
    let config = config(toml);
    let (outputs, targets) = (outputs(), labels());
    let loss = OnlineLoss::new(&config, 1).unwrap();
    let inputs = LossInputs::new(&outputs, &targets);
    let step = loss.forward(combiner, &inputs, 0).unwrap();
    let named = step.terms.into_iter();
    named
        .map(|(term, value)| (term, numbers(&value.into_data())[0]))
        .collect()
}

fn kd(toml: &str, combiner: Option<&Combiner>) -> Vec<f64> {
    let (outputs, targets) = (outputs(), labels());
    let loss = OnlineLoss::new(&config(toml), 1).unwrap();
    let kd = loss
        .kd(combiner, &LossInputs::new(&outputs, &targets))
        .unwrap();
    numbers(&kd.unwrap().into_data())
}

fn all_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        near(*found, *expected);
    }
}

#[test]
fn cross_entropies_are_summed_over_branches_and_that_of_the_mean_is_added() {
    let terms = terms("kind = \"okdmde\"\nattention = \"mean\"", None);
    assert_eq!(terms[0].0, "cross_entropy");
    near(terms[0].1, 0.460_790 + 0.529_364 + 1.407_606);
    assert_eq!(terms[1].0, "ensemble_cross_entropy");
    near(terms[1].1, 0.573_245);
}

#[test]
fn divergences_from_the_mean_of_all_and_of_the_others() {
    let mean = "kind = \"okdmde\"\nattention = \"mean\"";
    all_near(&kd(mean, None), &[0.189_490, 0.159_022, 0.419_009]);
    let epsilon = format!("{mean}\ntarget_epsilon = 1e-7");
    all_near(&kd(&epsilon, None), &[0.189_493, 0.159_025, 0.419_012]);
    let others = "kind = \"dml\"\ntarget = \"ensemble-first\"\ntemperature = 3\nbranches = 3";
    all_near(&kd(others, None), &[0.445_131, 0.359_429, 0.871_539]);
}

/// A gate of ONE or of fused maps whose scores are the ones given, whatever it reads.
fn gate(objective: &Objective, bias: &str, scores: [f32; 3]) -> Combiner {
    let sizes = CombinerSizes::of(&outputs()).unwrap();
    let fresh = Combiner::new(objective, sizes, 0, &Device::flex())
        .unwrap()
        .unwrap();
    let mut tensors = export(&fresh, Names::Burn);
    for (path, data) in &mut tensors {
        if path.ends_with("weight") {
            let shape = data.shape().clone();
            *data = TensorData::zeros::<f32, _>(shape);
        }
        if path == bias {
            *data = TensorData::new(scores.to_vec(), [3]);
        }
    }
    import(&fresh, &tensors, Names::Burn, "gate").unwrap()
}

fn weights(toml: &str, combiner: &Combiner) -> Vec<f64> {
    let loss = OnlineLoss::new(&config(toml), 1).unwrap();
    let ensembled = loss.ensembled(Some(combiner), &outputs());
    numbers(&ensembled.gate.unwrap().into_data())
}

#[test]
fn a_gate_is_the_softmax_of_its_scores() {
    let toml = "kind = \"okdmde\"";
    let objective = config(toml).objective;
    for (scores, expected) in [
        ([0.2, -0.3, 1.0], [0.260_955, 0.158_277, 0.580_767]),
        ([-1.0, 0.0, 0.5], [0.121_952, 0.331_499, 0.546_549]),
    ] {
        let gate = gate(&objective, "fc2.bias", scores);
        let found = weights(toml, &gate);
        all_near(&found[..3], &expected);
        all_near(&found[3..], &expected);
    }
}

#[test]
fn the_gate_of_one_has_a_relu_before_its_softmax() {
    let toml = "kind = \"one\"\nshared = \"stem\"";
    let objective = config(toml).objective;
    // At inference with fresh statistics the norm adds its shift to what is 0.
    for (scores, expected) in [
        ([0.2, -0.3, 1.0], [0.247_263, 0.202_442, 0.550_295]),
        ([-1.0, 0.0, 0.5], [0.274_069, 0.274_069, 0.451_863]),
    ] {
        let mut gate = gate(&objective, "norm.beta", scores);
        let mut tensors = export(&gate, Names::Burn);
        for (path, data) in &mut tensors {
            if path.starts_with("fc.") {
                *data = TensorData::zeros::<f32, _>(data.shape().clone());
            }
        }
        gate = import(&gate, &tensors, Names::Burn, "gate").unwrap();
        all_near(&weights(toml, &gate)[..3], &expected);
    }
}

#[test]
fn the_target_of_a_gate_is_the_weighted_sum_of_logits() {
    // Both samples with the weights of one; those of the specification differ by sample.
    let toml = "kind = \"okdmde\"";
    let objective = config(toml).objective;
    let (outputs, loss) = (outputs(), OnlineLoss::new(&config(toml), 1).unwrap());
    let first = gate(&objective, "fc2.bias", [0.2, -0.3, 1.0]);
    let second = gate(&objective, "fc2.bias", [-1.0, 0.0, 0.5]);
    let logits = |gate: &Combiner| {
        let ensembled = loss.ensembled(Some(gate), &outputs);
        numbers(&ensembled.logits.unwrap().into_data())
    };
    all_near(&logits(&first)[..3], &[0.970_572, -0.001_628, 0.610_195]);
    all_near(&logits(&second)[3..], &[0.380_800, 0.784_950, -0.485_574]);
}

/// One sample of the outputs.
fn sample(index: usize) -> Vec<BranchOutput> {
    let mut outputs = outputs();
    for output in &mut outputs {
        output.logits = output.logits.clone().narrow(0, index, 1);
        output.dense = output.dense.clone().narrow(0, index, 1);
        output.map = output.map.clone().narrow(0, index, 1);
        output.trunk = output.trunk.clone().map(|map| map.narrow(0, index, 1));
    }
    outputs
}

#[test]
fn losses_of_and_towards_a_gate_that_differs_by_sample() {
    // Each sample with its own gate; the losses of the batch are the means of both.
    let toml = "kind = \"okdmde\"";
    let objective = config(toml).objective;
    let loss = OnlineLoss::new(&config(toml), 1).unwrap();
    let (mut cross_entropy, mut divergences) = (0.0, vec![0.0; 3]);
    for (index, scores) in [[0.2, -0.3, 1.0], [-1.0, 0.0, 0.5]].into_iter().enumerate() {
        let gate = gate(&objective, "fc2.bias", scores);
        let (outputs, target) = (sample(index), labels().narrow(0, index, 1));
        let inputs = LossInputs::new(&outputs, &target);
        let step = loss.forward(Some(&gate), &inputs, 0).unwrap();
        let term = step
            .terms
            .into_iter()
            .find(|(name, _)| name == "ensemble_cross_entropy");
        cross_entropy += numbers(&term.unwrap().1.into_data())[0] / 2.0;
        let kd = loss.kd(Some(&gate), &inputs).unwrap().unwrap();
        for (sum, value) in divergences.iter_mut().zip(numbers(&kd.into_data())) {
            *sum += value / 2.0;
        }
    }
    near(cross_entropy, 0.698_601);
    all_near(&divergences, &[0.379_071, 0.297_737, 0.211_234]);
    near(divergences.iter().sum(), 0.888_041);
}

/// `OKDDip`'s attention with a query of (1, 0.5) and a key of (0.5, -1).
fn attention() -> (OnlineConfig, Combiner) {
    let config = config("kind = \"okddip\"\nleader = false\nreduction = 2");
    let mut sizes = CombinerSizes::of(&outputs()).unwrap();
    sizes.features = 2;
    let fresh = Combiner::new(&config.objective, sizes, 0, &Device::flex());
    let fresh = fresh.unwrap().unwrap();
    let column = |values: [f32; 2]| TensorData::new(values.to_vec(), [2, 1]);
    let tensors = [
        ("query.weight".to_owned(), column([1.0, 0.5])),
        ("key.weight".to_owned(), column([0.5, -1.0])),
    ];
    let tensors = tensors.into_iter().collect();
    (
        config,
        import(&fresh, &tensors, Names::Burn, "attention").unwrap(),
    )
}

#[test]
fn attention_is_not_scaled_and_has_its_diagonal() {
    let (config, attention) = attention();
    let loss = OnlineLoss::new(&config, 1).unwrap();
    let ensembled = loss.ensembled(Some(&attention), &outputs());
    let found = numbers(&ensembled.attention.unwrap().into_data());
    let expected = [
        [0.628_532, 0.140_244, 0.231_224],
        [0.481_024, 0.227_220, 0.291_756],
        [0.752_712, 0.079_335, 0.167_953],
        [0.200_618, 0.745_386, 0.053_996],
        [0.262_073, 0.628_679, 0.109_248],
        [0.144_334, 0.830_585, 0.025_081],
    ];
    all_near(&found, expected.as_flattened());
}

#[test]
fn each_peer_has_its_own_target() {
    let (_, attention) = attention();
    let toml = "kind = \"okddip\"\nleader = false\nreduction = 2";
    all_near(
        &kd(toml, Some(&attention)),
        &[0.128_428, 0.073_889, 0.945_007],
    );
}

#[test]
fn overlaps_of_classifiers() {
    let device = Device::flex();
    // Rows are classes; a loss takes [features, classes].
    let weights = [
        [[0.5, -0.2], [0.1, 0.4], [-0.3, 0.2]],
        [[0.2, 0.3], [-0.4, 0.1], [0.6, -0.5]],
        [[0.0, 0.7], [0.3, -0.1], [-0.2, 0.2]],
    ];
    let weights = weights.map(|weight| Tensor::<2>::from_data(weight, &device).transpose());
    // Of each pair: (1, 2), (1, 3), (2, 3).
    for (form, expected) in [
        (
            ClassifierOverlap::Frobenius,
            [0.362_353, 0.335_410, 0.417_732],
        ),
        (ClassifierOverlap::Absolute, [0.63, 0.59, 0.77]),
        (
            ClassifierOverlap::NormalisedFrobenius,
            [0.494_522, 0.533_474, 0.534_983],
        ),
        (
            ClassifierOverlap::ClassCosine,
            [0.400_107, 0.476_223, 0.941_666],
        ),
    ] {
        for ((one, other), expected) in [(0, 1), (0, 2), (1, 2)].into_iter().zip(expected) {
            let pair = [&weights[one], &weights[other]].map(Clone::clone);
            let found = classifier_diversification(&pair, form, 1e-6).unwrap();
            near(numbers(&found.into_data())[0], expected);
        }
    }
    for (form, expected) in [
        (ClassifierOverlap::Frobenius, 1.115_496),
        (ClassifierOverlap::Absolute, 1.99),
        (ClassifierOverlap::SquaredFrobenius, 0.4183),
        (ClassifierOverlap::NormalisedFrobenius, 0.520_993),
        (ClassifierOverlap::ClassCosine, 0.605_998),
    ] {
        let found = classifier_diversification(&weights, form, 1e-6).unwrap();
        near(numbers(&found.into_data())[0], expected);
    }
}

/// E3 of the specification.
#[test]
fn the_ramp_up_is_that_of_one_and_okddip() {
    let schedule = config("kind = \"okdmde\"").kd_schedule(300);
    for (epoch, expected) in [
        (0.0, 0.006_738),
        (1.0, 0.007_629),
        (5.0, 0.012_345),
        (10.0, 0.021_750),
        (20.0, 0.060_055),
        (40.0, 0.286_505),
        (60.0, 0.731_616),
        (79.0, 0.999_219),
        (80.0, 1.0),
        (299.0, 1.0),
    ] {
        assert!(
            (schedule.at(epoch) - expected).abs() < 5e-7,
            "epoch {epoch}"
        );
    }
    // A run of E epochs ramps over 80 E / 300 of them; mutual learning does not ramp.
    let schedule = config("kind = \"one\"\nshared = \"stem\"").kd_schedule(12);
    assert!((schedule.at(3.0) - 1.0).abs() < 1e-12 && schedule.at(2.0) < 0.6);
    assert!((config("kind = \"dml\"").kd_schedule(300).at(0.0) - 1.0).abs() < 1e-12);
}

#[test]
fn tiny_is_the_network_of_the_fixtures() {
    let tiny = Tiny::blank(&Device::flex());
    let branches = Branches::new(vec![tiny], None).unwrap();
    assert_eq!(branches.parameters(), 20 + 72 + 8 + 15);
}
