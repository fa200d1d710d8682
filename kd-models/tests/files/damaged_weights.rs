//! Damaged weight files: an error or the very same tensors, never a panic, and never a changed number where
//! there is a checksum.

use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use kd_core::{Draws, ErrorKind, Tensors};
use kd_models::Weights;
use tempfile::TempDir;

use crate::pickles::{dict, packed_archive, vector};

/// Mutations of each kind of file; `KD_MUTATIONS` says another count.
fn mutations() -> u64 {
    let asked = std::env::var("KD_MUTATIONS").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(400)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/weights")
        .join(name)
}

/// `original` with one to three changes, a function of `seed`.
fn mutated(original: &[u8], seed: u64) -> Vec<u8> {
    let mut draws = Draws::new(seed, "damage", 0, 0);
    let mut below = |count: usize| usize::try_from(draws.below(count.max(1) as u64)).unwrap();
    let mut bytes = original.to_vec();
    for _ in 0..=below(3) {
        let at = below(bytes.len());
        match below(6) {
            0 | 1 => {
                let bit = 1 << below(8);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bit;
                }
            }
            // Numbers that are far too large are what allocations without bounds fall for.
            2 => {
                let end = bytes.len().min(at + 1 + below(8));
                bytes[at.min(end)..end].fill(0xff);
            }
            3 => bytes.truncate(at),
            4 => {
                let count = 1 + below(16);
                let new: Vec<u8> = (0..count)
                    .map(|_| u8::try_from(below(256)).unwrap())
                    .collect();
                bytes.splice(at..at, new);
            }
            _ => {
                // A piece from elsewhere over this one.
                let from = below(original.len());
                let piece = &original[from..original.len().min(from + 1 + below(64))];
                let end = bytes.len().min(at + piece.len());
                bytes.splice(at.min(end)..end, piece.iter().copied());
            }
        }
    }
    bytes
}

fn bytes_of(tensors: &Tensors) -> Vec<(&str, &[u8])> {
    tensors
        .iter()
        .map(|(name, data): (&String, &TensorData)| (name.as_str(), data.as_bytes()))
        .collect()
}

/// Reads mutations of a fixture, and gives how many were refused.
fn refused(name: &str, has_checksums: bool) -> u64 {
    let original = std::fs::read(fixture(name)).unwrap();
    let whole = Weights::read(&fixture(name)).unwrap().tensors;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    let mut refused = 0;
    for seed in 0..mutations() {
        std::fs::write(&path, mutated(&original, seed)).unwrap();
        match Weights::read(&path) {
            Err(error) => {
                refused += 1;
                assert_eq!(
                    error.kind(),
                    ErrorKind::Input,
                    "{name}, seed {seed}: {error}"
                );
                assert!(
                    error.to_string().len() < 2000,
                    "{name}, seed {seed}: {error}"
                );
            }
            Ok(read) if has_checksums => {
                assert!(
                    bytes_of(&read.tensors) == bytes_of(&whole),
                    "{name}, seed {seed}: other tensors in spite of checksums"
                );
            }
            Ok(_) => {}
        }
    }
    refused
}

#[test]
fn archives_give_an_error_or_the_same_tensors() {
    for name in ["zip.pth", "nested.pth", "views.pth"] {
        let refused = refused(name, true);
        assert!(refused > mutations() / 2, "{name}: {refused}");
    }
}

