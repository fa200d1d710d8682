//! The cost of missing students of a class, from the results of a campaign: a Markdown table and two plots.
//!
//! ```text
//! cargo run -p kd-teacherclass --example missing_students -- RESULTS METHOD FOLDER
//!     RESULTS   the `results.json` of a campaign
//!     METHOD    the name of a method of it, a class of two to eight students
//!     FOLDER    where `missing.md`, `missing.svg` and `missing-worst.svg` are written
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use kd_core::write_atomically;
use kd_report::{SectionPart, Summary};
use kd_teacherclass::missing_students;
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [results, method, folder] = arguments.as_slice() else {
        return Err("give the results of a campaign, the name of a method, and a folder".into());
    };
    let section = missing_students(&metrics(Path::new(results), method)?)?;
    if section.parts().is_empty() {
        return Err(format!("`{method}` in `{results}` has nothing of missing students").into());
    }
    let folder = Path::new(folder);
    for part in section.parts() {
        match part {
            SectionPart::Table(table) => {
                write_atomically(&folder.join("missing.md"), table.to_string().as_bytes())?;
            }
            SectionPart::Picture { name, picture, .. } => {
                let (ending, bytes) = picture.file();
                write_atomically(&folder.join(format!("{name}.{ending}")), bytes)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The metrics of a method after its last epoch.
fn metrics(results: &Path, method: &str) -> Result<BTreeMap<String, Summary>> {
    let results: Value = serde_json::from_slice(&std::fs::read(results)?)?;
    let methods = results["methods"]
        .as_array()
        .ok_or("`methods` is missing")?;
    let found = methods.iter().find(|row| row["name"] == method);
    let found = found.ok_or_else(|| format!("there is no method `{method}`"))?;
    Ok(serde_json::from_value(found["last"].clone())?)
}
