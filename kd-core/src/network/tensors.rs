//! Reading the tensors of a module out, and writing them back.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bool, DType, Int, Tensor, TensorData};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Named tensors on the host, in the order of their names.
pub type Tensors = BTreeMap<String, TensorData>;

/// In whose words the tensors of a module are named and laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// As the fields of the module are called; a linear weight is `[features_in, features_out]`.
    Burn,
    /// As PyTorch's `state_dict` has them: the scale and shift of a norm are `weight` and `bias`, and a
    /// linear weight is `[features_out, features_in]`.
    PyTorch,
}

/// The tensors of `module`, weights and running statistics, in the words of `names`.
///
/// The statistics are those after the last forward pass, which reading the module's parameters directly would
/// miss: Burn's `RunningState` applies an update late.
pub fn export<M: Module>(module: &M, names: Names) -> Tensors {
    let mut reader = Reader {
        at: Place::new(names),
        tensors: Tensors::new(),
    };
    module.valid().visit(&mut reader);
    reader.tensors
}

/// The shapes of the tensors of `module`, in the words of `names`.
///
/// As [`export`] without the numbers, and without the time and memory that weights take which no one has
/// looked at yet.
pub fn tensor_shapes<M: Module>(module: &M, names: Names) -> BTreeMap<String, Vec<usize>> {
    let mut reader = ShapeReader {
        at: Place::new(names),
        shapes: BTreeMap::new(),
    };
    module.visit(&mut reader);
    reader.shapes
}

/// The names of tensors with a number that is not finite.
pub fn non_finite(tensors: &Tensors) -> Vec<&str> {
    let is_finite = |data: &TensorData| match data.dtype() {
        DType::F32 => data
            .as_slice::<f32>()
            .is_ok_and(|values| values.iter().all(|value| value.is_finite())),
        DType::F64 | DType::F16 | DType::BF16 => data.iter::<f64>().all(f64::is_finite),
        _ => true,
    };
    let bad = tensors.iter().filter(|(_, data)| !is_finite(data));
    bad.map(|(name, _)| name.as_str()).collect()
}

/// Checks that every number of a model is finite; `what` is what an error calls the model.
///
/// # Errors
///
/// [`Error::WeightsNotFinite`] with the names of tensors.
pub fn check_finite(what: &str, tensors: &Tensors) -> Result<()> {
    let bad = non_finite(tensors);
    if bad.is_empty() {
        return Ok(());
    }
    Err(Error::WeightsNotFinite {
        what: what.to_owned(),
        tensors: some_names(&bad),
    })
}

/// The first few names of a list, and how many more there are.
fn some_names(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).map(|name| format!("`{name}`"));
    let shown: Vec<String> = shown.collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The number of batch norms that `module` holds.
pub fn count_norms<M: Module>(module: &M) -> usize {
    let names = tensor_shapes(module, Names::PyTorch);
    let is_mean = |name: &&String| name.rsplit('.').next() == Some("running_mean");
    names.keys().filter(is_mean).count()
}

/// A copy of `module` that shares nothing with it, with the tensors replaced by `tensors`.
///
/// Devices, training flags and which parameters require gradients stay as they are in `module`. The names of
/// the file must be exactly those of the module.
///
/// # Errors
///
/// [`Error::Mismatch`] that lists the missing, unexpected and differently shaped names; `origin` says where
/// the tensors come from.
pub fn import<M: Module>(module: &M, tensors: &Tensors, names: Names, origin: &str) -> Result<M> {
    filled(module, Source::Kept(tensors), names, origin)
}

/// As [`import`], of tensors that are not needed any more: each is moved, so that no number is held twice.
///
/// # Errors
///
/// As [`import`].
pub fn import_owned<M: Module>(
    module: &M,
    tensors: Tensors,
    names: Names,
    origin: &str,
) -> Result<M> {
    filled(module, Source::Taken(tensors), names, origin)
}

fn filled<M: Module>(module: &M, source: Source<'_>, names: Names, origin: &str) -> Result<M> {
    let count = source.tensors().len();
    let mut writer = Writer {
        at: Place::new(names),
        source,
        used: 0,
        missing: Vec::new(),
        unequal: Vec::new(),
        seen: Vec::new(),
    };
    let module = detached_copy(module).map(&mut writer);
    let unexpected: Vec<String> = if writer.used == count {
        Vec::new()
    } else {
        let names = writer.source.tensors().keys();
        let unseen = names.filter(|name| !writer.seen.contains(name));
        unseen.cloned().collect()
    };
    if writer.missing.is_empty() && writer.unequal.is_empty() && unexpected.is_empty() {
        Ok(module)
    } else {
        Err(Error::Mismatch {
            origin: origin.to_owned(),
            missing: writer.missing,
            unexpected,
            unequal: writer.unequal,
            hint: String::new(),
        })
    }
}

/// A copy of `module` that shares nothing with it.
///
/// A plain `clone` of a Burn module shares the running statistics of its batch norms: training the one
/// changes the other.
pub fn detached_copy<M: Module>(module: &M) -> M {
    let mut probe = AutodiffProbe(false);
    module.visit(&mut probe);
    let copy = module.valid();
    if probe.0 { copy.train() } else { copy }
}

