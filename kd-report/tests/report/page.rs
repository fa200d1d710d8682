//! The page of a run: its text and its pictures, of a run with much to tell and of one with little.

use std::path::Path;

use kd_core::{EpochLog, Metrics, SegmentationSummary};
use kd_report::{ImageRows, Predictions, RunReport, SegmentationBoard, SyntheticImages};

fn epoch(phase: &str, number: usize, metrics: &[(&str, f64)]) -> EpochLog {
    let named = |values: &[(&str, f64)]| -> Metrics {
        values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect()
    };
    let train = [
        ("kd", 2.0 / (number + 1) as f64),
        ("cross_entropy", 90.0),
        ("total", 3.0),
    ];
    EpochLog {
        phase: phase.into(),
        epoch: number,
        step: 10 * (number + 1),
        lr: 0.1,
        train: named(&train),
        evaluation: (!metrics.is_empty()).then(|| named(metrics)),
        seconds: 1.0,
    }
}

fn epochs() -> Vec<EpochLog> {
    let at = |number, accuracy| {
        let metrics = [
            ("accuracy", accuracy),
            ("agreement", 0.5),
            ("ece", 0.2 * accuracy),
            ("dead_units", 3.0),
            ("loss", 1.5),
        ];
        epoch("distill", number, &metrics)
    };
    vec![at(0, 0.25), at(1, 0.75), at(2, 0.5)]
}

fn predictions() -> Predictions {
    let mut said = Predictions::new(3).unwrap();
    let student = [
        3.0, 0.0, 0.0, /**/ 0.0, 2.0, 1.0, /**/ 0.0, 2.0, 1.0, /**/ 9.0, 0.0, 0.0,
    ];
    let teacher = [
        3.0, 0.0, 0.0, /**/ 4.0, 0.0, 0.0, /**/ 0.0, 0.0, 5.0, /**/ 0.0, 0.0, 7.0,
    ];
    said.add(&[4, 7, 9, 12], &[0, 1, 2, 2], &student, Some(&teacher))
        .unwrap();
    said
}

fn page(report: &RunReport, folder: &Path) -> String {
    report.write(folder).unwrap();
    let page = std::fs::read_to_string(folder.join("report.md")).unwrap();
    // Each picture that the page shows is there, and none besides.
    let shown: Vec<&str> = page
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap())
        .collect();
    for picture in &shown {
        let bytes = std::fs::read(folder.join(picture)).unwrap();
        let begins: &[u8] = match picture.strip_suffix(".png") {
            Some(_) => b"\x89PNG",
            None => b"<svg ",
        };
        assert!(bytes.starts_with(begins), "{picture}");
    }
    let files = std::fs::read_dir(folder.join("report")).unwrap().count();
    assert_eq!(files, shown.len(), "{shown:?}");
    page
}

fn holds(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "`{text}` is missing in\n{page}");
    }
}

#[test]
fn a_finished_run_is_told_whole() {
    let names = ["cat", "dog", "a|b"].map(str::to_owned);
    let report = RunReport::new("student_seed0")
        .with_fact("student", "resnet8x4")
        .with_cost("seconds of work", "7.1")
        .with_epochs(epochs())
        .with_predictions(predictions(), Some(&names))
        .unwrap()
        .with_recipe("method = \"offline\"\n");
    let folder = tempfile::tempdir().unwrap();
    let page = page(&report, folder.path());
    holds(
        &page,
        &[
            "# student\\_seed0\n",
            "| student | resnet8x4 |",
            "| accuracy   |  50.00 % ¹ |",
            "¹ best: 75.00 % after epoch 2\n",
            "| seconds of work | 7.1 |",
            "(report/accuracy.svg)",
            "(report/losses.svg)",
            "(report/ece.svg)",
            "(report/confusion.svg)",
            "| a\\|b       | cat       |     1 |      50.00 % |",
            "They give the same answer to 25.00 % of 4 samples",
            "The student is right and the teacher wrong on 1, the reverse on 2.",
            "| dog   |       1 |                         1 |                         0 |",
            "### Where the student beats the teacher most clearly",
            "|      7 | dog   | dog          |       0.665 | cat          |       0.018 |",
            "## Calibration",
            "```toml\nmethod = \"offline\"\n```",
        ],
    );
    // What is the same in every evaluation is in the table and no curve.
    assert!(page.contains("dead units") && !page.contains("dead-units.svg"));
    let clearest = page.find("|     12 | a\\|b").unwrap();
    assert!(clearest < page.find("|      9 | a\\|b").unwrap());
    let accuracy = std::fs::read_to_string(folder.path().join("report/accuracy.svg")).unwrap();
    assert!(accuracy.contains("accuracy of the teacher"));
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let report = RunReport::new("run")
        .with_epochs(epochs())
        .with_predictions(predictions(), None)
        .unwrap();
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(page(&report, one.path()), page(&report, other.path()));
    for entry in std::fs::read_dir(one.path().join("report")).unwrap() {
        let entry = entry.unwrap();
        let twin = other.path().join("report").join(entry.file_name());
        assert_eq!(
            std::fs::read(entry.path()).unwrap(),
            std::fs::read(twin).unwrap()
        );
    }
}

#[test]
fn a_run_without_anything_yet_has_a_page() {
    let report = RunReport::new("run").with_remark("The run is not done: no epoch is.");
    let folder = tempfile::tempdir().unwrap();
    let page = page(&report, folder.path());
    assert_eq!(page, "# run\n\nThe run is not done: no epoch is.\n");
}

