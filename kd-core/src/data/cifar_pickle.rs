//! The Python version of CIFAR-10 and CIFAR-100: pickles of a dictionary, read without running anything.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;

use crate::data::folder::most_bytes;
use crate::error::{Error, Result};

/// The first byte of a pickle of protocol 2 or later, which is no label of a binary file.
const PICKLE: u8 = 0x80;
/// Steps of a pickle; CIFAR-100's has some 200000.
const MOST_STEPS: usize = 1_000_000;
/// Lists, tuples and dictionaries of a pickle; those of CIFAR have a dozen. What lies inside one another is
/// let go one inside the other, so that many would end the stack.
const MOST_CONTAINERS: usize = 1_000;
/// Bytes of the pixels of an image.
const PIXELS: usize = 3 * 32 * 32;
const REMEDY: &str = "download the Python or the binary version of the data set again";

/// The records of the binary version, if the file is a pickle: `labels` numbers, then the pixels, each image.
///
/// # Errors
///
/// [`Error::BadFile`] for a pickle of anything else, [`Error::Io`] for a file that cannot be read.
pub(super) fn records(path: &Path, labels: usize) -> Result<Option<Vec<u8>>> {
    let failed = || Error::io("read", path);
    // A file that is not there is said in the words of the binary version.
    let Ok(mut file) = File::open(path) else {
        return Ok(None);
    };
    let mut head = [0];
    if file.read(&mut head).map_err(failed())? == 0 || head[0] != PICKLE {
        return Ok(None);
    }
    let mut bytes = head.to_vec();
    let limit = most_bytes();
    let read = file.take(limit).read_to_end(&mut bytes).map_err(failed())?;
    let bad = |(offset, problem): (usize, String)| Error::BadFile {
        path: path.to_owned(),
        offset: offset as u64,
        problem,
        remedy: REMEDY.to_owned(),
    };
    if read as u64 == limit {
        return Err(bad((
            read,
            "more bytes follow than memory is used for".into(),
        )));
    }
    let mut machine = Machine::new(&bytes);
    let names: &[&[u8]] = match labels {
        1 => &[b"labels"],
        _ => &[b"coarse_labels", b"fine_labels"],
    };
    let found = machine.run().and_then(|value| joined(&value, names));
    found
        .map(Some)
        .map_err(|problem| bad((machine.at.min(bytes.len()), problem)))
}

/// Labels and pixels of each image behind one another.
fn joined(value: &Value, names: &[&[u8]]) -> Problem<Vec<u8>> {
    let Some(Value::Bytes(pixels)) = value.entry(b"data") else {
        return Err("the pickle has no array `data` of bytes".into());
    };
    let columns: Vec<Vec<u8>> = names
        .iter()
        .map(|name| labels(value, name))
        .collect::<Problem<_>>()?;
    let images = pixels.len() / PIXELS;
    let unequal = columns.iter().any(|column| column.len() != images);
    if unequal || pixels.len() % PIXELS != 0 {
        let counts: Vec<usize> = columns.iter().map(Vec::len).collect();
        return Err(format!(
            "{} bytes of pixels, of {PIXELS} an image, and labels of {counts:?} images",
            pixels.len()
        ));
    }
    let mut all = Vec::with_capacity(images * (PIXELS + names.len()));
    for (at, image) in pixels.chunks_exact(PIXELS).enumerate() {
        all.extend(columns.iter().map(|column| column[at]));
        all.extend_from_slice(image);
    }
    Ok(all)
}

fn labels(value: &Value, name: &[u8]) -> Problem<Vec<u8>> {
    let shown = String::from_utf8_lossy(name);
    let Some(Value::List(labels)) = value.entry(name) else {
        return Err(format!("the pickle has no list `{shown}`"));
    };
    let number = |label: &Value| match label {
        Value::Number(number) => u8::try_from(*number).ok(),
        _ => None,
    };
    let numbers: Option<Vec<u8>> = labels.borrow().iter().map(number).collect();
    numbers.ok_or_else(|| format!("`{shown}` holds something else than labels"))
}

/// What is wrong, in words.
type Problem<T> = std::result::Result<T, String>;

/// A value of a pickle. What only a class could make is [`Value::Other`].
#[derive(Clone, Debug)]
enum Value {
    Bytes(Rc<Vec<u8>>),
    Number(i64),
    List(Rc<RefCell<Vec<Value>>>),
    Tuple(Rc<Vec<Value>>),
    Dict(Rc<RefCell<Vec<[Value; 2]>>>),
    /// A class or a function, by its name.
    Named(Rc<str>),
    Other,
}

