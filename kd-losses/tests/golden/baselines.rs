//! Cross-entropy, soft targets, hints and attention transfer against `fixtures/baselines.py`.

use crate::cases::chunks;
use crate::support::{Outcome, numbers};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_losses::{
    AttentionDistance, AttentionTransferLossConfig, MapSizes, RegressorConfig, attention_transfer,
    cross_entropy, hint, soft_target,
};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::path::Path;

const RELATIVE: f64 = 1e-5;
const ABSOLUTE: f64 = 1e-6;

/// One case of one file.
struct Case<'a> {
    name: String,
    constants: &'a Value,
    tensors: &'a SafeTensors<'a>,
}

/// The output of a loss: the value, and gradients under the names of their expected values.
struct Found {
    value: Vec<f64>,
    gradients: Vec<(&'static str, Vec<f64>)>,
}

impl Case<'_> {
    fn shape(&self, key: &str) -> Outcome<Vec<usize>> {
        let view = self.tensors.tensor(&format!("{}.{key}", self.name))?;
        Ok(view.shape().to_vec())
    }

    fn numbers(&self, key: &str) -> Outcome<Vec<f64>> {
        let view = self.tensors.tensor(&format!("{}.{key}", self.name))?;
        let data = view.data();
        Ok(match view.dtype() {
            Dtype::F32 => chunks(data)
                .map(f32::from_le_bytes)
                .map(f64::from)
                .collect(),
            Dtype::F64 => chunks(data).map(f64::from_le_bytes).collect(),
            other => return Err(format!("{}.{key} is {other:?}", self.name).into()),
        })
    }

    fn float<const D: usize>(&self, key: &str, device: &Device) -> Outcome<Tensor<D>> {
        let data = TensorData::new(self.numbers(key)?, self.shape(key)?).convert::<f32>();
        Ok(Tensor::from_data(data, device))
    }

    fn targets(&self, device: &Device) -> Outcome<Tensor<1, Int>> {
        let view = self.tensors.tensor(&format!("{}.targets", self.name))?;
        let targets: Vec<i64> = chunks(view.data()).map(i64::from_le_bytes).collect();
        let shape = [targets.len()];
        Ok(Tensor::from_data(TensorData::new(targets, shape), device))
    }

    fn constant(&self, key: &str) -> Outcome<f64> {
        let value = self.constants.get(key).and_then(Value::as_f64);
        value.ok_or_else(|| format!("{} has no constant {key}", self.name).into())
    }

    fn run(&self) -> Outcome<Found> {
        match self.constants.get("loss").and_then(Value::as_str) {
            Some("cross_entropy") => {
                let logits = self.student::<2>("logits")?;
                let targets = self.targets(&Device::flex())?;
                let smoothing = self.constant("label_smoothing")?;
                let loss = cross_entropy(logits.clone(), targets, smoothing)?;
                found(loss, logits)
            }
            Some("soft_target") => {
                let (student, teacher) = self.pair::<2>()?;
                let loss = soft_target(student.clone(), teacher, self.constant("temperature")?)?;
                found(loss, student)
            }
            Some("hint") => {
                let (student, teacher) = self.pair::<4>()?;
                found(hint(student.clone(), teacher)?, student)
            }
            Some("attention_transfer") => {
                let (student, teacher) = self.pair::<4>()?;
                let epsilon = self.constant("epsilon")?;
                let distance = self.distance()?;
                let loss = attention_transfer(student.clone(), teacher, distance, epsilon)?;
                found(loss, student)
            }
            Some("regressor") => self.regressor(),
            other => Err(format!("{}: no loss is called {other:?}", self.name).into()),
        }
    }