#[test]
fn phases_stand_side_by_side() {
    let mut epochs = vec![
        epoch("stage 1/2", 0, &[("mse", 0.5)]),
        epoch("stage 1/2", 1, &[("mse", 0.25)]),
    ];
    epochs.push(epoch("head", 0, &[]));
    epochs.push(epoch("head", 1, &[("accuracy", 0.5)]));
    epochs.push(epoch("short", 0, &[("accuracy", 0.5)]));
    let report = RunReport::new("run").with_epochs(epochs);
    let folder = tempfile::tempdir().unwrap();
    let page = page(&report, folder.path());
    holds(
        &page,
        &[
            "| stage 1/2 | mse      |     0.2500 |",
            "| head      | accuracy |  50.00 % ¹ |",
            "### Phase stage 1/2",
            "(report/mse-stage-1-2.svg)",
            "(report/losses-head.svg)",
        ],
    );
    // One evaluation is no curve, and a phase without a picture has no heading.
    assert!(!page.contains("accuracy-head"));
    assert!(page.contains("| short "));
    assert!(!page.contains("### Phase short"));
}

#[test]
fn a_report_that_has_become_shorter_leaves_no_picture_behind() {
    let folder = tempfile::tempdir().unwrap();
    page(&RunReport::new("run").with_epochs(epochs()), folder.path());
    page(&RunReport::new("run"), folder.path());
}

#[test]
fn names_must_fit_the_classes() {
    let error = RunReport::new("run")
        .with_predictions(predictions(), Some(&["cat".to_owned()]))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "names of classes: expected 3 entries, got 1; give one for each class, or none"
    );
}

/// Synthetic images of so many classes, two of the first, none of the last.
fn synthetic(classes: usize) -> SyntheticImages {
    let mut counts = vec![2; classes];
    counts[classes - 1] = 0;
    let names: Vec<String> = (0..classes).map(|class| format!("class_{class}")).collect();
    let shown = ImageRows::new([1, 2]).unwrap();
    let shown = shown.with_row("class_0", &[[0, 255], [9, 9]]).unwrap();
    SyntheticImages {
        shown: shown
            .with_row(names[classes - 1].clone(), &[[0; 2]; 0])
            .unwrap(),
        counts,
        class_names: names,
        measured: Metrics::from([("class_entropy".to_owned(), 0.25)]),
        warnings: vec!["the teacher sees nothing of `class_1`".into()],
    }
}

#[test]
fn synthetic_images_are_shown_and_their_classes_counted() {
    let folder = tempfile::tempdir().unwrap();
    let report = RunReport::new("run").with_section(synthetic(2).section().unwrap());
    let text = page(&report, folder.path());
    holds(
        &text,
        &[
            "## Synthetic images\n\n2 images that were made",
            "**Warning:** the teacher sees nothing of `class_1`.\n",
            "(report/synthetic.png)",
            "(report/synthetic-classes.svg)",
            "| class entropy | 0.2500 |",
        ],
    );
    let plot = std::fs::read_to_string(folder.path().join("report/synthetic-classes.svg"));
    assert!(plot.unwrap().contains("an equal share"));
    // Of many classes the rarest, the first of which is there still.
    let report = RunReport::new("run").with_section(synthetic(50).section().unwrap());
    let text = page(&report, folder.path());
    assert!(text.contains("Of 50 classes, the 40 rarest:"), "{text}");
    let plot = std::fs::read_to_string(folder.path().join("report/synthetic-classes.svg"));
    assert!(plot.is_ok_and(|plot| plot.contains("class_49") && !plot.contains("class_48")));
    // A report without them takes the picture away.
    page(&RunReport::new("run"), folder.path());
    let mut wrong = synthetic(3);
    wrong.class_names.pop();
    let said = wrong.section().unwrap_err();
    assert_eq!(
        said.to_string(),
        "names of classes: expected 3 entries, got 2; give one for each class"
    );
}

#[test]
fn masks_are_shown_and_measured_by_class() {
    let colours = [("sky", [1, 2, 3]), ("sign", [4, 5, 6])];
    let board = SegmentationBoard::new([1, 2], &colours)
        .unwrap()
        .with_masks("truth", &[[0, 2]])
        .unwrap();
    let summary: SegmentationSummary = serde_json::from_value(serde_json::json!({
        "images": 1, "pixels": 1, "void_pixels": 1, "non_finite": 0, "pixel_accuracy": 1.0,
        "class_iou": [1.0, null], "mean_iou": 1.0, "miou_compat": 0.5,
    }))
    .unwrap();
    let measured = vec![("student".to_owned(), summary)];
    let names = ["sky", "sign"].map(ToOwned::to_owned);
    let epochs = [0, 1].map(|number| {
        let metrics = [("mean_iou", 0.5), ("miou_compat", 0.25)];
        epoch("head", number, &metrics)
    });
    let report = RunReport::new("run")
        .with_epochs(epochs.into())
        .with_segmentation(&board, measured.clone(), &names)
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let page = page(&report, folder.path());
    holds(
        &page,
        &[
            "| mean IoU    |  50.00 % ¹ |",
            "| mIoU compat |    25.00 % |",
            "¹ best: 50.00 % after epoch 1",
            "(report/iou.svg)",
            "(report/segmentation.png)",
            "| sky            | 100.00 % |",
            "| sign           |        - |",
            "| mean IoU       | 100.00 % |",
            "| pixel accuracy | 100.00 % |",
        ],
    );
    assert_eq!(
        std::fs::read(folder.path().join("report/segmentation.png")).unwrap(),
        board.png().unwrap()
    );
    let error = report
        .with_segmentation(&board, measured, &names[..1])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "names of classes: expected 2 entries, got 1; give one for each class"
    );
}
