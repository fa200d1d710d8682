//! `kd new`.

use std::path::{Path, PathBuf};

use kd_core::{Error, Result};
use kd_recipe::Methods;
use serde_json::json;

use super::session::machine;
use crate::args::NewOptions;
use crate::draft::draft;
use crate::output::{self, quoted_path};

pub(super) fn run(methods: &Methods, options: &NewOptions) -> Result<()> {
    let machine = machine(&options.machine)?;
    if let Some(out) = &options.out {
        check_new(out)?;
    }
    let draft = draft(
        methods,
        &machine,
        &options.draft,
        options.student.as_deref(),
    )?;
    let out = options
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.toml", draft.name)));
    check_new(&out)?;
    kd_core::write_atomically(&out, draft.text.as_bytes())?;
    let command = format!("kd {} {}", draft.verb.name(), quoted_path(&out));
    if options.machine.json {
        output::json(&json!({ "recipe": out, "command": command }));
    } else {
        output::line(&format!("recipe in {}", out.display()));
    }
    output::next(&command);
    Ok(())
}

/// Nothing of the user's is overwritten.
fn check_new(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    Err(Error::Input {
        path: path.to_owned(),
        problem: "is there already; remove it, or give another file with `--out`".into(),
    })
}
