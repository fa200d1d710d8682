//! Prints what criterion has measured as a Markdown table: the median of each benchmark with its confidence
//! interval.
//!
//! ```text
//! criterion_table [FOLDER]   criterion's folder; without it that of `$CARGO_TARGET_DIR` or of `target`
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Median and interval in nanoseconds, by id.
type Medians = BTreeMap<String, [f64; 3]>;

fn main() -> Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from(target).join("criterion"), PathBuf::from);
    let mut medians = Medians::new();
    collect(&folder, &mut medians)?;
    if medians.is_empty() {
        return Err(format!("no measurements in `{}`", folder.display()).into());
    }
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| benchmark | median | 95 % interval |\n|---|---:|---:|"
    )?;
    for (id, [median, low, high]) in medians {
        let [median, low, high] = [median, low, high].map(readable);
        writeln!(out, "| `{id}` | {median} | {low} to {high} |")?;
    }
    Ok(())
}

/// Adds the latest measurement below `folder`, and those of the folders in it.
fn collect(folder: &Path, into: &mut Medians) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        if path.ends_with("new") {
            let id = json(&path.join("benchmark.json"))?;
            let id = id["full_id"].as_str().ok_or("`full_id` is missing")?;
            let median = &json(&path.join("estimates.json"))?["median"];
            let interval = &median["confidence_interval"];
            let numbers = [
                &median["point_estimate"],
                &interval["lower_bound"],
                &interval["upper_bound"],
            ];
            let numbers = numbers.map(|number| number.as_f64().unwrap_or(f64::NAN));
            into.insert(id.to_owned(), numbers);
        } else {
            collect(&path, into)?;
        }
    }
    Ok(())
}

fn json(path: &Path) -> Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// Nanoseconds as a person reads them.
fn readable(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.1} µs", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}
