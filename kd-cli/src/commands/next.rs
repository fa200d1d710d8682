//! Hints: the command that can be typed next, in one line at the end of one that is done.

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
        Command::Models(options) if options.name.is_none() => "kd models resnet20".into(),
        Command::Models(_) => "kd models".into(),
        _ => return None,
    })
}

/// What follows a run that is done: a network that has learnt from labels alone is a teacher.
pub(super) fn after_run(run: &Path) -> String {
    let shown = quoted_path(run);
    if !run.join("model").is_dir() {
        return format!("kd report {shown}");
    }
    match data_of_teacher(run) {
        Some(data) => format!("kd distill --data {data} --teacher {shown}"),
        None => format!("kd export --model {shown} --format onnx --out model.onnx"),
    }
}

/// The data of a run without a teacher, as `--data` takes them.
fn data_of_teacher(run: &Path) -> Option<String> {
    let text = std::fs::read_to_string(run.join("recipe.toml")).ok()?;
    let recipe: toml::Table = text.parse().ok()?;
    let text = |table: &str, key: &str| recipe.get(table)?.get(key)?.as_str().map(str::to_owned);
    let procedure = recipe
        .get("stagewise")
        .and_then(|table| table.get("procedure"));
    let is_alone = match recipe.get("method")?.as_str()? {
        "train" => true,
        "stagewise" => {
            procedure.is_some_and(|procedure| procedure.to_string().contains("no-teacher"))
        }
        _ => false,
    };
    let data = text("data", "path").or_else(|| text("data", "name"))?;
    is_alone.then(|| quoted(&data))
}
