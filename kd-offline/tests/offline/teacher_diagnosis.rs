//! The findings of a diagnosis about teachers: their classes, their accuracy, their normalisation, their
//! freezing.

use burn::module::Module;
use burn::tensor::Device;
use kd_core::{
    Dataset, Grade, ImageShape, MissingTeacher, Names, Normalisation, OptimizerConfig, Split,
    Subset, Teacher, Topic, import,
};
use kd_offline::{DiagnosisOptions, KnownTeacher, Offline, OfflineData};

use super::diagnosis::{KD, about, boxed, brightness, diagnose, noise_apart, norm, with_teacher};
use crate::support::{Careless, Small, losses, offline, result, steps};

/// A network that was trained on [`brightness`] with this normalisation.
fn trained(normalisation: &Normalisation) -> Small {
    let fresh = Small::new([4, 8], 3, 7);
    let mut training = steps(120);
    training.batch_size = 48;
    training.lr = 0.01;
    training.optimizer = OptimizerConfig::adam();
    let method = Offline::new(
        &fresh,
        normalisation.clone(),
        brightness(300),
        training,
        &Device::flex(),
    );
    import(&fresh, &result(&method), Names::PyTorch, "the trained one").unwrap()
}

#[test]
fn a_teacher_of_other_classes_is_an_error_and_the_rest_is_still_looked_at() {
    let teachers = vec![
        boxed(&Small::new([4, 5], 7, 2), norm(0.5, 0.5)),
        boxed(&Small::new([4, 5], 3, 2), norm(0.5, 0.5)),
    ];
    let method = offline(
        &Small::new([3, 4], 3, 1),
        brightness(30),
        steps(20),
        teachers,
        losses(KD),
    );
    let mut options = DiagnosisOptions::default();
    options.teachers = vec![KnownTeacher {
        name: "teacher `big`".into(),
        accuracy: None,
        missing: false,
    }];
    let diagnosis = method.diagnose(&options).unwrap();
    let texts: Vec<&str> = diagnosis
        .of_grade(Grade::Error)
        .map(|found| found.text.as_str())
        .collect();
    let expected = "teacher `big` tells 7 classes apart, data set `brightness` has 3; use a network and a \
                    data set of the same classes";
    assert_eq!(texts, [expected]);
    assert_eq!(diagnosis.teachers[0].classes, Some(7));
    assert!(diagnosis.teachers[0].trials.is_empty() && !diagnosis.teachers[1].trials.is_empty());
    assert_eq!(diagnosis.teachers[1].name, "teacher 1");
}

/// A network that knows brightness alone is lost when it is shown another.
#[test]
fn a_teacher_that_is_fed_wrongly_is_told_from_one_that_is_not() {
    let data = brightness(300);
    let right = norm(0.49, 0.28);
    let teacher = trained(&right);
    let shown = |normalisation: Normalisation| {
        let method = with_teacher(data.clone(), boxed(&teacher, normalisation), KD);
        let mut options = DiagnosisOptions::default();
        options.constants = Some(norm(0.49, 0.28));
        method.diagnose(&options).unwrap()
    };
    let well = shown(right.clone());
    let own = &well.teachers[0].trials[0];
    assert!(own.accuracy() > 0.98 && own.samples == 256, "{own:?}");
    let found = about(&well, Topic::Teachers);
    assert!(
        found[0].0 == Grade::Ok
            && found[0]
                .1
                .contains("no other normalisation is clearly better"),
        "{found:?}"
    );
    // The student sees the pixels as they are, which is remarkable and no more.
    assert_eq!(well.worst(), Grade::Note, "{:?}", well.findings);

    // Constants for pixels from 0 to 255, no normalisation where there was one, and one where another was.
    for wrong in [norm(125.0, 71.4), norm(0.0, 1.0), norm(0.8, 0.9)] {
        let badly = shown(wrong);
        let own = &badly.teachers[0].trials[0];
        assert!(own.accuracy() < 0.9, "{own:?}");
        let found = about(&badly, Topic::Normalisation);
        let warning = found.iter().find(|(grade, _)| *grade == Grade::Warning);
        let text = warning
            .unwrap_or_else(|| unreachable!("{:?}", badly.findings))
            .1;
        assert!(
            text.starts_with("teacher 0 seems to be fed with the wrong normalisation"),
            "{text}"
        );
        assert!(
            text.contains("set its `normalisation` to `mean = [0.49]`, `std = [0.28]`"),
            "{text}"
        );
    }

    // A normalisation of its own that it was trained with is no mistake, although the data set has another.
    let own = norm(0.2, 0.5);
    let method = with_teacher(data.clone(), boxed(&trained(&own), own), KD);
    let diagnosis = diagnose(&method);
    assert_eq!(
        diagnosis.of_grade(Grade::Warning).count(),
        0,
        "{:?}",
        diagnosis.findings
    );
    let found = about(&diagnosis, Topic::Normalisation);
    assert!(
        found
            .iter()
            .any(|(grade, text)| *grade == Grade::Note && text.contains("another normalisation"))
    );
}

