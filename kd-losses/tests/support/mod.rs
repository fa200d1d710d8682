//! Inputs that the test binaries share, and the assertion that a loss is finite on them.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "shared by three test binaries, each of which uses a part"
)]

pub(crate) mod losses;

use burn::tensor::{Device, Tensor, TensorData};

/// The outcome of a test.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The elements of a tensor.
pub(crate) fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// The words of the error.
pub(crate) fn text<T>(result: kd_losses::Result<T>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Values between -2 and 2 that look random; the same on every machine.
pub(crate) fn wave<const D: usize>(shape: [usize; D], phase: f64) -> TensorData {
    let values: Vec<f64> = (0..shape.iter().product())
        .map(|index| 2.0 * (phase + 1.7 * index as f64 + 0.01 * (index * index) as f64).sin())
        .collect();
    TensorData::new(values, shape).convert::<f32>()
}

/// Asserts that the loss of `student` and its gradient are finite, and gives the value.
pub(crate) fn assert_finite<const D: usize>(
    what: &str,
    student: TensorData,
    loss: impl Fn(Tensor<D>) -> kd_losses::Result<Tensor<1>>,
) -> Outcome<f64> {
    let device = Device::flex().autodiff();
    let student = Tensor::<D>::from_data(student, &device).require_grad();
    let value = loss(student.clone())?;
    let gradient = student.grad(&value.clone().backward()).map(numbers);
    let value = numbers(value);
    assert_eq!(value.len(), 1, "{what}: a loss is one number");
    assert!(value[0].is_finite(), "{what}: value {}", value[0]);
    let gradient = gradient.ok_or_else(|| format!("{what}: no gradient reaches the student"))?;
    for gradient in gradient {
        assert!(gradient.is_finite(), "{what}: a gradient is {gradient}");
    }
    Ok(value[0])
}

/// The inputs of a pair of `shape` that a loss must survive: teacher and student, each under a name.
///
/// Ordinary values, equal ones, +-1e4, zeros on either side and on both, the same number everywhere, and
/// constant channels.
pub(crate) fn hard_pairs<const D: usize>(
    shape: [usize; D],
) -> Vec<(&'static str, TensorData, TensorData)> {
    let device = Device::flex();
    let make = |phase: f64| Tensor::<D>::from_data(wave(shape, phase), &device);
    let (one, other) = (make(0.3), make(2.1));
    let zeros = one.zeros_like();
    let sign = one.clone().sign() * 1e4;
    let constant_columns = {
        // Every second channel (or class) is the same number in all samples and places.
        let mut columns = one.clone();
        for index in (0..shape[1]).step_by(2) {
            let mut ranges = shape.map(|size| 0..size);
            ranges[1] = index..index + 1;
            let fill = columns.clone().slice(ranges.clone()).zeros_like() + 0.5;
            columns = columns.slice_assign(ranges, fill);
        }
        columns
    };
    let pairs = [
        ("ordinary", one.clone(), other.clone()),
        ("equal", one.clone(), one.clone()),
        ("large", sign.clone(), other.clone() * 5e3),
        ("large and opposite", sign.clone(), sign.neg()),
        ("student of zeros", zeros.clone(), other.clone()),
        ("teacher of zeros", other.clone(), zeros.clone()),
        ("both of zeros", zeros.clone(), zeros.clone()),
        ("one number everywhere", zeros.clone() + 3.0, zeros - 2.0),
        ("constant columns", constant_columns.clone(), other),
        (
            "constant columns on both sides",
            constant_columns.clone(),
            constant_columns,
        ),
    ];
    pairs
        .into_iter()
        .map(|(name, student, teacher)| (name, student.into_data(), teacher.into_data()))
        .collect()
}
