//! A frozen teacher: a function of each sample alone, to the last bit, which runs no more than it is asked
//! for.

use std::rc::Rc;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{
    Answer, CachedTeacher, DENSE_TAP, FrozenTeacher, MissingTeacher, NamedGradients, Names,
    NetworkInput, Normalisation, OptimizerConfig, Output, Preprocessing, Requested, Rows, Samples,
    StagedNetwork, StepContext, TaskNetwork, Teacher, Trained, export, network_hash,
};

use super::networks::{
    Pixels, Small, Text, Wide, WideOfMaps, batch_of, bits, frozen, images, stages_run, texts,
};

/// Every size of a batch that is special: less than a block of the head, one more, one, several.
const SIZES: [usize; 10] = [2, 3, 5, 7, 16, 17, 33, 64, 100, 256];

/// The output and all maps.
fn everything(teacher: &dyn Teacher) -> Requested {
    let stages = Requested::at_taps(teacher.stage_names());
    stages.with_tap(DENSE_TAP).with_output()
}

/// The answers for `samples` images in batches of `batch_size`, sample by sample.
fn in_batches(
    teacher: &dyn Teacher,
    samples: usize,
    batch_size: usize,
    part: impl Fn(usize, usize) -> Samples,
) -> Vec<Vec<u32>> {
    let requested = everything(teacher);
    let firsts = (0..samples).step_by(batch_size);
    let answers = firsts.map(|first| {
        let here = batch_size.min(samples - first);
        let batch = batch_of(part(first, here));
        bits(&teacher.answer(&batch, &requested).unwrap())
    });
    answers.flatten().collect()
}

/// Checks that the batch which a sample stands in changes no bit of its answer.
fn each_sample_alone<N: TaskNetwork<Input = Tensor<4>>>(network: &N) {
    let (samples, images, teacher) = (256, images(256), frozen(network));
    let answers = |batch_size| {
        in_batches(&teacher, samples, batch_size, |first, here| {
            Samples::Images(images.clone().narrow(0, first, here))
        })
    };
    let alone = answers(1);
    for batch_size in SIZES {
        assert!(answers(batch_size) == alone, "batches of {batch_size}");
    }
}

#[test]
fn the_batch_that_a_sample_stands_in_changes_no_bit_of_the_answer() {
    each_sample_alone(&Wide::new());
}

#[test]
fn the_batch_changes_no_bit_where_the_head_takes_maps() {
    each_sample_alone(&WideOfMaps::new());
    each_sample_alone(&Pixels::new());
}

#[test]
fn the_batch_changes_no_bit_of_the_answer_for_a_text() {
    let (samples, tokens) = (64, 1);
    let texts = texts(samples, tokens);
    // Wide enough that products of matrices depend on the number of rows.
    let network = Text::new(2048);
    let teacher = FrozenTeacher::new(&network, Preprocessing::Tokens, &Device::flex());
    let answers = |batch_size| {
        in_batches(&teacher, samples, batch_size, |first, here| {
            Samples::Tokens(texts.clone().narrow(0, first, here))
        })
    };
    let alone = answers(1);
    for batch_size in [5, 16, 17, 64] {
        assert!(answers(batch_size) == alone, "batches of {batch_size}");
    }
}

#[test]
fn the_place_of_a_sample_in_its_batch_changes_no_bit_of_the_answer() {
    let images = images(40);
    let teacher = frozen(&Wide::new());
    let answer = |images: Tensor<4>| {
        let batch = batch_of(Samples::Images(images));
        bits(&teacher.answer(&batch, &Requested::output()).unwrap())
    };
    let forwards = answer(images.clone());
    let backwards = answer(images.flip([0]));
    for (row, (a, b)) in forwards.iter().zip(backwards.iter().rev()).enumerate() {
        assert_eq!(a, b, "sample {row}");
    }
}

/// Where the network is narrow, it says itself what the answer must be, whatever the batch.
#[test]
fn the_answer_is_that_of_the_folded_network_to_the_bit() {
    let network = Small::new(1);
    let teacher = frozen(&network);
    let folded = network.fold_norms();
    let images = images(64);
    let normalisation = Normalisation::new(vec![0.5; 3], vec![0.25; 3]).unwrap();
    for batch_size in [1, 5, 16, 17, 64] {
        let part = images.clone().narrow(0, 0, batch_size);
        let trace = folded.forward_traced(&normalisation.apply(part.clone()).unwrap());
        let mut maps = trace.maps;
        maps.push(trace.dense.into_map());
        let expected = Answer::new(Some(Output::Classes(trace.output)), maps);
        let batch = batch_of(Samples::Images(part));
        let found = teacher.answer(&batch, &everything(&teacher)).unwrap();
        assert!(bits(&found) == bits(&expected), "a batch of {batch_size}");
    }
}

