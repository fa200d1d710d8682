//! Properties for any weights: equal branches, permuted branches, gates and attention that sum to 1.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::testing::{run, run_folder};
use kd_core::{NamedGradients, Names, Snapshot, Tensors, detached_copy, export, import};
use kd_online::{
    Branches, Combiner, CombinerSizes, LossInputs, Online, OnlineConfig, OnlineLoss, RESULT_PHASE,
};

use crate::support::{SIZE, Tiny, branches, config, data, numbers, online_data, peers, training};

fn images(samples: usize) -> Tensor<4> {
    let values: Vec<f32> = (0..samples * SIZE * SIZE)
        .map(|index| (0.7 * index as f32 + 0.01 * (index * index % 97) as f32).sin())
        .collect();
    let data = TensorData::new(values, [samples, 1, SIZE, SIZE]);
    Tensor::from_data(data, &Device::flex())
}

struct Step {
    total: f64,
    terms: Vec<(String, f64)>,
    gradients: NamedGradients,
}

impl Step {
    fn gradient(&self, path: &str) -> Vec<f64> {
        let gradient = self.gradients.get(path);
        gradient.map_or_else(Vec::new, |gradient| numbers(&gradient.to_data()))
    }

    fn term(&self, name: &str) -> f64 {
        let found = self.terms.iter().find(|(term, _)| term == name);
        found.unwrap_or_else(|| panic!("no term {name}")).1
    }
}

fn combiner(config: &OnlineConfig, branches: &Branches<Tiny>, seed: u64) -> Option<Combiner> {
    let outputs = branches.forward(&[images(2)]).unwrap();
    let sizes = CombinerSizes::of(&outputs[..config.peers()]).unwrap();
    let combiner = Combiner::new(&config.objective, sizes, seed, &Device::flex()).unwrap();
    combiner.map(Module::train)
}

/// A step at the end of the ramp-up.
fn step(config: &OnlineConfig, branches: &Branches<Tiny>, combiner: Option<&Combiner>) -> Step {
    let input = Tensor::from_inner(images(5));
    let outputs = branches.forward(&[input]).unwrap();
    let targets = Tensor::from_data([0, 2, 1, 1, 0], &Device::flex());
    let loss = OnlineLoss::new(config, 300).unwrap();
    let loss = loss
        .forward(combiner, &LossInputs::new(&outputs, &targets), 80)
        .unwrap();
    let total = numbers(&loss.total.to_data())[0];
    let mut raw = loss.total.backward();
    let mut gradients = NamedGradients::new();
    for (index, network) in branches.networks().iter().enumerate() {
        gradients.collect(&format!("branch-{index}"), network, &mut raw);
    }
    if let Some(combiner) = combiner {
        gradients.collect("ensemble", combiner, &mut raw);
    }
    let terms = loss.terms.into_iter();
    Step {
        total,
        terms: terms
            .map(|(term, value)| (term, numbers(&value.into_data())[0]))
            .collect(),
        gradients,
    }
}

/// Three branches with the same weights.
fn equal_branches() -> Branches<Tiny> {
    let network = Tiny::drawn(4).unwrap().train();
    let networks = (0..3).map(|_| detached_copy(&network)).collect();
    Branches::new(networks, Some("stem")).unwrap()
}

