//! The findings of a diagnosis, on tasks whose answers are known.

use burn::tensor::Device;
use kd_core::{
    Augment, Dataset, Draws, FrozenTeacher, Grade, ImageShape, Method, Names, Normalisation,
    OptimizerConfig, Split, StepContext, Subset, Teacher, Tensors, Topic, Training, ViewPolicy,
    export,
};
use kd_offline::{Diagnosis, DiagnosisOptions, Ensemble, LossConfig, Offline, OfflineData};

use crate::support::{self, Small, folder, losses, noise, offline, result_file, shared, steps};

/// Images of three classes that differ in nothing but brightness, with noise; as many to measure on.
pub(crate) fn brightness(count: usize) -> OfflineData {
    let set = |split, seed| {
        let mut draws = Draws::new(seed, "brightness", 0, 0);
        let labels: Vec<u16> = (0..3).cycle().take(count).collect();
        let images = labels.iter().flat_map(|label| {
            let centre = 40.0 + 85.0 * f64::from(*label);
            (0..64).map(move |_| centre).collect::<Vec<_>>()
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "brought into the range of bytes"
        )]
        let images = images
            .map(|centre| (centre + 15.0 * draws.normal()).clamp(0.0, 255.0) as u8)
            .collect();
        let shape = ImageShape::new(1, 8, 8);
        Subset::all(&Dataset::new("brightness", split, shape, 3, images, labels).unwrap())
    };
    OfflineData {
        train: set(Split::Train, 1),
        held_out: set(Split::Test, 2),
        views: ViewPolicy::Fixed,
        augment: Augment::none(),
    }
}

pub(crate) fn norm(mean: f64, std: f64) -> Normalisation {
    Normalisation::new(vec![mean], vec![std]).unwrap()
}

pub(crate) fn boxed(network: &Small, normalisation: Normalisation) -> Box<dyn Teacher> {
    Box::new(FrozenTeacher::new(network, normalisation, &Device::flex()))
}

pub(crate) fn with_teacher(
    data: OfflineData,
    teacher: Box<dyn Teacher>,
    toml: &str,
) -> Offline<Small> {
    offline(
        &Small::new([3, 4], 3, 1),
        data,
        steps(20),
        vec![teacher],
        losses(toml),
    )
}

pub(crate) fn diagnose(method: &Offline<Small>) -> Diagnosis {
    method.diagnose(&DiagnosisOptions::default()).unwrap()
}

/// The texts of one topic, with their grades.
pub(crate) fn about(diagnosis: &Diagnosis, topic: Topic) -> Vec<(Grade, &str)> {
    let findings = diagnosis
        .findings
        .iter()
        .filter(|found| found.topic == topic);
    findings
        .map(|found| (found.grade, found.text.as_str()))
        .collect()
}

pub(crate) const KD: &str = "[[losses]]\nkind = \"cross-entropy\"\n[[losses]]\nkind = \"kd\"\n";

fn twice_cross_entropy(weight: f64) -> Diagnosis {
    let losses = vec![
        LossConfig::cross_entropy(1.0),
        LossConfig::cross_entropy(weight),
    ];
    diagnose(&offline(
        &Small::new([3, 4], 3, 1),
        brightness(30),
        steps(20),
        Vec::new(),
        losses,
    ))
}

/// The same loss twice has the same gradient twice, so that the weights alone tell their shares.
#[test]
fn a_weight_of_1000_is_1000_times_the_gradient() {
    let diagnosis = twice_cross_entropy(1000.0);
    let facts = diagnosis.losses.as_ref().unwrap();
    let [first, second] = &facts.terms[..] else {
        unreachable!("two terms")
    };
    assert!(first.gradient > 0.0);
    assert_eq!(first.gradient.to_bits(), second.gradient.to_bits());
    assert_eq!(first.value.to_bits(), second.value.to_bits());
    assert!((second.share - 1000.0 / 1001.0).abs() < 1e-9 && second.share > 0.99);
    assert!((facts.gradient / first.gradient - 1001.0).abs() < 1e-3);
    assert!((facts.total / first.value - 1001.0).abs() < 1e-3);
    assert!((facts.cosines[0].cosine - 1.0).abs() < 1e-6);

    // An exact ratio of 1000 may fall to either side of the limit, so that it is tried around it.
    let found = |weight| about(&twice_cross_entropy(weight), Topic::Losses)[0].0;
    assert_eq!(
        [50.0, 101.0, 990.0, 1010.0].map(found),
        [Grade::Ok, Grade::Note, Grade::Note, Grade::Warning]
    );
    let diagnosis = twice_cross_entropy(1010.0);
    let text = about(&diagnosis, Topic::Losses)[0].1;
    let expected = "loss `cross_entropy_2`: its weighted gradient is 1010 times that of all other losses \
                    together";
    assert!(text.starts_with(expected), "{text}");
}

