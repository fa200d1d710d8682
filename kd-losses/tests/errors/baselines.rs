//! Errors of cross-entropy, soft targets, hints, attention transfer and the regressor.

use crate::support::text;
use burn::tensor::{DType, Device, Int, Tensor};
use kd_losses::{
    AttentionDistance, AttentionTransferLossConfig, CrossEntropyLossConfig, Error, MapSizes,
    RegressorConfig, SoftTargetLossConfig, attention_transfer, cross_entropy, hint, soft_target,
};

fn matrix(batch_size: usize, num_classes: usize) -> Tensor<2> {
    Tensor::zeros([batch_size, num_classes], &Device::flex())
}

fn map(shape: [usize; 4]) -> Tensor<4> {
    Tensor::zeros(shape, &Device::flex())
}

fn attention(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>, Error> {
    attention_transfer(student, teacher, AttentionDistance::MeanSquare, 1e-12)
}

#[test]
fn temperature_must_be_finite_and_positive() {
    for (temperature, printed) in [
        (-1.0, "-1"),
        (0.0, "0"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "inf"),
    ] {
        let expected =
            format!("`temperature` must be finite and above 0, got {printed}; 1 to 20 are usual");
        let called = soft_target(matrix(2, 3), matrix(2, 3), temperature);
        assert_eq!(text(called), expected);
        let made = SoftTargetLossConfig::new()
            .with_temperature(temperature)
            .init();
        assert_eq!(text(made), expected);
    }
}

#[test]
fn label_smoothing_must_be_a_share() {
    for (smoothing, printed) in [(1.0, "1"), (-0.1, "-0.1"), (f64::NAN, "NaN")] {
        let expected = format!(
            "`label_smoothing` must be at least 0 and below 1, got {printed}; \
             the paper uses 0.1; 0 turns smoothing off"
        );
        let targets = Tensor::<1, Int>::zeros([2], &Device::flex());
        assert_eq!(
            text(cross_entropy(matrix(2, 3), targets, smoothing)),
            expected
        );
        let config = CrossEntropyLossConfig::new().with_label_smoothing(smoothing);
        assert_eq!(text(config.init()), expected);
    }
}

#[test]
fn epsilon_must_have_a_representable_square() {
    for (epsilon, printed) in [(0.0, "0"), (2.0, "2"), (f64::NAN, "NaN")] {
        let expected = format!(
            "`epsilon` must be from 1e-15 to 1, got {printed}; \
             1e-12 suits 32-bit floats, 1e-3 16-bit ones"
        );
        let maps = [map([1, 2, 3, 3]), map([1, 2, 3, 3])];
        let [student, teacher] = maps;
        let called = attention_transfer(student, teacher, AttentionDistance::Norm, epsilon);
        assert_eq!(text(called), expected);
        let config = AttentionTransferLossConfig::new().with_epsilon(epsilon);
        assert_eq!(text(config.init()), expected);
    }
}

#[test]
fn unequal_batches_are_named() {
    let targets = Tensor::<1, Int>::zeros([1], &Device::flex());
    assert_eq!(
        text(cross_entropy(matrix(8, 10), targets, 0.0)),
        "`cross_entropy`: `logits` [8, 10] and `targets` [1] differ in batch size; \
         take both from the same batch"
    );
    assert_eq!(
        text(soft_target(matrix(8, 10), matrix(1, 10), 4.0)),
        "`soft_target`: `student_logits` [8, 10] and `teacher_logits` [1, 10] differ in batch size; \
         take both from the same batch"
    );
    let features = [map([2, 3, 4, 4]), map([1, 3, 4, 4])];
    let [student, teacher] = features;
    assert_eq!(
        text(hint(student.clone(), teacher.clone())),
        "`hint`: `student_features` [2, 3, 4, 4] and `teacher_features` [1, 3, 4, 4] differ in \
         batch size; take both from the same batch"
    );
    assert_eq!(
        text(attention(student, teacher)),
        "`attention_transfer`: `student_features` [2, 3, 4, 4] and `teacher_features` [1, 3, 4, 4] \
         differ in batch size; take both from the same batch"
    );
}

#[test]
fn unequal_classes_are_named() {
    assert_eq!(
        text(soft_target(matrix(8, 10), matrix(8, 1), 4.0)),
        "`soft_target`: `student_logits` [8, 10] and `teacher_logits` [8, 1] differ in number of \
         classes; give teacher and student the same classes in the same order"
    );
}

#[test]
fn unequal_maps_are_named() {
    assert_eq!(
        text(hint(map([2, 3, 4, 4]), map([2, 1, 4, 4]))),
        "`hint`: `student_features` [2, 3, 4, 4] and `teacher_features` [2, 1, 4, 4] differ in \
         channels; bring the student to the teacher's width with a `Regressor`"
    );
    let advice =
        "differ in height or width; tap layers of one map size, or pool the larger map first";
    assert_eq!(
        text(hint(map([2, 3, 4, 4]), map([2, 3, 4, 1]))),
        format!(
            "`hint`: `student_features` [2, 3, 4, 4] and `teacher_features` [2, 3, 4, 1] {advice}"
        )
    );
    assert_eq!(
        text(attention(map([2, 3, 4, 4]), map([2, 5, 8, 8]))),
        format!(
            "`attention_transfer`: `student_features` [2, 3, 4, 4] and `teacher_features` \
             [2, 5, 8, 8] {advice}"
        )
    );
}

#[test]
fn empty_batches_are_refused() {
    let targets = Tensor::<1, Int>::zeros([0], &Device::flex());
    assert_eq!(
        text(cross_entropy(matrix(0, 10), targets, 0.0)),
        "`cross_entropy`: `logits` [0, 10] has no elements; skip empty batches"
    );
    assert_eq!(
        text(soft_target(matrix(0, 10), matrix(0, 10), 4.0)),
        "`soft_target`: `student_logits` [0, 10] has no elements; skip empty batches"
    );
    assert_eq!(
        text(soft_target(matrix(2, 10), matrix(0, 10), 4.0)),
        "`soft_target`: `teacher_logits` [0, 10] has no elements; skip empty batches"
    );
    assert_eq!(
        text(hint(map([0, 3, 4, 4]), map([0, 3, 4, 4]))),
        "`hint`: `student_features` [0, 3, 4, 4] has no elements; skip empty batches"
    );
    assert_eq!(
        text(attention(map([0, 3, 4, 4]), map([0, 3, 4, 4]))),
        "`attention_transfer`: `student_features` [0, 3, 4, 4] has no elements; skip empty batches"
    );
}

#[test]
fn unequal_dtypes_are_named() {
    let teacher = matrix(2, 3).cast(DType::F64);
    assert_eq!(
        text(soft_target(matrix(2, 3), teacher, 4.0)),
        "`soft_target`: `student_logits` is F32, `teacher_logits` is F64; cast the teacher's tensor \
         to the student's dtype"
    );
}

#[test]
fn unequal_devices_are_named() {
    // Only one device is at hand in a test, so the text alone is checked.
    let error = Error::UnequalDevices {
        loss: "hint",
        left: "student_features",
        left_device: "Device<Cuda(0)>".to_owned(),
        right: "teacher_features",
        right_device: "Device<Flex>".to_owned(),
    };
    assert_eq!(
        error.to_string(),
        "`hint`: `student_features` is on Device<Cuda(0)>, `teacher_features` is on Device<Flex>; \
         move both to one device"
    );
}

#[test]
fn the_regressor_names_widths_and_sizes() -> Result<(), Error> {
    let device = Device::flex();
    assert_eq!(
        text(RegressorConfig::new(0, 4).init(0, &device)),
        "`student_channels` must be at least 1, got 0; give the number of channels of the tapped \
         layer"
    );
    assert_eq!(
        text(RegressorConfig::new(4, 0).init(0, &device)),
        "`teacher_channels` must be at least 1, got 0; give the number of channels of the tapped \
         layer"
    );

    let regressor = RegressorConfig::new(3, 6).init(0, &device)?;
    assert_eq!(
        text(regressor.hint(map([2, 4, 4, 4]), map([2, 6, 4, 4]))),
        "`regressor`: `student_features` [2, 4, 4, 4] has 4 channels, but the regressor was made \
         for 3; give `RegressorConfig` the widths of the two taps"
    );
    assert_eq!(
        text(regressor.hint(map([2, 3, 4, 4]), map([2, 5, 4, 4]))),
        "`regressor`: `teacher_features` [2, 5, 4, 4] has 5 channels, but the regressor was made \
         for 6; give `RegressorConfig` the widths of the two taps"
    );
    assert_eq!(
        text(regressor.hint(map([2, 3, 4, 4]), map([1, 6, 4, 4]))),
        "`regressor`: `student_features` [2, 3, 4, 4] and `teacher_features` [1, 6, 4, 4] differ in \
         batch size; take both from the same batch"
    );
    assert_eq!(
        text(regressor.hint(map([0, 3, 4, 4]), map([0, 6, 4, 4]))),
        "`regressor`: `student_features` [0, 3, 4, 4] has no elements; skip empty batches"
    );
    let different = || (map([2, 3, 8, 8]), map([2, 6, 4, 4]));
    let (student, teacher) = different();
    assert_eq!(
        text(regressor.hint(student, teacher)),
        "`regressor`: `student_features` [2, 3, 8, 8] and `teacher_features` [2, 6, 4, 4] differ in \
         height or width; tap layers of one map size, or pool the larger map first"
    );

    let pooling = RegressorConfig::new(3, 6)
        .with_map_sizes(MapSizes::PoolLarger)
        .init(0, &device)?;
    let (student, teacher) = different();
    assert!(pooling.hint(student, teacher).is_ok());
    Ok(())
}