#[test]
fn an_empty_batch_is_refused() {
    let teacher = frozen(&Small::new(1));
    let none = Tensor::zeros([0, 3, 10, 10], &Device::flex());
    let none = batch_of(Samples::Images(none));
    for requested in [Requested::output(), Requested::at_taps(["stem"])] {
        let error = teacher.answer(&none, &requested).unwrap_err();
        assert_eq!(
            error.to_string(),
            "batch for a teacher: expected at least one sample, got none; leave empty batches out"
        );
    }
}

#[test]
fn no_stage_behind_the_last_map_that_is_requested_is_run() {
    let teacher = frozen(&Small::new(1));
    let batch = batch_of(Samples::Images(images(2)));
    let run = |requested: &Requested| {
        stages_run();
        let answer = teacher.answer(&batch, requested).unwrap();
        (stages_run(), answer.maps.len(), answer.output.is_some())
    };
    assert_eq!(run(&Requested::nothing()), (vec![], 0, false));
    assert_eq!(run(&Requested::at_taps(["stem"])), (vec![0], 1, false));
    let two = Requested::at_taps(["body", "stem"]);
    assert_eq!(run(&two), (vec![0, 1], 2, false));
    assert_eq!(
        run(&Requested::at_taps(["dense"])),
        (vec![0, 1, 2], 1, false)
    );
    assert_eq!(run(&Requested::output()), (vec![0, 1, 2], 0, true));

    // Maps come in the order of the request, and are those of a whole pass.
    let maps = |requested: &Requested| teacher.answer(&batch, requested).unwrap().maps;
    let [body, stem] = &maps(&two)[..] else {
        unreachable!("two maps")
    };
    assert_eq!([body.dims()[1], stem.dims()[1]], [5, 4]);
    let whole = maps(&two.clone().with_output());
    assert_eq!(body.to_data(), whole[0].to_data());
    assert_eq!(stem.to_data(), whole[1].to_data());
}

#[test]
fn the_dense_tap_is_the_input_of_the_head() {
    let teacher = frozen(&Small::new(1));
    let batch = batch_of(Samples::Images(images(16)));
    let requested = Requested::output().with_tap(DENSE_TAP);
    let answer = teacher.answer(&batch, &requested).unwrap();
    let dense = answer.maps[0].clone();
    assert_eq!(dense.dims(), [16, 6, 1, 1]);
    let logits = teacher.classify(dense.into_rows()).unwrap();
    assert_eq!(logits.to_data(), answer.logits().unwrap().to_data());
}

#[test]
fn gradients_pass_through_a_teachers_head_and_leave_it_alone() {
    let teacher = frozen(&Small::new(2));
    let dense = Tensor::<2>::ones([2, 6], &Device::flex().autodiff()).require_grad();
    let before = export(teacher.network(), Names::Burn);
    let logits = teacher.classify(dense.clone()).unwrap();
    assert_eq!(logits.dims(), [2, 3]);
    let gradients = logits.square().sum().backward();
    assert!(dense.grad(&gradients).is_some());
    assert_eq!(export(teacher.network(), Names::Burn), before);
}

#[test]
fn a_tap_that_there_is_not_names_those_there_are() {
    let teacher = frozen(&Small::new(1));
    let batch = batch_of(Samples::Images(images(1)));
    for requested in [
        Requested::at_taps(["stem", "bdoy"]),
        Requested::output().with_tap("bdoy"),
    ] {
        let error = teacher.answer(&batch, &requested).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown tap `bdoy`; did you mean `body`?; known: stem, body, tail, dense"
        );
    }
}

#[test]
fn samples_and_outputs_of_another_kind_are_refused_in_words() {
    let text = batch_of(Samples::Tokens(texts(2, 3)));
    let error = frozen(&Small::new(1)).answer(&text, &Requested::output());
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("`data` is text"), "{error}");

    let batch = batch_of(Samples::Images(images(2)));
    let teacher = frozen(&Pixels::new());
    let answer = teacher.answer(&batch, &Requested::output()).unwrap();
    assert!(
        matches!(&answer.output, Some(Output::Pixels(logits)) if logits.dims() == [2, 2, 8, 8])
    );
    assert_eq!(
        answer.logits().unwrap_err().to_string(),
        "`teacher` is a segmentation network, and a classification network is needed; use another"
    );
    let dense = Tensor::ones([2, 4], &Device::flex());
    let error = teacher.classify(dense).unwrap_err().to_string();
    assert!(error.contains("whose head takes maps"), "{error}");

    let answer = teacher
        .answer(&batch, &Requested::at_taps(["stem"]))
        .unwrap();
    let error = answer.logits().unwrap_err().to_string();
    assert_eq!(error, "`teacher` has not been asked for its output");

    let missing = MissingTeacher {
        name: "teachers.1".into(),
    };
    let error = missing.answer(&batch, &Requested::nothing()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`teachers.1` could not be read and has no answers"
    );
}

