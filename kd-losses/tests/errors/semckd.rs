//! Errors of semantic calibration.

use crate::support::{Outcome, text};
use burn::tensor::{Device, Tensor};
use kd_losses::SemCkdLossConfig;

#[test]
fn what_is_wrong_is_said_in_words() -> Outcome {
    let device = Device::flex();
    let made = |reduction, students: &[usize], teachers: &[usize]| {
        let config = SemCkdLossConfig::new().with_reduction(reduction);
        text(config.init(students, teachers, 4, 0, &device))
    };
    for (reduction, printed) in [(0, "0"), (5, "5")] {
        let expected = format!(
            "`reduction` must be from 1 to the batch size, got {printed}; the authors' code uses 4 with \
             batches of 64"
        );
        assert_eq!(made(reduction, &[1], &[1]), expected);
    }
    assert_eq!(
        made(4, &[1], &[]),
        "`semckd`: `teacher_channels` has 0 entries, expected 1; give one for each tap"
    );
    assert_eq!(
        made(4, &[0], &[1]),
        "`student_channels` must be at least 1, got 0; give the number of channels of the tapped layer"
    );

    let loss = SemCkdLossConfig::new().init(&[2, 3], &[4], 4, 0, &device)?;
    let map = |batch_size, channels| Tensor::<4>::ones([batch_size, channels, 3, 3], &device);
    let call =
        |students: &[Tensor<4>], teachers: &[Tensor<4>]| text(loss.forward(students, teachers));
    assert_eq!(
        call(&[map(3, 2), map(3, 3)], &[map(3, 4)]),
        "`semckd`: a batch of 3, but the loss was made for batches of 4; \
         leave out the last batch of an epoch where it is smaller"
    );
    assert_eq!(
        call(&[map(4, 2), map(3, 3)], &[map(4, 4)]),
        "`semckd`: `student_features` [3, 3, 3, 3] and `teacher_features` [4, 4, 3, 3] differ in batch size; \
         take both from the same batch"
    );
    assert_eq!(
        call(&[map(4, 2)], &[map(4, 4)]),
        "`semckd`: `student_features` has 1 entries, expected 2; give one for each tap"
    );
    assert_eq!(
        call(&[map(4, 2), map(4, 3)], &[map(4, 5)]),
        "`semckd`: `teacher_features` [4, 5, 3, 3] has a width of 5, but the module was made for 4; \
         make it with the widths of the taps"
    );
    Ok(())
}
