//! The format of `torch.save` before PyTorch 1.6: pickles one after the other, then the storages.
//!
//! The pickles are a magic number, the version, facts about the machine, the object, and the keys of the
//! storages in the order in which they follow, each as a count of 8 bytes and its elements. There is no
//! checksum.

use std::collections::{HashMap, HashSet};
use std::io::BufReader;
use std::path::Path;

use kd_core::{CountedFile, Error, Result, Tensors};

use super::choice::{Chosen, WeightChoice, choose};
use super::gather::Wanted;
use super::source::Source;
use super::unpickle::unpickle;
use super::value::{Heap, StorageRef, Value};

/// The number that the first pickle holds.
pub(super) const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const VERSION: i128 = 1001;

/// Reads the chosen tensors of the file at `path`.
pub(super) fn read(path: &Path, length: u64, choice: &WeightChoice) -> Result<(Tensors, Chosen)> {
    let file = CountedFile::open(path).map_err(Error::io("read", path))?;
    let mut source = Source::new(BufReader::new(file), path, "", length);
    let mut heap = Heap::default();
    if unpickle(&mut source, &mut heap)? != Value::Int(MAGIC) {
        return Err(source.bad(
            "it is a pickle, but not one of `torch.save`",
            "save the weights with `torch.save(model.state_dict(), path)` in PyTorch, or as a \
             .safetensors file",
        ));
    }
    if unpickle(&mut source, &mut heap)? != Value::Int(VERSION) {
        return Err(source.damaged(format!("the version of the format is not {VERSION}")));
    }
    let machine = unpickle(&mut source, &mut heap)?;
    let little = heap
        .dict(machine)
        .into_iter()
        .flatten()
        .all(|&(key, value)| heap.text(key) != Some("little_endian") || value == Value::Bool(true));
    if !little {
        return Err(source.bad(
            "it was written on a big-endian machine",
            "save it again on a little-endian one",
        ));
    }
    let top = unpickle(&mut source, &mut heap)?;
    let keys = unpickle(&mut source, &mut heap)?;
    let keys: Option<Vec<String>> = heap.sequence(keys).and_then(|keys| {
        keys.iter()
            .map(|&key| match key {
                Value::Int(number) => Some(number.to_string()),
                other => heap.text(other).map(str::to_owned),
            })
            .collect()
    });
    let Some(keys) = keys else {
        return Err(source.damaged("the keys of the storages are no list of names"));
    };

    let chosen = choose(&heap, top, choice, path)?;
    let wanted = Wanted::new(chosen.tensors(&heap), &heap, path, length)?;
    let known: HashMap<&str, &StorageRef> = heap
        .storages
        .iter()
        .map(|storage| (storage.key.as_str(), storage))
        .collect();
    let mut tensors = Tensors::new();
    for key in &keys {
        let count = u64::from_le_bytes(source.array()?);
        let Some(storage) = known.get(key.as_str()) else {
            return Err(source.damaged(format!("nothing says what storage `{key}` is made of")));
        };
        if count != storage.length {
            return Err(source.damaged(format!(
                "storage `{key}` should have {} elements, it has {count}",
                storage.length
            )));
        }
        if wanted.needs(key) {
            let bytes = source.take(storage.bytes())?;
            wanted
                .fill(key, bytes, &mut tensors)
                .map_err(|problem| source.damaged(problem))?;
        } else {
            source.skip(storage.bytes())?;
        }
    }
    let have: HashSet<&str> = keys.iter().map(String::as_str).collect();
    if let Some((key, _)) = wanted.keys().find(|(key, _)| !have.contains(key)) {
        return Err(source.damaged(format!("storage `{key}` is missing")));
    }
    match source.left() {
        0 => Ok((tensors, chosen)),
        left => Err(source.damaged(format!("{left} bytes follow the last storage"))),
    }
}
