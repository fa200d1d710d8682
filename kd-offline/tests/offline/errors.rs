//! Refusals, word by word.

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor};
use kd_core::{
    Error, ErrorKind, Normalisation, Preprocessing, StagedNetwork, Teacher, Training, testing,
};
use kd_offline::{Ensemble, LossConfig, Offline};

use crate::support::{Small, boxed, kd, losses, noise, offline, shared, steps, teacher};

/// A student of three classes with one teacher, and these losses.
fn with(toml: &str) -> Offline<Small> {
    let student = Small::new([3, 4], 3, 1);
    let teachers = vec![teacher(&Small::new([5, 6], 3, 2))];
    offline(&student, noise(), steps(1), teachers, losses(toml))
}

/// That `method` is refused as bad usage, before anything is trained, in these words.
fn refused(method: &Offline<Small>, text: &str) {
    let error = method.check().unwrap_err();
    assert_eq!(error.to_string(), text);
    assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
}

#[test]
fn kd_without_a_teacher() {
    let student = Small::new([3, 4], 3, 1);
    let method = offline(
        &student,
        noise(),
        steps(1),
        Vec::new(),
        losses("[[losses]]\nkind = \"cross-entropy\"\n[[losses]]\nkind = \"kd\"\n"),
    );
    refused(
        &method,
        "`losses.1.teacher` needs a teacher; add one under `[[teachers]]`",
    );
}

#[test]
fn no_losses_at_all() {
    let student = Small::new([3, 4], 3, 1);
    let method = offline(&student, noise(), steps(1), Vec::new(), Vec::new());
    refused(
        &method,
        "`losses` is empty; name at least one, for example `kind = \"cross-entropy\"`",
    );
}

#[test]
fn taps_that_there_are_not() {
    refused(
        &with("[[losses]]\nkind = \"hint\"\nstudent_tap = \"bodi\"\n"),
        "unknown tap `bodi`; did you mean `body`?; known: stem, body, dense",
    );
    refused(
        &with("[[losses]]\nkind = \"hint\"\nstudent_tap = \"body\"\nteacher_tap = \"sten\"\n"),
        "unknown tap `sten`; did you mean `stem`?; known: stem, body, dense",
    );
    refused(
        &with("[[losses]]\nkind = \"attention-transfer\"\nstudent_taps = [\"stem\", \"layer3\"]\n"),
        "unknown tap `layer3`; known: stem, body, dense",
    );
}

#[test]
fn class_counts_that_do_not_fit() {
    let (three, five) = (Small::new([3, 4], 3, 1), Small::new([3, 4], 5, 1));
    let cross_entropy = || vec![LossConfig::cross_entropy(1.0)];
    refused(
        &offline(&five, noise(), steps(1), Vec::new(), cross_entropy()),
        "student: expected 3 classes, as data set `tiny` has, got 5; use a network and a data set of the \
         same number of classes, or losses that read no logits of the teacher",
    );
    // A loss that reads no logits takes a teacher of other classes.
    let teachers = || vec![teacher(&three), teacher(&five)];
    let alone = offline(&three, noise(), steps(1), teachers(), cross_entropy());
    assert!(alone.check().is_ok());
    refused(
        &offline(&three, noise(), steps(1), teachers(), vec![kd(4.0)]),
        "teacher 1: expected 3 classes, as data set `tiny` has, got 5; use a network and a data set of the \
         same number of classes, or losses that read no logits of the teacher",
    );
}

#[test]
fn channels_that_do_not_fit_the_normalisation() {
    let student = Small::new([3, 4], 3, 1);
    let three = Normalisation::identity(3);
    let method = Offline::new(&student, three, noise(), steps(1), &Device::flex());
    refused(
        &method,
        "normalisation: expected 3 channels, got 1; give one mean and one std for each channel of the data",
    );
}

#[test]
fn widths_that_differ_without_a_regressor() {
    refused(
        &with("[[losses]]\nkind = \"hint\"\nstudent_tap = \"body\"\nregressor = \"none\"\n"),
        "hint: expected maps of equal width, the teacher's has 6 channels, got 4 of the student; set \
         `regressor = \"when-widths-differ\"`",
    );
}

#[test]
fn maps_of_different_size() {
    refused(
        &with("[[losses]]\nkind = \"hint\"\nstudent_tap = \"body\"\nteacher_tap = \"stem\"\n"),
        "`losses.0` cannot be computed: `regressor`: `student_features` [1, 4, 4, 4] and `teacher_features` \
         [1, 5, 6, 6] differ in height or width; tap layers of one map size, or pool the larger map \
         first; maps of one size are `stem` with `stem` (6x6), `body` with `body` (4x4)",
    );
    refused(
        &with(
            "[[losses]]\nkind = \"cross-entropy\"\n[[losses]]\nkind = \"attention-transfer\"\nstudent_taps = \
             [\"stem\"]\nteacher_taps = [\"body\"]\n",
        ),
        "`losses.1` cannot be computed: `attention_transfer`: `student_features` [1, 3, 6, 6] and \
         `teacher_features` [1, 6, 4, 4] differ in height or width; tap layers of one map size, or pool the \
         larger map first; maps of one size are `stem` with `stem` (6x6), `body` with `body` (4x4)",
    );
}

