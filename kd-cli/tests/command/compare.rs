//! Campaigns: stopped, killed, taken up again, with runs that fail, from recipes that have changed.

use std::path::Path;
use std::sync::OnceLock;

use crate::support::Place;
use serde_json::Value;

/// A student alone and distilled, both from one recipe, and their teacher; a second of work in all.
const CAMPAIGN: &str = r#"
title = "a small campaign"
budget = "two epochs"
seeds = [0, 1]
more_metrics = ["agreement"]
plot_metrics = ["agreement"]
baseline = "alone"

[[teachers]]
name = "small"
recipe = "teacher.toml"

[[methods]]
name = "alone"
recipe = "student.toml"
teachers = ["small"]
set.losses = [{ kind = "cross-entropy" }]

[[methods]]
name = "hint"
title = "a hint"
recipe = "student.toml"
teachers = ["small"]
"#;

/// A few more steps, with checkpoints between them.
const LONGER: [&str; 6] = [
    "--set",
    "data.per_class=64",
    "--set",
    "train.epochs=3",
    "--set",
    "train.checkpoint_every=2",
];

fn place(campaign: &str) -> Place {
    let place = Place::new();
    std::fs::write(place.path("campaign.toml"), campaign).unwrap();
    place
}

fn compare<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["compare", "campaign.toml", "--out", "out"];
    args.extend(more);
    args
}

/// `results.json` without what a clock and the system say.
fn results(place: &Place) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(object) => {
                object.retain(|key, _| !matches!(key.as_str(), "seconds" | "peak_memory_bytes"));
                object.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut results = serde_json::from_slice(&place.read("out/results.json")).unwrap();
    strip(&mut results);
    results
}

/// The campaign with [`LONGER`] that nobody disturbed.
fn undisturbed() -> &'static Value {
    static RESULTS: OnceLock<Value> = OnceLock::new();
    RESULTS.get_or_init(|| {
        let place = place(CAMPAIGN);
        let printed = place.json(&compare(&[&LONGER[..], &["--json"]].concat()));
        let results = results(&place);
        assert_eq!(printed["runs"].as_array().unwrap().len(), 4);
        assert_eq!(results["complete"], true);
        results
    })
}

fn states(results: &Value) -> Vec<&str> {
    let runs = results["runs"].as_array().unwrap();
    runs.iter()
        .map(|run| run["state"].as_str().unwrap())
        .collect()
}

/// The arguments of [`compare`] put over every recipe to make it as short as can be.
const SHORT: [&str; 4] = ["--set", "data.per_class=8", "--set", "train.epochs=1"];

