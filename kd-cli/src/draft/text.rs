//! The text of a drafted recipe, with a comment behind each line.

use std::fmt::Write;

use kd_core::Task;

use super::data::{DataDraft, line, quoted};
use super::settings::Settings;
use super::teacher::TeacherDraft;

/// The schema that editors complete and check recipes by.
const SCHEMA: &str = concat!(
    env!("CARGO_PKG_REPOSITORY"),
    "/raw/v",
    env!("CARGO_PKG_VERSION"),
    "/docs/recipe.schema.json"
);

/// The recipe.
pub(super) fn recipe(
    data: &DataDraft,
    teacher: Option<&TeacherDraft>,
    student: &str,
    settings: &Settings,
    minutes: f64,
) -> String {
    let mut tables = vec![
        (None, method(data, teacher)),
        (Some("[data]"), data_lines(data)),
    ];
    let network = vec![line(
        "name",
        &quoted(student),
        "`kd models` lists the others",
    )];
    match (data.task, teacher) {
        (Task::Classification, None) => tables.push((Some("[network]"), network)),
        _ => tables.push((Some("[student]"), network)),
    }
    match (data.task, teacher) {
        (Task::Segmentation, Some(teacher)) => {
            tables.push((Some("[teacher]"), teacher_lines(teacher)));
            let why = "stage by stage, each learns the teacher's map";
            tables.push((Some("[stagewise]"), vec![line("procedure", "\"skd\"", why)]));
        }
        (Task::Segmentation, None) => {
            let why = "everything at once, from the masks";
            tables.push((
                Some("[stagewise]"),
                vec![line("procedure", "\"no-teacher\"", why)],
            ));
        }
        (_, Some(teacher)) => {
            tables.push((Some("[[teachers]]"), teacher_lines(teacher)));
            for loss in losses(teacher, data, settings) {
                tables.push((Some("[[losses]]"), loss));
            }
        }
        (_, None) => {}
    }
    tables.push((Some("[train]"), training(data, settings, minutes)));
    let mut text =
        format!("#:schema {SCHEMA}\n# Written by `kd new`; `kd explain KEY` says what a key is.\n");
    for (head, lines) in tables {
        if let Some(head) = head {
            text.push('\n');
            text.push_str(head);
            text.push('\n');
        }
        text.push_str(&aligned(&lines));
    }
    text
}

/// Lines with their comments below each other; long ones have theirs above.
fn aligned(lines: &[[String; 2]]) -> String {
    const WIDTH: usize = 40;
    let mut text = String::new();
    for [setting, comment] in lines {
        if comment.is_empty() {
            let _ = writeln!(text, "{setting}");
        } else if setting.chars().count() > WIDTH {
            let _ = writeln!(text, "# {comment}\n{setting}");
        } else {
            let _ = writeln!(text, "{setting:<WIDTH$} # {comment}");
        }
    }
    text
}

fn method(data: &DataDraft, teacher: Option<&TeacherDraft>) -> Vec<[String; 2]> {
    let (name, why) = match (data.task, teacher) {
        (Task::Segmentation, _) => ("stagewise", "a class for each pixel"),
        (_, Some(_)) => (
            "offline",
            "a student learns from a teacher and from the labels",
        ),
        (_, None) => ("train", "a network learns the labels"),
    };
    vec![line("method", &quoted(name), why)]
}

fn data_lines(data: &DataDraft) -> Vec<[String; 2]> {
    let mut lines = data.lines.clone();
    let [_, height, width] = data.input;
    if data.task == Task::Classification && !data.is_text {
        let padding = (height.min(width) / 16).max(1);
        let flip = if data.may_flip { ", flip = 0.5" } else { "" };
        lines.push(line(
            "views",
            "\"unlimited\"",
            "each epoch sees the images cropped anew",
        ));
        let augment = format!("{{ crop_padding = {padding}{flip} }}");
        lines.push(line("augment", &augment, "pixels, and how often mirrored"));
    }
    lines
}

fn teacher_lines(teacher: &TeacherDraft) -> Vec<[String; 2]> {
    let path = quoted(&teacher.path.to_string_lossy());
    if !teacher.is_file {
        return vec![line(
            "model",
            &path,
            &format!("{}, {} classes", teacher.network, teacher.classes),
        )];
    }
    let mut lines = vec![
        line("weights", &path, &format!("{} classes", teacher.classes)),
        line(
            "network",
            &quoted(&teacher.network),
            "found by the file's tensors",
        ),
    ];
    if teacher.is_of_imagenet() {
        let constants = "{ mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225] }";
        lines.push(line(
            "normalisation",
            constants,
            "as torchvision's networks are trained",
        ));
    }
    lines
}

/// Labels and soft targets, or features where the teacher knows other classes.
fn losses(teacher: &TeacherDraft, data: &DataDraft, settings: &Settings) -> Vec<Vec<[String; 2]>> {
    let of = |kind: &str, why: &str| line("kind", &quoted(kind), why);
    if teacher.classes == data.classes {
        return vec![
            vec![
                of("cross-entropy", "the labels"),
                line("weight", "0.1", "a tenth of the sum"),
            ],
            vec![
                of("kd", "what the teacher says of each image"),
                line("weight", "0.9", "as in the CRD benchmark"),
                line("temperature", "4.0", "softens what both say"),
            ],
        ];
    }
    vec![
        vec![of("cross-entropy", "the labels"), line("weight", "1.0", "")],
        vec![
            of(
                "sp",
                "the teacher knows other classes: its features are learnt from",
            ),
            line(
                "weight",
                &settings.feature_weight.to_string(),
                "its gradient is as large as that of the labels",
            ),
            line("student_tap", "\"dense\"", "the input of the head"),
        ],
    ]
}

fn training(data: &DataDraft, settings: &Settings, minutes: f64) -> Vec<[String; 2]> {
    let [step, _] = settings.measured;
    let measured = match data.task {
        Task::Segmentation => {
            format!("for {minutes} min here: an epoch of all phases took {step:.1} s")
        }
        _ => format!("for {minutes} min here: a step took {:.0} ms", 1e3 * step),
    };
    let mut lines = vec![line("epochs", &settings.epochs.to_string(), &measured)];
    let batch = format!("{} steps an epoch", settings.steps(data));
    lines.push(line("batch_size", &settings.batch_size.to_string(), &batch));
    if settings.drop_last {
        lines.push(line(
            "drop_last",
            "true",
            "the last batch of an epoch would be too small",
        ));
    }
    if data.task == Task::Segmentation {
        // Rate, schedule and optimizer are the paper's.
        return lines;
    }
    if settings.eval_every > 1 {
        let every = settings.eval_every.to_string();
        lines.push(line(
            "eval_every",
            &every,
            "epochs; an evaluation takes long beside one",
        ));
    }
    if settings.balanced {
        lines.push(line(
            "class_weights",
            "\"balanced\"",
            "the classes are uneven",
        ));
    }
    if settings.is_adam {
        let rate = if data.is_text { "0.001" } else { "0.002" };
        lines.push(line("lr", rate, "falls along a cosine"));
        lines.push(line("optimizer", "{ kind = \"adam\" }", "for little data"));
    } else {
        lines.push(line("lr", "0.05", "falls along a cosine"));
        let sgd = "{ kind = \"sgd\", momentum = 0.9, weight_decay = 5e-4 }";
        lines.push(line(
            "optimizer",
            sgd,
            "as networks of this kind are mostly trained",
        ));
    }
    lines.push(line("schedule", "{ kind = \"cosine\" }", ""));
    lines
}