#[test]
fn numbers_out_of_range() {
    for (toml, text) in [
        (
            "kind = \"kd\"\nweight = -0.5",
            "`losses.0.weight` must be finite and not negative, got -0.5",
        ),
        (
            "kind = \"kd\"\ntemperature = 0.0",
            "`losses.0.temperature` must be finite and above 0, got 0; 1 to 20 are usual",
        ),
        (
            "kind = \"cross-entropy\"\nlabel_smoothing = 1.0",
            "`losses.0.label_smoothing` must be at least 0 and below 1, got 1; the paper uses 0.1; 0 turns \
             smoothing off",
        ),
        (
            "kind = \"hint\"\nstudent_tap = \"stem\"\nteacher = 1",
            "`losses.0.teacher` is 1, but there is only 1 teacher, counted from 0",
        ),
        (
            "kind = \"attention-transfer\"\nstudent_taps = [\"stem\", \"body\"]\nteacher_taps = [\"body\"]",
            "`losses.0.teacher_taps` needs as many teacher taps as student taps, at least one, got 1 and 2",
        ),
        (
            "kind = \"attention-transfer\"\nstudent_taps = []",
            "`losses.0.student_taps` is missing; loss `attention-transfer` compares feature maps: name \
             stages of the student, or `dense` for what goes into its head",
        ),
    ] {
        refused(&with(&format!("[[losses]]\n{toml}\n")), text);
    }
}

#[test]
fn a_teacher_that_is_not_among_three() {
    let student = Small::new([3, 4], 3, 1);
    let teachers = (0..3)
        .map(|_| teacher(&Small::new([5, 6], 3, 2)))
        .collect::<Vec<Box<dyn Teacher>>>();
    let losses = losses("[[losses]]\nkind = \"hint\"\nstudent_tap = \"stem\"\nteacher = 7\n");
    refused(
        &offline(&student, noise(), steps(1), teachers, losses),
        "`losses.0.teacher` is 7, but there are only 3 teachers, counted from 0",
    );
}

#[test]
fn training_that_cannot_be() {
    let student = Small::new([3, 4], 3, 1);
    let losses = vec![LossConfig::cross_entropy(1.0)];
    let method = offline(&student, noise(), Training::default(), Vec::new(), losses);
    refused(
        &method,
        "`train.epochs` is missing; say how long to train with `epochs` or `steps`",
    );
}

#[test]
fn a_learning_rate_that_is_far_too_high_diverges_in_words() {
    let student = Small::new([3, 4], 3, 1);
    let mut training = steps(30);
    training.lr = 1e20;
    let teacher = shared(&Small::new([5, 6], 3, 2), Normalisation::identity(1));
    let losses = losses("[[losses]]\nkind = \"kd\"\n");
    let method = offline(&student, noise(), training, vec![boxed(&teacher)], losses)
        .with_teachers(vec![boxed(&teacher)], Ensemble::Probabilities);
    let path = tempfile::tempdir().unwrap();
    let error = testing::run(&method, path.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Diverged, "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("phase `distill`: ") && text.contains("a lower `train.lr`"),
        "{text}"
    );
    assert!(
        matches!(error, Error::NonFinite { step: 0..3, .. }),
        "{text}"
    );
}

/// Text is embedded, word by word, and averaged.
#[derive(Module, Debug)]
struct Text {
    embed: Embedding,
    fc: Linear,
}

impl StagedNetwork for Text {
    type Input = Tensor<2, Int>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        vec!["embed".into()]
    }

    fn forward_stage(&self, _: usize, input: &Tensor<2, Int>, _: &[Tensor<4>]) -> Tensor<4> {
        let embedded = self.embed.forward(input.clone()); // [batch_size, tokens, features]
        embedded.swap_dims(1, 2).unsqueeze_dim(2)
    }

    fn forward_dense(&self, _: &Tensor<2, Int>, maps: &[Tensor<4>]) -> Tensor<2> {
        maps[0].clone().mean_dim(3).flatten(1, 3)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc.forward(dense)
    }
}

#[test]
fn images_for_a_network_for_text() {
    let device = Device::flex();
    let student = Text {
        embed: EmbeddingConfig::new(10, 4).init(&device),
        fc: LinearConfig::new(4, 3).init(&device),
    };
    let of = |preprocessing: Preprocessing| {
        let method = Offline::new(&student, preprocessing, noise(), steps(1), &device);
        method.check().unwrap_err().to_string()
    };
    assert_eq!(
        of(Preprocessing::Tokens),
        "`data` is images, and this network takes text; use a network for images"
    );
    assert_eq!(
        of(Normalisation::identity(1).into()),
        "`preprocessing` is not one for text; use the preprocessing that the network was trained with"
    );
}
