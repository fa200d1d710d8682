//! `kd losses`.

use kd_core::{Error, Result};
use kd_losses::{Family, LossInfo, find_loss, losses};
use kd_offline::LossConfig;
use kd_report::Align::Left;
use serde_json::{Value, json};

use crate::output;

pub(super) fn run(name: Option<&str>, as_json: bool) -> Result<()> {
    if let Some(name) = name {
        return one(name, as_json);
    }
    all(as_json);
    Ok(())
}

/// Whether a recipe of `kd distill` can name it.
fn in_recipes(loss: &LossInfo) -> bool {
    LossConfig::kinds().any(|kind| kind == loss.name)
}

fn all(as_json: bool) {
    if as_json {
        let objects: Vec<Value> = losses().map(object).collect();
        output::json(&json!({ "losses": objects }));
        return;
    }
    for family in Family::ALL {
        let of_family = losses().filter(|loss| loss.family == family);
        let rows: Vec<Vec<String>> = of_family
            .map(|loss| {
                let mark = if in_recipes(loss) { "" } else { "*" };
                vec![
                    format!("{}{mark}", loss.name),
                    format!("{}, {}", loss.paper.authors, loss.paper.year),
                    loss.about.to_owned(),
                ]
            })
            .collect();
        let head = [
            (family.title(), Left),
            ("paper", Left),
            ("what it is", Left),
        ];
        output::table(&head, &rows);
        output::line("");
    }
    output::line(
        "`kd losses NAME` tells the rest: constants and their sources, what it trains and costs, where \
         implementations disagree.",
    );
    output::line(
        "* is of images or of modules: for methods that make them, not for a recipe of `kd distill`.",
    );
}

fn one(name: &str, as_json: bool) -> Result<()> {
    let loss = find_loss(name)
        .ok_or_else(|| Error::unknown_name("loss", name, losses().map(|loss| loss.name)))?;
    if as_json {
        output::json(&object(loss));
        return Ok(());
    }
    output::line(&format!("{}: {}", loss.title, loss.about));
    let paper = &loss.paper;
    let arxiv = match paper.arxiv {
        "" => String::new(),
        id => format!(", arXiv {id}"),
    };
    let place = format!("{}, {}{arxiv}, {}", paper.authors, paper.year, paper.place);
    output::line(&format!("paper: {place}"));
    output::line(&format!("takes: {}", loss.inputs));
    output::line(&format!("extra parameters: {}", loss.extra_parameters));
    for (what, text) in [
        ("cost", loss.cost),
        ("where implementations disagree", loss.disagreements),
    ] {
        if !text.is_empty() {
            output::line(&format!("{what}: {text}"));
        }
    }
    if let Some(usual) = loss.usual_weight {
        output::line(&format!("usual weight: {} ({})", usual.value, usual.source));
    }
    let defaults = defaults(loss);
    if !loss.constants.is_empty() {
        output::line("");
        let row = |constant: &kd_losses::Constant| {
            let value = defaults.get(constant.name);
            let value = value.map_or_else(String::new, Value::to_string);
            vec![constant.name.to_owned(), value, constant.source.to_owned()]
        };
        let rows: Vec<Vec<String>> = loss.constants.iter().map(row).collect();
        let head = [("constant", Left), ("default", Left), ("source", Left)];
        output::table(&head, &rows);
    }
    if in_recipes(loss) {
        let config = LossConfig::of(loss.name)?;
        output::line("\nin a recipe:\n");
        output::line("[[losses]]");
        output::line(config.example().trim_end());
    }
    Ok(())
}

/// The constants with their default values.
fn defaults(loss: &LossInfo) -> Value {
    let text = loss.defaults.map(|defaults| defaults());
    text.and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_else(|| json!({}))
}

fn object(loss: &LossInfo) -> Value {
    let sources = loss.constants.iter();
    let sources: serde_json::Map<String, Value> = sources
        .map(|constant| (constant.name.to_owned(), constant.source.into()))
        .collect();
    json!({
        "name": loss.name,
        "title": loss.title,
        "family": loss.family.title(),
        "description": loss.about,
        "paper": {
            "authors": loss.paper.authors,
            "year": loss.paper.year,
            "arxiv": loss.paper.arxiv,
            "place": loss.paper.place,
        },
        "inputs": loss.inputs,
        "defaults": defaults(loss),
        "sources": sources,
        "usual_weight": loss.usual_weight.map(|usual| usual.value),
        "extra_parameters": loss.extra_parameters,
        "cost": loss.cost,
        "disagreements": loss.disagreements,
        "in_recipes": in_recipes(loss),
    })
}
