//! The element types of PyTorch's storages.

use burn::tensor::DType;

/// The type of the elements of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Float64,
    Float32,
    Float16,
    BFloat16,
    Int64,
    Int32,
    Int16,
    Int8,
    UInt64,
    UInt32,
    UInt16,
    UInt8,
    Bool,
    /// Bytes whose type the tensor tells, not the storage.
    Untyped,
}

impl Element {
    /// The type of `torch.NAME` if that is a typed storage.
    pub(super) fn of_storage(name: &str) -> Option<Self> {
        Some(match name {
            "DoubleStorage" => Self::Float64,
            "FloatStorage" => Self::Float32,
            "HalfStorage" => Self::Float16,
            "BFloat16Storage" => Self::BFloat16,
            "LongStorage" => Self::Int64,
            "IntStorage" => Self::Int32,
            "ShortStorage" => Self::Int16,
            "CharStorage" => Self::Int8,
            "ByteStorage" => Self::UInt8,
            "BoolStorage" => Self::Bool,
            "UntypedStorage" => Self::Untyped,
            _ => return None,
        })
    }

    /// The type of `torch.NAME` if that is an element type.
    pub(super) fn of_dtype(name: &str) -> Option<Self> {
        Some(match name {
            "float64" | "double" => Self::Float64,
            "float32" | "float" => Self::Float32,
            "float16" | "half" => Self::Float16,
            "bfloat16" => Self::BFloat16,
            "int64" | "long" => Self::Int64,
            "int32" | "int" => Self::Int32,
            "int16" | "short" => Self::Int16,
            "int8" => Self::Int8,
            "uint64" => Self::UInt64,
            "uint32" => Self::UInt32,
            "uint16" => Self::UInt16,
            "uint8" => Self::UInt8,
            "bool" => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of one element.
    pub(super) fn size(self) -> u64 {
        match self {
            Self::Float64 | Self::Int64 | Self::UInt64 => 8,
            Self::Float32 | Self::Int32 | Self::UInt32 => 4,
            Self::Float16 | Self::BFloat16 | Self::Int16 | Self::UInt16 => 2,
            Self::Int8 | Self::UInt8 | Self::Bool | Self::Untyped => 1,
        }
    }

    /// The type of the tensor that is made of such elements; truth values become bytes.
    pub(super) fn dtype(self) -> DType {
        match self {
            Self::Float64 => DType::F64,
            Self::Float32 => DType::F32,
            Self::Float16 => DType::F16,
            Self::BFloat16 => DType::BF16,
            Self::Int64 => DType::I64,
            Self::Int32 => DType::I32,
            Self::Int16 => DType::I16,
            Self::Int8 => DType::I8,
            Self::UInt64 => DType::U64,
            Self::UInt32 => DType::U32,
            Self::UInt16 => DType::U16,
            Self::UInt8 | Self::Bool | Self::Untyped => DType::U8,
        }
    }
}