/// E1 of the specification.
#[test]
fn equal_branches_learn_nothing_from_each_other_and_stay_equal() {
    let equal = equal_branches();
    for toml in [
        "kind = \"okdmde\"\nattention = \"mean\"",
        "kind = \"okdmde\"\nshared = \"stem\"",
        "kind = \"dml\"\nbranches = 3",
        "kind = \"cl-ilr\"\nshared = \"stem\"",
        "kind = \"one\"\nshared = \"stem\"",
    ] {
        let config = config(toml);
        let combiner = combiner(&config, &equal, 3);
        let outputs = equal.forward(&[images(4)]).unwrap();
        let loss = OnlineLoss::new(&config, 1).unwrap();
        let ensemble = loss.ensembled(combiner.as_ref(), &outputs).logits;
        for (output, ensemble) in outputs.iter().zip(ensemble.iter().cycle()) {
            let apart = (ensemble.clone() - output.logits.clone()).abs().max();
            assert!(apart.into_scalar::<f32>() < 1e-6, "{toml}");
        }
        let step = step(&config, &equal, combiner.as_ref());
        assert!(step.term("kd").abs() < 1e-6, "{toml}: {}", step.term("kd"));
        for path in ["body.weight", "norm.gamma", "fc.weight", "fc.bias"] {
            let first = step.gradient(&format!("branch-0.{path}"));
            assert!(
                first.iter().any(|value| value.abs() > 1e-6),
                "{toml}: {path}"
            );
            let gated = toml.contains("\"one\"");
            for index in 1..3 {
                let other = step.gradient(&format!("branch-{index}.{path}"));
                // A gate that is not even, as ONE's, weighs equal branches differently.
                let same = first.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-6);
                assert!(same || gated, "{toml}: {path} of branch {index}");
            }
        }
    }
}

/// E2 of the specification.
#[test]
fn a_fresh_gate_is_the_mean_and_learns_as_the_mean_does() {
    let branches = branches(3, Some("stem"), 5);
    let gate = config("kind = \"okdmde\"\nshared = \"stem\"");
    let mean = config("kind = \"okdmde\"\nshared = \"stem\"\nattention = \"mean\"");
    let fresh = combiner(&gate, &branches, 8).unwrap();
    let outputs = branches.forward(&[images(4)]).unwrap();
    let loss = OnlineLoss::new(&gate, 1).unwrap();
    let ensembled = loss.ensembled(Some(&fresh), &outputs);
    for weight in numbers(&ensembled.gate.unwrap().into_data()) {
        assert!((weight - 1.0 / 3.0).abs() < 1e-7, "{weight}");
    }
    let gated = step(&gate, &branches, Some(&fresh));
    let plain = step(&mean, &branches, None);
    assert!((gated.total - plain.total).abs() < 1e-6 * plain.total);
    let paths: Vec<&str> = plain.gradients.paths().collect();
    assert_eq!(paths.len(), 2 + 3 * 5);
    for path in paths {
        for (one, other) in gated.gradient(path).iter().zip(plain.gradient(path)) {
            assert!((one - other).abs() < 1e-6, "{path}: {one}, {other}");
        }
    }
}

/// A combiner with weights that are drawn everywhere, the last layer of a gate too.
fn drawn(config: &OnlineConfig, branches: &Branches<Tiny>) -> Combiner {
    let fresh = combiner(config, branches, 2).unwrap();
    let mut tensors = export(&fresh, Names::Burn);
    for (path, data) in &mut tensors {
        if path.starts_with("fc2.") {
            let values: Vec<f32> = (0..data.num_elements())
                .map(|index| (index as f32 + 0.3).sin())
                .collect();
            *data = TensorData::new(values, data.shape().clone());
        }
    }
    import(&fresh, &tensors, Names::Burn, "drawn").unwrap()
}

/// E4 of the specification, its first half.
#[test]
fn weights_of_a_gate_and_rows_of_attention_sum_to_one() {
    let branches = branches(3, Some("stem"), 6);
    let outputs = branches.forward(&[images(7)]).unwrap();
    for toml in [
        "kind = \"okdmde\"\nshared = \"stem\"",
        "kind = \"okdmde\"\nshared = \"stem\"\ngate = \"branch-class\"",
        "kind = \"one\"\nshared = \"stem\"",
    ] {
        let config = config(toml);
        let combiner = drawn(&config, &branches);
        let ensembled = OnlineLoss::new(&config, 1).unwrap();
        let gate = ensembled.ensembled(Some(&combiner), &outputs).gate.unwrap();
        for sum in numbers(&gate.sum_dim(1).into_data()) {
            assert!((sum - 1.0).abs() < 1e-6, "{toml}: {sum}");
        }
    }
    for toml in [
        "kind = \"okddip\"\nleader = false\nshared = \"stem\"",
        "kind = \"okdmde\"\nattention = \"per-peer\"\nshared = \"stem\"",
        "kind = \"okddip\"\nleader = false\nshared = \"stem\"\nmask_self = true",
    ] {
        let config = config(toml);
        let combiner = drawn(&config, &branches);
        let loss = OnlineLoss::new(&config, 1).unwrap();
        let attention = loss.ensembled(Some(&combiner), &outputs).attention.unwrap();
        assert_eq!(attention.dims(), [7, 3, 3]);
        for sum in numbers(&attention.clone().sum_dim(2).into_data()) {
            assert!((sum - 1.0).abs() < 1e-6, "{toml}: {sum}");
        }
        let values = numbers(&attention.into_data());
        let diagonal = values
            .chunks(9)
            .flat_map(|rows| [rows[0], rows[4], rows[8]]);
        let masked = toml.contains("mask_self");
        for own in diagonal {
            assert!((own.abs() < 1e-12) == masked, "{toml}: {own}");
        }
    }
}