/// A folded network is another one; what names the teacher and what is copied of it are of the network
/// before.
#[test]
fn hash_and_stages_are_those_of_the_network_before_it_was_folded() {
    let network = Small::new(1);
    let teacher = frozen(&network);
    let before = export(&network, Names::Burn);
    let folded = export(teacher.network(), Names::Burn);
    assert_ne!(folded["stem.weight"], before["stem.weight"]);
    let preprocessing = teacher.preprocessing().unwrap();
    assert_eq!(teacher.hash(), network_hash(&network, preprocessing));
    assert_ne!(teacher.hash(), frozen(&Small::new(2)).hash());
    let other = FrozenTeacher::new(&network, Normalisation::identity(3), &Device::flex());
    assert_ne!(teacher.hash(), other.hash());

    let stem = teacher.stage_tensors(0).unwrap();
    let names: Vec<&str> = stem.keys().map(String::as_str).collect();
    let expected = [
        "stem.bias",
        "stem.weight",
        "stem_norm.beta",
        "stem_norm.gamma",
    ];
    assert_eq!(names[..4], expected);
    assert_eq!(
        names[4..],
        ["stem_norm.running_mean", "stem_norm.running_var"]
    );
    assert!(stem.iter().all(|(name, data)| before[name] == *data));
    let tail = teacher.stage_tensors(2).unwrap();
    assert_eq!(
        tail.keys().collect::<Vec<_>>(),
        ["tail.bias", "tail.weight"]
    );
    assert!(teacher.stage_tensors(3).is_none());
}

/// Checks that `holder` is the teacher in everything.
fn is_the_teacher(holder: impl Teacher, teacher: &FrozenTeacher<Small>) {
    let batch = batch_of(Samples::Images(images(3)));
    let requested = everything(teacher);
    let answer = |teacher: &dyn Teacher| bits(&teacher.answer(&batch, &requested).unwrap());
    assert_eq!(answer(&holder), answer(teacher));
    assert_eq!(holder.stage_names(), teacher.stage_names());
    assert_eq!(holder.hash(), teacher.hash());
    assert!(holder.preprocessing().is_some() && holder.preprocessing() == teacher.preprocessing());
    assert!(holder.parameters().is_some() && holder.parameters() == teacher.parameters());
    assert!(holder.stage_tensors(1).is_some());
    assert_eq!(holder.stage_tensors(1), teacher.stage_tensors(1));
    let dense = || Tensor::ones([2, 6], &Device::flex());
    let logits = |teacher: &dyn Teacher| teacher.classify(dense()).unwrap().into_data();
    assert_eq!(logits(&holder), logits(teacher));
}

#[test]
fn whatever_holds_a_teacher_is_the_teacher() {
    let make = || frozen(&Small::new(1));
    let teacher = make();
    is_the_teacher(&teacher, &teacher);
    is_the_teacher(Box::new(make()), &teacher);
    is_the_teacher(Rc::new(make()), &teacher);
    is_the_teacher(Arc::new(make()), &teacher);
    is_the_teacher(Box::new(make()) as Box<dyn Teacher>, &teacher);
    is_the_teacher(CachedTeacher::new(&teacher as &dyn Teacher), &teacher);
}

/// A small network for text is an ordinary student, and then an ordinary teacher.
#[test]
fn a_network_for_text_learns_and_teaches() {
    let device = Device::flex();
    let network = Text::new(8).to_device(&device.clone().autodiff()).train();
    let batch = batch_of(Samples::Tokens(texts(12, 4)));
    let preprocessing = Preprocessing::Tokens;
    let input = preprocessing.input::<Tensor<2, burn::tensor::Int>>(&batch);
    let input = input.unwrap().lifted();
    let goal = Tensor::<2>::ones([12, 3], &device.autodiff());
    let mut student = Trained::new("student", network, OptimizerConfig::default()).unwrap();
    let mut losses = Vec::new();
    for step in 0..20 {
        let logits = student.network().forward(&input);
        let loss = (logits - goal.clone()).square().mean();
        losses.push(loss.clone().into_scalar::<f32>());
        let mut gradients = NamedGradients::new();
        student.collect(&mut gradients, &mut loss.backward());
        let at = StepContext {
            step,
            epoch: 0,
            step_in_epoch: step,
            lr: 0.05,
            momentum: None,
        };
        student.step(at, &gradients);
    }
    assert!(losses[19] < 0.2 * losses[0], "{losses:?}");

    let trained = student.valid();
    let teacher = FrozenTeacher::new(&trained, preprocessing, &Device::flex());
    let answer = teacher.answer(&batch, &everything(&teacher)).unwrap();
    let shapes: Vec<[usize; 4]> = answer.maps.iter().map(Tensor::dims).collect();
    assert_eq!(shapes, [[12, 8, 1, 4], [12, 100, 1, 4], [12, 100, 1, 1]]);
    let Samples::Tokens(ids) = &batch.samples else {
        unreachable!("a text")
    };
    let logits = trained.forward(ids).into_data();
    let found = answer.logits().unwrap().into_data();
    for (found, expected) in found.iter::<f32>().zip(logits.iter::<f32>()) {
        assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
    }
}
