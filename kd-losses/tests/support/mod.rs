//! Golden cases: inputs, expected values and expected gradients that a script computed in 64-bit floats from the papers' formulas.
//!
//! A case is run twice. In 32-bit floats, what a person trains with, it must agree within 1e-5 relative; in 64-bit floats within
//! 1e-9, which leaves no room for a formula that is nearly right. In 64-bit floats the gradient is also compared with the
//! difference quotient of the loss itself.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    missing_debug_implementations,
    reason = "shared by test files, each of which uses a part"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::serde::de::DeserializeOwned;
use burn::tensor::{DType, Device, Gradients, Int, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// In 32-bit floats: relative to the expected number, plus this times the largest number of the same tensor.
const RELATIVE: f64 = 1e-5;
/// In 64-bit floats.
const RELATIVE_64: f64 = 1e-9;
/// In 32-bit floats, where no case says otherwise.
const ABSOLUTE: f64 = 1e-6;

/// The cases of one loss.
pub struct Golden {
    name: String,
    cases: Vec<Value>,
    tensors: BTreeMap<String, Stored>,
}

#[derive(Clone)]
struct Stored {
    shape: Vec<usize>,
    /// Of a float tensor.
    floats: Vec<f64>,
    /// Of an integer tensor.
    ints: Vec<i64>,
}

/// One case, in one float type, perhaps with an input moved a little.
pub struct Given<'a> {
    golden: &'a Golden,
    case: &'a Value,
    dtype: DType,
    /// Key, direction and distance of the input that is moved.
    moved: Option<(&'a str, &'a [f64], f64)>,
    leaves: RefCell<Vec<Leaf>>,
}

/// Finds the gradient of a leaf.
type ReadGradient = Box<dyn Fn(&Gradients) -> Option<Vec<f64>>>;

/// A tensor whose gradient is expected under `grad.KEY`.
struct Leaf {
    key: String,
    read: ReadGradient,
}

impl Golden {
    /// Reads `tests/fixtures/NAME.safetensors`.
    pub fn read(name: &str) -> Outcome<Self> {
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
    pub fn check(
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

impl Given<'_> {
    fn stored(&self, key: &str) -> Outcome<&Stored> {
        let name = self.case["name"].as_str().unwrap_or_default();
        let stored = self.golden.tensors.get(&format!("{name}.{key}"));
        stored.ok_or_else(|| format!("there is no tensor {name}.{key}").into())
    }

    /// Whether the case has this tensor.
    pub fn has(&self, key: &str) -> bool {
        self.stored(key).is_ok()
    }

    /// The values under `key`, moved where they are to be.
    fn data(&self, key: &str) -> Outcome<TensorData> {
        let stored = self.stored(key)?;
        let mut values = stored.floats.clone();
        if let Some((moved, direction, distance)) = self.moved
            && moved == key
        {
            for (value, direction) in values.iter_mut().zip(direction) {
                *value += direction * distance;
            }
        }
        Ok(TensorData::new(values, stored.shape.clone()).convert_dtype(self.dtype))
    }

    /// A constant tensor on the plain device.
    pub fn constant_tensor<const D: usize>(&self, key: &str) -> Outcome<Tensor<D>> {
        Ok(Tensor::from_data(
            self.data(key)?,
            (&Device::flex(), self.dtype),
        ))
    }

    /// The teacher's side of a pair, `teacher` in most cases.
    pub fn teacher<const D: usize>(&self, key: &str) -> Outcome<Tensor<D>> {
        self.constant_tensor(key)
    }

    /// An input that learns: its gradient must be the one under `grad.KEY`.
    pub fn student<const D: usize>(&self, key: &str) -> Outcome<Tensor<D>> {
        let device = Device::flex().autodiff();
        let tensor = Tensor::<D>::from_data(self.data(key)?, (&device, self.dtype)).require_grad();
        self.watch(key, tensor.clone());
        Ok(tensor)
    }

    /// Expects the gradient of `tensor` under `grad.KEY`.
    fn watch<const D: usize>(&self, key: &str, tensor: Tensor<D>) {
        self.leaves.borrow_mut().push(Leaf {
            key: key.to_owned(),
            read: Box::new(move |gradients| tensor.grad(gradients).map(numbers)),
        });
    }

    /// Labels or other integers.
    pub fn ints(&self, key: &str) -> Outcome<Tensor<1, Int>> {
        let stored = self.stored(key)?.ints.clone();
        let shape = [stored.len()];
        let data = TensorData::new(stored, shape);
        Ok(Tensor::from_data(data, &Device::flex()))
    }

    /// The module with every parameter replaced by the tensor `param.PATH` of the case; the gradient of each must be
    /// `grad.param.PATH`.
    pub fn module<M: Module>(&self, module: M) -> Outcome<M> {
        let mut filler = Filler {
            given: self,
            path: Vec::new(),
            problem: None,
        };
        let module = module.map(&mut filler);
        if let Some(problem) = filler.problem {
            return Err(problem.into());
        }
        let mut watcher = Watcher {
            given: self,
            path: Vec::new(),
        };
        module.visit(&mut watcher);
        Ok(module)
    }

    /// A constant of the case.
    pub fn number(&self, key: &str) -> Outcome<f64> {
        let value = self.case.get(key).and_then(Value::as_f64);
        value.ok_or_else(|| format!("no constant {key}").into())
    }

    /// A constant of the case that is a count or a seed.
    pub fn count(&self, key: &str) -> Outcome<usize> {
        let value = self.case.get(key).and_then(Value::as_u64);
        Ok(usize::try_from(
            value.ok_or_else(|| format!("no constant {key}"))?,
        )?)
    }

    /// A constant of any type, such as the choice of a variant by its name in a recipe.
    pub fn choice<T: DeserializeOwned>(&self, key: &str) -> Outcome<T> {
        Ok(serde_json::from_value(
            self.case.get(key).cloned().unwrap_or_default(),
        )?)
    }

    fn compare(&self, what: &str, found: &[f64], expected: &[f64]) -> Outcome {
        if found.len() != expected.len() {
            let counts = format!("{} elements, expected {}", found.len(), expected.len());
            return Err(format!("{what} has {counts}").into());
        }
        let largest = expected.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
        let tolerance = |expected: f64| {
            if self.dtype == DType::F64 {
                return RELATIVE_64 * (expected.abs() + largest) + 1e-11;
            }
            // A case may say that it is badly conditioned in 32-bit floats, with the reason in the script.
            let own = |key: &str| self.case.get(key).and_then(Value::as_f64);
            let relative = own("relative").unwrap_or(RELATIVE);
            relative * (expected.abs() + largest) + own("absolute").unwrap_or(ABSOLUTE)
        };
        for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
            // Not `>`, which a NaN would pass.
            let close = (found - expected).abs() <= tolerance(expected);
            if !close {
                let dtype = self.dtype;
                let what = format!("{what}[{index}] in {dtype:?}");
                return Err(format!("{what}: found {found}, expected {expected}").into());
            }
        }
        Ok(())
    }
}

struct Filler<'a> {
    given: &'a Given<'a>,
    path: Vec<String>,
    problem: Option<String>,
}