/// A step of plain gradient descent with rate 1 moves the weights by the gradient.
#[test]
fn the_norm_of_the_gradient_is_how_far_a_step_goes() {
    let student = Small::new([3, 4], 3, 1);
    let mut training = steps(1);
    training.lr = 1.0;
    training.optimizer = OptimizerConfig::Sgd {
        momentum: 0.0,
        weight_decay: 0.0,
        nesterov: false,
    };
    let teacher = boxed(&Small::new([4, 5], 3, 2), norm(0.5, 0.5));
    let losses = losses(
        "[[losses]]\nkind = \"cross-entropy\"\nweight = 0.3\n[[losses]]\nkind = \"kd\"\nweight = 2.0\n\
         [[losses]]\nkind = \"hint\"\nstudent_tap = \"body\"\n",
    );
    let method = offline(&student, brightness(30), training, vec![teacher], losses);
    let facts = diagnose(&method).losses.unwrap();
    let (_guard, folder) = folder();
    let mut phase = method.start(0, &folder).unwrap();
    let before = phase.state().tensors;
    let at = StepContext {
        step: 0,
        epoch: 0,
        step_in_epoch: 0,
        lr: 1.0,
        momentum: None,
    };
    phase.step(at).unwrap();
    let moved = distance(&before, &phase.state().tensors);
    assert!(
        (facts.gradient / moved - 1.0).abs() < 1e-4,
        "{} and {moved}",
        facts.gradient
    );
    // The triangle's inequality, with room: the three do not pull exactly the same way.
    let sum: f64 = facts
        .terms
        .iter()
        .map(kd_offline::TermFacts::weighted_gradient)
        .sum();
    let shares: f64 = facts.terms.iter().map(|term| term.share).sum();
    assert!(facts.terms.len() == 3 && sum > 0.0 && (shares - 1.0).abs() < 1e-9);
}

fn distance(before: &Tensors, after: &Tensors) -> f64 {
    let squares = before.iter().map(|(name, before)| {
        let after = after[name].iter::<f64>();
        before
            .iter::<f64>()
            .zip(after)
            .map(|(a, b)| (a - b).powi(2))
            .sum::<f64>()
    });
    squares.sum::<f64>().sqrt()
}

#[test]
fn a_hint_alone_leaves_the_head_alone_and_that_is_said() {
    let toml = "[[losses]]\nkind = \"hint\"\nstudent_tap = \"body\"\nregressor = \"always\"\n";
    let teacher = boxed(&Small::new([4, 5], 3, 2), norm(0.5, 0.5));
    let diagnosis = diagnose(&with_teacher(brightness(30), teacher, toml));
    assert_eq!(
        diagnosis.losses.as_ref().unwrap().untouched,
        ["fc.bias", "fc.weight"]
    );
    let found = about(&diagnosis, Topic::Losses);
    assert!(
        found
            .iter()
            .any(|(grade, text)| *grade == Grade::Warning && text.starts_with("no loss reaches 2"))
    );
    let pair = &diagnosis.taps[0];
    assert_eq!(
        (pair.student_map, pair.teacher_map),
        (Some([4, 4, 4]), Some([5, 4, 4]))
    );
    assert_eq!(pair.regressor, Some(5 * 4 + 5));
    assert_eq!(diagnosis.costs.unwrap().extra_parameters, 5 * 4 + 5);

    // Maps of one width need none unless it is asked for.
    let teacher = boxed(&Small::new([4, 4], 3, 2), norm(0.5, 0.5));
    let toml = "[[losses]]\nkind = \"hint\"\nstudent_tap = \"body\"\n";
    let diagnosis = diagnose(&with_teacher(brightness(30), teacher, toml));
    assert_eq!(diagnosis.taps[0].regressor, None);
    let found = about(&diagnosis, Topic::Taps);
    assert_eq!(
        found,
        [(Grade::Ok, "1 pair of maps fit, 0 of them with a regressor")]
    );
}

#[test]
fn everything_that_does_not_fit_is_named_at_once() {
    let toml = "[[losses]]\nkind = \"cross-entropy\"\n[[losses]]\nkind = \"hint\"\nstudent_tap = \"bdoy\"\n\
                [[losses]]\nkind = \"hint\"\nstudent_tap = \"body\"\nteacher_tap = \"stem\"\n\
                [[losses]]\nkind = \"kd\"\ntemperature = -1\n[[losses]]\nkind = \"attention-transfer\"\n\
                student_taps = [\"body\"]\nteacher = 1\n";
    let teacher = boxed(&Small::new([4, 5], 3, 2), norm(0.5, 0.5));
    let diagnosis = diagnose(&with_teacher(brightness(30), teacher, toml));
    let texts: Vec<&str> = diagnosis
        .of_grade(Grade::Error)
        .map(|found| found.text.as_str())
        .collect();
    assert_eq!(texts.len(), 4, "{texts:?}");
    assert_eq!(
        texts[0],
        "loss 1 (`hint_bdoy`): unknown tap `bdoy`; did you mean `body`?; known: stem, body, dense"
    );
    assert!(
        texts[1].starts_with("loss 2 (`hint_body`): ")
            && texts[1].contains("differ in height or width"),
        "{texts:?}"
    );
    assert!(
        texts[2].contains("`losses.3.temperature` must be finite and above 0"),
        "{texts:?}"
    );
    assert!(
        texts[3].contains("`losses.4.teacher` is 1, but there is only 1 teacher"),
        "{texts:?}"
    );
    assert_eq!(diagnosis.worst(), Grade::Error);
    assert!(diagnosis.losses.is_none() && diagnosis.costs.is_none());
    assert_eq!(diagnosis.taps[0].student_map, None);
}

