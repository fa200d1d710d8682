//! The present format of `torch.save`: a zip archive with one pickle and one member for each storage, stored
//! or, where another program has packed it again, deflated.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use kd_core::{Error, FileProgress, Result, Tensors};
use zip::CompressionMethod;
use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;

use super::choice::{Chosen, WeightChoice, choose};
use super::gather::{Wanted, bad_storage};
use super::source::{DAMAGED, Source};
use super::unpickle::{SAVE_STATE_DICT, unpickle};
use super::value::Heap;

/// Reads the chosen tensors of the archive at `path`.
///
/// Every member that is read is compared with its CRC-32, and its two headers with each other. What deflated
/// members may unpack to is bounded by the size of the file.
pub(super) fn read(path: &Path, length: u64, choice: &WeightChoice) -> Result<(Tensors, Chosen)> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut archive = Archive::open(path, BufReader::new(file))?;
    let length = archive.unpacked(length)?;
    let pickle = archive.member("data.pkl", length)?;
    let pickle_length = pickle.len() as u64;
    let mut source = Source::new(Cursor::new(pickle), path, "in `data.pkl`: ", pickle_length);
    let mut heap = Heap::default();
    let top = unpickle(&mut source, &mut heap)?;
    drop(source);

    let chosen = choose(&heap, top, choice, path)?;
    let wanted = Wanted::new(chosen.tensors(&heap), &heap, path, length)?;
    let mut tensors = Tensors::new();
    let all = wanted.keys().map(|(_, bytes)| bytes);
    let all = all.fold(0, u64::saturating_add);
    let mut progress = FileProgress::new("reading", path, all);
    for (key, bytes) in wanted.keys() {
        let data = archive.member(&format!("data/{key}"), bytes)?;
        if (data.len() as u64) < bytes {
            let problem = format!(
                "storage `{key}` should have {bytes} bytes, it has {}",
                data.len()
            );
            return Err(bad_storage(path, 0, problem));
        }
        wanted
            .fill(key, data, &mut tensors)
            .map_err(|problem| bad_storage(path, 0, problem))?;
        progress.add(bytes);
    }
    Ok((tensors, chosen))
}

/// How many times the size of the file its members may unpack to: weights are dense, and even a network in
/// which most are pruned away packs to no less than this.
const MOST_RATIO: u64 = 64;

/// The memory that a deflated member is given before any of it was unpacked.
const FIRST_ROOM: u64 = 1 << 20;

struct Archive<'a> {
    path: &'a Path,
    zip: ZipArchive<BufReader<File>>,
    /// The beginning of the name of each member: `archive/`.
    root: String,
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path, file: BufReader<File>) -> Result<Self> {
        // The offset that the end record gives is the file's: looking for another finds one in files whose
        // names have a certain length.
        let config = Config {
            archive_offset: ArchiveOffset::Known(0),
        };
        let mut zip = ZipArchive::with_config(config, file)
            .map_err(|error| broken(path, "the archive", &error))?;
        let names: Vec<String> = zip
            .file_names()
            .filter_map(|name| name.ok().map(std::borrow::Cow::into_owned))
            .collect();
        let pickle = names.iter().find(|name| {
            *name == "data.pkl" || (name.ends_with("/data.pkl") && name.matches('/').count() == 1)
        });
        let Some(root) = pickle.and_then(|name| name.strip_suffix("data.pkl")) else {
            let shown: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
            let problem = format!(
                "is a zip archive without `data.pkl`, and so none of `torch.save`; it holds {}",
                if shown.is_empty() {
                    "nothing".into()
                } else {
                    shown.join(", ")
                }
            );
            return Err(Error::Input {
                path: path.to_owned(),
                problem: format!("{problem}; {SAVE_STATE_DICT}"),
            });
        };
        let root = root.to_owned();
        let script = |name: &String| {
            name.strip_prefix(&root)
                .is_some_and(|name| name == "constants.pkl" || name.starts_with("code/"))
        };
        if names.iter().any(script) {
            return Err(Error::Input {
                path: path.to_owned(),
                problem: format!(
                    "is a TorchScript archive (`torch.jit.save`), which holds code; load it in PyTorch with \
                     `torch.jit.load` and {SAVE_STATE_DICT}"
                ),
            });
        }
        zip.validate_header_consistency()
            .map_err(|error| broken(path, "the archive", &error))?;
        let mut archive = Self { path, zip, root };
        if archive
            .zip
            .index_for_name(&format!("{}byteorder", archive.root))
            .is_some()
            && archive.member("byteorder", 16)? != b"little"
        {
            return Err(Error::Input {
                path: path.to_owned(),
                problem:
                    "was written on a big-endian machine; save it again on a little-endian one"
                        .into(),
            });
        }
        Ok(archive)
    }

    /// The length of the archive's content: that of the file, or what its members unpack to.
    ///
    /// # Errors
    ///
    /// [`Error::BadFile`] if that is far more than weights can be packed to.
    fn unpacked(&mut self, length: u64) -> Result<u64> {
        let most = length.saturating_mul(MOST_RATIO).saturating_add(1 << 20);
        let mut total = 0_u64;
        for index in 0..self.zip.len() {
            let member = self.zip.by_index_raw(index);
            let member = member.map_err(|error| broken(self.path, "the archive", &error))?;
            if member.size() != member.compressed_size() {
                total = total.saturating_add(member.size());
            }
        }
        if total > most {
            let problem =
                format!("its members would unpack to {total} bytes, the whole file has {length}");
            return Err(bad_storage(self.path, 0, problem));
        }
        Ok(length.saturating_add(total))
    }

    /// The bytes of a member that has at most `limit`, its CRC-32 checked.
    fn member(&mut self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let path = self.path;
        let what = format!("member `{name}`");
        let mut member = self
            .zip
            .by_name(&format!("{}{name}", self.root))
            .map_err(|error| broken(path, &what, &error))?;
        let size = member.size();
        let start = member.header_start();
        let is_stored = member.compression() == CompressionMethod::Stored;
        if size > limit || (is_stored && size != member.compressed_size()) {
            let problem = format!("{what} should have at most {limit} bytes, it has {size}");
            return Err(bad_storage(path, start, problem));
        }
        let room = if is_stored {
            size
        } else {
            size.min(FIRST_ROOM)
        };
        let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or(0));
        // Reading to the end is what compares the checksum; one byte more shows that there are more.
        let read = member
            .by_ref()
            .take(size.saturating_add(1))
            .read_to_end(&mut bytes);
        read.map_err(|error| {
            let problem = match error.kind() {
                std::io::ErrorKind::InvalidData => {
                    format!("{what} does not fit its checksum (CRC-32)")
                }
                _ => format!("{what}: {error}"),
            };
            bad_storage(path, start, problem)
        })?;
        if bytes.len() as u64 != size {
            let problem = format!("{what} should have {size} bytes, it has {}", bytes.len());
            return Err(bad_storage(path, start, problem));
        }
        Ok(bytes)
    }
}

fn broken(path: &Path, what: &str, error: &ZipError) -> Error {
    let problem = match error {
        ZipError::FileNotFound => format!("{what} is missing"),
        ZipError::UnsupportedArchive(problem) => format!("{what}: {problem}"),
        ZipError::CompressionMethodNotSupported(_) => {
            format!(
                "{what} is packed in another way than deflate; pack the archive again, or store it"
            )
        }
        other => format!("{what}: {other}"),
    };
    Error::BadFile {
        path: path.to_owned(),
        offset: 0,
        problem,
        remedy: DAMAGED.into(),
    }
}
