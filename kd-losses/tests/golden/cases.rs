//! Golden cases: inputs, expected values and expected gradients that a script computed in 64-bit floats from
//! the papers' formulas.
//!
//! A case is run twice. In 32-bit floats, in which networks are trained, it must agree within 1e-5 relative;
//! in 64-bit floats within 1e-9, which leaves no room for a formula that is nearly right. In 64-bit floats
//! the gradient is also compared with the difference quotient of the loss itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::given::Given;
use crate::support::{Outcome, numbers};

/// The cases of one loss.
pub(crate) struct Golden {
    pub(crate) name: String,
    cases: Vec<Value>,
    pub(crate) tensors: BTreeMap<String, Stored>,
}

/// A tensor of the file.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) shape: Vec<usize>,
    /// Of a float tensor.
    pub(crate) floats: Vec<f64>,
    /// Of an integer tensor.
    pub(crate) ints: Vec<i64>,
}

impl Golden {
    /// Reads `tests/fixtures/NAME.safetensors`.
    pub(crate) fn read(name: &str) -> Outcome<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let bytes = std::fs::read(folder.join(format!("{name}.safetensors")))?;
        let file = SafeTensors::deserialize(&bytes)?;
        let (_, header) = SafeTensors::read_metadata(&bytes)?;
        let metadata = header.metadata().as_ref().ok_or("no metadata")?;
        let cases = serde_json::from_str(metadata.get("cases").ok_or("no cases")?)?;
        let mut tensors = BTreeMap::new();
        for (key, view) in file.iter() {
            let (mut floats, mut ints) = (Vec::new(), Vec::new());
            match view.dtype() {
                Dtype::F32 => {
                    floats.extend(chunks(view.data()).map(f32::from_le_bytes).map(f64::from));
                }
                Dtype::F64 => floats.extend(chunks(view.data()).map(f64::from_le_bytes)),
                Dtype::I64 => ints.extend(chunks(view.data()).map(i64::from_le_bytes)),
                other => return Err(format!("{key} is {other:?}").into()),
            }
            let shape = view.shape().to_vec();
            tensors.insert(
                key.to_owned(),
                Stored {
                    shape,
                    floats,
                    ints,
                },
            );
        }
        Ok(Self {
            name: name.to_owned(),
            cases,
            tensors,
        })
    }

    /// Runs every case of which there must be at least so many.
    pub(crate) fn check(
        &self,
        at_least: usize,
        loss: impl Fn(&Given<'_>) -> Outcome<Tensor<1>>,
    ) -> Outcome {
        assert!(
            self.cases.len() >= at_least,
            "{} has {} cases",
            self.name,
            self.cases.len()
        );
        for case in &self.cases {
            for dtype in [DType::F32, DType::F64] {
                self.check_case(case, dtype, &loss)
                    .map_err(|error| format!("{} {}: {error}", self.name, case["name"]))?;
            }
        }
        Ok(())
    }

    fn check_case(
        &self,
        case: &Value,
        dtype: DType,
        loss: &impl Fn(&Given<'_>) -> Outcome<Tensor<1>>,
    ) -> Outcome {
        let given = self.given(case, dtype, None);
        let value = loss(&given)?;
        let found = numbers(value.clone());
        given.compare("loss", &found, &given.stored("loss")?.floats)?;
        let leaves = given.leaves.take();
        if leaves.is_empty() {
            return Err("no input was asked for with `student` or `module`".into());
        }
        let gradients = value.backward();
        for leaf in leaves {
            let expected = given.stored(&format!("grad.{}", leaf.key))?.floats.clone();
            // What no gradient reaches has one of zeros.
            let found = (leaf.read)(&gradients).unwrap_or_else(|| vec![0.0; expected.len()]);
            given.compare(&format!("grad.{}", leaf.key), &found, &expected)?;
            let smooth = case.get("smooth").and_then(Value::as_bool).unwrap_or(true);
            if dtype == DType::F64 && smooth {
                self.check_difference(case, &leaf.key, &expected, loss)?;
            }
        }
        Ok(())
    }

    /// The gradient along one direction against the loss on both sides of the input.
    fn check_difference(
        &self,
        case: &Value,
        key: &str,
        gradient: &[f64],
        loss: &impl Fn(&Given<'_>) -> Outcome<Tensor<1>>,
    ) -> Outcome {
        let direction: Vec<f64> = (0..gradient.len())
            .map(|index| (1.3 + 2.1 * index as f64).sin())
            .collect();
        let distance = 1e-5;
        let at = |distance| -> Outcome<f64> {
            let given = self.given(case, DType::F64, Some((key, &direction, distance)));
            Ok(numbers(loss(&given)?).into_iter().sum())
        };
        let found = (at(distance)? - at(-distance)?) / (2.0 * distance);
        let expected: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
        let size: f64 = gradient.iter().map(|g| g.abs()).sum();
        if (found - expected).abs() > 1e-6 * (size + expected.abs()) + 1e-9 {
            let what = format!("difference quotient {found}, gradient {expected}");
            return Err(format!("{key}: {what}").into());
        }
        Ok(())
    }

    fn given<'a>(
        &'a self,
        case: &'a Value,
        dtype: DType,
        moved: Option<(&'a str, &'a [f64], f64)>,
    ) -> Given<'a> {
        Given {
            golden: self,
            case,
            dtype,
            moved,
            leaves: RefCell::default(),
        }
    }
}

/// The bytes of each number.
pub(crate) fn chunks<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    data.as_chunks::<N>().0.iter().copied()
}
