//! `kd report`.

use std::path::Path;

use kd_core::Result;
use kd_recipe::{Methods, write_report};
use serde_json::json;

use super::demo;
use super::session::machine;
use crate::args::MachineOptions;
use crate::output;
use crate::progress::counted::Busy;

pub(super) fn run(methods: &Methods, path: &Path, options: &MachineOptions) -> Result<()> {
    let machine = machine(options)?;
    let runs = if demo::is_demo(path) {
        let parts = demo::PARTS.map(|part| path.join(part)).into_iter();
        parts
            .filter(|part| part.join("recipe.toml").is_file())
            .collect()
    } else {
        vec![path.to_owned()]
    };
    let mut written = Vec::new();
    for run in runs {
        let busy = Busy::new("writing the report");
        write_report(methods, &run, &machine)?;
        drop(busy);
        written.push(run.join("report.md"));
    }
    if options.json {
        output::json(&json!({ "run": path, "reports": written }));
        return Ok(());
    }
    for report in written {
        let page = report.with_extension("html");
        output::line(&format!(
            "report in {}, and in {}",
            page.display(),
            report.display()
        ));
    }
    Ok(())
}
