//! A reader of pickles that runs nothing: it knows the opcodes of pickles and a short list of callables.
//!
//! Results of any other callable or class are passed over: its arguments and its state are read and
//! dropped, and its name is kept, so that a dictionary that needs it can be refused by that name.

use std::collections::HashMap;
use std::io::Read;

use kd_core::{Error, Result};

use super::callable::{Callable, storage};
use super::source::Source;
use super::value::{Heap, Value};

/// Steps of one pickle. A state dictionary takes about 30 for each tensor.
const MAX_STEPS: usize = 4_000_000;

/// Advice for a pickle that holds more than tensors.
pub(super) const SAVE_STATE_DICT: &str = "save the state dictionary only, with \
    `torch.save(model.state_dict(), path)` in PyTorch, or write a .safetensors file";

/// Reads one pickle from `source`, up to and with its end mark.
pub(super) fn unpickle<R: Read>(source: &mut Source<'_, R>, heap: &mut Heap) -> Result<Value> {
    let mut machine = Machine {
        source,
        heap,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    for _ in 0..MAX_STEPS {
        if let Some(value) = machine.step()? {
            return Ok(value);
        }
    }
    Err(machine.source.bad(
        format!("the pickle has more than {MAX_STEPS} steps"),
        SAVE_STATE_DICT,
    ))
}

struct Machine<'s, 'p, R> {
    source: &'s mut Source<'p, R>,
    heap: &'s mut Heap,
    stack: Vec<Value>,
    /// Heights of the stack at the marks.
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
}

impl<R: Read> Machine<'_, '_, R> {
    /// Does one opcode; the value of the pickle if it was the last.
    fn step(&mut self) -> Result<Option<Value>> {
        let opcode = self.source.byte()?;
        match opcode {
            b'.' => return self.pop().map(Some),
            0x80 => self.protocol()?,
            0x95 => drop(self.source.array::<8>()?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.since_mark()?),
            b'2' => {
                let top = self.peek()?;
                self.stack.push(top);
            }
            b'c' => {
                let (module, name) = (self.source.line()?, self.source.line()?);
                self.callable(&module, &name);
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let short = |name: &&str| name.len() <= 1000;
                let text = |value| self.heap.text(value).filter(short);
                let names = text(module).zip(text(name));
                let Some((module, name)) =
                    names.map(|(module, name)| (module.to_owned(), name.to_owned()))
                else {
                    return Err(self.damaged("a callable without a name"));
                };
                self.callable(&module, &name);
            }
            b'R' => self.call()?,
            b'b' => self.build()?,
            b'Q' => {
                let id = self.pop()?;
                let storage = storage(self.heap, id).map_err(|problem| self.unusable(&problem))?;
                self.stack.push(storage);
            }
            b'i' => {
                let (module, name) = (self.source.line()?, self.source.line()?);
                self.since_mark()?;
                self.callable(&module, &name);
                let class = self.pop()?;
                self.instance(class)?;
            }
            0x81 | 0x92 => {
                // Keywords, then arguments, then the class.
                self.pop_many(if opcode == 0x81 { 1 } else { 2 })?;
                let class = self.pop()?;
                self.instance(class)?;
            }
            b'o' => {
                let Some(&class) = self.since_mark()?.first() else {
                    return Err(self.damaged("an object without a class"));
                };
                self.instance(class)?;
            }
            0x82..=0x84 => {
                return Err(self.unusable(
                    "it names a callable by a number, whose meaning only its writer knows",
                ));
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memoize(opcode)?,
            _ if self.scalar(opcode)? || self.text(opcode)? || self.container(opcode)? => {}
            _ => {
                return Err(self.damaged(&format!(
                    "opcode 0x{opcode:02x} is none that `torch.save` writes"
                )));
            }
        }
        Ok(None)
    }

    fn protocol(&mut self) -> Result<()> {
        match self.source.byte()? {
            2..=5 => Ok(()),
            other => Err(self.damaged(&format!(
                "the pickle is of protocol {other}, 2 to 5 are known"
            ))),
        }
    }

    fn scalar(&mut self, opcode: u8) -> Result<bool> {
        let value = match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => Value::Int(i32::from_le_bytes(self.source.array()?).into()),
            b'K' => Value::Int(self.source.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(self.source.array()?).into()),
            b'G' => Value::Float(f64::from_be_bytes(self.source.array()?)),
            0x8a => {
                let length = self.source.byte()?;
                long(&self.source.take(length.into())?)
            }
            0x8b => {
                let length = u32::from_le_bytes(self.source.array()?);
                long(&self.source.take(length.into())?)
            }
            _ => return Ok(false),
        };
        self.stack.push(value);
        Ok(true)
    }

    /// Text and bytes.
    fn text(&mut self, opcode: u8) -> Result<bool> {
        let length = match opcode {
            0x8c | b'U' | b'C' => self.source.byte()?.into(),
            b'X' | b'T' | b'B' => u32::from_le_bytes(self.source.array()?).into(),
            0x8d | 0x8e | 0x96 => u64::from_le_bytes(self.source.array()?),
            _ => return Ok(false),
        };
        if matches!(opcode, b'C' | b'B' | 0x8e | 0x96) {
            self.source.skip(length)?;
            self.stack.push(Value::Opaque);
            return Ok(true);
        }
        let bytes = self.source.take(length)?;
        let value = match (String::from_utf8(bytes), opcode) {
            (Ok(text), _) => self.heap.new_text(text),
            // Python 2 keeps bytes as text.
            (Err(_), b'U' | b'T') => Value::Opaque,
            (Err(_), _) => return Err(self.damaged("a text is not UTF-8")),
        };
        self.stack.push(value);
        Ok(true)
    }

    fn container(&mut self, opcode: u8) -> Result<bool> {
        let value = match opcode {
            b')' => self.heap.new_tuple(Vec::new()),
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let values = self.pop_many(count)?;
                self.heap.new_tuple(values)
            }
            b't' => {
                let values = self.since_mark()?;
                self.heap.new_tuple(values)
            }
            b']' => self.heap.new_list(Vec::new()),
            b'l' => {
                let values = self.since_mark()?;
                self.heap.new_list(values)
            }
            b'}' => self.heap.new_dict(Vec::new()),
            b'd' => {
                let values = self.since_mark()?;
                let items = self.pairs(&values)?;
                self.heap.new_dict(items)
            }
            0x8f => Value::Opaque,
            0x91 => {
                self.since_mark()?;
                Value::Opaque
            }
            _ => return self.add(opcode),
        };
        self.stack.push(value);
        Ok(true)
    }

    /// Adds to the container below.
    fn add(&mut self, opcode: u8) -> Result<bool> {
        let values = match opcode {
            b'a' => self.pop_many(1)?,
            b's' => self.pop_many(2)?,
            b'e' | b'u' | 0x90 => self.since_mark()?,
            _ => return Ok(false),
        };
        match (opcode, self.peek()?) {
            (b'a' | b'e', Value::List(at)) => {
                if let Some(list) = self.heap.lists.get_mut(at) {
                    list.extend(values);
                }
            }
            (b's' | b'u', Value::Dict(at)) => {
                let items = self.pairs(&values)?;
                if let Some(dict) = self.heap.dicts.get_mut(at) {
                    dict.extend(items);
                }
            }
            // What is passed over has no elements: sets, and objects with elements of their own.
            (_, Value::Opaque | Value::Object(_)) => {}
            _ => return Err(self.damaged("an element has no container of its kind")),
        }
        Ok(true)
    }

    fn memoize(&mut self, opcode: u8) -> Result<()> {
        let place = match opcode {
            b'q' | b'h' => self.source.byte()?.into(),
            b'r' | b'j' => u32::from_le_bytes(self.source.array()?).into(),
            _ => self.memo.len() as u64,
        };
        if matches!(opcode, b'h' | b'j') {
            let Some(&value) = self.memo.get(&place) else {
                return Err(self.damaged("it refers to a value that it does not hold"));
            };
            self.stack.push(value);
        } else {
            let top = self.peek()?;
            self.memo.insert(place, top);
        }
        Ok(())
    }

    fn callable(&mut self, module: &str, name: &str) {
        if let Some(callable) = Callable::find(module, name) {
            self.stack.push(Value::Callable(callable));
            return;
        }
        let is_torch = module.split('.').next() == Some("torch");
        let is_tensor = is_torch
            && (name.ends_with("Storage")
                || name.starts_with("_rebuild")
                || module == "torch" && name.chars().any(|letter| letter.is_ascii_digit()));
        let object = self.heap.new_object(&format!("{module}.{name}"), is_tensor);
        self.stack.push(object);
    }

    /// What a class makes without a call: a dictionary, or something that is passed over.
    fn instance(&mut self, class: Value) -> Result<()> {
        let value = match class {
            Value::Callable(Callable::Dict) => self.heap.new_dict(Vec::new()),
            Value::Callable(_) | Value::Opaque => Value::Opaque,
            Value::Object(_) => {
                self.heap.make(class);
                class
            }
            _ => return Err(self.damaged("it makes something of what is no class")),
        };
        self.stack.push(value);
        Ok(())
    }

    fn call(&mut self) -> Result<()> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let value = match callable {
            Value::Callable(callable) => callable
                .call(self.heap, arguments)
                .map_err(|problem| self.unusable(&problem))?,
            // Nothing is called: what it would have made is passed over.
            Value::Object(_) => {
                self.heap.make(callable);
                callable
            }
            Value::Opaque => Value::Opaque,
            _ => return Err(self.damaged("it calls what cannot be called")),
        };
        self.stack.push(value);
        Ok(())
    }

    /// `BUILD`: the state of an object. That of a dictionary (`_metadata`) and of inert data is dropped.
    fn build(&mut self) -> Result<()> {
        self.pop()?;
        match self.peek()? {
            Value::Dict(_) | Value::Opaque | Value::Object(_) | Value::Tensor(_) => Ok(()),
            _ => Err(self.damaged("it sets the state of what has none")),
        }
    }

    fn pairs(&self, values: &[Value]) -> Result<Vec<(Value, Value)>> {
        let (pairs, rest) = values.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.damaged("a key has no value"));
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    fn since_mark(&mut self) -> Result<Vec<Value>> {
        match self.marks.pop() {
            Some(height) if height <= self.stack.len() => Ok(self.stack.split_off(height)),
            _ => Err(self.damaged("an end has no beginning")),
        }
    }

    /// The height below which nothing may be taken.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>> {
        match self.stack.len().checked_sub(count) {
            Some(height) if height >= self.floor() => Ok(self.stack.split_off(height)),
            _ => Err(self.damaged("a value is missing")),
        }
    }

    fn pop(&mut self) -> Result<Value> {
        if self.stack.len() <= self.floor() {
            return Err(self.damaged("a value is missing"));
        }
        self.stack
            .pop()
            .ok_or_else(|| self.damaged("a value is missing"))
    }

    fn peek(&self) -> Result<Value> {
        match self.stack.last() {
            Some(&top) if self.stack.len() > self.floor() => Ok(top),
            _ => Err(self.damaged("a value is missing")),
        }
    }

    fn damaged(&self, problem: &str) -> Error {
        self.source.damaged(problem)
    }

    fn unusable(&self, problem: &str) -> Error {
        self.source.bad(problem, SAVE_STATE_DICT)
    }
}

/// A signed integer of any length, the least byte first.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > 16 {
        return Value::Opaque;
    }
    let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
    let mut all = [if negative { 0xff } else { 0 }; 16];
    all[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i128::from_le_bytes(all))
}
