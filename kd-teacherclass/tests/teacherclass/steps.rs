use std::path::Path;

use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{NamedGradients, OptimizerConfig, StepContext, Tensors, Trained, read_tensors};
use kd_teacherclass::chunk_mse;

fn fixture() -> Tensors {
    let file = "tests/fixtures/chunk_mse.safetensors";
    read_tensors(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

fn numbers(data: &TensorData) -> Vec<f64> {
    data.clone().iter::<f64>().collect()
}

fn assert_close(found: Vec<f64>, expected: &TensorData) {
    let expected = numbers(expected);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        let scale = 1.0_f64.max(expected.abs());
        assert!(
            (found - expected).abs() < 2e-6 * scale,
            "{found} {expected}"
        );
    }
}

/// The student of the fixture; Burn has its weight as `[inputs, outputs]`.
fn student(fixture: &Tensors, device: &Device) -> Linear {
    let mut layer = LinearConfig::new(4, 3).init(device);
    let weight = Tensor::<2>::from_data(fixture["weight"].clone(), device).transpose();
    layer.weight = Param::from_tensor(weight);
    layer.bias = Some(Param::from_tensor(Tensor::from_data(
        fixture["bias"].clone(),
        device,
    )));
    layer
}

#[test]
fn one_step_of_a_student_is_that_of_float64() {
    let (fixture, device) = (fixture(), Device::flex().autodiff());
    let tensor = |name: &str| Tensor::<2>::from_data(fixture[name].clone(), &device);
    let network = student(&fixture, &device);
    let mut student = Trained::new("student", network, OptimizerConfig::adam()).unwrap();
    let output = student.network().forward(tensor("x"));
    let loss = chunk_mse(output, tensor("target")).unwrap();
    assert_close(numbers(&loss.clone().into_data()), &fixture["loss"]);

    let mut gradients = NamedGradients::new();
    student.collect(&mut gradients, &mut loss.backward());
    let weight = gradients.get("student.weight").unwrap().clone();
    let weight = weight.reshape([4, 3]).transpose();
    assert_close(numbers(&weight.into_data()), &fixture["grad_weight"]);
    let bias = gradients.get("student.bias").unwrap().clone();
    assert_close(numbers(&bias.into_data()), &fixture["grad_bias"]);

    student.step(StepContext::at_rate(0, 1e-3), &gradients);
    let stepped = student.valid();
    let weight = stepped.weight.val().transpose();
    assert_close(numbers(&weight.into_data()), &fixture["stepped_weight"]);
    let bias = stepped.bias.unwrap().val();
    assert_close(numbers(&bias.into_data()), &fixture["stepped_bias"]);
}

#[test]
fn no_gradient_reaches_the_target_and_another_shape_is_refused() {
    let device = Device::flex().autodiff();
    let output = Tensor::<2>::ones([2, 3], &device).require_grad();
    let target = Tensor::<2>::zeros([2, 3], &device).require_grad();
    let gradients = chunk_mse(output.clone(), target.clone())
        .unwrap()
        .backward();
    assert!(output.grad(&gradients).is_some() && target.grad(&gradients).is_none());
    let error = chunk_mse(output, Tensor::zeros([2, 4], &device)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("as many classes as its chunk is long"),
        "{error}"
    );
}
