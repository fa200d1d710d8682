//! Errors of `InfoNCE`.

use burn::tensor::{Device, Tensor};
use kd_losses::{Error, InfoNceLossConfig, info_nce, info_nce_bound};

#[test]
fn what_is_wrong_is_said_in_words() {
    let device = Device::flex();
    let rows = |batch_size, features| Tensor::<2>::ones([batch_size, features], &device);
    let text = |loss: Result<Tensor<1>, Error>| match loss {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.to_string(),
    };
    let expected = "`temperature` must be finite and above 0, got 0; 0.07 is usual";
    assert_eq!(text(info_nce(rows(2, 3), rows(2, 3), 0.0)), expected);
    let made = InfoNceLossConfig::new().with_temperature(0.0).init();
    assert!(made.is_err_and(|error| error.to_string() == expected));
    for (student, teacher, expected) in [
        (
            rows(1, 3),
            rows(2, 3),
            "`info_nce`: `student_embedding` [1, 3] and `teacher_embedding` [2, 3] differ in batch size; \
             take both from the same batch",
        ),
        (
            rows(2, 3),
            rows(2, 4),
            "`info_nce`: `student_embedding` [2, 3] and `teacher_embedding` [2, 4] differ in number of \
             features; bring the student to the teacher's width with an adapter",
        ),
        (
            rows(0, 3),
            rows(0, 3),
            "`info_nce`: `student_embedding` [0, 3] has no elements; skip empty batches",
        ),
    ] {
        assert_eq!(
            text(info_nce(student.clone(), teacher.clone(), 0.1)),
            expected
        );
        assert_eq!(text(info_nce_bound(student, teacher, 0.1)), expected);
    }
}
