//! The stamp of a folder: it changes when there is something new to show.

use std::fmt::Write;
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::live::lock;

/// Files that a page is made of.
const FILES: [&str; 6] = [
    "environment.json",
    "metrics.jsonl",
    "outcome.json",
    "recipe.toml",
    "results.json",
    "report.html",
];
/// The runs of a campaign lie this deep at most: cells, method, value, seed.
const DEEPEST: usize = 4;

/// Length and time of the files of a run, or of all runs of a campaign, and whether a process works there.
///
/// It is a short text of digits and letters; an empty one for a folder that is not there.
pub fn stamp_of(folder: &Path) -> String {
    let mut text = String::new();
    write_stamp(folder, 0, &mut text);
    if text.is_empty() {
        return text;
    }
    // FNV-1a: a stamp is compared with those before it and guards nothing.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn write_stamp(folder: &Path, depth: usize, text: &mut String) {
    for name in FILES {
        let Ok(metadata) = folder.join(name).metadata() else {
            continue;
        };
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let time = modified.map_or(0, |time| time.as_nanos());
        let _ = write!(text, "{name} {} {time} ", metadata.len());
    }
    for name in ["run.lock", "campaign.lock"] {
        let _ = write!(
            text,
            "{}",
            u8::from(lock::is_held(&folder.join(name)) == Some(true))
        );
    }
    if depth == DEEPEST || folder.join("recipe.toml").is_file() {
        return;
    }
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let folders = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut below: Vec<_> = folders.map(|entry| entry.path()).collect();
    below.sort();
    for folder in below {
        write_stamp(&folder, depth + 1, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_epoch_changes_the_stamp_and_a_model_does_not() {
        let place = tempfile::tempdir().unwrap();
        let run = place.path().join("cells/kd/seed0");
        std::fs::create_dir_all(&run).unwrap();
        std::fs::write(run.join("recipe.toml"), "").unwrap();
        std::fs::write(run.join("metrics.jsonl"), "1\n").unwrap();
        let first = stamp_of(place.path());
        assert_eq!(first, stamp_of(place.path()));
        std::fs::write(run.join("model.safetensors"), "").unwrap();
        assert_eq!(first, stamp_of(place.path()));
        std::fs::write(run.join("metrics.jsonl"), "1\n2\n").unwrap();
        let second = stamp_of(place.path());
        assert_ne!(first, second);
        assert!(second.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
