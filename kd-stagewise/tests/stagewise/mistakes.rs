//! Mistakes are named in words, before the first step.

use burn::tensor::Device;
use kd_core::{InnerTables, Normalisation, settings_over, testing};
use kd_stagewise::{Procedure, Select, Stagewise, StagewiseConfig};

use crate::support::{Last, Net, data, method, method_of, net, teacher, training, with_last};

fn config(toml: &str) -> StagewiseConfig {
    toml::from_str(toml).unwrap()
}

fn refused(method: &Stagewise<Net>) -> String {
    method.check().unwrap_err().to_string()
}

#[test]
fn a_student_of_other_widths_is_refused_in_words() {
    let wide = method(data()).with_teacher(Box::new(teacher(&net(4, 1, 2))));
    let said = refused(&wide);
    for part in ["stage `stem`", "4x14x14", "3x14x14", "unequal_maps"] {
        assert!(said.contains(part), "{said}");
    }
    let with_regressors = wide.with_config(config("unequal_maps = \"regressor\""));
    with_regressors.check().unwrap();
    // 3 -> 4 three times and 6 -> 8 once, each with biases.
    assert_eq!(with_regressors.extra_parameters().unwrap(), 3 * 16 + 7 * 8);
}

#[test]
fn a_teacher_that_is_not_there_is_asked_for() {
    let plain = Normalisation::identity(1);
    let alone = Stagewise::new(&net(3, 1, 1), plain, data(), training(), &Device::flex());
    let said = refused(&alone);
    assert!(said.contains("`teacher` is missing"), "{said}");
    let alone = alone.with_config(config("procedure = \"no-teacher\""));
    alone.check().unwrap();
}

#[test]
fn names_that_there_are_not_name_the_nearest() {
    for (settings, parts) in [
        ("[phases.boddy]\nlr = 1.0", ["`boddy`", "body"]),
        (
            "procedure = { kind = \"fitnets\", guided = \"dep\" }",
            ["`dep`", "deep"],
        ),
        ("teacher_stages = { stme = \"stem\" }", ["`stme`", "stem"]),
        ("teacher_stages = { stem = \"boddy\" }", ["`boddy`", "body"]),
    ] {
        let said = refused(&method(data()).with_config(config(settings)));
        for part in parts {
            assert!(said.contains(part), "{said}");
        }
    }
    let typo = toml::from_str::<StagewiseConfig>("procedure = \"sdk\"").unwrap_err();
    assert!(typo.to_string().contains("skd"), "{typo}");
    let typo = "procedure = { kind = \"hinton\", temprature = 4 }";
    let typo = toml::from_str::<StagewiseConfig>(typo).unwrap_err();
    assert!(
        typo.to_string().contains("did you mean `temperature`"),
        "{typo}"
    );
}

#[test]
fn values_out_of_range_are_refused() {
    for (settings, part) in [
        (
            "procedure = { kind = \"hinton\", temperature = 0 }",
            "temperature",
        ),
        ("procedure = { kind = \"hinton\", alpha = 1.5 }", "alpha"),
        (
            "procedure = { kind = \"attention-transfer\", beta = -1 }",
            "beta",
        ),
        (
            "procedure = { kind = \"fitnets-code\", guided = [\"deep\", \"stem\"] }",
            "front to back",
        ),
        ("procedure = \"fitnets\"", "no stage `layer2`"),
        ("fine_tune_epochs = 0", "fine_tune_epochs"),
        (
            "procedure = \"no-teacher\"\nteacher_input = true",
            "teacher_input",
        ),
        ("[phases.stem]\nlr = -1.0", "stagewise.phases.stem.lr"),
        (
            "[phases.stem]\nlearning_rate = 1.0",
            "`stagewise.phases.stem.learning_rate` is not known",
        ),
        (
            "[phases.stem]\nepcohs = 1",
            "`stagewise.phases.stem.epcohs` is not known; did you mean `epochs`?",
        ),
    ] {
        let said = refused(&method(data()).with_config(config(settings)));
        assert!(said.contains(part), "{settings}: {said}");
    }
}

#[test]
fn too_few_samples_for_a_batch_are_said() {
    let mut small = data();
    small.train = small.train.per_class(1, 0).unwrap();
    let said = refused(&method(small));
    assert!(
        said.contains("10 samples") && said.contains("batch_size"),
        "{said}"
    );
}

#[test]
fn selection_needs_samples() {
    let mut without = data();
    without.validation = None;
    let said = refused(&method(without.clone()));
    assert!(said.contains("stagewise.select"), "{said}");
    let mut test = StagewiseConfig::default();
    test.select = Select::Test;
    method(without).with_config(test).check().unwrap();
}

#[test]
fn settings_of_a_phase_are_laid_over_those_of_all() {
    let table = |text: &str| {
        let table: toml::Table = text.parse().unwrap();
        match serde_json::to_value(table).unwrap() {
            serde_json::Value::Object(table) => table,
            other => panic!("{other}"),
        }
    };
    let all = training();
    let table = table("steps = 7\nlr = 0.5");
    let made = settings_over(&all, &table, "train", InnerTables::Replaced).unwrap();
    assert_eq!((made.steps, made.epochs, made.lr), (Some(7), None, 0.5));
    assert_eq!(made.optimizer, all.optimizer);
    let phases = config("[phases.deep]\nsteps = 7\n[phases.head]\nepochs = 1");
    let steps = method(data()).with_config(phases).steps().unwrap();
    let steps: Vec<usize> = steps.into_iter().map(|(_, steps)| steps).collect();
    assert_eq!(steps, [6, 6, 7, 6, 3]);
}

#[test]
fn a_procedure_is_written_as_it_is_read() {
    for kind in Procedure::KINDS {
        let made = Procedure::of(kind).unwrap();
        assert_eq!(made.kind(), kind);
        let mut config = StagewiseConfig::default();
        config.procedure = made;
        let text = toml::to_string(&config).unwrap();
        assert_eq!(
            toml::from_str::<StagewiseConfig>(&text).unwrap(),
            config,
            "{text}"
        );
    }
}

#[test]
fn stages_that_share_a_parameter_are_refused() {
    let tied = with_last(&net(3, 1, 1), Last::Tied);
    let said = refused(&method_of(&tied, data()));
    for part in ["`body.0.conv.weight`", "stage `body`", "stage `join`"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn samples_that_are_trained_on_do_not_select() {
    let mut overlapping = data();
    let validation = overlapping.validation.clone().unwrap();
    let both = [overlapping.train.ids(), validation.ids()].concat();
    overlapping.train = kd_core::Subset::from_ids(validation.dataset(), both).unwrap();
    let said = refused(&method(overlapping));
    assert!(said.contains("for validation"), "{said}");
}

/// A mistake is not passed over where `check` was not called.
#[test]
fn a_run_that_cannot_be_says_so() {
    let wrong = method(data()).with_config(config(
        "procedure = { kind = \"fitnets\", guided = \"dep\" }",
    ));
    let place = tempfile::tempdir().unwrap();
    let error = testing::run(&wrong, place.path()).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("`dep`"), "{said}");
}
