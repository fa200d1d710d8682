//! The contents of a pickle once it is read: plain data, and tensors as places in storages.

use std::collections::HashMap;

use super::callable::Callable;
use super::element::Element;

/// A value; what has parts is an index into [`Heap`], so that values may be shared and may even hold
/// themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// Data that nothing here needs: bytes, sets, scalars of numpy, devices.
    Opaque,
    /// Something that only code of the file's writer could make; it is passed over.
    Object(usize),
    Callable(Callable),
    Text(usize),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
}

/// A storage: the numbers of tensors, by a key of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StorageRef {
    /// The name of the storage in the file.
    pub(super) key: String,
    /// The type of its elements.
    pub(super) element: Element,
    /// Its length in elements.
    pub(super) length: u64,
    /// The first element of it that a view of the oldest files may use, else 0.
    pub(super) view_offset: u64,
}

/// A tensor whose numbers have not been read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TensorRef {
    /// The storage's place in [`Heap::storages`].
    pub(super) storage: usize,
    /// The type of its elements, that of the storage unless that has none.
    pub(super) element: Element,
    /// Place of the first element in the storage, in elements.
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    /// Steps along each axis, in elements.
    pub(super) strides: Vec<u64>,
}

/// Tensors, and storages, that one file may have.
const MAX_TENSORS: usize = 100_000;

/// What is passed over: a callable that is not known here, and whatever it would have made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ObjectRef {
    /// The callable or class, as `argparse.Namespace`.
    pub(super) name: String,
    /// Whether it stands for a tensor of a kind that is not read here.
    pub(super) is_tensor: bool,
    /// Whether anything was to be made by it, and not only named.
    pub(super) is_made: bool,
}

/// Everything with parts that a pickle made.
#[derive(Debug, Default)]
pub(super) struct Heap {
    pub(super) texts: Vec<String>,
    pub(super) tuples: Vec<Vec<Value>>,
    pub(super) lists: Vec<Vec<Value>>,
    pub(super) dicts: Vec<Vec<(Value, Value)>>,
    pub(super) storages: Vec<StorageRef>,
    pub(super) tensors: Vec<TensorRef>,
    pub(super) objects: Vec<ObjectRef>,
    /// Places in `objects` by name.
    object_names: HashMap<String, usize>,
}

impl Heap {
    /// The object that `value` stands for, if it is passed over.
    pub(super) fn object(&self, value: Value) -> Option<&ObjectRef> {
        match value {
            Value::Object(at) => self.objects.get(at),
            _ => None,
        }
    }

    /// Whatever `name` makes.
    pub(super) fn new_object(&mut self, name: &str, is_tensor: bool) -> Value {
        if let Some(&at) = self.object_names.get(name) {
            return Value::Object(at);
        }
        let at = self.objects.len();
        self.object_names.insert(name.to_owned(), at);
        self.objects.push(ObjectRef {
            name: name.to_owned(),
            is_tensor,
            is_made: false,
        });
        Value::Object(at)
    }

    /// Notes that something was to be made by `object`.
    pub(super) fn make(&mut self, object: Value) {
        if let Value::Object(at) = object
            && let Some(object) = self.objects.get_mut(at)
        {
            object.is_made = true;
        }
    }

    pub(super) fn text(&self, value: Value) -> Option<&str> {
        match value {
            Value::Text(at) => self.texts.get(at).map(String::as_str),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, value: Value) -> Option<&[Value]> {
        match value {
            Value::Tuple(at) => self.tuples.get(at).map(Vec::as_slice),
            _ => None,
        }
    }

    /// The elements of a list or tuple.
    pub(super) fn sequence(&self, value: Value) -> Option<&[Value]> {
        match value {
            Value::List(at) => self.lists.get(at).map(Vec::as_slice),
            other => self.tuple(other),
        }
    }

    pub(super) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match value {
            Value::Dict(at) => self.dicts.get(at).map(Vec::as_slice),
            _ => None,
        }
    }

    pub(super) fn tensor(&self, value: Value) -> Option<&TensorRef> {
        match value {
            Value::Tensor(at) => self.tensors.get(at),
            _ => None,
        }
    }

    pub(super) fn new_text(&mut self, text: String) -> Value {
        self.texts.push(text);
        Value::Text(self.texts.len() - 1)
    }

    pub(super) fn new_tuple(&mut self, values: Vec<Value>) -> Value {
        self.tuples.push(values);
        Value::Tuple(self.tuples.len() - 1)
    }

    pub(super) fn new_list(&mut self, values: Vec<Value>) -> Value {
        self.lists.push(values);
        Value::List(self.lists.len() - 1)
    }

    pub(super) fn new_dict(&mut self, items: Vec<(Value, Value)>) -> Value {
        self.dicts.push(items);
        Value::Dict(self.dicts.len() - 1)
    }

    pub(super) fn new_storage(&mut self, storage: StorageRef) -> Result<Value, String> {
        if self.storages.len() >= MAX_TENSORS {
            return Err(format!("it has more than {MAX_TENSORS} storages"));
        }
        self.storages.push(storage);
        Ok(Value::Storage(self.storages.len() - 1))
    }

    pub(super) fn new_tensor(&mut self, tensor: TensorRef) -> Result<Value, String> {
        if self.tensors.len() >= MAX_TENSORS {
            return Err(format!("it has more than {MAX_TENSORS} tensors"));
        }
        self.tensors.push(tensor);
        Ok(Value::Tensor(self.tensors.len() - 1))
    }
}

/// A number that counts something, if `value` is one.
pub(super) fn unsigned(value: Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        _ => None,
    }
}
