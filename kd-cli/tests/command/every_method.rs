//! Properties of every method: warnings of a check are said at the start of a run, the metrics of a run are
//! those that a campaign may ask for, and what no memory can hold is refused before anything is made.

use kd_cli::methods;
use serde_json::Value;

use crate::support::Place;

const DATA: &str = "[data]\nname = \"fashion-mnist-mini\"\nper_class = 12\nheld_out = 0.02\n";
const TRAIN: &str = "epochs = 1\nbatch_size = 16\n\
                     schedule = { kind = \"multi-step\", milestones = [50], gamma = 0.1 }\n";

/// The recipes of all methods, by name, each with a milestone that never comes.
fn recipes() -> Vec<(&'static str, String)> {
    let student = "[student]\nname = \"resnet8\"\n[teacher]\nmodel = \"teacher\"\n";
    let of =
        |method: &str, parts: &str| format!("method = \"{method}\"\n{DATA}{parts}[train]\n{TRAIN}");
    let data_free = "[student]\nname = \"resnet8\"\n[teacher]\nmodel = \"teacher\"\n[test]\n\
                     name = \"fashion-mnist-mini\"\n[synthesis]\n\
                     synthetic = { kind = \"generator\", generator = { noise = 4, widths = [4, 4] } }\n\
                     generator_training = { steps = 2, batch_size = 8 }\nbank = { images = 128 }\n";
    vec![
        ("train", of("train", "[network]\nname = \"resnet8\"\n")),
        (
            "offline",
            of(
                "offline",
                "[student]\nname = \"resnet8\"\n[[teachers]]\nmodel = \"teacher\"\n\
                 [[losses]]\nkind = \"kd\"\n",
            ),
        ),
        ("stagewise", of("stagewise", student)),
        (
            "online",
            of(
                "online",
                "[student]\nname = \"resnet8\"\n[online]\nkind = \"okdmde\"\nbranches = 3\n\
                 shared = \"layer1\"\n",
            ),
        ),
        (
            "teacher-class",
            of(
                "teacher-class",
                &format!(
                    "{student}[teacher-class]\nstudents = 2\ncollapse = 1e9\nhead.epochs = 1\n"
                ),
            ),
        ),
        (
            "compact",
            of(
                "compact",
                "[network]\nmodel = \"teacher\"\n[budget]\nmacs = 0.8\n[sparsify]\nepochs = 1\n",
            ),
        ),
        (
            "data-free",
            format!("method = \"data-free\"\n{data_free}[train]\n{TRAIN}"),
        ),
    ]
}

fn place() -> Place {
    let place = Place::new();
    for (name, recipe) in recipes() {
        std::fs::write(place.path(&format!("{name}.toml")), recipe).unwrap();
    }
    place.done(&["train", "train.toml", "--out", "teacher"]);
    place
}

/// Whether `metric` goes by this name, in which `#` is any number.
fn is_called(metric: &str, name: &str) -> bool {
    let digits = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    match name.split_once('#') {
        None => metric == name,
        Some((before, after)) => metric
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(digits),
    }
}

#[test]
fn warnings_are_said_at_the_start_and_metrics_have_names() {
    let place = place();
    let warned = "the run ends after epoch 1, before the milestones 50";
    for (name, _) in recipes() {
        let recipe = format!("{name}.toml");
        let check = place.json(&["check", &recipe, "--json"]);
        let findings = check["findings"].as_array().unwrap();
        let found = findings
            .iter()
            .any(|found| found["grade"] == "warning" && found["text"].to_string().contains(warned));
        assert!(found, "{name}: {check}");
        let verb = if name == "train" { "train" } else { "distill" };
        let (_, said) = place.done(&[verb, &recipe, "--out", name]);
        let is_said = |line: &str| line.starts_with("note: ") && line.contains(warned);
        assert!(said.lines().any(is_said), "{name}: {said}");

        let known = methods().read_file(&place.path(&recipe), &[]).unwrap();
        let known = known.metrics().unwrap();
        let log = place.text(&format!("{name}/metrics.jsonl"));
        let mut measured = 0;
        for line in log.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            for metric in line["evaluation"]
                .as_object()
                .into_iter()
                .flat_map(|all| all.keys())
            {
                measured += 1;
                let is_known = known.iter().any(|name| is_called(metric, name));
                assert!(is_known, "{name}: `{metric}` is none of {known:?}");
            }
        }
        assert!(measured > 0, "{name}: {log}");
    }
}

#[test]
fn a_campaign_asks_for_metrics_that_some_method_has() {
    let place = place();
    for (name, _) in recipes().into_iter().filter(|(name, _)| *name != "train") {
        let campaign = format!(
            "title = \"one\"\nbaseline = \"it\"\nmetric = \"acuracy\"\nseeds = [0]\n[[methods]]\n\
             name = \"it\"\nrecipe = \"{name}.toml\"\n"
        );
        std::fs::write(place.path("campaign.toml"), campaign).unwrap();
        let said = place.run(&["compare", "campaign.toml", "--out", "out"]);
        assert_eq!(said.code, Some(2), "{name}: {}", said.stderr);
        let expected = "unknown metric `acuracy`; did you mean `accuracy`?";
        assert!(said.stderr.contains(expected), "{name}: {}", said.stderr);
        assert!(!place.path("out/cells").exists(), "{name}");
    }
}

/// Sizes that no machine has, each in its own words, by `kd check` and by a run.
#[test]
fn what_no_memory_can_hold_is_refused_before_anything_is_made() {
    let place = place();
    let huge = "network.structure={family=\"chunk-cnn\",blocks=[[4096,4096],[4096]],hidden=[4096,4096],\
                kernel=15,padded=true}";
    let named = "network.name=\"huge\"";
    for (recipe, changes, said) in [
        ("train", vec![named, huge], "`structure` asks for"),
        (
            "data-free",
            vec!["synthesis.generator_training={steps=2,batch_size=10000000000}"],
            "`synthesis.generator_training.batch_size`",
        ),
        (
            "data-free",
            vec![
                "synthesis.generator_training={steps=2,batch_size=10000000}",
                "synthesis.synthetic={kind=\"generator\",generator={widths=[4096,4096]}}",
            ],
            "`synthesis.generator_training.batch_size` asks for",
        ),
        (
            "data-free",
            vec![
                "synthesis.synthetic={kind=\"generator\",generator={noise=16384,widths=[16384,16384]}}",
            ],
            "`synthesis.synthetic.generator.widths` asks for",
        ),
        (
            "teacher-class",
            vec!["data.views=4000000000"],
            "`teacher-class.keep` asks for",
        ),
    ] {
        let file = format!("{recipe}.toml");
        let mut set: Vec<&str> = Vec::new();
        for change in changes {
            set.extend(["--set", change]);
        }
        let verb = if recipe == "train" {
            "train"
        } else {
            "distill"
        };
        for args in [vec!["check", &file], vec![verb, &file, "--out", "huge"]] {
            let done = place.run(&[&args[..], &set[..]].concat());
            assert_eq!(done.code, Some(2), "{args:?} {set:?}: {}", done.stderr);
            let all = format!("{}{}", done.stdout, done.stderr);
            assert!(all.contains(said), "{args:?} {set:?}: {all}");
        }
        assert!(!place.path("huge").exists());
    }
}