/// The SHA-256, in hexadecimal, of names, types, shapes and bytes of `tensors`.
pub fn hash_tensors(tensors: &Tensors) -> String {
    let mut hasher = Sha256::new();
    for (name, data) in tensors {
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(format!("{:?}{:?}", data.dtype(), data.shape().as_slice()).as_bytes());
        hasher.update(data.as_bytes());
    }
    hex(&hasher.finalize())
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The path of the parameter that a traversal is at, in the words of one world.
#[derive(Debug)]
pub(crate) struct Place {
    names: Names,
    parts: Vec<(String, Owner)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Enum,
    Norm,
    Linear,
    Other,
}

impl Place {
    pub(crate) fn new(names: Names) -> Self {
        Self {
            names,
            parts: Vec::new(),
        }
    }

    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        let owner = match container {
            enumeration if enumeration.starts_with("Enum:") => Owner::Enum,
            "Struct:BatchNorm"
            | "Struct:LayerNorm"
            | "Struct:GroupNorm"
            | "Struct:InstanceNorm" => Owner::Norm,
            "Struct:Linear" => Owner::Linear,
            _ => Owner::Other,
        };
        self.parts.push((name.to_owned(), owner));
    }

    pub(crate) fn exit(&mut self) {
        self.parts.pop();
    }

    /// The dotted path, without the variant names of enums, which choose a network but name no part of it.
    pub(crate) fn path(&self) -> String {
        let mut path = String::new();
        for (name, owner) in self.parts.iter().filter(|(_, owner)| *owner != Owner::Enum) {
            if !path.is_empty() {
                path.push('.');
            }
            let name = match (self.names, owner, name.as_str()) {
                (Names::PyTorch, Owner::Norm, "gamma") => "weight",
                (Names::PyTorch, Owner::Norm, "beta") => "bias",
                (_, _, name) => name,
            };
            path.push_str(name);
        }
        path
    }

    /// Whether the parameter here is a matrix that the other world stores transposed.
    pub(crate) fn transposed(&self) -> bool {
        self.names == Names::PyTorch
            && self
                .parts
                .last()
                .is_some_and(|(name, owner)| *owner == Owner::Linear && name == "weight")
    }
}

struct AutodiffProbe(bool);

impl ModuleVisitor for AutodiffProbe {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0 |= param.val().is_autodiff();
    }
}

struct Reader {
    at: Place,
    tensors: Tensors,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.at.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.at.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let value = if self.at.transposed() {
            value.swap_dims(0, 1)
        } else {
            value
        };
        self.tensors.insert(self.at.path(), value.into_data());
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.tensors.insert(self.at.path(), param.val().into_data());
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        let data = param.val().int().into_data().convert::<u8>();
        self.tensors.insert(self.at.path(), data);
    }
}

struct ShapeReader {
    at: Place,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl ShapeReader {
    fn add(&mut self, shape: &[usize]) {
        let mut shape = shape.to_vec();
        if self.at.transposed() {
            shape.reverse();
        }
        self.shapes.insert(self.at.path(), shape);
    }
}

impl ModuleVisitor for ShapeReader {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.at.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.at.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.add(param.lazy_shape().as_slice());
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.add(param.lazy_shape().as_slice());
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.add(param.lazy_shape().as_slice());
    }
}

/// Where a module's new tensors come from.
enum Source<'a> {
    Kept(&'a Tensors),
    Taken(Tensors),
}

impl Source<'_> {
    fn tensors(&self) -> &Tensors {
        match self {
            Self::Kept(tensors) => tensors,
            Self::Taken(tensors) => tensors,
        }
    }

    fn give(&mut self, name: &str) -> Option<TensorData> {
        match self {
            Self::Kept(tensors) => tensors.get(name).cloned(),
            Self::Taken(tensors) => tensors.remove(name),
        }
    }
}

struct Writer<'a> {
    at: Place,
    source: Source<'a>,
    used: usize,
    seen: Vec<String>,
    missing: Vec<String>,
    unequal: Vec<String>,
}

impl Writer<'_> {
    /// The stored tensor for the parameter here, if there is one of the `wanted` shape.
    fn find(&mut self, wanted: &[usize], transposed: bool) -> Option<TensorData> {
        let path = self.at.path();
        let mut wanted = wanted.to_vec();
        if transposed {
            wanted.reverse();
        }
        let Some(data) = self.source.tensors().get(&path) else {
            self.missing.push(path);
            return None;
        };
        self.used += 1;
        self.seen.push(path.clone());
        if data.shape().as_slice() != wanted {
            let found = data.shape().as_slice();
            self.unequal
                .push(format!("{path}: network {wanted:?}, file {found:?}"));
            return None;
        }
        self.source.give(&path)
    }
}

impl ModuleMapper for Writer<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.at.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.at.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let transposed = self.at.transposed();
        let Some(data) = self.find(param.lazy_shape().as_slice(), transposed) else {
            return param;
        };
        param.map(|old| {
            let (device, dtype) = (old.device(), old.dtype());
            // A file of another precision takes on the module's, never the other way round.
            let data = data.convert_dtype(dtype);
            let new = if transposed {
                Tensor::<D>::from_data(data, &device).swap_dims(0, 1)
            } else {
                Tensor::<D>::from_data(data, &device)
            };
            let new = if transposed { contiguous(new) } else { new };
            if old.is_require_grad() {
                new.detach().require_grad()
            } else {
                new
            }
        })
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        let Some(data) = self.find(param.lazy_shape().as_slice(), false) else {
            return param;
        };
        param.map(|old| Tensor::from_data(data, &old.device()))
    }
}

/// The same values laid out row by row, as a freshly initialised parameter is.
fn contiguous<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    let device = tensor.device();
    Tensor::from_data(tensor.into_data(), &device)
}