/// An archive that was packed again, and one of Hugging Face's folders of several files.
#[test]
fn packed_archives_and_sharded_folders_give_an_error_or_tensors() {
    let folder = TempDir::new().unwrap();
    let numbers: Vec<f32> = (0..300_u16).map(|n| f32::from(n % 17)).collect();
    let value = dict(&[("w", vector("0", 3)), ("many", vector("1", 300))]);
    let storages: &[(&str, &[f32])] = &[("0", &[1.0, 2.0, 3.0]), ("1", &numbers)];
    let packed = packed_archive(folder.path(), "packed", &value, storages);
    let whole = Weights::read(&packed).unwrap().tensors;
    let original = std::fs::read(&packed).unwrap();
    let mut refused = 0;
    for seed in 0..mutations() {
        std::fs::write(&packed, mutated(&original, seed)).unwrap();
        match Weights::read(&packed) {
            Ok(read) => assert!(bytes_of(&read.tensors) == bytes_of(&whole), "seed {seed}"),
            Err(error) => {
                refused += 1;
                assert_eq!(error.kind(), ErrorKind::Input, "seed {seed}: {error}");
            }
        }
    }
    assert!(refused > mutations() / 2, "{refused}");

    let shards = folder.path().join("shards");
    std::fs::create_dir(&shards).unwrap();
    std::fs::write(shards.join("config.json"), "{\"model_type\": \"resnet\"}").unwrap();
    std::fs::copy(fixture("plain.safetensors"), shards.join("one.safetensors")).unwrap();
    let tensors = kd_core::read_tensors(&fixture("plain.safetensors")).unwrap();
    let map: Vec<String> = tensors
        .keys()
        .map(|name| format!("\"{name}\": \"one.safetensors\""))
        .collect();
    let index = format!("{{\"weight_map\": {{{}}}}}", map.join(", "));
    let path = shards.join("model.safetensors.index.json");
    std::fs::write(&path, &index).unwrap();
    Weights::read(&shards).unwrap();
    for seed in 0..mutations() {
        std::fs::write(&path, mutated(index.as_bytes(), seed)).unwrap();
        if let Err(error) = Weights::read(&shards) {
            assert_eq!(error.kind(), ErrorKind::Input, "seed {seed}: {error}");
        }
    }
}

#[test]
fn files_without_checksums_give_an_error_or_tensors() {
    for name in [
        "legacy.pth",
        "nested-legacy.pth",
        "views-legacy.pth",
        "plain.safetensors",
    ] {
        let refused = refused(name, false);
        assert!(refused > mutations() / 4, "{name}: {refused}");
    }
}

/// A change of a single bit of each byte in turn.
#[test]
fn no_bit_of_an_archive_s_tensors_can_change_unseen() {
    let original = std::fs::read(fixture("half.pth")).unwrap();
    let whole = Weights::read(&fixture("half.pth")).unwrap().tensors;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("half.pth");
    for at in (0..original.len()).step_by(3) {
        let mut bytes = original.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, bytes).unwrap();
        if let Ok(read) = Weights::read(&path) {
            assert!(
                bytes_of(&read.tensors) == bytes_of(&whole),
                "bit of byte {at}"
            );
        }
    }
}

/// Every opcode at the wrong time.
#[test]
fn pickles_of_random_opcodes_are_refused() {
    let opcodes =
        b".(012NJKMGXTUBC)]}tldaseucRbQqhrji\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\
        \x8e\x8f\x90\x91\x92\x93\x94\x95\x96";
    let head = std::fs::read(fixture("legacy.pth")).unwrap();
    // The magic number, the version and the facts about the machine stay.
    let start = head
        .windows(11)
        .position(|bytes| bytes == b"ccollection")
        .unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("random.pth");
    for seed in 0..mutations() {
        let mut draws = Draws::new(seed, "opcodes", 0, 0);
        let mut bytes = head[..start].to_vec();
        for _ in 0..200 {
            let at = usize::try_from(draws.below(opcodes.len() as u64)).unwrap();
            bytes.push(opcodes[at]);
        }
        std::fs::write(&path, bytes).unwrap();
        let error = Weights::read(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "seed {seed}: {error}");
    }
}

/// Pickles that would grow without bounds, or go round in circles.
#[test]
fn pickles_that_multiply_are_bounded() {
    let head = std::fs::read(fixture("legacy.pth")).unwrap();
    let start = head
        .windows(11)
        .position(|bytes| bytes == b"ccollection")
        .unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("growing.pth");
    // A dictionary that holds itself; lists within lists; one call again and again with the same argument.
    let itself = b"}q\x00X\x01\x00\x00\x00ah\x00s.".to_vec();
    let nested = [vec![b']'; 100_000], vec![b'a'; 99_999], b".".to_vec()].concat();
    let calls = [
        b"ccollections\nOrderedDict\nq\x01}(".to_vec(),
        b"K\x01K\x02".repeat(50_000),
        b"u\x85q\x02".to_vec(),
        b"h\x01h\x02R".repeat(200_000),
        b".".to_vec(),
    ]
    .concat();
    let twice = [b"]".to_vec(), b"2".repeat(5_000_000), b".".to_vec()].concat();
    for pickle in [itself, nested, calls, twice] {
        let bytes = [&head[..start], &pickle, b"\x80\x02]."].concat();
        std::fs::write(&path, bytes).unwrap();
        let error = Weights::read(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    }
}
