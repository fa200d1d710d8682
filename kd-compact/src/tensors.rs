//! Named tensors as numbers: read, changed, and gathered along an axis.

use burn::tensor::TensorData;
use kd_core::{Error, Result, Tensors};

use crate::penalty::Scales;

/// The numbers of a tensor; none if there is no such tensor.
pub(crate) fn values(tensors: &Tensors, name: &str) -> Vec<f64> {
    let data = tensors.get(name);
    data.map(|data| data.iter::<f64>().collect())
        .unwrap_or_default()
}

/// The shape of a tensor; no axes if there is no such tensor.
pub(crate) fn shape(tensors: &Tensors, name: &str) -> Vec<usize> {
    let data = tensors.get(name);
    data.map(|data| data.shape().as_slice().to_vec())
        .unwrap_or_default()
}

/// Puts numbers in place of those of a tensor, which keeps its shape.
pub(crate) fn put(tensors: &mut Tensors, name: &str, values: &[f64]) {
    let shape = shape(tensors, name);
    #[expect(clippy::cast_possible_truncation, reason = "networks are in 32 bits")]
    let numbers: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    tensors.insert(name.to_owned(), TensorData::new(numbers, shape));
}

/// The rows `kept` of an axis, 0 or 1.
pub(crate) fn gather(data: &TensorData, axis: usize, kept: &[usize]) -> TensorData {
    let shape = data.shape().as_slice().to_vec();
    let numbers: Vec<f32> = data.iter::<f32>().collect();
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let mut gathered = Vec::with_capacity(outer * kept.len() * inner);
    for before in 0..outer {
        for &row in kept {
            let start = (before * shape[axis] + row) * inner;
            gathered.extend_from_slice(&numbers[start..start + inner]);
        }
    }
    let mut smaller = shape;
    smaller[axis] = kept.len();
    TensorData::new(gathered, smaller)
}

/// The scales of the norms called `norms`.
///
/// # Errors
///
/// [`Error::Mismatch`] if one is missing.
pub(crate) fn scales(tensors: &Tensors, norms: &[String]) -> Result<Scales> {
    let name = |path: &String| format!("{path}.weight");
    let missing = norms.iter().map(name);
    let missing: Vec<String> = missing.filter(|name| !tensors.contains_key(name)).collect();
    if missing.is_empty() {
        return Ok(norms
            .iter()
            .map(|path| values(tensors, &name(path)))
            .collect());
    }
    Err(Error::Mismatch {
        origin: "the description of the network".into(),
        missing: Vec::new(),
        unexpected: missing,
        unequal: Vec::new(),
        hint: String::new(),
    })
}
