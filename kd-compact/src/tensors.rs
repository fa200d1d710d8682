//! Named tensors as numbers: read, changed, and gathered along axes.

use std::borrow::Cow;

use burn::tensor::TensorData;
use kd_core::{Error, Result, Tensors};

use crate::penalty::Scales;

/// The numbers of a tensor as they lie, copied where they are not in 32 bits; none if there is no such
/// tensor.
pub(crate) fn numbers<'a>(tensors: &'a Tensors, name: &str) -> Cow<'a, [f32]> {
    tensors.get(name).map(lying).unwrap_or_default()
}

fn lying(data: &TensorData) -> Cow<'_, [f32]> {
    match data.as_slice::<f32>() {
        Ok(numbers) => Cow::Borrowed(numbers),
        Err(_) => Cow::Owned(data.iter::<f32>().collect()),
    }
}

/// The numbers of a tensor; none if there is no such tensor.
pub(crate) fn values(tensors: &Tensors, name: &str) -> Vec<f64> {
    let numbers = numbers(tensors, name);
    numbers.iter().map(|&number| f64::from(number)).collect()
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

/// These rows of a tensor, and of each of them these columns, all of them if none are named.
pub(crate) fn gather(data: &TensorData, rows: &[usize], columns: Option<&[usize]>) -> TensorData {
    let mut shape = data.shape().as_slice().to_vec();
    let numbers = lying(data);
    let row_size: usize = shape[1..].iter().product();
    let of_row = |row: usize| &numbers[row * row_size..(row + 1) * row_size];
    shape[0] = rows.len();
    let Some(columns) = columns else {
        let gathered: Vec<&[f32]> = rows.iter().map(|&row| of_row(row)).collect();
        return TensorData::new(gathered.concat(), shape);
    };
    let area: usize = shape[2..].iter().product();
    shape[1] = columns.len();
    let mut gathered: Vec<f32> = Vec::with_capacity(rows.len() * columns.len() * area);
    for row in rows.iter().map(|&row| of_row(row)) {
        if area == 1 {
            gathered.extend(columns.iter().map(|&column| row[column]));
            continue;
        }
        for &column in columns {
            gathered.extend_from_slice(&row[column * area..(column + 1) * area]);
        }
    }
    TensorData::new(gathered, shape)
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
