//! The two walks of the README: each command of them, one after the other, on data that is made here or that
//! kd brings along.

use std::path::Path;

use crate::pictures::photos;
use crate::support::Place;

/// The commands of a section of the README, without what they are said to do.
fn commands(section: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let begin = text
        .find(&format!("\n## {section}\n"))
        .unwrap_or_else(|| panic!("{section}"));
    let rest = &text[begin + 4..];
    let rest = &rest[..rest.find("\n## ").unwrap_or(rest.len())];
    let lines = rest.lines().filter_map(|line| line.strip_prefix("kd "));
    let words = |line: &str| {
        let line = line.split('#').next().unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect()
    };
    lines.map(words).collect()
}

/// Runs the commands with trainings of a few seconds in place of minutes.
fn walk(place: &Place, section: &str) -> Vec<String> {
    let commands = commands(section);
    assert!(commands.len() >= 4, "{commands:?}");
    let mut said = Vec::new();
    for mut command in commands {
        for minutes in 1..command.len() {
            if command[minutes - 1] == "--minutes" {
                command[minutes] = "0.05".into();
            }
        }
        let args: Vec<&str> = command.iter().map(String::as_str).collect();
        let done = place.run(&args);
        assert_eq!(
            done.code,
            Some(0),
            "{args:?}: {}{}",
            done.stdout,
            done.stderr
        );
        said.push(done.stdout);
    }
    said
}

#[test]
fn ten_minutes_with_your_own_images() {
    let place = Place::new();
    // Only what the README names lies there.
    std::fs::remove_file(place.path("student.toml")).unwrap();
    photos(&place.path("photos"));
    let said = walk(&place, "Ten minutes with your own images");
    assert!(
        said.iter().any(|text| text.contains("balanced accuracy")),
        "{said:?}"
    );
    assert!(place.path("student.onnx").is_file());
}

#[test]
fn ten_minutes_with_a_pytorch_teacher() {
    let place = Place::new();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd/teacher.pth");
    std::fs::copy(shipped, place.path("teacher.pth")).unwrap();
    let said = walk(&place, "Ten minutes with a PyTorch teacher");
    assert!(
        said.iter().any(|text| text.starts_with("tensors: ")),
        "{said:?}"
    );
    // The teacher is one that has learnt.
    assert!(said[1].contains("  accuracy           83."), "{said:?}");
    assert!(place.path("student.safetensors").is_file());
}
