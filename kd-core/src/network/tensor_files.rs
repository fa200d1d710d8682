//! Safetensors files of tensors, and files and folders that are there whole or not at all.

use std::path::Path;

use burn::tensor::{DType, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Result};
use crate::network::large_file;
use crate::network::tensors::Tensors;

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
