//! Reading the tensors of a module out, writing them back, and keeping them in safetensors files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bool, DType, Int, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::network::large_file;

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

/// Writes `tensors` as a safetensors file, beside it first and then renamed into place.
///
/// The same tensors give the same bytes.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be written, [`Error::BadFile`] for a tensor type that the format lacks.
pub fn write_tensors(path: &Path, tensors: &Tensors) -> Result<()> {
    let bad = |problem: String| Error::BadFile {
        path: path.to_owned(),
        offset: 0,
        problem,
        remedy: "keep floating point and integer tensors only".into(),
    };
    let views = tensors
        .iter()
        .map(|(name, data)| {
            let dtype = to_safetensors(data.dtype())
                .ok_or_else(|| bad(format!("tensor `{name}` has type {:?}", data.dtype())))?;
            let shape = data.shape().as_slice().to_vec();
            let view = TensorView::new(dtype, shape, data.as_bytes())
                .map_err(|error| bad(format!("tensor `{name}`: {error}")))?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<Vec<_>>>()?;
    let bytes = safetensors::serialize(views, None).map_err(|error| bad(error.to_string()))?;
    write_atomically(path, &bytes)
}

/// Reads a safetensors file.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, [`Error::BadFile`] if it is not a whole safetensors file.
pub fn read_tensors(path: &Path) -> Result<Tensors> {
    let bytes = large_file::read(path)?;
    let bad = |problem: String| Error::BadFile {
        path: path.to_owned(),
        offset: 0,
        problem,
        remedy: "give a complete .safetensors file".into(),
    };
    let file = SafeTensors::deserialize(&bytes).map_err(|error| bad(error.to_string()))?;
    file.iter()
        .map(|(name, view)| {
            let dtype = from_safetensors(view.dtype())
                .ok_or_else(|| bad(unknown_type(name, view.dtype())))?;
            let data =
                TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype);
            Ok((name.to_owned(), data))
        })
        .collect()
}

/// A type of numbers that is not read, in words.
fn unknown_type(tensor: &str, dtype: Dtype) -> String {
    let name = format!("{dtype:?}");
    let what = if name.starts_with("F8") {
        ", a float of 8 bits, which is not read here; convert it to F32"
    } else {
        ", which is not read here"
    };
    format!("tensor `{tensor}` has type {name}{what}")
}

/// Writes a file beside its place and renames it there, so that a reader sees the old one or the whole new
/// one.
///
/// The folder is made where it is missing.
///
/// # Errors
///
/// [`Error::Io`] if the folder or the file cannot be written.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let problem = "is a folder or a device and no file; give another path";
        return Err(Error::io("write", path)(std::io::Error::other(problem)));
    }
    // The parent of a bare file name is the empty path, which names no folder.
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let folder = parent.unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let mut file = tempfile::Builder::new()
        .prefix(".writing-")
        .tempfile_in(folder)
        .map_err(Error::io("write", path))?;
    large_file::write(file.as_file_mut(), path, bytes).map_err(Error::io("write", path))?;
    // The rename is what a reader sees; the mode is that of an ordinary new file, not a temporary one's 0600.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o644);
        file.as_file()
            .set_permissions(mode)
            .map_err(Error::io("write", path))?;
    }
    file.persist(path)
        .map_err(|error| Error::io("write", path)(error.error))?;
    // The rename itself must be on the disk before anything is done that relies on it.
    #[cfg(unix)]
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(Error::io("write", folder))?;
    Ok(())
}

/// Makes a folder beside its place, has `fill` fill it, and renames it there, so that a reader sees nothing
/// or the whole of it.
///
/// # Errors
///
/// [`Error::Input`] if there is something in the place that is no empty folder, before anything is written;
/// what `fill` fails with, and then nothing is left; [`Error::Io`] if the folder cannot be made or renamed.
pub fn write_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let in_the_way = |problem: &str| Error::Input {
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    let is_there = std::fs::symlink_metadata(path).is_ok();
    if is_there && !path.is_dir() {
        return Err(in_the_way("is there and no folder; name a new one"));
    }
    if is_there {
        let mut entries = std::fs::read_dir(path).map_err(Error::io("read", path))?;
        if entries.next().is_some() {
            return Err(in_the_way(
                "is not empty; name a new folder, or empty this one",
            ));
        }
    }
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let parent = parent.unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    let beside = tempfile::Builder::new()
        .prefix(".writing-")
        .tempdir_in(parent)
        .map_err(Error::io("create", path))?;
    fill(beside.path())?;
    // The mode is that of an ordinary new folder, not a temporary one's 0700.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(beside.path(), mode).map_err(Error::io("write", path))?;
    }
    // Not every system renames onto an empty folder.
    if is_there {
        std::fs::remove_dir(path).map_err(Error::io("replace", path))?;
    }
    std::fs::rename(beside.path(), path).map_err(Error::io("write", path))?;
    // There is nothing left to be removed where it was.
    let _ = beside.keep();
    Ok(())
}

fn to_safetensors(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        _ => return None,
    })
}

fn from_safetensors(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U64 => DType::U64,
        Dtype::U32 => DType::U32,
        Dtype::U16 => DType::U16,
        Dtype::U8 => DType::U8,
        _ => return None,
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
