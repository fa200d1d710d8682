//! The few callables of a pickle that are known to make data only.

use super::element::Element;
use super::value::{Heap, StorageRef, TensorRef, Value, unsigned};

/// A name that a pickle may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callable {
    /// `collections.OrderedDict` and its like.
    Dict,
    /// `torch.Size`.
    Size,
    RebuildTensor,
    RebuildTensorV2,
    RebuildTensorV3,
    RebuildParameter,
    RebuildFromType,
    /// Makes plain data that nothing here needs.
    Inert,
    /// `torch.FloatStorage` and its like, named and never called.
    Storage(Element),
    /// `torch.float32` and its like, named and never called.
    DType(Element),
    /// Any other class that is named and never called.
    Class,
}

impl Callable {
    /// The callable of that name if it is one that makes data only.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        let known = match (module, name) {
            ("collections", "OrderedDict" | "Counter" | "defaultdict") => Self::Dict,
            ("torch", "Size") => Self::Size,
            ("torch._utils", "_rebuild_tensor") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensorV2,
            ("torch._utils", "_rebuild_tensor_v3") => Self::RebuildTensorV3,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Self::RebuildParameter
            }
            ("torch._tensor", "_rebuild_from_type_v2") => Self::RebuildFromType,
            ("torch", "device")
            | ("torch.serialization", "_get_layout")
            | ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar")
            | ("numpy", "dtype")
            | ("_codecs", "encode")
            | ("builtins" | "__builtin__", "set" | "frozenset" | "complex" | "bytearray") => {
                Self::Inert
            }
            ("builtins" | "__builtin__", "int" | "float" | "list" | "dict" | "str" | "bool")
            | ("torch", "Tensor")
            | ("torch.nn.parameter", "Parameter" | "Buffer") => Self::Class,
            ("torch" | "torch.storage" | "torch.cuda", name) => {
                return Element::of_storage(name)
                    .map(Self::Storage)
                    .or_else(|| Element::of_dtype(name).map(Self::DType));
            }
            _ => return None,
        };
        Some(known)
    }

    /// The result of the call, or a sentence on what is wrong with the arguments.
    pub(super) fn call(self, heap: &mut Heap, arguments: Value) -> Result<Value, String> {
        let Some(arguments) = heap.tuple(arguments).map(<[Value]>::to_vec) else {
            return Err("a call has no tuple of arguments".into());
        };
        match self {
            Self::Dict => Ok(dict(heap, &arguments)),
            Self::Size => match arguments[..] {
                [size @ Value::Tuple(_)] => Ok(size),
                _ => Err("`torch.Size` without sizes".into()),
            },
            Self::RebuildTensor | Self::RebuildTensorV2 => tensor(heap, &arguments, None),
            Self::RebuildTensorV3 => match arguments.get(6) {
                Some(&Value::Callable(Self::DType(element))) => {
                    tensor(heap, &arguments, Some(element))
                }
                // An element type that is not known here.
                Some(&object @ Value::Object(_)) => Ok(object),
                _ => Err("a tensor has an element type that is not known here".into()),
            },
            Self::RebuildParameter => match arguments.first() {
                Some(&tensor @ (Value::Tensor(_) | Value::Object(_))) => Ok(tensor),
                _ => Err("a parameter without a tensor".into()),
            },
            Self::RebuildFromType => match arguments[..] {
                [Value::Callable(inner), _, inner_arguments, ..]
                    if matches!(
                        inner,
                        Self::RebuildTensor
                            | Self::RebuildTensorV2
                            | Self::RebuildTensorV3
                            | Self::RebuildParameter
                    ) =>
                {
                    inner.call(heap, inner_arguments)
                }
                [object @ Value::Object(_), ..] => Ok(object),
                _ => Err("a tensor of a kind that is not known here".into()),
            },
            Self::Inert | Self::Storage(_) | Self::DType(_) | Self::Class => Ok(Value::Opaque),
        }
    }
}

/// `OrderedDict()`, `OrderedDict([[key, value], ..])`, `Counter({..})` or `defaultdict(list)`.
fn dict(heap: &mut Heap, arguments: &[Value]) -> Value {
    match arguments.first() {
        // Nothing is copied, so that calls without end take no memory without end.
        Some(&dict @ Value::Dict(_)) => dict,
        Some(&Value::List(at)) => {
            let pairs = heap
                .lists
                .get_mut(at)
                .map(std::mem::take)
                .unwrap_or_default();
            let pair = |pair| match heap.sequence(pair) {
                Some(&[key, value]) => Some((key, value)),
                _ => None,
            };
            let items = pairs.into_iter().filter_map(pair).collect();
            heap.new_dict(items)
        }
        _ => heap.new_dict(Vec::new()),
    }
}