#[test]
fn one_command_makes_teacher_methods_tables_and_plots() {
    let place = place(CAMPAIGN);
    let said = place.run(&compare(&LONGER));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let last = said.stderr.lines().last().unwrap();
    assert!(
        last.starts_with("[5/5] a hint, seed 1: accuracy "),
        "{last}"
    );
    assert!(
        said.stderr.lines().next().unwrap().contains(" left"),
        "{}",
        said.stderr
    );
    assert!(
        said.stdout.ends_with("\nresults in out/results.md\n"),
        "{}",
        said.stdout
    );

    let results = results(&place);
    assert!(results == *undisturbed());
    let [alone, hint] = results["methods"].as_array().unwrap().as_slice() else {
        panic!("{results}")
    };
    assert_eq!(
        (&alone["done"], &alone["extra_parameters"]),
        (&2.into(), &0.into())
    );
    // 8 channels to 8 channels, and 8 biases.
    assert_eq!(
        (&hint["extra_parameters"], &hint["parameters"]),
        (&72.into(), &15_738.into())
    );
    // The mean and the difference are those of the runs.
    let last = |name: &str, seed: u64| {
        let outcome = place.read(&format!("out/cells/{name}/seed{seed}/outcome.json"));
        let outcome: Value = serde_json::from_slice(&outcome).unwrap();
        assert!(
            outcome["peak_memory_bytes"].as_u64() > Some(1 << 20) || !cfg!(target_os = "linux")
        );
        outcome["metrics"]["accuracy"].as_f64().unwrap()
    };
    let mean = f64::midpoint(last("hint", 0), last("hint", 1));
    assert!((hint["last"]["accuracy"]["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    let gain = mean - f64::midpoint(last("alone", 0), last("alone", 1));
    assert!((hint["difference"]["mean"].as_f64().unwrap() - gain).abs() < 1e-12);
    assert_eq!(alone["difference"], Value::Null);
    let curve = results["runs"][0]["curve"].as_array().unwrap();
    let epochs: Vec<_> = curve
        .iter()
        .map(|point| point["epoch"].as_u64().unwrap())
        .collect();
    assert_eq!(epochs, [1, 2, 3]);

    let text = place.text("out/results.md");
    for expected in [
        "# a small campaign\n\ntwo epochs\n",
        "kd compare campaign.toml --set data.per_class=64 --set train.epochs=3 --set \
         train.checkpoint_every=2\n",
        "| difference to alone [95 %] | agreement (%) | runs |",
        "![Accuracy over epochs](accuracy-over-epochs.svg)",
        "![Agreement over epochs](agreement-over-epochs.svg)",
        "| small   | lenet5-half |",
    ] {
        assert!(
            text.contains(expected),
            "{text}\ndoes not contain\n{expected}"
        );
    }
    assert!(!text.contains("Not complete"), "{text}");
    // A footnote where another epoch than the last was the best.
    for row in [alone, hint] {
        let note = format!(" {}: ", row["title"].as_str().unwrap());
        let differs = row["best"] != row["last"]["accuracy"];
        assert_eq!(text.contains(&note), differs, "{text}");
    }
    // Nothing in it belongs to this machine.
    let here = place.path("").display().to_string();
    assert!(!text.contains(&here) && !results.to_string().contains(&here));
    for (file, title) in [("accuracy", "Accuracy"), ("agreement", "Agreement")] {
        let svg = place.text(&format!("out/{file}-over-epochs.svg"));
        assert!(svg.starts_with("<svg "), "{file}");
        assert!(svg.contains(&format!("{title} over epochs")), "{file}");
    }
    assert!(!place.path("out/accuracy-over-.svg").exists());
}

#[test]
fn a_campaign_killed_and_interrupted_ends_in_the_same_results() {
    let place = place(CAMPAIGN);
    // Killed in the middle of the teacher and of a student: what the process of a run does then is to stop,
    // too.
    for (run, step) in [
        ("out/teachers/small/seed0", 4),
        ("out/cells/hint/seed0", 30),
    ] {
        let mut running = place.spawn(&compare(&LONGER));
        running.wait_for_step(&place.path(run), step);
        let killed = running.kill();
        assert_eq!(killed.code, None, "it was done before it could be killed");
    }
    let done = place.read("out/cells/alone/seed0/outcome.json");
    #[cfg(unix)]
    {
        let mut running = place.spawn(&compare(&LONGER));
        running.wait_for_step(&place.path("out/cells/alone/seed1"), 10);
        let said = running.interrupt();
        assert_eq!(said.code, Some(130), "{said:?}");
        assert!(
            said.stderr.contains("1 of 4 runs are there already\n"),
            "{}",
            said.stderr
        );
        let last = said.stderr.lines().last().unwrap();
        assert!(
            last.starts_with("error: interrupted at step ")
                && last
                    .ends_with(" of phase `distill (alone, seed 1)`; go on with `kd resume out`"),
            "{last}"
        );
        // There are results of what is there.
        let partial = results(&place);
        assert_eq!(states(&partial), ["done", "done", "begun", "missing"]);
        assert_eq!(partial["complete"], false);
        assert_eq!(partial["methods"][1]["difference"]["count"], 1);
        assert!(
            place
                .text("out/results.md")
                .contains("**Not complete:** 2 of 4 runs have ended.")
        );
    }
    let said = place.run(&["resume", "out"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(results(&place) == *undisturbed());
    // What was done was not done again, and is not when there is nothing to do.
    assert_eq!(place.read("out/cells/alone/seed0/outcome.json"), done);
    let last = place.read("out/cells/hint/seed1/outcome.json");
    let again = place.run(&compare(&LONGER));
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""));
    assert_eq!(place.read("out/cells/hint/seed1/outcome.json"), last);
    assert!(results(&place) == *undisturbed());
}

#[test]
fn runs_side_by_side_end_in_the_same_results() {
    let place = place(CAMPAIGN);
    #[cfg(unix)]
    {
        let mut running = place.spawn(&compare(&[&LONGER[..], &["--jobs", "3"]].concat()));
        running.wait_for_step(&place.path("out/cells/hint/seed0"), 4);
        running.wait_for_step(&place.path("out/cells/alone/seed1"), 4);
        let said = running.interrupt();
        assert_eq!(said.code, Some(130), "{said:?}");
        let partial = results(&place);
        assert_eq!(states(&partial)[1..3], ["begun", "begun"]);
    }
    // It goes on as it was started.
    let said = place.run(&["resume", "out"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(place.text("out/campaign.json").contains("\"jobs\": 3"));
    assert!(results(&place) == *undisturbed());
}

#[test]
fn runs_of_another_recipe_are_refused_and_made_again_when_asked_to() {
    let place = place(CAMPAIGN);
    place.json(&compare(&[&SHORT[..], &["--json"]].concat()));
    let hint = place
        .text("student.toml")
        .replace("regressor = \"always\"", "weight = 0.5");
    std::fs::write(place.path("student.toml"), hint).unwrap();

    let said = place.run(&compare(&SHORT));
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (
            Some(1),
            "error: campaign `out`: holds runs that were made from something else (a hint, seed 0: \
             `losses.2.regressor` was \"always\", is \"when-widths-differ\"; `losses.2.weight` was 1.0, is \
             0.5, and 1 other run); add `--rerun` to throw them away and make them again, or give another \
             folder with `--out`\n"
        )
    );
    let listed = place.run(&compare(&[&SHORT[..], &["--dry-run"]].concat()));
    assert_eq!(listed.code, Some(0));
    let rows: Vec<&str> = listed.stdout.lines().skip(2).map(str::trim).collect();
    assert_eq!(
        rows.iter()
            .map(|row| row.split_whitespace().last().unwrap())
            .collect::<Vec<_>>(),
        ["done", "done", "0.5", "done", "0.5"],
        "{}",
        listed.stdout
    );

    let teacher = place.read("out/teachers/small/seed0/outcome.json");
    let alone = place.read("out/cells/alone/seed1/outcome.json");
    let made = place.json(&compare(&[&SHORT[..], &["--rerun", "--json"]].concat()));
    assert_eq!(made["methods"][1]["extra_parameters"], 0);
    assert_eq!(place.read("out/cells/alone/seed1/outcome.json"), alone);
    assert_eq!(place.read("out/teachers/small/seed0/outcome.json"), teacher);
}

#[test]
fn a_changed_teacher_makes_its_students_stale() {
    let place = place(CAMPAIGN);
    place.json(&compare(&[&SHORT[..], &["--json"]].concat()));
    let weights = place.read("out/cells/alone/seed0/model/model.safetensors");
    std::fs::write(
        place.path("out/teachers/small/seed0/model/model.safetensors"),
        weights,
    )
    .unwrap();
    let said = place.run(&compare(&SHORT));
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr
            .contains("(alone, seed 0: teacher 0 has changed, and 3 other runs)"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_run_whose_files_are_damaged_is_made_again_when_asked_to() {
    let place = place(CAMPAIGN);
    place.json(&compare(&[&SHORT[..], &["--json"]].concat()));
    let made = results(&place);
    for (run, file) in [
        ("hint/seed1", "outcome.json"),
        ("alone/seed0", "inputs.json"),
        ("alone/seed1", "recipe.toml"),
    ] {
        std::fs::write(place.path(&format!("out/cells/{run}/{file}")), "{").unwrap();
    }
    let said = place.run(&compare(&SHORT));
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("and 2 other runs"), "{}", said.stderr);
    place.json(&compare(&[&SHORT[..], &["--rerun", "--json"]].concat()));
    assert!(results(&place) == made);
}

#[test]
fn a_run_that_diverges_is_reported_and_loses_no_other() {
    let text = CAMPAIGN.replace("title = \"a hint\"", "set = { \"train.lr\" = 1e30 }");
    let place = place(&text);
    let said = place.run(&compare(&SHORT));
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(
        said.stderr.ends_with(
            "error: campaign `out`: 2 of 4 runs have no result: hint, seed 0 diverged; hint, seed 1 \
             diverged; `results.md` says why, `--rerun` tries them again\n"
        ),
        "{}",
        said.stderr
    );
    let made = results(&place);
    assert_eq!(states(&made), ["done", "diverged", "done", "diverged"]);
    assert_eq!(made["complete"], true);
    let document = place.text("out/results.md");
    assert!(document.contains(" 0 of 2 (2 diverged) |"), "{document}");
    assert!(
        document.contains("- hint, seed 0, diverged: phase `distill`: loss term `"),
        "{document}"
    );
    // It would diverge again, and is not run again.
    let again = place.run(&compare(&SHORT));
    assert_eq!(again.code, Some(1));
    assert_eq!(again.stderr.lines().count(), 1, "{}", again.stderr);
    // With a rate that is better, what was begun is stale.
    std::fs::write(place.path("campaign.toml"), CAMPAIGN).unwrap();
    let said = place.run(&compare(&SHORT));
    assert!(
        said.stderr.contains("`train.lr` was 1000"),
        "{}",
        said.stderr
    );
    let made = place.json(&compare(&[&SHORT[..], &["--rerun", "--json"]].concat()));
    assert_eq!(states(&made), ["done"; 4]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_that_is_killed_is_reported_and_its_run_goes_on_later() {
    let place = place(CAMPAIGN);
    let mut running = place.spawn(&compare(&LONGER));
    running.wait_for_step(&place.path("out/cells/alone/seed0"), 4);
    let kill = format!("kill -KILL $(cat /proc/{0}/task/*/children)", running.id());
    let status = std::process::Command::new("sh")
        .args(["-c", &kill])
        .status();
    assert!(status.unwrap().success());
    let said = running.end();
    assert_eq!(said.code, Some(1));
    let expected = "alone, seed 0: failed: its process was ended from outside (signal: 9 (SIGKILL)); where \
                    memory runs out, systems do that";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
    assert_eq!(states(&results(&place)), ["failed", "done", "done", "done"]);
    place.json(&compare(&[&LONGER[..], &["--json"]].concat()));
    assert!(results(&place) == *undisturbed());
}

#[test]
fn a_swept_setting_has_a_row_a_value_and_a_plot() {
    let sweep = "[sweep]\nsetting = \"data.fraction\"\nlabel = \"share of the data\"\nvalues = [0.01, \
                 0.02]\n";
    let text = format!("{CAMPAIGN}{sweep}").replace("seeds = [0, 1]", "seeds = [3]");
    let place = place(&text);
    // The teacher keeps its own data.
    let student = place.text("student.toml").replace("per_class = 32\n", "");
    std::fs::write(place.path("student.toml"), student).unwrap();
    let made = place.json(&compare(&["--set", "train.epochs=1", "--json"]));
    let rows: Vec<_> = made["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["name"].as_str().unwrap(),
                row["value"].as_f64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("alone", 0.01),
            ("alone", 0.02),
            ("hint", 0.01),
            ("hint", 0.02)
        ]
    );
    // Each is compared with the baseline at the same value.
    let value = |index: usize| {
        made["methods"][index]["last"]["accuracy"]["mean"]
            .as_f64()
            .unwrap()
    };
    let difference = made["methods"][3]["difference"]["mean"].as_f64().unwrap();
    assert!((difference - (value(3) - value(1))).abs() < 1e-12);
    assert!(
        place
            .path("out/cells/hint/fraction=0.02/seed3/outcome.json")
            .is_file()
    );
    let plot = place.text("out/accuracy-over-fraction.svg");
    assert!(
        plot.contains("share of the data") && plot.contains("a hint"),
        "{plot}"
    );
    // One evaluation is no curve.
    assert!(!place.path("out/accuracy-over-epochs.svg").exists());
    let text = place.text("out/results.md");
    assert!(text.contains("| share of the data |"), "{text}");
    // One evaluation is the best and the last.
    assert!(!text.contains("after the best epoch"), "{text}");
    // All values together: mean, spread, lowest, highest.
    let (_, all) = text
        .split_once("\n## Over all values of share of the data\n")
        .unwrap();
    let line = all.lines().find(|line| line.starts_with("| a hint "));
    let cells: Vec<&str> = line.unwrap().split('|').map(str::trim).collect();
    let (low, high) = (value(2).min(value(3)), value(2).max(value(3)));
    let percent = |value: f64| format!("{:.2}", 100.0 * value);
    let mean = percent(f64::midpoint(low, high));
    let spread = percent((high - low) / 2.0_f64.sqrt());
    let expected = [
        "2",
        &format!("{mean} ± {spread}"),
        &percent(low),
        &percent(high),
    ];
    assert_eq!(cells[2..6], expected, "{text}");
}

#[test]
fn teachers_of_each_seed_and_teachers_of_teachers() {
    let middle = "[[teachers]]\nname = \"middle\"\nrecipe = \"student.toml\"\nseed = \"each\"\nteachers = \
                  [\"small\"]\n\n[[methods]]\nname = \"alone\"";
    let text = CAMPAIGN
        .replace("[[methods]]\nname = \"alone\"", middle)
        .replace("title = \"a hint\"", "set = []")
        .replacen("teachers = [\"small\"]\n\"#", "", 1);
    let at = text.rfind("[\"small\"]").unwrap();
    let text = format!("{}[\"middle\"]{}", &text[..at], &text[at + 9..]);
    let place = place(&text);
    let made = place.json(&compare(&[&SHORT[..], &["--json"]].concat()));
    let teachers = made["teachers"].as_array().unwrap();
    assert_eq!(teachers.len(), 3);
    let inputs = |run: &Value| run["inputs"]["teacher 0"].as_str().unwrap().to_owned();
    let runs = made["runs"].as_array().unwrap();
    // Both students alone have one teacher, those with a hint one each.
    assert_eq!(inputs(&runs[0]), inputs(&runs[2]));
    assert!(inputs(&runs[1]) != inputs(&runs[3]));
    assert!(inputs(&runs[1]) != inputs(&runs[0]));
}

#[test]
fn one_method_can_be_run_alone_and_the_others_later() {
    let place = place(CAMPAIGN);
    let made = place.json(&compare(
        &[&SHORT[..], &["--only", "hint", "--json"]].concat(),
    ));
    assert_eq!(states(&made), ["missing", "done", "missing", "done"]);
    assert_eq!(made["complete"], false);
    let said = place.run(&compare(&[&SHORT[..], &["--only", "hunt"]].concat()));
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (
            Some(2),
            "error: unknown method `hunt`; did you mean `hint`?; known: alone, hint\n"
        )
    );
    let made = place.json(&compare(&[&SHORT[..], &["--json"]].concat()));
    assert_eq!(states(&made), ["done"; 4]);
}

#[test]
fn what_is_wrong_is_said_before_anything_is_trained() {
    let place = place(CAMPAIGN);
    let recipe = place.text("student.toml");
    for (from, to, code, expected) in [
        (
            "\"lenet5-half\"",
            "\"lenet6\"",
            2,
            "alone, seed 0: unknown network `lenet6`",
        ),
        (
            "student_tap",
            "tap",
            2,
            "student.toml (for hint, seed 0), line 23: `tap = \"conv2\"`: unknown key `tap`",
        ),
        (
            "\"conv2\"",
            "\"conv9\"",
            2,
            "hint, seed 0: unknown tap `conv9`",
        ),
        (
            "\"fashion-mnist-mini\"",
            "\"mnist\"",
            3,
            "alone, seed 0): data set `mnist`",
        ),
    ] {
        assert!(recipe.contains(from));
        std::fs::write(place.path("student.toml"), recipe.replace(from, to)).unwrap();
        let campaign = CAMPAIGN.replace("title = \"a hint\"\n", "");
        std::fs::write(place.path("campaign.toml"), campaign).unwrap();
        let said = place.run(&compare(&SHORT));
        assert_eq!(said.code, Some(code), "{}", said.stderr);
        assert!(
            said.stderr.lines().last().unwrap().contains(expected),
            "{}",
            said.stderr
        );
        assert!(!place.path("out/cells").exists());
    }
    let said = place.run(&["compare", "none.toml"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
}

#[test]
fn a_metric_that_nobody_measures_is_named() {
    let text = CAMPAIGN.replace("baseline", "metric = \"acuracy\"\nbaseline");
    let place = place(&text);
    let said = place.run(&compare(&SHORT));
    assert_eq!(said.code, Some(2));
    let last = said.stderr.lines().last().unwrap();
    assert!(
        last.starts_with(
            "error: unknown metric `acuracy`; did you mean `accuracy`?; known: accuracy, \
                          agreement, ece, loss"
        ),
        "{last}"
    );
    // Nothing has been trained.
    assert!(!place.path("out/teachers").exists() && !place.path("out/cells").exists());
    for key in ["more_metrics", "plot_metrics"] {
        let line = |name: &str| format!("{key} = [\"{name}\"]");
        let text = CAMPAIGN.replace(&line("agreement"), &line("los"));
        assert_ne!(text, CAMPAIGN);
        std::fs::write(place.path("campaign.toml"), text).unwrap();
        let said = place.run(&compare(&SHORT));
        assert!(
            said.stderr
                .contains("unknown metric `los`; did you mean `loss`?"),
            "{said:?}"
        );
    }
}

#[test]
fn a_folder_is_one_campaign_s_at_a_time_and_no_other_s() {
    let place = place(CAMPAIGN);
    let mut running = place.spawn(&compare(&LONGER));
    running.wait_for_step(&place.path("out/teachers/small/seed0"), 4);
    let said = place.run(&compare(&LONGER));
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr.starts_with("error: campaign `out`: is in use"),
        "{}",
        said.stderr
    );
    drop(running);
    std::fs::create_dir(place.path("full")).unwrap();
    std::fs::write(place.path("full/letter.txt"), "mine").unwrap();
    let said = place.run(&["compare", "campaign.toml", "--out", "full"]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr.contains("is not empty and holds no campaign"),
        "{}",
        said.stderr
    );
}

/// The tensors of a run's last checkpoint, and the losses of its first epoch.
fn ending(place: &Place, run: &str) -> (Vec<u8>, Value) {
    let log = place.text(&format!("{run}/metrics.jsonl"));
    let first = serde_json::from_str::<Value>(log.lines().next().unwrap()).unwrap();
    let model = place.read(&format!("{run}/model/model.safetensors"));
    (model, first["train"].clone())
}

#[test]
fn one_seed_gives_every_method_the_same_initial_student_and_the_same_batches() {
    // The same recipe without and with a teacher, a distillation loss, a hint with a regressor, attention:
    // first with weights of 0, so that all that can differ is the student, the order and the views; then with
    // their weights.
    let text = r#"
title = "fairness"
seeds = [0, 1]
set = { "data.views" = "unlimited", "data.augment" = { crop_padding = 2, flip = 0.5, rotate_degrees = 5.0 } }
teachers = [{ name = "small", recipe = "teacher.toml" }]

[[methods]]
name = "train"
recipe = "teacher.toml"

[[methods]]
name = "alone"
recipe = "student.toml"
teachers = ["small"]
set.losses = [{ kind = "cross-entropy" }]

[[methods]]
name = "weightless"
recipe = "student.toml"
teachers = ["small"]
set.losses = [
    { kind = "cross-entropy" },
    { kind = "kd", weight = 0.0 },
    { kind = "hint", weight = 0.0, student_tap = "conv2", regressor = "always" },
    { kind = "attention-transfer", weight = 0.0, student_taps = ["conv1"] },
]

[[methods]]
name = "kd"
recipe = "student.toml"
teachers = ["small"]
set.losses = [{ kind = "cross-entropy" }, { kind = "kd" }]
"#;
    let place = place(text);
    let train = "train.optimizer={ kind = \"sgd\" }";
    let schedule = "train.schedule={ kind = \"constant\" }";
    let few = "data.per_class=16";
    let same = ["--set", train, "--set", schedule, "--set", few];
    place.json(&compare(&[&same[..], &["--json"]].concat()));
    let ends = |name: &str, seed: u64| ending(&place, &format!("out/cells/{name}/seed{seed}"));
    for seed in [0, 1] {
        let (alone, weightless) = (ends("alone", seed), ends("weightless", seed));
        // Bit for bit over two epochs: the same student to begin with, the same samples and views in the same
        // order.
        assert!(alone.0 == weightless.0, "seed {seed}");
        assert_eq!(alone.1["cross_entropy"], weightless.1["cross_entropy"]);
        assert!(ends("train", seed).0 == alone.0, "seed {seed}");
        // The distillation loss does something.
        assert!(ends("kd", seed).0 != alone.0);
    }
    assert!(ends("alone", 0).0 != ends("alone", 1).0);

    // In the first step, before anything is learnt, the distilled student has the lone one's loss: the same
    // weights on the same batch.
    let step = ["--set", "train.steps=1", "--set", "train.batch_size=16"];
    let unset = place.text("student.toml").replace("epochs = 2\n", "");
    std::fs::write(place.path("student.toml"), unset).unwrap();
    let unset = place.text("teacher.toml").replace("epochs = 2\n", "");
    std::fs::write(place.path("teacher.toml"), unset).unwrap();
    let mut args = vec!["compare", "campaign.toml", "--out", "step", "--json"];
    args.extend(step);
    place.json(&args);
    for seed in [0, 1] {
        let loss = |name: &str| {
            ending(&place, &format!("step/cells/{name}/seed{seed}")).1["cross_entropy"].clone()
        };
        assert!(loss("alone").is_number());
        assert_eq!(loss("kd"), loss("alone"));
    }
}

#[test]
fn the_campaigns_of_the_repository_can_be_read() {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes");
    let file = |name: &str| recipes.join(name).display().to_string();
    let place = Place::new();
    let short = ["--set", "train.epochs=1", "--set", "data.per_class=4"];
    let campaign = file("bench-fashion.toml");
    let args = [
        &["compare", &campaign, "--out", "out", "--json"][..],
        &short,
    ]
    .concat();
    assert_eq!(place.json(&args)["complete"], true);
    let text = place.text("out/results.md");
    assert!(
        text.contains("kd compare bench-fashion.toml --set"),
        "{text}"
    );
    let campaign = file("bench-fashion-temperature.toml");
    // What the command was called before.
    let listed = place.json(&["bench", &campaign, "--dry-run", "--json"]);
    assert_eq!(states(&listed), ["missing"; 18]);
}
