//! Settings as a recipe has them: defaults by kind, keys that are refused, the way back.

use kd_losses::ClassifierOverlap;
use kd_online::{Attention, BranchViews, Diversification, Objective, OnlineConfig};

use crate::support::{KINDS, config};

fn problem(toml: &str) -> String {
    match toml::from_str::<OnlineConfig>(toml) {
        Ok(config) => config.check().unwrap_err().to_string(),
        Err(error) => error.message().to_owned(),
    }
}

#[test]
fn every_kind_is_read_and_written_back() {
    for kind in Objective::NAMES {
        let config = OnlineConfig::of(kind).unwrap();
        assert_eq!(config.objective.name(), kind);
        let text = toml::to_string(&config).unwrap();
        assert_eq!(
            toml::from_str::<OnlineConfig>(&text).unwrap(),
            config,
            "{text}"
        );
    }
    for toml in KINDS {
        let config = config(toml);
        let text = toml::to_string(&config).unwrap();
        assert_eq!(
            toml::from_str::<OnlineConfig>(&text).unwrap(),
            config,
            "{text}"
        );
        config.check().unwrap();
    }
}

#[test]
fn defaults_are_those_of_the_codes() {
    let of = |kind: &str| OnlineConfig::of(kind).unwrap();
    let shape = |kind: &str| (of(kind).branches, of(kind).temperature, of(kind).views);
    assert_eq!(shape("okdmde"), (3, 3.0, BranchViews::Same));
    assert_eq!(shape("one"), (3, 3.0, BranchViews::Same));
    assert_eq!(shape("okddip"), (4, 3.0, BranchViews::Same));
    assert_eq!(shape("dml"), (2, 1.0, BranchViews::Same));
    assert_eq!(shape("pcl"), (3, 3.0, BranchViews::Own));
    assert_eq!(shape("single"), (1, 3.0, BranchViews::Same));
    let okddip = of("okddip");
    assert_eq!((okddip.peers(), okddip.student()), (3, 3));
    // A leader is one branch more, unless their number is given.
    assert_eq!(config("kind = \"okddip\"\nleader = false").branches, 3);
    assert_eq!(
        config("kind = \"okdmde\"\nattention = \"per-peer\"\nleader = true").branches,
        4
    );
    let five = "kind = \"okdmde\"\nattention = \"per-peer\"\nleader = true\nbranches = 5";
    assert_eq!(config(five).peers(), 4);
    let Objective::Okdmde {
        attention,
        reduction,
        ..
    } = of("okdmde").objective
    else {
        panic!("another kind");
    };
    assert_eq!((attention, reduction), (Attention::Gate, 8));
    assert_eq!(of("pcl").objective.average_decay(), Some(0.999));
}

#[test]
fn a_key_is_set_as_a_recipe_sets_it() {
    let config = OnlineConfig::of("okdmde").unwrap();
    let leading = config.clone().with("attention", "per-peer").unwrap();
    let leading = leading.with("leader", true).unwrap();
    assert_eq!((leading.branches, leading.peers()), (4, 3));
    let five = config
        .clone()
        .with_branches(5)
        .with("temperature", 2)
        .unwrap();
    assert_eq!((five.branches, five.temperature), (5, 2.0));
    let error = config.with("leader", "yes").unwrap_err().to_string();
    assert!(error.starts_with("`leader` "), "{error}");
}

#[test]
fn a_penalty_is_a_preset_or_a_table() {
    let term = |toml: &str| {
        let toml = format!("kind = \"okdmde\"\ndiversification = {toml}");
        config(&toml).diversification.unwrap()
    };
    assert_eq!(term("\"literal\""), Diversification::literal());
    assert!((Diversification::literal().weight - 5e-8).abs() < 1e-20);
    assert_eq!(term("\"working\""), Diversification::working());
    let table = term("{ overlap = \"normalised-frobenius\", weight = 1, leader = true }");
    assert_eq!(table.overlap, ClassifierOverlap::NormalisedFrobenius);
    assert!(table.leader);
    let wrong = "kind = \"okdmde\"\ndiversification = \"litteral\"";
    assert!(
        problem(wrong).contains("did you mean `literal`"),
        "{}",
        problem(wrong)
    );
    let wrong = "kind = \"okdmde\"\ndiversification = { overlap = \"class-cosine\" }";
    assert!(
        problem(wrong).contains("missing field `weight`"),
        "{}",
        problem(wrong)
    );
}

#[test]
fn keys_of_another_kind_are_refused() {
    for (toml, said) in [
        (
            "kind = \"one\"\nleader = true",
            "unknown key of `online` `leader`",
        ),
        (
            "kind = \"dml\"\nattention = \"gate\"",
            "unknown key of `online` `attention`",
        ),
        ("kind = \"okdmde\"\nbranchs = 4", "did you mean `branches`"),
        ("kind = \"okdmd\"", "did you mean `okdmde`"),
        ("branches = 3", "missing field `kind`"),
        (
            "kind = \"kdcl\"\ntarget = \"best\"",
            "unknown variant `best`",
        ),
    ] {
        let found = problem(toml);
        assert!(found.contains(said), "{toml}: {found}");
    }
    // A key is listed once, set or not.
    let found =
        problem("kind = \"okdmde\"\nbranchs = 4\nshared = \"stem\"\ndiversification = \"working\"");
    for key in ["shared", "diversification", "branches", "ensemble_loss"] {
        let listed = found.split([' ', ',']).filter(|word| *word == key);
        assert_eq!(listed.count(), 1, "{key}: {found}");
    }
}

#[test]
fn values_out_of_range_are_refused_by_their_key() {
    for (toml, said) in [
        (
            "kind = \"okdmde\"\ntemperature = 0",
            "`temperature` must be finite and above 0, got 0",
        ),
        (
            "kind = \"okdmde\"\nkd_weight = -1",
            "`kd_weight` must be finite and not negative",
        ),
        (
            "kind = \"okdmde\"\nramp_up_epochs = -1",
            "`ramp_up_epochs` must be finite",
        ),
        (
            "kind = \"okdmde\"\ntarget_epsilon = 0.1",
            "`target_epsilon` must be from 0 to 0.001",
        ),
        (
            "kind = \"okdmde\"\nreduction = 0",
            "`reduction` must be at least 1",
        ),
        (
            "kind = \"pcl\"\naverage_decay = 1",
            "`average_decay` must be at least 0 and below 1",
        ),
        (
            "kind = \"dml\"\nteacher = { temperature = 0 }",
            "`teacher.temperature` must be",
        ),
        (
            "kind = \"dml\"\nprediction_penalty = { weight = -1 }",
            "`prediction_penalty.weight`",
        ),
        (
            "kind = \"dml\"\ndiversification = { overlap = \"absolute\", weight = -1 }",
            "`diversification.weight`",
        ),
    ] {
        let found = problem(toml);
        assert!(found.contains(said), "{toml}: {found}");
    }
}
