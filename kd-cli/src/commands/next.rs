//! What can be done next: a command in one line, at the end of one that is done.

use std::path::Path;

use kd_recipe::{Methods, Verb};

use crate::args::{CacheCommand, Command, DataCommand, ExportFormat};
use crate::output::{quoted, quoted_path};

/// What follows a command, as far as its arguments tell. Those that end with a run say it themselves.
pub(super) fn after(command: &Command, methods: &Methods) -> Option<String> {
    Some(match command {
        Command::Check(options) => {
            let recipe = methods.read_file(&options.recipe, &options.overrides());
            let verb = recipe.map_or(Verb::Distill, |recipe| recipe.verb());
            format!("kd {} {}", verb.name(), quoted_path(&options.recipe))
        }
        Command::Report { folder, .. } => format!("kd resume {}", quoted_path(folder)),
        Command::Compare(options) if options.dry_run => {
            format!("kd compare {}", quoted_path(&options.campaign))
        }
        Command::Compare(_) => "kd runs".into(),
        Command::Eval(options) => {
            let model = options.model.first().filter(|model| model.is_dir())?;
            format!(
                "kd export --model {} --format onnx --out model.onnx",
                quoted_path(model)
            )
        }
        Command::Predict(options) => {
            let model = quoted_path(&options.model);
            format!("kd export --model {model} --format onnx --out model.onnx")
        }
        Command::Import(options) => {
            let data = options.data.as_deref().unwrap_or("DATA");
            format!(
                "kd eval --model {} --data {}",
                quoted_path(&options.out),
                quoted(data)
            )
        }
        Command::Export(options) if options.format == ExportFormat::Safetensors => {
            let model = quoted_path(options.model.first()?);
            format!("kd export --model {model} --format onnx --out model.onnx")
        }
        Command::Export(options) => {
            format!("kd predict {} IMAGE", quoted_path(options.model.first()?))
        }
        Command::Synthesize(options) => {
            let model = quoted_path(&options.run);
            format!("kd predict {model} {}", quoted_path(&options.out))
        }
        Command::Cache { what } => match what {
            CacheCommand::Build { recipe, .. } => format!("kd distill {}", quoted_path(recipe)),
            CacheCommand::Verify { file, .. } => format!("kd cache info {}", quoted_path(file)),
            CacheCommand::Info { file, .. } => format!("kd cache verify {}", quoted_path(file)),
        },
        Command::Data { what } => match what {
            DataCommand::List { .. } => "kd data info fashion-mnist-mini".into(),
            DataCommand::Info { .. } => "kd models".into(),
        },
        Command::Runs { .. } => "kd runs diff FIRST SECOND".into(),
        Command::Doctor(_) => "kd demo".into(),
        Command::Explain(options) if options.schema || options.key.is_some() => return None,
        Command::Explain(_) => "kd explain train.lr".into(),
        Command::Methods { .. } | Command::Losses { name: Some(_), .. } => "kd losses".into(),
        Command::Losses { name: None, .. } => "kd losses dkd".into(),
        Command::Models { name: None, .. } => "kd models resnet20".into(),
        Command::Models { name: Some(_), .. } => "kd models".into(),
        _ => return None,
    })
}

/// What follows a run that is done.
pub(super) fn after_run(run: &Path) -> String {
    if !run.join("model").is_dir() {
        return format!("kd report {}", quoted_path(run));
    }
    let run = quoted_path(run);
    format!("kd export --model {run} --format onnx --out model.onnx")
}