/// Noise, and other noise to measure on.
pub(crate) fn noise_apart() -> OfflineData {
    let data = noise();
    let set = data.train.dataset();
    let mut images = set.images().to_vec();
    images.reverse();
    let other = Dataset::new(
        "tiny",
        Split::Test,
        set.shape(),
        3,
        images,
        set.labels().to_vec(),
    );
    OfflineData {
        held_out: Subset::all(&other.unwrap()),
        ..data
    }
}

#[test]
fn looking_changes_nothing_and_finds_the_same_again() {
    let student = Small::with_norms([3, 4], 3, 1);
    let teacher = shared(&Small::with_norms([4, 5], 3, 2), norm(0.5, 0.3));
    let toml = format!("{KD}[[losses]]\nkind = \"hint\"\nstudent_tap = \"body\"\n");
    let method = offline(
        &student,
        noise_apart(),
        steps(8),
        vec![support::boxed(&teacher)],
        losses(&toml),
    );
    let before = [export(&student, Names::PyTorch), support::tensors(&teacher)];
    let trained = result_file(&method);
    let texts = |diagnosis: &Diagnosis| -> Vec<String> {
        diagnosis
            .findings
            .iter()
            .map(|found| found.text.clone())
            .collect()
    };
    let (first, second) = (diagnose(&method), diagnose(&method));
    assert_eq!(texts(&first), texts(&second));
    for (tensors, before) in [export(&student, Names::PyTorch), support::tensors(&teacher)]
        .iter()
        .zip(&before)
    {
        for (name, data) in tensors {
            assert_eq!(data.as_bytes(), before[name].as_bytes(), "{name}");
        }
    }
    assert_eq!(result_file(&method), trained);
}

#[test]
fn memory_is_counted_as_the_formula_says() {
    let mut training = Training::for_epochs(3);
    training.batch_size = 16;
    training.optimizer = OptimizerConfig::adam();
    let teacher = boxed(&Small::new([4, 5], 3, 2), norm(0.5, 0.3));
    let method = offline(
        &Small::with_norms([3, 4], 3, 1),
        brightness(60),
        training,
        vec![teacher],
        losses(KD),
    );
    let diagnosis = diagnose(&method);
    let schedule = diagnosis.schedule.as_ref().unwrap();
    assert_eq!(
        (
            schedule.steps_per_epoch,
            schedule.total_steps,
            schedule.evaluations
        ),
        (4, 12, 3)
    );
    let costs = diagnosis.costs.unwrap();
    let student = 3 * 9 + 3 + 4 * 27 + 4 + 3 * 4 + 3 + 2 * (3 + 4);
    let teacher = 4 * 9 + 4 + 5 * 36 + 5 + 3 * 5 + 3;
    assert_eq!(costs.student_parameters, student);
    let memory = &costs.memory;
    assert_eq!(memory.weights, 4 * (student + 2 * (3 + 4)));
    assert_eq!(
        (memory.gradients, memory.moments),
        (4 * student, 8 * student)
    );
    // The maps are [3, 6, 6] and [4, 4, 4], one convolution each; the teacher's [4, 6, 6] and [5, 4, 4].
    assert_eq!(memory.activations, 16 * 4 * 3 * (3 * 36 + 4 * 16));
    assert_eq!(memory.teachers, 4 * teacher + 16 * 4 * (4 * 36 + 5 * 16));
    assert_eq!(memory.data, 2 * 60 * 64);
    let time = &costs.time;
    assert!(time.step > 0.0 && time.teachers > 0.0 && time.evaluation > 0.0);
    let total = 12.0 * time.step + 3.0 * time.evaluation + time.teachers_on_held_out;
    assert!((time.total / total - 1.0).abs() < 1e-9);
}

#[test]
fn what_the_settings_forbid_is_said_like_the_rest() {
    let mut training = steps(5);
    training.lr = -1.0;
    let student = Small::new([3, 4], 3, 1);
    let method = offline(&student, noise(), training, Vec::new(), Vec::new())
        .with_teachers(Vec::new(), Ensemble::Probabilities);
    let diagnosis = diagnose(&method);
    let topics: Vec<Topic> = diagnosis
        .of_grade(Grade::Error)
        .map(|found| found.topic)
        .collect();
    assert_eq!(topics, [Topic::Data, Topic::Schedule, Topic::Losses]);
    assert!(diagnosis.schedule.is_none());
}
