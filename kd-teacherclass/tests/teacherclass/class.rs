use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{
    AffineHead, Batch, CountCosts, FrozenTeacher, Names, Normalisation, Requested, StagedNetwork,
    Teacher, count_parameters, export,
};
use kd_models::{Families, ModelConfig, ModelNetwork, Network, NetworkSpec, Structure, save_model};
use kd_teacherclass::{AdditiveHead, Class, ClassConfig, ClassStudent, MissingChunk, TeacherHead};

use crate::support::{FEATURES, Tiny, close, images, teacher};

const LENGTHS: [usize; 3] = [4, 3, 3];

fn head() -> TeacherHead {
    let device = Device::flex();
    let teacher = FrozenTeacher::new(&teacher(), Normalisation::identity(1), &device);
    TeacherHead::of(&teacher, FEATURES, &device).unwrap()
}

fn class() -> Class<Tiny> {
    let student = |(seed, &length)| Tiny::new(6, length, seed);
    let students = (0..).zip(&LENGTHS).map(student).collect();
    Class::with_teacher_head(students, &head(), true).unwrap()
}

#[test]
fn the_head_that_is_asked_for_is_the_teachers() {
    let found = head();
    let expected = AffineHead::of(&teacher(), FEATURES, &Device::flex());
    assert!(close(found.weight, expected.weight.transpose()));
    assert!(close(found.bias.unsqueeze(), expected.bias.unsqueeze()));
}

#[test]
fn a_class_is_its_students_side_by_side_and_the_head() {
    let (class, images) = (class(), images(4));
    let outputs = class
        .students()
        .iter()
        .map(|student| student.forward(&images));
    let dense = relu(Tensor::cat(outputs.collect(), 1));
    let trace = class.forward_traced(&images);
    assert_eq!(trace.dense.into_data(), dense.clone().into_data());
    assert_eq!(class.stage_names(), ["student-0", "student-1", "student-2"]);
    assert_eq!(trace.maps[1].dims(), [4, 3, 1, 1]);
    let expected = teacher().forward_head(dense);
    assert!(close(trace.output, expected));
}

#[test]
fn perfect_students_are_the_teacher() {
    // One student whose last layer gives the teacher's units: the class answers as the teacher does.
    let teacher = teacher();
    let mut student = Tiny::new(FEATURES, FEATURES, 0);
    student.body = teacher.body.clone();
    let device = Device::flex();
    student.fc.weight = burn::module::Param::from_tensor(Tensor::eye(FEATURES, &device));
    student.fc.bias = None;
    let class = Class::with_teacher_head(vec![student], &head(), true).unwrap();
    assert!(close(
        class.forward(&images(5)),
        teacher.forward(&images(5))
    ));
}

#[test]
fn the_sum_over_students_is_the_head_in_whatever_order_they_answer() {
    let (class, images) = (class(), images(4));
    let additive = AdditiveHead::new(class.head(), &LENGTHS, true).unwrap();
    let chunks = class.chunks(&images);
    let mut parts: Vec<Option<Tensor<2>>> = vec![None; 3];
    for student in [2, 0, 1] {
        parts[student] = Some(additive.part(student, chunks[student].clone()));
    }
    let all = additive.logits(&parts, MissingChunk::Fail).unwrap();
    let in_order = (0..3)
        .map(|k| Some(additive.part(k, chunks[k].clone())))
        .collect::<Vec<_>>();
    let again = additive.logits(&in_order, MissingChunk::Fail).unwrap();
    assert_eq!(all.clone().into_data(), again.into_data());
    assert!(close(all, class.forward(&images)));
}

#[test]
fn a_missing_chunk_is_zeros_or_means_or_an_error() {
    let (class, images) = (class(), images(4));
    let additive = AdditiveHead::new(class.head(), &LENGTHS, true).unwrap();
    let chunks = class.chunks(&images);
    let mut parts: Vec<_> = (0..3)
        .map(|k| Some(additive.part(k, chunks[k].clone())))
        .collect();
    parts[1] = None;
    let with = |chunk: Tensor<2>| {
        let chunks = vec![relu(chunks[0].clone()), chunk, relu(chunks[2].clone())];
        class.forward_head(Tensor::cat(chunks, 1))
    };
    let zero = additive.logits(&parts, MissingChunk::Zero).unwrap();
    assert!(close(zero, with(chunks[1].zeros_like())));

    let unknown = additive.logits(&parts, MissingChunk::Mean).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "`missing` is `mean`, and the means are not known; give them"
    );
    let means: Vec<f32> = (0..10_u8).map(f32::from).collect();
    let additive = additive.with_means(&means);
    let mean = additive.logits(&parts, MissingChunk::Mean).unwrap();
    let filled = Tensor::<2>::from_data([[4.0, 5.0, 6.0]; 4], &Device::flex());
    assert!((mean - with(filled)).abs().max().into_scalar::<f32>() < 1e-4);

    let error = additive.logits(&parts, MissingChunk::Head).unwrap_err();
    assert!(
        error.to_string().ends_with("use `RefittedHeads`"),
        "{error}"
    );
    let error = additive.logits(&parts, MissingChunk::Fail).unwrap_err();
    assert!(
        error.to_string().starts_with("`student` 1 is missing;"),
        "{error}"
    );
    assert!(
        additive
            .logits(&[None, None, None], MissingChunk::Zero)
            .is_err()
    );
}

