use kd_core::testing::{run, same_run, stopped_at_every_step};
use kd_core::{EpochLog, Names, RunFolder, Snapshot, export};
use kd_teacherclass::{HEAD_PHASE, TeacherClassConfig};

use crate::support::{config, method, method_of, teacher};

#[test]
fn a_run_that_is_stopped_at_every_step_ends_as_an_undisturbed_one() {
    stopped_at_every_step(|| method(config())).unwrap();
}

#[test]
fn a_student_that_has_collapsed_twice_is_an_error_in_words() {
    let mut strict = config();
    strict.collapse = 1e-9;
    let place = tempfile::tempdir().unwrap();
    let error = run(&method(strict), place.path()).unwrap_err().to_string();
    assert!(
        error.contains("a student 0 that has collapsed twice"),
        "{error}"
    );
    assert!(error.contains("raise `teacher-class.collapse`"), "{error}");
}

#[test]
fn what_is_kept_of_the_teacher_is_what_it_says_live() {
    let places = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (place, keep) in places.iter().zip([true, false]) {
        let mut config = config();
        config.keep = keep;
        run(&method(config), place.path()).unwrap();
    }
    same_run(places[0].path(), places[1].path()).unwrap();
}

/// The same bits.
fn same(one: f64, other: f64) {
    assert_eq!(one.to_bits(), other.to_bits());
}

/// The last evaluation of a phase.
fn last(epochs: &[EpochLog], phase: &str) -> Option<kd_core::Metrics> {
    let of_phase = epochs.iter().rfind(|epoch| epoch.phase == phase);
    of_phase.and_then(|epoch| epoch.evaluation.clone())
}

#[test]
fn a_collapsed_student_is_replaced_by_one_of_another_seed() {
    let (place, lenient) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&method(config()), lenient.path()).unwrap();
    let epochs = EpochLog::read_all(lenient.path()).unwrap();
    let error = |student| last(&epochs, &format!("student-{student}")).unwrap()["nmse"];
    assert!(last(&epochs, "student-0-again").is_none());

    // Between the two largest errors: one student is trained again.
    let mut errors = [error(0), error(1), error(2)];
    errors.sort_unstable_by(f64::total_cmp);
    let mut strict = config();
    strict.collapse = f64::midpoint(errors[1], errors[2]);
    let worst = (0..3)
        .find(|&student| error(student) > strict.collapse)
        .unwrap();
    run(&method(strict.clone()), place.path()).unwrap();
    let epochs = EpochLog::read_all(place.path()).unwrap();
    let again = last(&epochs, &format!("student-{worst}-again")).unwrap()["nmse"];
    assert!(again <= strict.collapse && (again - error(worst)).abs() > 1e-9);
    for other in (0..3).filter(|&student| student != worst) {
        assert!(last(&epochs, &format!("student-{other}-again")).is_none());
    }
    let head = last(&epochs, HEAD_PHASE).unwrap();
    same(head[&format!("student_{worst}_nmse")], again);
    stopped_at_every_step(|| method(strict.clone())).unwrap();
}

#[test]
fn students_do_not_depend_on_each_other() {
    // A change that concerns no student leaves each of them as it was, and other seeds do not.
    let places = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let run_of = |place: &tempfile::TempDir, config: TeacherClassConfig, seed| {
        run(&method(config).with_seed(seed), place.path()).unwrap();
        let folder = RunFolder::open(place.path()).unwrap();
        [0, 1].map(|k| {
            folder
                .result(&format!("student-{k}"), Snapshot::Last)
                .unwrap()
        })
    };
    let mut other_head = config();
    other_head.head.epochs = 0;
    let one = run_of(&places[0], config(), 3);
    assert_eq!(one, run_of(&places[1], other_head, 3));
    let other = run_of(&places[2], config(), 4);
    assert_ne!(one[0], other[0]);
    assert_ne!(one[1], other[1]);
}

#[test]
fn a_head_that_is_not_tuned_is_the_teachers() {
    let mut untuned = config();
    untuned.head.epochs = 0;
    let place = tempfile::tempdir().unwrap();
    let method = method(untuned);
    let outcomes = run(&method, place.path()).unwrap();
    let folder = RunFolder::open(place.path()).unwrap();
    let class = method.class(&folder, Snapshot::Last).unwrap();
    let teacher = export(&teacher(), Names::PyTorch);
    let class = export(&class, Names::PyTorch);
    for name in ["weight", "bias"] {
        let (found, expected) = (
            &class[&format!("head.{name}")],
            &teacher[&format!("fc.{name}")],
        );
        for (found, expected) in found.iter::<f32>().zip(expected.iter::<f32>()) {
            assert!((found - expected).abs() < 1e-6, "{name}");
        }
    }
    let head = outcomes.last().unwrap();
    assert_eq!((head.phase.as_str(), head.steps), (HEAD_PHASE, 0));
    same(head.last["accuracy"], head.last["copied_head_accuracy"]);
}

#[test]
fn every_evaluation_of_the_head_says_what_missing_students_cost() {
    let place = tempfile::tempdir().unwrap();
    run(&method(config()), place.path()).unwrap();
    let epochs = EpochLog::read_all(place.path()).unwrap();
    let heads = epochs.iter().filter(|epoch| epoch.phase == HEAD_PHASE);
    for head in heads.filter_map(|epoch| epoch.evaluation.as_ref()) {
        for missing in [1, 2] {
            for policy in ["zero", "mean"] {
                let mean = head[&format!("{policy}_without_{missing}_accuracy")];
                let worst = head[&format!("{policy}_without_{missing}_worst_accuracy")];
                assert!(
                    (0.0..=1.0).contains(&worst) && worst <= mean,
                    "{worst} {mean}"
                );
            }
        }
        assert!(!head.contains_key("zero_without_3_accuracy"));
        let student = last(&epochs, "student-2").unwrap();
        same(head["student_2_nmse"], student["nmse"]);
    }
}

#[test]
fn students_learn_their_chunks() {
    let place = tempfile::tempdir().unwrap();
    let (teacher, config) = (teacher(), config());
    run(&method_of(&teacher, config), place.path()).unwrap();
    let epochs = EpochLog::read_all(place.path()).unwrap();
    for student in 0..3 {
        let phase = format!("student-{student}");
        let errors: Vec<f64> = epochs
            .iter()
            .filter(|epoch| epoch.phase == phase)
            .map(|epoch| epoch.train["total"])
            .collect();
        assert!(errors[1] < errors[0], "{phase}: {errors:?}");
    }
}

#[test]
fn a_teacher_with_a_signed_dense_vector_has_no_relu_at_the_merge() {
    assert!(method(config()).has_relu().unwrap());
    assert!(!method_of(&teacher().signed(), config()).has_relu().unwrap());
    let mut told = config();
    told.relu = Some(true);
    assert!(method_of(&teacher().signed(), told).has_relu().unwrap());
}
