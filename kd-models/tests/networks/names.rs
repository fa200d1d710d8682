//! Tensors and costs of every network against those of its PyTorch counterpart, by name and by shape.
//!
//! `fixtures/generate.py` makes the list from the networks of `fixtures/networks.py`.

use std::collections::BTreeMap;

use burn::tensor::Device;
use kd_core::{Names, SampleKind, Task, tensor_shapes};
use kd_models::{ModelNetwork, Network, NetworkSpec, TextCnn, UNet, known_networks};
use serde::Deserialize;

#[derive(Deserialize)]
struct Entry {
    classes: usize,
    input: [usize; 3],
    parameters: u64,
    macs: u64,
    layers: Vec<String>,
}

/// The names and shapes that an entry such as `bn1 norm 16` or `fc 100x64 +bias` stands for.
fn tensors(layers: &[String]) -> BTreeMap<String, Vec<usize>> {
    let mut tensors = BTreeMap::new();
    for layer in layers {
        let words: Vec<&str> = layer.split(' ').collect();
        let mut add = |field: &str, shape: Vec<usize>| {
            tensors.insert(format!("{}.{field}", words[0]), shape);
        };
        if words[1] == "norm" {
            for field in ["weight", "bias", "running_mean", "running_var"] {
                add(field, vec![words[2].parse().unwrap()]);
            }
        } else {
            let shape: Vec<usize> = words[1]
                .split('x')
                .map(|size| size.parse().unwrap())
                .collect();
            if words.get(2) == Some(&"+bias") {
                add("bias", vec![shape[0]]);
            }
            add("weight", shape);
        }
    }
    tensors
}

fn pytorch() -> BTreeMap<String, Entry> {
    serde_json::from_str(include_str!("../fixtures/tensors.json")).unwrap()
}

fn shapes<N: ModelNetwork>(spec: &NetworkSpec, device: &Device) -> BTreeMap<String, Vec<usize>> {
    tensor_shapes(&N::blank(spec, device).unwrap(), Names::PyTorch)
}

#[test]
fn every_network_has_the_names_and_shapes_of_pytorch() {
    let device = Device::flex();
    for (name, entry) in pytorch() {
        let spec = NetworkSpec::new(&name, entry.classes, entry.input);
        let takes = spec.structure().unwrap().takes().unwrap();
        let found = match (spec.task().unwrap(), takes) {
            (Task::Segmentation, _) => shapes::<UNet>(&spec, &device),
            (_, SampleKind::Texts) => shapes::<TextCnn>(&spec, &device),
            _ => shapes::<Network>(&spec, &device),
        };
        let expected = tensors(&entry.layers);
        let lacking: Vec<_> = expected
            .iter()
            .filter(|(name, _)| !found.contains_key(*name))
            .collect();
        let extra: Vec<_> = found
            .iter()
            .filter(|(name, _)| !expected.contains_key(*name))
            .collect();
        assert!(
            lacking.is_empty() && extra.is_empty(),
            "{name}: {lacking:?} {extra:?}"
        );
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn every_network_costs_what_it_costs_in_pytorch() {
    let device = Device::flex();
    let entries = pytorch();
    for known in known_networks() {
        let entry = &entries[known.name];
        let spec = NetworkSpec::new(known.name, entry.classes, entry.input);
        let costs = spec.costs(&device).unwrap();
        let counted = (costs.params(), costs.macs());
        assert_eq!(counted, (entry.parameters, entry.macs), "{}", known.name);
    }
    assert_eq!(entries.len(), known_networks().len());
}
