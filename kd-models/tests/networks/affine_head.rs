//! Affine heads: that of every classifier of the catalogue is its last layer, found by querying the network.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{
    AffineHead, Draws, Error, Names, SampleKind, StagedNetwork, Task, Tensors, change_parameters,
    export, tensor_shapes,
};
use kd_models::{Network, NetworkSpec, known_networks};

const CLASSES: usize = 5;

/// The layers of the head, which are all matrices of a network, with their shapes in PyTorch's layout.
fn matrices(network: &Network) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = tensor_shapes(network, Names::PyTorch);
    shapes.retain(|_, shape| shape.len() == 2);
    shapes
}

/// The network `name`, everything blank but its linear layers, which have large biases beside small weights.
fn with_head(name: &str, device: &Device) -> Network {
    let spec = NetworkSpec::new(name, CLASSES, [3, 32, 32]);
    let blank = Network::blank(&spec, device).unwrap();
    let layers: Vec<String> = matrices(&blank)
        .keys()
        .map(|weight| weight.trim_end_matches("weight").to_owned())
        .collect();
    change_parameters(blank, |path, values| {
        let in_head = layers.iter().any(|layer| path.starts_with(layer.as_str()));
        in_head.then(|| {
            let scale = if path.ends_with("bias") { 2.0 } else { 0.3 };
            let mut draws = Draws::new(1, path, 0, 0);
            let [count] = values.dims();
            let drawn: Vec<f64> = (0..count).map(|_| scale * draws.normal()).collect();
            Tensor::from_data(
                TensorData::new(drawn, [count]).convert::<f32>(),
                &values.device(),
            )
        })
    })
}

/// The width of the dense representation.
fn features(network: &Network) -> usize {
    let device = network.devices()[0].clone();
    let trace = network.forward_traced(&Tensor::zeros([1, 3, 32, 32], &device));
    trace.dense.dims()[1]
}

/// The last layer of the tensors, as its weight and bias.
fn last_layer(tensors: &Tensors) -> (Vec<f32>, Vec<f32>) {
    let is_last = |data: &TensorData| data.shape().num_dims() == 2 && data.shape()[0] == CLASSES;
    let (name, weight) = tensors.iter().find(|(_, data)| is_last(data)).unwrap();
    let bias = &tensors[&name.replace("weight", "bias")];
    (weight.iter().collect(), bias.iter().collect())
}

fn near(what: &str, found: Tensor<1>, expected: &[f32]) {
    let found: Vec<f32> = found.into_data().iter().collect();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        // The bias is subtracted again: a rounding of numbers of its size.
        assert!(
            (found - expected).abs() <= 2e-6,
            "{what}: {found} {expected}"
        );
    }
}

fn classifiers() -> impl Iterator<Item = &'static str> {
    // A VGG for large images has half a gigabyte of weights, and its head is that of any other.
    let is_huge = |name: &str| name.starts_with("vgg") && name.ends_with("-imagenet");
    let known = known_networks().filter(|known| known.takes == SampleKind::Images);
    let known =
        known.filter(move |known| known.task == Task::Classification && !is_huge(known.name));
    known.map(|known| known.name)
}

#[test]
fn weight_and_bias_are_the_last_layer_s_and_give_the_head_s_logits() {
    let device = Device::flex();
    let mut checked = 0;
    for name in classifiers().filter(|name| !name.starts_with("skd-")) {
        let network = with_head(name, &device);
        let features = features(&network);
        AffineHead::check(&network, features, name).unwrap();
        let head = AffineHead::of(&network, features, &device);
        assert_eq!(head.weight.dims(), [CLASSES, features], "{name}");
        let (weight, bias) = last_layer(&export(&network, Names::PyTorch));
        assert!(
            weight.iter().any(|&x| x.abs() > 0.3),
            "{name}: a head of zeros shows nothing"
        );
        near(
            &format!("{name} weight"),
            head.weight.clone().flatten(0, 1),
            &weight,
        );
        near(&format!("{name} bias"), head.bias.clone(), &bias);

        let mut draws = Draws::new(2, name, 0, 0);
        let numbers: Vec<f64> = (0..3 * features).map(|_| draws.normal()).collect();
        let dense = TensorData::new(numbers, [3, features]).convert::<f32>();
        let dense = Tensor::<2>::from_data(dense, &device);
        let (found, expected) = (head.apply(dense.clone()), network.forward_head(dense));
        let scale = expected.clone().abs().max().into_scalar::<f32>();
        let worst = (found - expected).abs().max().into_scalar::<f32>();
        assert!(worst <= 1e-5 * scale, "{name}: {worst} of {scale}");
        checked += 1;
    }
    assert_eq!(checked, 58);
}

