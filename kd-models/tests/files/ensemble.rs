//! Ensembles: their answers and their metrics against the members' own, and members that do not fit.

use burn::tensor::{Device, Distribution, Int, Tensor};
use kd_core::{
    Batch, ClassificationMetrics, DataRoots, DatasetInfo, ErrorKind, Loader, LoaderConfig,
    Normalisation, Samples, Split, Subset,
};
use kd_models::{
    Ensemble, EnsembleAverage, Model, ModelConfig, ModelNetwork, Network, NetworkSpec,
    TrainedModel, UNet,
};

fn model<N: ModelNetwork>(
    name: &str,
    classes: usize,
    input: [usize; 3],
    seed: u64,
) -> Box<dyn TrainedModel> {
    let spec = NetworkSpec::new(name, classes, input);
    let network = N::build(&spec, seed, &Device::flex()).unwrap();
    // Each member has a normalisation of its own.
    let mean = vec![0.1 * seed as f64; input[0]];
    let normalisation = Normalisation::new(mean, vec![0.3; input[0]]).unwrap();
    Box::new(Model::new(network, ModelConfig::new(spec, normalisation)).unwrap())
}

fn classifier(name: &str, classes: usize, seed: u64) -> Box<dyn TrainedModel> {
    model::<Network>(name, classes, [1, 28, 28], seed)
}

fn members() -> Vec<Box<dyn TrainedModel>> {
    vec![
        classifier("lenet5-half", 10, 1),
        classifier("lenet5", 10, 2),
        classifier("crd-resnet8-half", 10, 3),
    ]
}

#[test]
fn tensors_are_those_of_a_list_of_modules() {
    let ensemble = Ensemble::new(members(), EnsembleAverage::Logits).unwrap();
    let tensors = ensemble.state_dict();
    let alone = ensemble.members()[2].state_dict();
    for (name, data) in &alone {
        assert_eq!(&tensors[&format!("2.{name}")], data, "{name}");
    }
    let sizes = ensemble
        .members()
        .iter()
        .map(|model| model.state_dict().len());
    assert_eq!(tensors.len(), sizes.sum::<usize>());
}

#[cfg(feature = "onnx")]
#[test]
fn an_ensemble_is_one_graph() {
    use kd_models::{OnnxInput, OnnxOptions};

    let contains = |graph: &[u8], text: &str| {
        let mut windows = graph.windows(text.len());
        windows.any(|window| window == text.as_bytes())
    };
    let ensemble = Ensemble::new(members(), EnsembleAverage::Logits).unwrap();
    let graph = ensemble.onnx(&OnnxOptions::default()).unwrap();
    for part in ["images", "logits", "batch", "Add"] {
        assert!(contains(&graph, part), "{part}");
    }
    // Burn's exporter has no softmax.
    let other = Ensemble::new(members(), EnsembleAverage::Probabilities).unwrap();
    let error = other.onnx(&OnnxOptions::default()).unwrap_err().to_string();
    assert!(error.contains("cannot be written in"), "{error}");
    let mut options = OnnxOptions::default();
    options.input = OnnxInput::Normalised;
    let error = ensemble.onnx(&options).unwrap_err().to_string();
    assert!(
        error.starts_with("`input` cannot be normalised images"),
        "{error}"
    );
}

fn batch() -> Batch {
    let device = Device::flex();
    let images = Tensor::random([4, 1, 28, 28], Distribution::Uniform(0.0, 1.0), &device);
    Batch::new(
        Samples::Images(images),
        Tensor::<1, Int>::zeros([4], &device),
    )
}

fn rows(logits: Tensor<2>) -> Vec<f64> {
    logits.into_data().iter::<f64>().collect()
}

/// `softmax` of each row of ten, in float64.
fn probabilities(logits: &[f64]) -> Vec<f64> {
    let row = |row: &[f64]| {
        let sum: f64 = row.iter().map(|z| z.exp()).sum();
        row.iter().map(|z| z.exp() / sum).collect::<Vec<_>>()
    };
    logits.chunks(10).flat_map(row).collect()
}

fn mean(parts: &[Vec<f64>]) -> Vec<f64> {
    let at = |index: usize| parts.iter().map(|part| part[index]).sum::<f64>() / parts.len() as f64;
    (0..parts[0].len()).map(at).collect()
}

fn assert_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

