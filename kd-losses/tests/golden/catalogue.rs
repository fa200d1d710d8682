//! The catalogue of losses: each entry is whole, and the table in the README is made from the entries.

use crate::support::Outcome;
use kd_losses::{Family, LossInfo, find_loss, losses};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

/// The constants with their default values, in the order of the config.
fn constants(loss: &LossInfo) -> Outcome<Vec<(String, Value)>> {
    let Some(defaults) = loss.defaults else {
        return Ok(Vec::new());
    };
    let table: serde_json::Map<String, Value> = serde_json::from_str(&defaults())?;
    Ok(table.into_iter().collect())
}

#[test]
fn each_loss_is_found_by_its_own_name() {
    let mut seen = BTreeSet::new();
    for loss in losses() {
        assert!(seen.insert(loss.name), "`{}` is there twice", loss.name);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(loss.name.chars().all(plain), "`{}`", loss.name);
        assert!(find_loss(loss.name).is_some_and(|found| found.title == loss.title));
    }
    assert!(find_loss("no-such-loss").is_none());
}

#[test]
fn each_constant_has_a_source_and_each_source_a_constant() -> Outcome {
    for loss in losses() {
        let fields: BTreeSet<String> = constants(loss)?.into_iter().map(|(name, _)| name).collect();
        let named: BTreeSet<String> = loss.constants.iter().map(|c| c.name.to_owned()).collect();
        assert_eq!(fields, named, "`{}`", loss.name);
        for constant in loss.constants {
            assert!(
                !constant.source.is_empty(),
                "`{}` of `{}`",
                constant.name,
                loss.name
            );
        }
    }
    Ok(())
}

#[test]
fn each_entry_is_whole() {
    for loss in losses() {
        for (what, text) in [
            ("title", loss.title),
            ("about", loss.about),
            ("authors", loss.paper.authors),
            ("place", loss.paper.place),
            ("inputs", loss.inputs),
            ("extra parameters", loss.extra_parameters),
        ] {
            assert!(!text.is_empty(), "`{}` has no {what}", loss.name);
        }
        for text in [loss.about, loss.inputs, loss.cost, loss.disagreements] {
            assert!(!text.contains(['|', '\n']), "`{}`: {text}", loss.name);
        }
        assert!((1980..2030).contains(&loss.paper.year), "`{}`", loss.name);
    }
}

fn row(loss: &LossInfo) -> Outcome<String> {
    let paper = &loss.paper;
    let link = if paper.arxiv.is_empty() {
        String::new()
    } else {
        format!("[{0}](https://arxiv.org/abs/{0}), ", paper.arxiv)
    };
    let mut defaults = Vec::new();
    for (name, value) in constants(loss)? {
        let source = loss.constants.iter().find(|constant| constant.name == name);
        let source = source.map_or("", |constant| constant.source);
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        defaults.push(format!("`{name}` {value} ({source})"));
    }
    if let Some(usual) = loss.usual_weight {
        defaults.push(format!("usual weight {} ({})", usual.value, usual.source));
    }
    let defaults = if defaults.is_empty() {
        "none".to_owned()
    } else {
        defaults.join("; ")
    };
    let extra = match loss.cost {
        "" => loss.extra_parameters.to_owned(),
        cost => format!("{}. Cost: {cost}", loss.extra_parameters),
    };
    let disagreements = match loss.disagreements {
        "" => "none known",
        text => text,
    };
    Ok(format!(
        "| `{}` | {} | {}, {}, {link}{} | {} | {defaults} | {extra} | {disagreements} |",
        loss.name, loss.title, paper.authors, paper.year, paper.place, loss.inputs
    ))
}

fn table() -> Outcome<String> {
    let mut text = String::from(
        "| name | loss | paper | inputs | default constants and their source | extra parameters \
         | where implementations disagree, and this one |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for family in Family::ALL {
        writeln!(text, "| | **{}** | | | | | |", family.title())?;
        for loss in losses().filter(|loss| loss.family == family) {
            writeln!(text, "{}", row(loss)?)?;
        }
    }
    Ok(text)
}

/// `KD_UPDATE=1 cargo test -p kd-losses --test golden catalogue` writes the table anew.
#[test]
fn the_table_in_the_readme_is_the_catalogue() -> Outcome {
    const BEGIN: &str = "<!-- the catalogue: made by tests/golden/catalogue.rs, do not edit -->\n";
    const END: &str = "<!-- end of the catalogue -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path)?;
    let begin = readme.find(BEGIN).ok_or("no beginning of the catalogue")? + BEGIN.len();
    let end = readme.find(END).ok_or("no end of the catalogue")?;
    let expected = format!("\n{}\n", table()?);
    if std::env::var_os("KD_UPDATE").is_some() {
        let updated = format!("{}{expected}{}", &readme[..begin], &readme[end..]);
        std::fs::write(&path, updated)?;
        return Ok(());
    }
    assert!(
        readme[begin..end] == expected,
        "the table in README.md is not the catalogue; write it anew with \
         `KD_UPDATE=1 cargo test -p kd-losses --test golden catalogue`"
    );
    Ok(())
}