    fn regressor(&self) -> Outcome<Found> {
        let (student, teacher) = self.pair::<4>()?;
        let seed = self.constants.get("seed").and_then(Value::as_u64);
        let regressor = RegressorConfig::new(student.dims()[1], teacher.dims()[1])
            .with_map_sizes(MapSizes::PoolLarger)
            .init(seed.ok_or("no seed")?, &Device::flex().autodiff())?;
        let conv = regressor.conv().ok_or("no convolution")?;
        let bias = conv.bias.as_ref().ok_or("no bias")?;
        assert_eq!(
            numbers(conv.weight.val()),
            self.numbers("weight")?,
            "{}: the seeded weight",
            self.name
        );
        assert_eq!(
            numbers(bias.val()),
            self.numbers("bias")?,
            "{}: the seeded bias",
            self.name
        );

        let loss = regressor.hint(student.clone(), teacher)?;
        let gradients = loss.backward();
        let missing = "a gradient is missing";
        Ok(Found {
            value: numbers(loss),
            gradients: vec![
                (
                    "gradient",
                    numbers(student.grad(&gradients).ok_or(missing)?),
                ),
                (
                    "weight_gradient",
                    numbers(conv.weight.val().grad(&gradients).ok_or(missing)?),
                ),
                (
                    "bias_gradient",
                    numbers(bias.val().grad(&gradients).ok_or(missing)?),
                ),
            ],
        })
    }

    fn student<const D: usize>(&self, key: &str) -> Outcome<Tensor<D>> {
        Ok(self.float(key, &Device::flex().autodiff())?.require_grad())
    }

    fn pair<const D: usize>(&self) -> Outcome<(Tensor<D>, Tensor<D>)> {
        let teacher = self.float("teacher", &Device::flex())?;
        Ok((self.student("student")?, teacher))
    }

    fn distance(&self) -> Outcome<AttentionDistance> {
        // Read as a recipe would be read: by the name in the config.
        let name = self.constants.get("distance").cloned().unwrap_or_default();
        let config = serde_json::json!({ "distance": name, "epsilon": 1.0 });
        Ok(serde_json::from_value::<AttentionTransferLossConfig>(config)?.distance)
    }

    fn check(&self) -> Outcome {
        let found = self.run()?;
        self.compare("loss", &found.value);
        for (key, gradient) in found.gradients {
            self.compare_with(key, &gradient, &self.numbers(key)?, ABSOLUTE);
        }
        Ok(())
    }

    fn compare(&self, key: &str, found: &[f64]) {
        // T squared multiplies the rounding of the two log-softmax in 32-bit floats, each about one
        // unit in the last place of a logarithm of size 2 to 4: 2.4e-7.
        let temperature = self.constant("temperature").unwrap_or(0.0);
        let absolute = ABSOLUTE + 2.4e-7 * temperature * temperature;
        let expected = self.numbers(key).unwrap_or_default();
        self.compare_with(key, found, &expected, absolute);
    }

    fn compare_with(&self, key: &str, found: &[f64], expected: &[f64], absolute: f64) {
        assert_eq!(
            found.len(),
            expected.len(),
            "{}: {key}: elements",
            self.name
        );
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!(
                (found - expected).abs() <= absolute + RELATIVE * expected.abs(),
                "{}: {key}[{index}]: found {found}, expected {expected}",
                self.name,
            );
        }
    }
}

fn found<const D: usize>(loss: Tensor<1>, student: Tensor<D>) -> Outcome<Found> {
    let gradient = student.grad(&loss.backward());
    Ok(Found {
        value: numbers(loss),
        gradients: vec![("gradient", numbers(gradient.ok_or("no gradient")?))],
    })
}

fn check_file(name: &str, at_least: usize) -> Outcome {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let bytes = std::fs::read(folder.join(name))?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let (_, header) = SafeTensors::read_metadata(&bytes)?;
    let metadata = header.metadata().as_ref().ok_or("no metadata")?;
    let cases: Vec<Value> = serde_json::from_str(metadata.get("cases").ok_or("no cases")?)?;
    assert!(cases.len() >= at_least, "{name} has {} cases", cases.len());
    for constants in &cases {
        let case = Case {
            name: constants["name"].as_str().unwrap_or_default().to_owned(),
            constants,
            tensors: &tensors,
        };
        case.check()?;
    }
    Ok(())
}

#[test]
fn cross_entropy_is_as_the_formula_says() -> Outcome {
    check_file("cross_entropy.safetensors", 12)
}

#[test]
fn soft_target_is_as_the_formula_says() -> Outcome {
    check_file("soft_target.safetensors", 21)
}

#[test]
fn hint_is_as_the_formula_says() -> Outcome {
    check_file("hint.safetensors", 6)
}

#[test]
fn regressor_and_its_seeded_weights_are_as_the_formula_says() -> Outcome {
    check_file("regressor.safetensors", 6)
}

#[test]
fn attention_transfer_is_as_the_formula_says() -> Outcome {
    check_file("attention_transfer.safetensors", 33)
}