/// E4 of the specification, its second half.
#[test]
fn the_key_does_not_see_the_fused_maps() {
    let branches = branches(3, Some("stem"), 7);
    let outputs = branches.forward(&[images(6)]).unwrap();
    let config =
        config("kind = \"okdmde\"\nattention = \"per-peer\"\nshared = \"stem\"\nreduction = 2");
    let combiner = drawn(&config, &branches);
    let loss = OnlineLoss::new(&config, 1).unwrap();
    let attention = |combiner: &Combiner| {
        let attention = loss.ensembled(Some(combiner), &outputs).attention;
        numbers(&attention.unwrap().into_data())
    };
    let without = |layer: &str| {
        let mut tensors = export(&combiner, Names::Burn);
        let path = format!("{layer}.weight");
        let shape = tensors[&path].shape().clone();
        let mut values: Vec<f32> = tensors[&path].iter::<f32>().collect();
        // The first 4 inputs are the peer's own features, the others the fused maps.
        let half = values.len() / 2;
        values[half..].fill(0.0);
        tensors.insert(path, TensorData::new(values, shape));
        import(&combiner, &tensors, Names::Burn, "zeroed").unwrap()
    };
    let whole = attention(&combiner);
    let off = |other: &[f64]| {
        let both = whole.iter().zip(other);
        both.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    assert!(off(&attention(&without("key"))) < 1e-6);
    assert!(off(&attention(&without("query"))) > 1e-4, "the query does");
}

/// The branches in another order; the trunk stays.
fn permuted(branches: &Branches<Tiny>, order: [usize; 3]) -> Branches<Tiny> {
    let networks = branches.networks();
    let trunk = export(&networks[0], Names::Burn);
    let make = |&index: &usize| {
        let mut tensors = export(&networks[index], Names::Burn);
        for path in ["stem.weight", "stem.bias"] {
            tensors.insert(path.into(), trunk[path].clone());
        }
        import(&networks[index], &tensors, Names::Burn, "permuted").unwrap()
    };
    Branches::new(order.iter().map(make).collect(), Some("stem")).unwrap()
}

/// A gate for branches in another order: its blocks of input channels and its last rows are moved with them.
fn permuted_gate(gate: &Combiner, order: [usize; 3]) -> Combiner {
    let mut tensors: Tensors = export(gate, Names::Burn);
    let conv = &tensors["fusion.conv.weight"];
    let [outputs, inputs] = [conv.shape()[0], conv.shape()[1]];
    let block = inputs / 3;
    let old: Vec<f32> = conv.iter::<f32>().collect();
    let shape = conv.shape().clone();
    let mut new: Vec<f32> = Vec::new();
    for output in 0..outputs {
        for index in order {
            let start = output * inputs + index * block;
            new.extend(&old[start..start + block]);
        }
    }
    tensors.insert("fusion.conv.weight".into(), TensorData::new(new, shape));
    for path in ["fc2.weight", "fc2.bias"] {
        let old: Vec<f32> = tensors[path].iter::<f32>().collect();
        let shape = tensors[path].shape().clone();
        let rows = old.chunks(3).flat_map(|row| order.map(|index| row[index]));
        tensors.insert(
            path.into(),
            TensorData::new(rows.collect::<Vec<f32>>(), shape),
        );
    }
    import(gate, &tensors, Names::Burn, "permuted").unwrap()
}

/// E9 of the specification.
#[test]
fn permuted_branches_have_permuted_outputs_and_the_same_loss() {
    let (one, order) = (branches(3, Some("stem"), 9), [2, 0, 1]);
    let other = permuted(&one, order);
    let outputs = |branches: &Branches<Tiny>| -> Vec<Vec<f64>> {
        let outputs = branches.forward(&[images(5)]).unwrap().into_iter();
        outputs
            .map(|output| numbers(&output.logits.into_data()))
            .collect()
    };
    let (first, second) = (outputs(&one), outputs(&other));
    for (place, index) in order.into_iter().enumerate() {
        assert_eq!(second[place], first[index]);
    }
    for toml in [
        "kind = \"okdmde\"\nattention = \"mean\"\nshared = \"stem\"",
        "kind = \"okdmde\"\nshared = \"stem\"",
        "kind = \"okddip\"\nleader = false\nshared = \"stem\"",
        "kind = \"dml\"\nbranches = 3\nshared = \"stem\"",
        "kind = \"cl-ilr\"\nshared = \"stem\"",
    ] {
        let config = config(toml);
        let trained = toml.contains("ok") && !toml.contains("attention");
        let parts = if trained {
            let part = drawn(&config, &one);
            let moved = if toml.contains("okddip") {
                part.clone()
            } else {
                permuted_gate(&part, order)
            };
            [Some(part), Some(moved)]
        } else {
            [None, None]
        };
        let (left, right) = (
            step(&config, &one, parts[0].as_ref()),
            step(&config, &other, parts[1].as_ref()),
        );
        let off = (left.total - right.total).abs();
        assert!(
            off < 1e-6 * left.total,
            "{toml}: {} and {}",
            left.total,
            right.total
        );
        for (place, index) in order.into_iter().enumerate() {
            let (a, b) = (
                left.gradient(&format!("branch-{index}.fc.weight")),
                right.gradient(&format!("branch-{place}.fc.weight")),
            );
            assert!(!a.is_empty());
            let same = a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 2e-6);
            assert!(same, "{toml}: {a:?} and {b:?}");
        }
    }
}

