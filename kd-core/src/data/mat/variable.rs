//! One variable: its name, class and size, and its numbers on demand.

use std::fmt;
use std::path::PathBuf;

use crate::data::mat::body::{Body, DAMAGED, kind};
use crate::error::{Error, Result};

/// What a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A full array of numbers of this kind.
    Numeric(&'static str),
    /// Something else.
    Other(&'static str),
}

impl Class {
    pub(crate) const UINT8: Self = Self::Numeric("uint8");

    fn of(number: u32) -> Self {
        match number {
            1 => Self::Other("cell array"),
            2 => Self::Other("structure"),
            4 => Self::Other("text"),
            5 => Self::Other("sparse array"),
            6 => Self::Numeric("double"),
            7 => Self::Numeric("single"),
            8 => Self::Numeric("int8"),
            9 => Self::UINT8,
            10 => Self::Numeric("int16"),
            11 => Self::Numeric("uint16"),
            12 => Self::Numeric("int32"),
            13 => Self::Numeric("uint32"),
            14 => Self::Numeric("int64"),
            15 => Self::Numeric("uint64"),
            _ => Self::Other("object"),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numeric(name) => write!(f, "{name} array"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// A variable whose head was read and whose numbers were not.
pub(crate) struct Variable<'a> {
    body: Body<'a>,
    /// Its name; empty for what MATLAB keeps for itself.
    pub(crate) name: String,
    /// What it is.
    pub(crate) class: Class,
    /// Its size, the fastest axis first; empty where it has none.
    pub(crate) dims: Vec<u64>,
    complex: bool,
}

const OPAQUE: u32 = 17;
const COMPLEX: u32 = 0x0800;
/// More dimensions than anyone has.
const MOST_DIMS: u64 = 32;
const LONGEST_NAME: u64 = 4096;
/// Bytes that are read at a time: a multiple of every number's size.
const BLOCK: u64 = 1 << 16;

impl<'a> Variable<'a> {
    /// Reads flags, dimensions and name.
    pub(super) fn read(mut body: Body<'a>) -> Result<Self> {
        let flags = body.tag("the array flags")?;
        if (flags.kind, flags.bytes) != (kind::UINT32, 8) {
            let problem = format!(
                "array flags of type {} and {} bytes, which should have type {} and 8",
                flags.kind,
                flags.bytes,
                kind::UINT32
            );
            return Err(body.bad(problem, DAMAGED));
        }
        let flags = numbers(&mut body, kind::UINT32, &flags, 8, "the array flags")?;
        let flags = flags.first().copied().unwrap_or_default();
        let class = flags & 0xff;
        let mut variable = Self {
            body,
            name: String::new(),
            class: Class::of(class),
            dims: Vec::new(),
            complex: flags & COMPLEX != 0,
        };
        // Objects of newer MATLABs have no dimensions here.
        if class != OPAQUE {
            variable.head()?;
        }
        Ok(variable)
    }

    fn head(&mut self) -> Result<()> {
        let body = &mut self.body;
        let tag = body.tag("the dimensions")?;
        let dims = numbers(body, kind::INT32, &tag, 4 * MOST_DIMS, "the dimensions")?;
        if dims.len() < 2 || dims.iter().any(|dim| i32::try_from(*dim).is_err()) {
            return Err(body.bad(format!("dimensions {dims:?}, which no array has"), DAMAGED));
        }
        self.dims = dims.into_iter().map(u64::from).collect();
        let tag = body.tag("the name")?;
        if !matches!(tag.kind, kind::INT8 | kind::UINT8 | kind::UTF8) {
            let problem = format!("a name of type {}, which should be text", tag.kind);
            return Err(body.bad(problem, DAMAGED));
        }
        let name = body.data(&tag, LONGEST_NAME, "the name")?;
        self.name = String::from_utf8_lossy(&name).into_owned();
        Ok(())
    }

    /// The size in words, for example `32x32x3x10`.
    pub(crate) fn size(&self) -> String {
        let dims: Vec<String> = self.dims.iter().map(u64::to_string).collect();
        dims.join("x")
    }

    /// Gives the bytes of a `uint8` array in blocks of `size`, a divisor of their number, and checks that all
    /// is read.
    pub(crate) fn bytes(
        mut self,
        size: usize,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let what = format!("variable `{}`", self.name);
        let tag = self.numeric()?;
        if tag.kind != kind::UINT8 {
            let problem = format!(
                "{what} is stored as type {}, uint8 has {}",
                tag.kind,
                kind::UINT8
            );
            return Err(self.bad(problem, DAMAGED));
        }
        self.check_size(tag.bytes, 1)?;
        self.body.blocks(&tag, size as u64, &what, take)?;
        self.body.end()
    }

    /// Gives the numbers of an array, one after the other, and checks that all is read.
    ///
    /// MATLAB stores whole numbers in the smallest type that holds them, whatever the class.
    pub(crate) fn numbers(mut self, take: &mut dyn FnMut(f64) -> Result<()>) -> Result<()> {
        let what = format!("variable `{}`", self.name);
        let tag = self.numeric()?;
        let Some((bytes, number)) = decoder(tag.kind, self.body.big_endian) else {
            let problem = format!("{what} is stored as type {}, which is no number", tag.kind);
            return Err(self.bad(problem, DAMAGED));
        };
        self.check_size(tag.bytes, bytes)?;
        self.body.blocks(&tag, BLOCK, &what, &mut |block| {
            block
                .chunks_exact(bytes)
                .try_for_each(|bytes| take(number(bytes)))
        })?;
        self.body.end()
    }

    /// The file and the byte at which it begins there.
    pub(crate) fn place(&self) -> (PathBuf, u64) {
        self.body.place()
    }

    /// An error about this variable.
    pub(crate) fn bad(&self, problem: String, remedy: &str) -> Error {
        self.body.bad(problem, remedy)
    }

    /// The tag of the numbers, if there are real ones.
    fn numeric(&mut self) -> Result<super::body::Tag> {
        let name = &self.name;
        if let Class::Other(_) = self.class {
            let problem = format!(
                "variable `{name}` is a {}, where numbers should be",
                self.class
            );
            return Err(self.body.bad(problem, NOT_PUBLISHED));
        }
        if self.complex {
            let problem = format!("variable `{name}` is complex, where real numbers should be");
            return Err(self.body.bad(problem, NOT_PUBLISHED));
        }
        self.body.tag("the numbers")
    }

    /// Checks that `stored` bytes are as many numbers of `bytes` as the dimensions say.
    fn check_size(&self, stored: u64, bytes: usize) -> Result<()> {
        let count = self
            .dims
            .iter()
            .try_fold(1_u64, |count, dim| count.checked_mul(*dim));
        if count.and_then(|count| count.checked_mul(bytes as u64)) == Some(stored) {
            return Ok(());
        }
        let problem = format!(
            "variable `{}` is {}, which {stored} bytes of numbers do not fit",
            self.name,
            self.size()
        );
        Err(self.bad(problem, DAMAGED))
    }
}

pub(crate) const NOT_PUBLISHED: &str = "give the file as it was published";

/// All numbers after `tag`, each of four bytes.
fn numbers(
    body: &mut Body<'_>,
    wanted: u32,
    tag: &super::body::Tag,
    limit: u64,
    what: &str,
) -> Result<Vec<u32>> {
    if tag.kind != wanted {
        let problem = format!("{what} of type {}, which should be {wanted}", tag.kind);
        return Err(body.bad(problem, DAMAGED));
    }
    let bytes = body.data(tag, limit, what)?;
    let (words, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        let problem = format!("{what} of {} bytes, which is no multiple of 4", bytes.len());
        return Err(body.bad(problem, DAMAGED));
    }
    let big_endian = body.big_endian;
    let word = |bytes: &[u8; 4]| super::body::u32_of(*bytes, big_endian);
    Ok(words.iter().map(word).collect())
}

/// How many bytes a number of this type has, and how it is read from them.
#[expect(
    clippy::type_complexity,
    reason = "a number's size and its reader, used in one place"
)]
fn decoder(stored: u32, big_endian: bool) -> Option<(usize, Box<dyn Fn(&[u8]) -> f64>)> {
    /// A reader of numbers of type `$number`, which `$convert` makes an `f64`.
    macro_rules! reader {
        ($number:ty, $convert:expr) => {
            (
                size_of::<$number>(),
                Box::new(move |bytes: &[u8]| {
                    let mut own = [0; size_of::<$number>()];
                    own.copy_from_slice(bytes);
                    let number = if big_endian {
                        <$number>::from_be_bytes(own)
                    } else {
                        <$number>::from_le_bytes(own)
                    };
                    $convert(number)
                }),
            )
        };
    }
    Some(match stored {
        kind::INT8 => reader!(i8, f64::from),
        kind::UINT8 => reader!(u8, f64::from),
        kind::INT16 => reader!(i16, f64::from),
        kind::UINT16 => reader!(u16, f64::from),
        kind::INT32 => reader!(i32, f64::from),
        kind::UINT32 => reader!(u32, f64::from),
        kind::INT64 => reader!(i64, |number| number as f64),
        kind::UINT64 => reader!(u64, |number| number as f64),
        kind::SINGLE => reader!(f32, f64::from),
        kind::DOUBLE => reader!(f64, f64::from),
        _ => return None,
    })
}
