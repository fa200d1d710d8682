//! Tensors out of the bytes of their storages.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use kd_core::{Error, Result, Tensors};

use super::source::DAMAGED;
use super::value::{Heap, StorageRef, TensorRef};

/// The tensors that are wanted, by the storage of the file that they lie in.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// By key of the storage: its length in bytes, and the tensors that lie in it.
    storages: BTreeMap<&'a str, (u64, Vec<Named<'a>>)>,
}

/// A tensor with its name and its view of the storage.
#[derive(Clone, Copy, Debug)]
struct Named<'a> {
    name: &'a str,
    tensor: &'a TensorRef,
    storage: &'a StorageRef,
}

impl<'a> Wanted<'a> {
    /// Sorts `named` by storage.
    ///
    /// # Errors
    ///
    /// [`Error::BadFile`] if the tensors together would take far more than the file's `length`, as only
    /// tensors that repeat their elements can.
    pub(super) fn new(
        named: impl IntoIterator<Item = (&'a str, &'a TensorRef)>,
        heap: &'a Heap,
        path: &Path,
        length: u64,
    ) -> Result<Self> {
        let mut storages = BTreeMap::new();
        let mut total = 0_u64;
        for (name, tensor) in named {
            let Some(storage) = heap.storages.get(tensor.storage) else {
                continue;
            };
            total = total.saturating_add(tensor.count().saturating_mul(tensor.element.size()));
            let entry = storages
                .entry(storage.key.as_str())
                .or_insert_with(|| (storage.bytes(), Vec::new()));
            if entry.0 != storage.bytes() {
                let problem = format!("storage `{}` has two lengths", storage.key);
                return Err(bad_storage(path, 0, problem));
            }
            entry.1.push(Named {
                name,
                tensor,
                storage,
            });
        }
        if total > length.saturating_mul(4).saturating_add(1 << 20) {
            return Err(Error::BadFile {
                path: path.to_owned(),
                offset: 0,
                problem: format!(
                    "its tensors would take {total} bytes, the whole file has {length}"
                ),
                remedy: "save contiguous copies of the tensors (`tensor.contiguous()` in PyTorch)"
                    .into(),
            });
        }
        Ok(Self { storages })
    }

    /// The keys of the storages that are needed, and their lengths in bytes.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&'a str, u64)> + '_ {
        self.storages.iter().map(|(key, (bytes, _))| (*key, *bytes))
    }

    /// Whether the storage `key` is needed.
    pub(super) fn needs(&self, key: &str) -> bool {
        self.storages.contains_key(key)
    }

    /// Adds the tensors that lie in the storage `key`, whose bytes are `bytes`.
    ///
    /// # Errors
    ///
    /// A sentence if the bytes are fewer than the tensors need.
    pub(super) fn fill(
        &self,
        key: &str,
        bytes: Vec<u8>,
        tensors: &mut Tensors,
    ) -> Result<(), String> {
        let Some((_, named)) = self.storages.get(key) else {
            return Ok(());
        };
        let mut bytes = bytes;
        for (index, named_tensor) in named.iter().enumerate() {
            let &Named {
                name,
                tensor,
                storage,
            } = named_tensor;
            let last = index + 1 == named.len();
            let data = if last && tensor.fills(storage, bytes.len()) {
                // What fills its storage takes its place, without a copy.
                std::mem::take(&mut bytes)
            } else {
                tensor
                    .gather(storage, &bytes)
                    .ok_or_else(|| format!("tensor `{name}` reaches beyond storage `{key}`"))?
            };
            let shape: Option<Vec<usize>> = tensor
                .shape
                .iter()
                .map(|&size| usize::try_from(size).ok())
                .collect();
            let shape = shape.ok_or_else(|| format!("tensor `{name}` is too large"))?;
            let data = TensorData::from_bytes_vec(data, shape, tensor.element.dtype());
            tensors.insert(name.to_owned(), data);
        }
        Ok(())
    }
}

impl StorageRef {
    /// Length in bytes; saturates, and no file is that long.
    pub(super) fn bytes(&self) -> u64 {
        self.length.saturating_mul(self.element.size())
    }
}

impl TensorRef {
    /// Whether its elements lie one after the other in the order of its axes.
    fn is_contiguous(&self) -> bool {
        let mut step = 1;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 && stride != step {
                return false;
            }
            step *= size;
        }
        true
    }

    fn fills(&self, storage: &StorageRef, length: usize) -> bool {
        let bytes = self.count().saturating_mul(self.element.size());
        self.offset == 0
            && storage.view_offset == 0
            && bytes == length as u64
            && self.is_contiguous()
    }

    /// Its bytes in the order of its axes; none if a place lies outside of `bytes`.
    fn gather(&self, storage: &StorageRef, bytes: &[u8]) -> Option<Vec<u8>> {
        let size = usize::try_from(self.element.size()).ok()?;
        let count = usize::try_from(self.count()).ok()?;
        if count == 0 {
            return Some(Vec::new());
        }
        let view = storage.view_offset.checked_mul(storage.element.size())?;
        let start = self
            .offset
            .checked_mul(self.element.size())?
            .checked_add(view)?;
        let start = usize::try_from(start).ok()?;
        if self.is_contiguous() {
            let end = start.checked_add(count.checked_mul(size)?)?;
            return bytes.get(start..end).map(<[u8]>::to_vec);
        }
        let mut out = Vec::with_capacity(count.checked_mul(size)?);
        let mut place = vec![0_u64; self.shape.len()];
        for _ in 0..count {
            let steps: u64 = place
                .iter()
                .zip(&self.strides)
                .map(|(at, step)| at * step)
                .sum();
            let from = start.checked_add(usize::try_from(steps).ok()?.checked_mul(size)?)?;
            out.extend_from_slice(bytes.get(from..from.checked_add(size)?)?);
            for axis in (0..place.len()).rev() {
                place[axis] += 1;
                if place[axis] < self.shape[axis] {
                    break;
                }
                place[axis] = 0;
            }
        }
        Some(out)
    }
}

/// The error of a storage that is not what the pickle said.
pub(super) fn bad_storage(path: &Path, offset: u64, problem: String) -> Error {
    Error::BadFile {
        path: path.to_owned(),
        offset,
        problem,
        remedy: DAMAGED.into(),
    }
}