fn of_known_networks(names: [&str; 2]) -> NetworkSpec {
    let student = |(name, length): (&str, usize)| ClassStudent {
        length,
        network: NetworkSpec::new(name, length, [1, 32, 32])
            .structure()
            .unwrap(),
    };
    let students = names.into_iter().zip([5, 4]).map(student).collect();
    let config = ClassConfig {
        students,
        relu: true,
    };
    config.spec("two", 10, [1, 32, 32]).unwrap()
}

#[test]
fn a_class_in_a_model_folder_is_read_counted_and_used_as_a_teacher() {
    let (device, place) = (Device::flex(), tempfile::tempdir().unwrap());
    let spec = of_known_networks(["lenet5-half", "lenet5-half"]);
    let class = Class::<Network>::build(&spec, 7, &device).unwrap();
    let config = ModelConfig::new(spec, Normalisation::identity(1));
    save_model(place.path(), &class, &config).unwrap();

    let families = Families::new().with::<Class<Network>>();
    let model = families.open(place.path(), &device).unwrap();
    let read: &Class<Network> = model.network().unwrap();
    assert_eq!(export(read, Names::Burn), export(&class, Names::Burn));
    let batch = Batch::noise([1, 32, 32], 3, &device);
    let expected = class.forward(&batch.pixels().unwrap());
    let output = model.output(&batch).unwrap().logits().unwrap();
    assert_eq!(output.into_data(), expected.clone().into_data());
    let teacher = model.teacher(&device);
    let answer = teacher.answer(&batch, &Requested::output().with_tap("student-1"));
    let answer = answer.unwrap();
    assert_eq!(answer.maps[0].dims(), [3, 4, 1, 1]);
    assert!(close(answer.logits().unwrap(), expected));

    let costs = model.costs().unwrap();
    assert_eq!(costs.params(), count_parameters(&class));
    let stages = costs.by_stage();
    let alone = class.students()[1].costs([1, 32, 32]).unwrap();
    assert_eq!(stages[1].0, "student-1");
    assert_eq!(
        (stages[1].1.params, stages[1].1.macs),
        (alone.params(), alone.macs())
    );
    assert_eq!(stages[2].1.params, 9 * 10 + 10);
}

#[test]
fn norms_of_students_are_folded_without_another_answer() {
    let spec = of_known_networks(["resnet8", "resnet8"]);
    let class = Class::<Network>::build(&spec, 1, &Device::flex()).unwrap();
    let images = Batch::noise([1, 32, 32], 2, &Device::flex())
        .pixels()
        .unwrap();
    let folded = class.fold_norms();
    assert_ne!(export(&folded, Names::Burn), export(&class, Names::Burn));
    let (one, other) = (class.forward(&images), folded.forward(&images));
    assert!((one - other).abs().max().into_scalar::<f32>() < 1e-3);
}

#[test]
fn a_damaged_structure_is_refused_in_words() {
    let refused = |config: &ClassConfig| {
        let spec = config.spec("bad", 10, [1, 32, 32]).unwrap();
        let built = Class::<Network>::blank(&spec, &Device::flex());
        built.map(drop).unwrap_err().to_string()
    };
    let none = ClassConfig {
        students: Vec::new(),
        relu: true,
    };
    let expected = "`structure.students` must be 1 to 256, got 0";
    assert_eq!(refused(&none), expected);
    let student = |length| ClassStudent {
        length,
        network: NetworkSpec::new("lenet5", 2, [1, 32, 32])
            .structure()
            .unwrap(),
    };
    let huge = ClassConfig {
        students: vec![student(usize::MAX), student(5)],
        relu: true,
    };
    assert!(refused(&huge).contains("at most 65536 units together"));
    let one = ClassConfig {
        students: vec![student(1)],
        relu: true,
    };
    assert!(refused(&one).contains("must be 2 or more, got 1"));
    let own = ClassStudent {
        length: 4,
        network: Structure::of_family("teacher-class", &one).unwrap(),
    };
    let nested = ClassConfig {
        students: vec![own],
        relu: true,
    };
    assert!(refused(&nested).contains("a network of family teacher-class"));
}