#[test]
fn an_ensemble_answers_with_the_mean_of_logits_or_of_probabilities() {
    let batch = batch();
    let answer = |model: &dyn TrainedModel| rows(model.output(&batch).unwrap().logits().unwrap());
    let answers: Vec<_> = members()
        .iter()
        .map(|model| answer(model.as_ref()))
        .collect();
    let ensemble = Ensemble::new(members(), EnsembleAverage::Logits).unwrap();
    let logits = rows(ensemble.logits(&batch).unwrap());
    assert_near(&logits, &mean(&answers));

    let ensemble = Ensemble::new(members(), EnsembleAverage::Probabilities).unwrap();
    let found = rows(ensemble.logits(&batch).unwrap());
    let expected = mean(&answers.iter().map(|z| probabilities(z)).collect::<Vec<_>>());
    let found_probabilities: Vec<f64> = found.iter().map(|z| z.exp()).collect();
    assert_near(&found_probabilities, &expected);
    // The two means are not the same thing.
    let of_logits = probabilities(&logits);
    let apart = |(a, b): (&f64, &f64)| (a - b).abs();
    let furthest = of_logits
        .iter()
        .zip(&expected)
        .map(apart)
        .fold(0.0, f64::max);
    assert!(furthest > 1e-4, "{furthest}");
}

#[test]
fn members_are_measured_as_they_are_alone_and_the_ensemble_as_its_answers_are() {
    let device = Device::flex();
    let data = DatasetInfo::find("fashion-mnist-mini").unwrap();
    let test = data.load(Split::Test, &DataRoots::default()).unwrap();
    let some = Subset::from_ids(&test, (0..100).collect()).unwrap();
    let loader = Loader::new(some, LoaderConfig::ordered(32), &device).unwrap();
    for average in [EnsembleAverage::Logits, EnsembleAverage::Probabilities] {
        let ensemble = Ensemble::new(members(), average).unwrap();
        let found = ensemble.evaluate(&loader).unwrap();
        let alone = |model: &dyn TrainedModel| {
            let answer = |batch: &Batch| model.output(batch)?.logits();
            kd_core::evaluate(&loader, None, answer)
                .unwrap()
                .summary()
                .unwrap()
        };
        let of_members: Vec<_> = ensemble
            .members()
            .iter()
            .map(|model| alone(model.as_ref()))
            .collect();
        let summaries = found
            .members
            .iter()
            .map(|metrics| metrics.summary().unwrap());
        assert_eq!(summaries.collect::<Vec<_>>(), of_members);
        let expected: ClassificationMetrics =
            kd_core::evaluate(&loader, None, |batch| ensemble.logits(batch)).unwrap();
        assert_eq!(
            found.ensemble.summary().unwrap(),
            expected.summary().unwrap()
        );
        assert_eq!(found.ensemble.summary().unwrap().count, 100);
    }
}

#[test]
fn members_that_do_not_fit_together_are_refused_in_words() {
    let refused = |members: Vec<Box<dyn TrainedModel>>| {
        let error = Ensemble::new(members, EnsembleAverage::Logits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        error.to_string()
    };
    let first = || classifier("lenet5", 10, 0);
    for (members, expected) in [
        (vec![], "at least two to be averaged, got 0"),
        (vec![first()], "at least two to be averaged, got 1"),
        (
            vec![first(), classifier("lenet5-half", 7, 0)],
            "member 2 of the ensemble, `lenet5-half`: expected 10 classes, as member 1 has, got 7",
        ),
        (
            vec![
                first(),
                first(),
                model::<Network>("lenet5", 10, [3, 32, 32], 0),
            ],
            "member 3 of the ensemble, `lenet5`: expected images of 1x28x28, as member 1 has, got 3x32x32",
        ),
        (
            vec![
                first(),
                model::<UNet>("skd-unet-small-resnet10", 10, [1, 32, 32], 0),
            ],
            "must be classifiers to be averaged, and `skd-unet-small-resnet10` is for segmentation",
        ),
    ] {
        let error = refused(members);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn members_with_other_names_for_a_class_are_refused_in_words() {
    let named = |names: [&str; 2]| -> Box<dyn TrainedModel> {
        let spec = NetworkSpec::new("lenet5-half", 2, [1, 28, 28]);
        let network = Network::build(&spec, 0, &Device::flex()).unwrap();
        let mut config = ModelConfig::new(spec, Normalisation::identity(1));
        config.class_names = Some(names.map(str::to_owned).to_vec());
        Box::new(Model::new(network, config).unwrap())
    };
    let alike = vec![named(["cat", "dog"]), named(["cat", "dog"])];
    assert!(Ensemble::new(alike, EnsembleAverage::Logits).is_ok());
    let swapped = vec![named(["cat", "dog"]), named(["dog", "cat"])];
    let error = Ensemble::new(swapped, EnsembleAverage::Logits).unwrap_err();
    let expected = "expected class 0 to be `cat`, as member 1 has, got `dog`";
    assert!(error.to_string().contains(expected), "{error}");
}
