//! The report of a run: `report.md` with its pictures, and TensorBoard's event files.

use crate::support::Place;

/// A place with a run of the teacher and one of its student.
fn place() -> Place {
    let place = Place::new();
    place.json(&["train", "teacher.toml", "--out", "teacher", "--json"]);
    place.json(&["distill", "student.toml", "--out", "student", "--json"]);
    place
}

fn event_files(place: &Place, run: &str) -> usize {
    let entries = std::fs::read_dir(place.path(run).join("tensorboard")).unwrap();
    entries.count()
}

#[test]
fn a_distillation_ends_with_a_report_that_can_be_made_again() {
    let place = place();
    assert_eq!(event_files(&place, "student"), 1);
    let report = place.text("student/report.md");
    let outcome: serde_json::Value =
        serde_json::from_str(&place.text("student/outcome.json")).unwrap();
    let accuracy = format!("{:.2} %", 100.0 * outcome["accuracy"].as_f64().unwrap());
    let agreement = format!(
        "{:.2} %",
        100.0 * outcome["metrics"]["agreement"].as_f64().unwrap()
    );
    let extra = outcome["extra_parameters"].as_u64().unwrap();
    assert!(
        extra > 0
            && outcome["peak_memory_bytes"]
                .as_u64()
                .is_none_or(|bytes| bytes > 0)
    );
    for text in [
        "# student\n",
        "| method  | offline",
        "fashion-mnist-mini, 320 samples to learn from, 500 held out",
        "| student | lenet5-half, 15,738 parameters, 133,740 MACs",
        "from `teacher`",
        "| parameters trained beside the student |",
        accuracy.as_str(),
        // Asked again, student and teacher agree as the run itself has measured.
        &format!("They give the same answer to {agreement} of 500 samples"),
        "![confusion matrix](report/confusion.svg)",
        "ankle boot",
        "kind = \"hint\"",
        "## Environment",
        "| vector instructions |",
    ] {
        assert!(report.contains(text), "`{text}` is missing in\n{report}");
    }
    let environment: serde_json::Value =
        serde_json::from_str(&place.text("student/environment.json")).unwrap();
    let sessions = environment.as_array().unwrap();
    assert_eq!(sessions.len(), 1);
    for key in ["kd", "system", "instructions", "device"] {
        let value = sessions[0][key].as_str().unwrap();
        assert!(report.contains(value), "`{value}` is missing in\n{report}");
    }
    let confusion = place.read("student/report/confusion.svg");
    std::fs::remove_file(place.path("student/report.md")).unwrap();
    std::fs::remove_dir_all(place.path("student/report")).unwrap();
    let said = place.json(&["report", "student", "--json"]);
    assert_eq!(said["reports"][0], "student/report.md");
    // The teacher's path is absolute in the recipe by now, and the report is the same.
    assert_eq!(place.text("student/report.md"), report);
    assert_eq!(place.read("student/report/confusion.svg"), confusion);
}

#[test]
fn a_run_that_is_not_done_is_told_as_far_as_it_is() {
    let place = Place::new();
    let mut running = place.spawn(&[
        "train",
        "teacher.toml",
        "--out",
        "run",
        "--set",
        "train.epochs=500",
    ]);
    running.wait_for_step(&place.path("run"), 30);
    // Under way: the report is made beside the run.
    let said = place.run(&["report", "run"]);
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (Some(0), "report in run/report.html, and in run/report.md\n")
    );
    let report = place.text("run/report.md");
    assert!(report.contains("The run is not done: "), "{report}");
    assert!(report.contains("is in use by another process"), "{report}");
    running.kill();
    place.json(&["report", "run", "--json"]);
    let report = place.text("run/report.md");
    assert!(report.contains("epochs of phase distill are."), "{report}");
    assert!(
        report.contains("(report/losses.svg)") && !report.contains("in use"),
        "{report}"
    );
    assert!(!report.contains("## Classes"), "{report}");
}

#[test]
fn a_report_without_the_teacher_says_what_is_missing() {
    let place = place();
    std::fs::rename(place.path("teacher"), place.path("elsewhere")).unwrap();
    place.json(&["report", "student", "--json"]);
    let report = place.text("student/report.md");
    assert!(
        report.contains("The network was not looked into, because: "),
        "{report}"
    );
    assert!(report.contains("(report/losses.svg)"), "{report}");
}

#[test]
fn a_run_does_not_fail_with_its_report() {
    let place = Place::new();
    let mut running = place.spawn(&[
        "train",
        "teacher.toml",
        "--out",
        "run",
        "--set",
        "train.epochs=20",
    ]);
    running.wait_for_step(&place.path("run"), 10);
    std::fs::write(place.path("run/report"), "in the way").unwrap();
    let done = running.end();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(
        done.stderr
            .contains("the report was not written: cannot create `")
            && done.stderr.contains("`kd report run` makes it again"),
        "{}",
        done.stderr
    );
}

#[test]
fn what_is_no_run_has_no_report() {
    let place = Place::new();
    let said = place.run(&["report", "nowhere"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(
        said.stderr.contains("`nowhere` is no run folder"),
        "{}",
        said.stderr
    );
    assert!(!place.path("nowhere").exists());
}