/// `(storage, offset, shape, strides, ..)`.
fn tensor(heap: &mut Heap, arguments: &[Value], element: Option<Element>) -> Result<Value, String> {
    // A storage of a type that is not known here.
    if let Some(&object @ Value::Object(_)) = arguments.first() {
        return Ok(object);
    }
    let &[Value::Storage(storage), offset, shape, strides, ..] = arguments else {
        return Err("a tensor without a storage".into());
    };
    let sizes = |value: Value| -> Option<Vec<u64>> {
        heap.sequence(value)?
            .iter()
            .copied()
            .map(unsigned)
            .collect()
    };
    let (Some(offset), Some(shape), Some(strides), Some(of)) = (
        unsigned(offset),
        sizes(shape),
        sizes(strides),
        heap.storages.get(storage),
    ) else {
        return Err("a tensor whose offset, shape or strides are no counts".into());
    };
    let tensor = TensorRef {
        storage,
        element: element.unwrap_or(of.element),
        offset,
        shape,
        strides,
    };
    tensor.check(of)?;
    heap.new_tensor(tensor)
}

impl TensorRef {
    /// Elements of the tensor; [`TensorRef::check`] has bounded them.
    pub(super) fn count(&self) -> u64 {
        self.shape
            .iter()
            .fold(1, |count, &size| count.saturating_mul(size))
    }

    /// Checks that each element lies within the storage.
    fn check(&self, storage: &StorageRef) -> Result<(), String> {
        let shape = &self.shape;
        if shape.len() != self.strides.len() {
            let (sizes, strides) = (shape.len(), self.strides.len());
            return Err(format!("a tensor has {sizes} sizes and {strides} strides"));
        }
        if shape.len() > 16 {
            return Err(format!("a tensor has {} axes, 16 are known", shape.len()));
        }
        if storage.element != Element::Untyped && storage.element != self.element {
            return Err("a tensor and its storage differ in type".into());
        }
        let count = shape
            .iter()
            .try_fold(1_u64, |count, &size| count.checked_mul(size));
        if count.is_none() {
            return Err(format!(
                "a tensor of shape {shape:?} has more elements than can be counted"
            ));
        }
        if count == Some(0) {
            return Ok(());
        }
        let last = shape
            .iter()
            .zip(&self.strides)
            .try_fold(self.offset, |last, (&size, &stride)| {
                last.checked_add((size - 1).checked_mul(stride)?)
            });
        let end = last.and_then(|last| {
            last.checked_add(1)?
                .checked_mul(self.element.size())?
                .checked_add(storage.view_offset.checked_mul(storage.element.size())?)
        });
        let available = storage.length.checked_mul(storage.element.size());
        match (end, available) {
            (Some(end), Some(available)) if end <= available => Ok(()),
            _ => Err(format!(
                "a tensor of shape {shape:?} reaches beyond the {} elements of its storage",
                storage.length
            )),
        }
    }
}

/// The storage that a persistent identifier names.
pub(super) fn storage(heap: &mut Heap, id: Value) -> Result<Value, String> {
    let parts = heap.tuple(id).map(<[Value]>::to_vec).unwrap_or_default();
    let kind = parts.first().and_then(|&kind| heap.text(kind));
    // The source code of a module's class, or a storage of a type that is not known here.
    if let (Some("module" | "storage"), Some(&object @ Value::Object(_))) = (kind, parts.get(1)) {
        return Ok(object);
    }
    let (Some("storage"), Some(&Value::Callable(Callable::Storage(element)))) =
        (kind, parts.get(1))
    else {
        return Err("it refers to something that is no storage of a known type".into());
    };
    let key = match parts.get(2) {
        Some(&Value::Int(key)) => Some(key.to_string()),
        Some(&key) => heap.text(key).map(str::to_owned),
        None => None,
    };
    let key = key.filter(|key| key.len() <= 200);
    let (Some(key), Some(length)) = (key, parts.get(4).copied().and_then(unsigned)) else {
        return Err("a storage without a key or a length".into());
    };
    // The oldest files keep storages that are parts of others: (key of the view, offset, length).
    let view_offset = match parts.get(5) {
        None | Some(Value::None) => 0,
        Some(&view) => match heap.tuple(view) {
            Some(&[_, offset, _]) => unsigned(offset).ok_or("a view without an offset")?,
            _ => return Err("a view of a storage of a form that is not known".into()),
        },
    };
    heap.new_storage(StorageRef {
        key,
        element,
        length,
        view_offset,
    })
}