#[test]
fn a_head_with_a_nonlinearity_is_refused_in_words() {
    let device = Device::flex();
    let mut refused = 0;
    for name in classifiers().filter(|name| name.starts_with("skd-")) {
        let network = with_head(name, &device);
        let who = format!("network of branch `{name}`");
        let error = AffineHead::check(&network, features(&network), &who).unwrap_err();
        assert!(matches!(&error, Error::Config { field, .. } if *field == who));
        let text = error.to_string();
        assert!(
            text.contains("has a head that is no single linear layer"),
            "{text}"
        );
        assert!(
            text.ends_with("use a network whose head is linear"),
            "{text}"
        );
        refused += 1;
    }
    assert_eq!(refused, 16);
}

#[test]
fn gradients_reach_the_last_layer_through_weight_and_bias() {
    let device = Device::flex().autodiff();
    for name in [
        "lenet5-half",
        "resnet8",
        "wrn-16-1",
        "mobilenetv2-half",
        "okddip-vgg16",
        "okddip-densenet-40-12",
    ] {
        let network = with_head(name, &device);
        let features = features(&network);
        let head = AffineHead::of(&network, features, &device);
        // The derivative of sum(c w) + sum(d b) with constants c and d of our own is those constants.
        let weights = CLASSES * features;
        let constants = |count: usize| {
            // Parts of two, whose sums are exact in any order.
            let numbers: Vec<f32> = (1..=count)
                .map(|x| (x * 7 % 13) as f32 / 64.0 - 0.09375)
                .collect();
            Tensor::<1>::from_data(TensorData::new(numbers, [count]), &device)
        };
        let loss = (head.weight.flatten(0, 1) * constants(weights)).sum()
            + (head.bias * constants(CLASSES)).sum();
        let gradients = loss.backward();
        let mut last = LastLayer {
            gradients: &gradients,
            weight: None,
            bias: None,
            others: 0,
        };
        network.visit(&mut last);
        // [features, classes], as Burn has it: the constants are counted class by class.
        let weight = last.weight.unwrap().transpose().flatten(0, 1);
        near_gradient(name, weight, constants(weights).inner());
        near_gradient(name, last.bias.unwrap(), constants(CLASSES).inner());
        assert_eq!(
            last.others, 0,
            "{name}: the head is the last layer and nothing before it"
        );
    }
}

fn near_gradient(what: &str, found: Tensor<1>, expected: Tensor<1>) {
    let scale = expected.clone().abs().max().into_scalar::<f32>();
    let worst = (found - expected).abs().max().into_scalar::<f32>();
    assert!(worst <= 1e-5 * scale, "{what}: {worst} of {scale}");
}

/// The gradients of the layer to the classes, and the number of other tensors that have one.
struct LastLayer<'a> {
    gradients: &'a burn::tensor::Gradients,
    weight: Option<Tensor<2>>,
    bias: Option<Tensor<1>>,
    others: usize,
}

impl ModuleVisitor for LastLayer<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = param.grad(self.gradients) else {
            return;
        };
        let shape = gradient.dims();
        match (D, shape[D - 1]) {
            (2, CLASSES) => self.weight = Some(gradient.reshape([shape[0], CLASSES])),
            (1, CLASSES) => self.bias = Some(gradient.reshape([CLASSES])),
            _ => self.others += 1,
        }
    }
}
