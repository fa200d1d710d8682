//! Errors of knowledge review and of its fusion.

use crate::support::{Outcome, text};
use burn::tensor::{Device, Tensor};
use kd_losses::{AttentionFusionConfig, ReviewKdLossConfig, hierarchical_context};

#[test]
fn what_is_wrong_is_said_in_words() -> Outcome {
    let device = Device::flex();
    let made = |config: ReviewKdLossConfig, students: &[usize], teachers: &[usize]| {
        text(config.init(students, teachers, 0, &device))
    };
    let config = ReviewKdLossConfig::new;
    assert_eq!(
        made(config().with_max_mid_channels(0), &[1], &[1]),
        "`max_mid_channels` must be at least 1, got 0; the authors' code uses 512"
    );
    assert_eq!(
        made(config(), &[], &[]),
        "`reviewkd`: `student_channels` has 0 entries, expected 1; give one for each tap"
    );
    assert_eq!(
        made(config(), &[2, 3], &[2]),
        "`reviewkd`: `teacher_channels` has 1 entries, expected 2; give one for each tap"
    );
    assert_eq!(
        made(config(), &[2, 3], &[2, 0]),
        "`teacher_channels` must be at least 1, got 0; give the number of channels of the tapped layer"
    );

    let review = config().init(&[2, 3], &[4, 5], 0, &device)?;
    let map = |batch_size, channels| Tensor::<4>::ones([batch_size, channels, 4, 4], &device);
    let call =
        |students: &[Tensor<4>], teachers: &[Tensor<4>]| text(review.forward(students, teachers));
    assert_eq!(
        call(&[map(2, 2)], &[map(2, 4), map(2, 5)]),
        "`reviewkd`: `student_features` has 1 entries, expected 2; give one for each tap"
    );
    assert_eq!(
        call(&[map(2, 2), map(2, 3)], &[map(2, 4), map(1, 5)]),
        "`reviewkd`: `student_features` [2, 3, 4, 4] and `teacher_features` [1, 5, 4, 4] differ in batch \
         size; take both from the same batch"
    );
    assert_eq!(
        call(&[map(2, 3), map(2, 3)], &[map(2, 4), map(2, 5)]),
        "`reviewkd`: `student_features` [2, 3, 4, 4] has a width of 3, but the module was made for 2; \
         make it with the widths of the taps"
    );
    // Batches that agree in pairs alone.
    assert_eq!(
        call(&[map(2, 2), map(1, 3)], &[map(2, 4), map(1, 5)]),
        "`attention_fusion`: `student_features` [2, 2, 4, 4] and `deeper` [1, 3, 4, 4] differ in batch size; \
         take both from the same batch"
    );

    let fusion = AttentionFusionConfig::new(2, 3, 4).init(0, &device)?;
    assert_eq!(
        text(fusion.forward(map(2, 2), None, [4, 4])),
        "`attention_fusion`: `deeper` has 0 entries, expected 1; give one for each tap"
    );
    assert_eq!(
        text(fusion.forward(map(2, 2), Some(map(2, 3)), [4, 0])),
        "`size` must be at least 1, got 0; give height and width of the teacher's map"
    );
    assert_eq!(
        text(hierarchical_context(map(2, 2), map(2, 3))),
        "`hierarchical_context`: `student_features` [2, 2, 4, 4] and `teacher_features` [2, 3, 4, 4] differ \
         in channels; bring the student to the teacher's width with a `Regressor`"
    );
    Ok(())
}