impl Value {
    fn bytes(bytes: &[u8]) -> Self {
        Self::Bytes(Rc::new(bytes.to_vec()))
    }

    /// The entry of a dictionary.
    fn entry(&self, key: &[u8]) -> Option<Self> {
        let Self::Dict(entries) = self else {
            return None;
        };
        let is_called = |name: &Self| matches!(name, Self::Bytes(name) if name.as_slice() == key);
        let entries = entries.borrow();
        let found = entries.iter().find(|[name, _]| is_called(name));
        found.map(|[_, value]| value.clone())
    }
}

/// A reader of the opcodes that pickles of arrays, lists and dictionaries have.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    containers: usize,
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            containers: 0,
        }
    }

    fn run(&mut self) -> Problem<Value> {
        for _ in 0..MOST_STEPS {
            let opcode = self.number(1)?;
            match opcode {
                0x2e => return self.pop(),
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                0x28 => self.marks.push(self.stack.len()),
                0x30 => drop(self.pop()?),
                _ => self.step(opcode)?,
            }
        }
        Err(format!("the pickle has more than {MOST_STEPS} steps"))
    }

    fn step(&mut self, opcode: u64) -> Problem<()> {
        let value = match opcode {
            // Bytes and texts, by the size of their length.
            0x55 | 0x43 | 0x8c => self.string(1)?,
            0x54 | 0x42 | 0x58 => self.string(4)?,
            0x8e | 0x8d => self.string(8)?,
            // Numbers.
            0x4b => Value::Number(i64::from(self.take(1)?[0])),
            0x4d => self.little_endian(2)?,
            0x4a => self.little_endian(4)?,
            0x8a => {
                let length = self.number(1)?;
                self.little_endian(length)?
            }
            0x4e | 0x88 | 0x89 => Value::Other,
            // Containers.
            0x5d => Value::List(Rc::default()),
            0x7d => Value::Dict(Rc::default()),
            0x29 => Value::Tuple(Rc::default()),
            0x74 => Value::Tuple(Rc::new(self.since_mark()?)),
            0x85..=0x87 => {
                let first = self
                    .stack
                    .len()
                    .checked_sub(usize::from(opcode.to_le_bytes()[0] - 0x84));
                let first = first.ok_or("the pickle takes more than there is")?;
                Value::Tuple(Rc::new(self.stack.split_off(first)))
            }
            0x63 => {
                let (module, name) = (self.line()?, self.line()?);
                Value::Named(format!("{module}.{name}").into())
            }
            0x93 => {
                let (name, module) = (self.text()?, self.text()?);
                Value::Named(format!("{module}.{name}").into())
            }
            0x52 => self.call()?,
            0x68 => self.remembered(1)?,
            0x6a => self.remembered(4)?,
            _ => return self.change(opcode),
        };
        if matches!(value, Value::List(_) | Value::Tuple(_) | Value::Dict(_)) {
            self.containers += 1;
        }
        self.stack.push(value);
        if self.containers > MOST_CONTAINERS {
            return Err(format!(
                "the pickle has more than {MOST_CONTAINERS} lists and tuples"
            ));
        }
        Ok(())
    }

    /// What changes the value on top of the stack, or remembers it.
    fn change(&mut self, opcode: u64) -> Problem<()> {
        match opcode {
            0x71 | 0x72 => {
                let key = self.number(if opcode == 0x71 { 1 } else { 4 })?;
                let top = self.top()?;
                self.memo.insert(key, top);
            }
            0x94 => {
                let (key, top) = (self.memo.len() as u64, self.top()?);
                self.memo.insert(key, top);
            }
            0x61 | 0x65 => {
                let more = if opcode == 0x61 {
                    vec![self.pop()?]
                } else {
                    self.since_mark()?
                };
                match self.top()? {
                    Value::List(list) => list.borrow_mut().extend(more),
                    _ => return Err("the pickle adds to something that is no list".into()),
                }
            }
            0x73 | 0x75 => {
                let more = if opcode == 0x73 {
                    let value = self.pop()?;
                    vec![self.pop()?, value]
                } else {
                    self.since_mark()?
                };
                match self.top()? {
                    Value::Dict(dict) => dict.borrow_mut().extend(
                        more.chunks_exact(2)
                            .map(|pair| [pair[0].clone(), pair[1].clone()]),
                    ),
                    _ => return Err("the pickle adds to something that is no dictionary".into()),
                }
            }
            0x62 => self.build()?,
            other => {
                return Err(format!(
                    "opcode 0x{other:02x} is none of an array of images"
                ));
            }
        }
        Ok(())
    }

    /// A call: of a text made into bytes, the bytes; of anything else nothing that could be known.
    fn call(&mut self) -> Problem<Value> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let encodes = matches!(&callable, Value::Named(name) if &**name == "_codecs.encode");
        let text = match &arguments {
            Value::Tuple(all) if encodes => all.first(),
            _ => None,
        };
        let Some(Value::Bytes(text)) = text else {
            return Ok(Value::Other);
        };
        let text = std::str::from_utf8(text).map_err(|_| "a text is not UTF-8".to_owned())?;
        let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
        bytes
            .map(|bytes| Value::Bytes(Rc::new(bytes)))
            .ok_or_else(|| "a text is not of bytes".to_owned())
    }

    /// The state of an object: that of an array ends with its bytes.
    fn build(&mut self) -> Problem<()> {
        let (state, object) = (self.pop()?, self.pop()?);
        let array = match &state {
            Value::Tuple(parts) if parts.len() == 5 => parts.last(),
            _ => None,
        };
        self.stack.push(match array {
            Some(Value::Bytes(bytes)) => Value::Bytes(Rc::clone(bytes)),
            _ => object,
        });
        Ok(())
    }

    fn take(&mut self, count: usize) -> Problem<&'a [u8]> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or("the file ends before its pickle")?;
        self.at += count;
        Ok(taken)
    }

    /// A number of at most eight bytes without a sign.
    fn number(&mut self, size: usize) -> Problem<u64> {
        let bytes = self.take(size)?.iter().rev();
        Ok(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A number with its sign, that of 16 bits without.
    fn little_endian(&mut self, size: u64) -> Problem<Value> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > 8 {
            return Err("a number of more than 64 bits".into());
        }
        let bits = 8 * u32::try_from(size).unwrap_or(8);
        let number = self.number(size)?;
        let negative = size > 2 && number >> (bits - 1) == 1;
        let number = if negative && bits < 64 {
            number | u64::MAX << bits
        } else {
            number
        };
        Ok(Value::Number(number.cast_signed()))
    }

    fn string(&mut self, size: usize) -> Problem<Value> {
        let length = usize::try_from(self.number(size)?).unwrap_or(usize::MAX);
        self.take(length).map(Value::bytes)
    }

    fn line(&mut self) -> Problem<String> {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        let length = rest.iter().position(|&byte| byte == b'\n');
        let line = self.take(length.ok_or("the file ends within a name")?)?;
        self.take(1)?;
        Ok(String::from_utf8_lossy(line).into_owned())
    }

    fn text(&mut self) -> Problem<String> {
        match self.pop()? {
            Value::Bytes(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            _ => Err("the pickle has a callable without a name".into()),
        }
    }

    fn remembered(&mut self, size: usize) -> Problem<Value> {
        let key = self.number(size)?;
        let found = self.memo.get(&key).cloned();
        found.ok_or_else(|| format!("the pickle names value {key}, which it does not have"))
    }

    fn pop(&mut self) -> Problem<Value> {
        let least = self.marks.last().copied().unwrap_or(0);
        let popped = (self.stack.len() > least)
            .then(|| self.stack.pop())
            .flatten();
        popped.ok_or_else(|| "the pickle takes more than there is".to_owned())
    }

    fn top(&mut self) -> Problem<Value> {
        let top = self.stack.last().cloned();
        top.ok_or_else(|| "the pickle changes what is not there".to_owned())
    }

    fn since_mark(&mut self) -> Problem<Vec<Value>> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        let mark = mark.ok_or("the pickle takes more than there is")?;
        Ok(self.stack.split_off(mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_holds_itself_is_no_list_of_labels() {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            path.path(),
            b"\x80\x02}U\x06labels]q\x00h\x00asU\x04dataU\x00s.",
        )
        .unwrap();
        let error = records(path.path(), 1).unwrap_err().to_string();
        assert!(error.contains("`labels` holds something else"), "{error}");
    }

    #[test]
    fn tuples_inside_one_another_do_not_end_the_stack() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let nested = [&b"\x80\x02)"[..], &vec![0x85; 900_000], b"."].concat();
        std::fs::write(path.path(), nested).unwrap();
        let error = records(path.path(), 1).unwrap_err().to_string();
        assert!(error.contains("more than 1000 lists"), "{error}");
    }

    #[test]
    fn other_files_are_left_to_the_reader_of_records() {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), [7; 40]).unwrap();
        assert!(records(path.path(), 1).unwrap().is_none());
        assert!(records(Path::new("none"), 1).unwrap().is_none());
    }
}