/// E8 of the specification.
#[test]
fn the_literal_penalty_changes_nothing_that_counts_and_the_working_one_does() {
    let result = |toml: &str| -> Tensors {
        let config = config(&format!("kind = \"okdmde\"\nshared = \"stem\"\n{toml}"));
        let peers = peers(&config, 3);
        let online = Online::new(
            peers,
            config,
            online_data(20),
            training(5, 10),
            &Device::flex(),
        );
        let folder = tempfile::tempdir().unwrap();
        let outcome = run(&online, folder.path()).unwrap();
        assert_eq!(outcome[0].steps, 10);
        let folder = run_folder(folder.path()).unwrap();
        folder.result(RESULT_PHASE, Snapshot::Last).unwrap()
    };
    let without = result("");
    let off = |other: &Tensors| {
        let (mut difference, mut size) = (0.0, 0.0);
        for (name, data) in &without {
            for (a, b) in numbers(data).into_iter().zip(numbers(&other[name])) {
                difference += (a - b) * (a - b);
                size += a * a;
            }
        }
        (difference / size).sqrt()
    };
    let literal = off(&result("diversification = \"literal\""));
    assert!(literal < 1e-5, "{literal}");
    let working = off(&result("diversification = \"working\""));
    assert!(working > 1e-4, "{working}");
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let result = |seed: u64, data_seed: u64| {
        let config = config("kind = \"okdmde\"\nshared = \"stem\"");
        let mut all = online_data(12);
        all.train = data(12, data_seed).into();
        let online = Online::new(
            peers(&config, 3),
            config,
            all,
            training(1, 4),
            &Device::flex(),
        );
        let folder = tempfile::tempdir().unwrap();
        run(&online.with_seed(seed), folder.path()).unwrap();
        let folder = run_folder(folder.path()).unwrap();
        kd_core::hash_tensors(&folder.result(RESULT_PHASE, Snapshot::Last).unwrap())
    };
    assert_eq!(result(1, 1), result(1, 1));
    assert_ne!(result(1, 1), result(2, 1));
}