#[test]
fn a_teacher_that_guesses_and_one_that_is_worse_than_claimed_are_suspicious() {
    let guessing = boxed(&Small::new([4, 5], 3, 2), norm(0.49, 0.28));
    let diagnosis = diagnose(&with_teacher(brightness(300), guessing, KD));
    let found = about(&diagnosis, Topic::Teachers);
    assert!(
        found[0].0 == Grade::Warning && found[0].1.contains("cannot be told from guessing (3"),
        "{found:?}"
    );

    // One that confuses two of the three classes: its rows for classes 1 and 2 are swapped in half of the
    // labels.
    let right = norm(0.49, 0.28);
    let network = trained(&right);
    let held_out = brightness(300);
    let labels = held_out.held_out.dataset().labels().iter();
    let labels = labels
        .enumerate()
        .map(|(at, label)| if at % 3 == 2 { 1 } else { *label });
    let images = held_out.held_out.dataset().images().to_vec();
    let shape = ImageShape::new(1, 8, 8);
    let test = Dataset::new(
        "brightness",
        Split::Test,
        shape,
        3,
        images,
        labels.collect(),
    )
    .unwrap();
    let data = OfflineData {
        held_out: Subset::all(&test),
        ..held_out
    };
    let claimed = |accuracy| {
        let method = with_teacher(data.clone(), boxed(&network, right.clone()), KD);
        let mut options = DiagnosisOptions::default();
        options.teachers = vec![KnownTeacher {
            name: "teacher".into(),
            accuracy,
            missing: false,
        }];
        let diagnosis = method.diagnose(&options).unwrap();
        let found = about(&diagnosis, Topic::Teachers);
        (found[0].0, found[0].1.to_owned())
    };
    // Two thirds are right, and 256 samples leave 9 points of room around that. Two of three samples have
    // label 1.
    let (grade, text) = claimed(Some(0.9));
    assert_eq!(grade, Grade::Warning, "{text}");
    let (grade, text) = claimed(None);
    assert!(
        grade == Grade::Warning && text.contains("cannot be told from guessing (6"),
        "{text}"
    );
}

#[test]
fn a_teacher_that_changes_is_found_and_one_that_does_not_is_not() {
    let network = Small::with_norms([4, 5], 3, 2);
    let careless = Box::new(Careless(network.clone().train()));
    let diagnosis = diagnose(&with_teacher(noise_apart(), careless, KD));
    let found = about(&diagnosis, Topic::Frozen);
    assert!(
        found[0].0 == Grade::Error && found[0].1.starts_with("teacher 0 changed"),
        "{found:?}"
    );
    // It does not say what it normalises with, so that nothing else was tried.
    assert_eq!(diagnosis.teachers[0].trials.len(), 1);

    let diagnosis = diagnose(&with_teacher(
        noise_apart(),
        boxed(&network, norm(0.5, 0.3)),
        KD,
    ));
    let found = about(&diagnosis, Topic::Frozen);
    assert!(
        found[0].0 == Grade::Ok && found[0].1.starts_with("teacher 0 is frozen"),
        "{found:?}"
    );
    let count = 3 * 9 + 3 + 4 * 27 + 4 + 3 * 4 + 3;
    assert_eq!(
        found[1].1,
        format!("{count} parameters of the student are trained")
    );
}

#[test]
fn the_rest_is_looked_at_where_a_teacher_is_missing() {
    let missing = MissingTeacher {
        name: "teachers.0".into(),
    };
    let teachers: Vec<Box<dyn Teacher>> = vec![
        Box::new(missing),
        boxed(&Small::new([4, 5], 3, 2), norm(0.5, 0.5)),
    ];
    let toml = "[[losses]]\nkind = \"kd\"\n[[losses]]\nkind = \"hint\"\nstudent_tap = \"bdoy\"\n";
    let method = offline(
        &Small::new([3, 4], 3, 1),
        brightness(30),
        steps(20),
        teachers,
        losses(toml),
    );
    let mut options = DiagnosisOptions::default();
    options.teachers = vec![KnownTeacher {
        name: "teacher 0".into(),
        accuracy: None,
        missing: true,
    }];
    let diagnosis = method.diagnose(&options).unwrap();
    // Only what was not said already.
    let texts: Vec<&str> = diagnosis
        .of_grade(Grade::Error)
        .map(|found| found.text.as_str())
        .collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].contains("unknown tap `bdoy`"), "{texts:?}");
    assert_eq!(diagnosis.teachers[1].trials[0].samples, 30);
    assert!(diagnosis.losses.is_none());
}
