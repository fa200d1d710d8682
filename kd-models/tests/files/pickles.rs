//! Files of `torch.save` written here byte by byte: state dictionaries with whatever else in them.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// A value within a pickle of protocol 2.
pub(crate) type Piece = Vec<u8>;

/// The pickle of one value.
fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

pub(crate) fn text(text: &str) -> Piece {
    let length = u32::try_from(text.len()).unwrap().to_le_bytes();
    [b"X", &length[..], text.as_bytes()].concat()
}

pub(crate) fn number(number: u32) -> Piece {
    match u8::try_from(number) {
        Ok(number) => vec![b'K', number],
        Err(_) => [&b"J"[..], &number.to_le_bytes()].concat(),
    }
}

pub(crate) fn tuple(values: &[Piece]) -> Piece {
    [b"(".to_vec(), values.concat(), b"t".to_vec()].concat()
}

pub(crate) fn global(module: &str, name: &str) -> Piece {
    format!("c{module}\n{name}\n").into_bytes()
}

/// `callable(*arguments)`.
pub(crate) fn call(callable: Piece, arguments: &[Piece]) -> Piece {
    [callable, tuple(arguments), b"R".to_vec()].concat()
}

/// An object of a class that is made without its constructor and then has its state set.
pub(crate) fn object(module: &str, name: &str, state: Piece) -> Piece {
    [
        global(module, name),
        b")\x81".to_vec(),
        state,
        b"b".to_vec(),
    ]
    .concat()
}

pub(crate) fn dict(items: &[(&str, Piece)]) -> Piece {
    let items = items
        .iter()
        .flat_map(|(key, value)| [text(key), value.clone()]);
    let items: Vec<Piece> = items.collect();
    [b"}(".to_vec(), items.concat(), b"u".to_vec()].concat()
}

/// A vector of float32 in storage `key`.
pub(crate) fn vector(key: &str, length: u32) -> Piece {
    tensor(global("torch", "FloatStorage"), key, length)
}

/// A vector in storage `key` of another type.
pub(crate) fn tensor(storage: Piece, key: &str, length: u32) -> Piece {
    let id = tuple(&[
        text("storage"),
        storage,
        text(key),
        text("cpu"),
        number(length),
    ]);
    let storage = [id, b"Q".to_vec()].concat();
    let hooks = call(global("collections", "OrderedDict"), &[]);
    call(
        global("torch._utils", "_rebuild_tensor_v2"),
        &[
            storage,
            number(0),
            tuple(&[number(length)]),
            tuple(&[number(1)]),
            b"\x89".to_vec(),
            hooks,
        ],
    )
}

/// Writes `STEM.pth`, an archive as PyTorch writes it: stored members below `STEM/`, each beginning at a
/// multiple of 64 bytes, and records of zip64 where asked.
pub(crate) fn archive(
    folder: &Path,
    stem: &str,
    value: &[u8],
    storages: &[(&str, &[f32])],
    zip64: bool,
) -> PathBuf {
    written(folder, stem, value, storages, [zip64, false])
}

/// The same with its members deflated, as a program that packs archives again leaves them.
pub(crate) fn packed_archive(
    folder: &Path,
    stem: &str,
    value: &[u8],
    storages: &[(&str, &[f32])],
) -> PathBuf {
    written(folder, stem, value, storages, [false, true])
}

fn written(
    folder: &Path,
    stem: &str,
    value: &[u8],
    storages: &[(&str, &[f32])],
    [zip64, is_packed]: [bool; 2],
) -> PathBuf {
    let mut members = vec![("data.pkl".to_owned(), pickle(value))];
    for (key, values) in storages {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        members.push((format!("data/{key}"), bytes));
    }
    members.push(("version".to_owned(), b"3\n".to_vec()));
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in &members {
        let name = format!("{stem}/{name}");
        add(&mut file, &mut directory, &name, bytes, is_packed);
    }
    let (start, count) = (file.len() as u64, members.len() as u64);
    let size = directory.len() as u64;
    file.extend(directory);
    let end = file.len() as u64;
    if zip64 {
        file.extend(b"PK\x06\x06");
        file.extend(44_u64.to_le_bytes());
        file.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for value in [count, count, size, start] {
            file.extend(value.to_le_bytes());
        }
        file.extend(b"PK\x06\x07\0\0\0\0");
        file.extend(end.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
    }
    file.extend(b"PK\x05\x06\0\0\0\0");
    for value in [count, count] {
        file.extend(u16::try_from(value).unwrap().to_le_bytes());
    }
    for value in [size, start] {
        file.extend(u32::try_from(value).unwrap().to_le_bytes());
    }
    file.extend([0, 0]);
    let path = folder.join(format!("{stem}.pth"));
    std::fs::write(&path, file).unwrap();
    path
}

/// Adds a member, stored or deflated, and its entry in the directory.
fn add(file: &mut Vec<u8>, directory: &mut Vec<u8>, name: &str, bytes: &[u8], is_packed: bool) {
    let packed = if is_packed {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    } else {
        bytes.to_vec()
    };
    let packed_size = u32::try_from(packed.len()).unwrap().to_le_bytes();
    let method = if is_packed { 8 } else { 0 };
    let start = u32::try_from(file.len()).unwrap();
    let size = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let length = u16::try_from(name.len()).unwrap().to_le_bytes();
    // An extra field of four bytes and what fills up to the next multiple of 64.
    let data = file.len() + 30 + name.len() + 4;
    let padding = data.next_multiple_of(64) - data;
    let padding_length = u16::try_from(padding).unwrap().to_le_bytes();
    let extra_length = u16::try_from(padding + 4).unwrap().to_le_bytes();
    let common = [
        &[0, 0, method, 0, 0, 0, 0, 0][..],
        &crc32(bytes).to_le_bytes(),
        &packed_size,
        &size,
        &length,
    ]
    .concat();
    file.extend(b"PK\x03\x04\0\0");
    file.extend(&common);
    file.extend(extra_length);
    file.extend(name.bytes());
    file.extend(b"FB");
    file.extend(padding_length);
    file.extend(vec![b'Z'; padding]);
    file.extend(packed);
    directory.extend(b"PK\x01\x02\0\0\0\0");
    directory.extend(&common);
    directory.extend([0; 12]);
    directory.extend(start.to_le_bytes());
    directory.extend(name.bytes());
}

/// The checksum of a member, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            let low = crc & 1;
            crc = (crc >> 1) ^ (0xedb8_8320 * low);
        }
    }
    !crc
}