impl ModuleMapper for Filler<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if is_state(&self.path) {
            return param.map(|old| old.cast(self.given.dtype));
        }
        let key = format!("param.{}", self.path.join("."));
        match self.given.data(&key) {
            Ok(data) if data.shape().as_slice() == param.dims() => param.map(|old| {
                let options = (&old.device(), self.given.dtype);
                Tensor::<D>::from_data(data, options).require_grad()
            }),
            Ok(data) => {
                let shapes = format!("{:?}, expected {:?}", data.shape(), param.dims());
                self.problem = Some(format!("{key} of the case is {shapes}"));
                param
            }
            Err(error) => {
                self.problem = Some(error.to_string());
                param
            }
        }
    }
}

struct Watcher<'a> {
    given: &'a Given<'a>,
    path: Vec<String>,
}

impl ModuleVisitor for Watcher<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !is_state(&self.path) {
            let key = format!("param.{}", self.path.join("."));
            self.given.watch(&key, param.val());
        }
    }
}

/// Running statistics of a batch norm are no parameters.
fn is_state(path: &[String]) -> bool {
    path.last().is_some_and(|name| name.starts_with("running_"))
}

fn chunks<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    data.as_chunks::<N>().0.iter().copied()
}

/// The elements of a tensor.
pub fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Values between -2 and 2 that look random; the same on every machine.
pub fn wave<const D: usize>(shape: [usize; D], phase: f64) -> TensorData {
    let values: Vec<f64> = (0..shape.iter().product())
        .map(|index| 2.0 * (phase + 1.7 * index as f64 + 0.01 * (index * index) as f64).sin())
        .collect();
    TensorData::new(values, shape).convert::<f32>()
}

/// Asserts that the loss of `student` and its gradient are finite, and gives the value.
pub fn assert_finite<const D: usize>(
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
/// Ordinary values, equal ones, +-1e4, zeros on either side and on both, the same number everywhere, and constant channels.
pub fn hard_pairs<const D: usize>(
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
