//! Errors of the losses of feature maps and embeddings that train nothing.

use crate::support::losses::{OF_EMBEDDINGS, OF_MAPS};
use crate::support::{text, wave};
use burn::tensor::{Device, Tensor};
use kd_losses::{
    CorrelationCongruenceLossConfig, IckdLossConfig, KdsvdLossConfig, NstLossConfig, PkdLossConfig,
    PktLossConfig, SelectivityKernel, SimilarityPreservingLossConfig, fsp, ickd, kdsvd, nst, pkd,
};

#[test]
fn other_batch_sizes_are_errors() {
    let device = Device::flex();
    let rows = |batch_size| Tensor::<2>::ones([batch_size, 3], &device);
    let maps = |batch_size| Tensor::<4>::ones([batch_size, 2, 2, 2], &device);
    for (name, loss) in OF_EMBEDDINGS {
        let text_of = |student, teacher| text(loss(rows(student), rows(teacher)));
        let found = text_of(1, 2);
        let expected = "`student_embedding` [1, 3] and `teacher_embedding` [2, 3] differ in batch size; take \
            both from the same batch";
        assert!(found.ends_with(expected), "{name}: {found}");
        let found = text_of(0, 0);
        assert!(
            found.ends_with("has no elements; skip empty batches"),
            "{name}: {found}"
        );
    }
    for (name, loss) in OF_MAPS {
        let found = text(loss(maps(1), maps(2)));
        let expected = "[2, 2, 2, 2] differ in batch size; take both from the same batch";
        assert!(found.ends_with(expected), "{name}: {found}");
        let found = text(loss(maps(0), maps(0)));
        assert!(
            found.ends_with("has no elements; skip empty batches"),
            "{name}: {found}"
        );
    }
}

#[test]
fn shapes_that_do_not_belong_together_are_errors() {
    let map = |shape: [usize; 4]| Tensor::<4>::ones(shape, &Device::flex());
    let small = || map([2, 3, 2, 2]);
    assert_eq!(
        text(fsp([small(), map([2, 3, 3, 2])], [small(), small()])),
        "`fsp`: `student[0]` [2, 3, 2, 2] and `student[1]` [2, 3, 3, 2] differ in height or width; \
         tap layers of one map size, or pool the larger map first"
    );
    let found = text(fsp([small(), small()], [small(), map([2, 4, 2, 2])]));
    let expected =
        "`fsp`: `student[1]` [2, 3, 2, 2] and `teacher[1]` [2, 4, 2, 2] differ in channels";
    assert!(found.starts_with(expected), "{found}");
    let found = text(fsp(
        [small(), map([1, 3, 2, 2])],
        [small(), map([1, 3, 2, 2])],
    ));
    let expected =
        "`fsp`: `student[0]` [2, 3, 2, 2] and `student[1]` [1, 3, 2, 2] differ in batch size";
    assert!(found.starts_with(expected), "{found}");
    let found = text(nst(
        small(),
        map([2, 3, 2, 1]),
        SelectivityKernel::Linear,
        1e-12,
    ));
    assert!(found.contains("differ in height or width"), "{found}");
    let found = text(ickd(small(), map([2, 4, 2, 2]), 1e-12));
    assert!(found.contains("differ in channels"), "{found}");
    let found = text(pkd(small(), map([2, 4, 2, 2]), 1e-5));
    assert!(found.contains("differ in channels"), "{found}");
}

#[test]
fn constants_outside_their_range_are_errors() {
    let epsilon =
        "`epsilon` must be from 1e-15 to 1, got 0; 1e-12 suits 32-bit floats, 1e-3 16-bit ones";
    let made = SimilarityPreservingLossConfig::new()
        .with_epsilon(0.0)
        .init();
    assert_eq!(text(made), epsilon);
    assert_eq!(text(PkdLossConfig::new().with_epsilon(0.0).init()), epsilon);
    assert_eq!(text(NstLossConfig::new().with_epsilon(0.0).init()), epsilon);
    assert_eq!(
        text(IckdLossConfig::new().with_epsilon(0.0).init()),
        epsilon
    );
    let cc = CorrelationCongruenceLossConfig::new;
    assert_eq!(text(cc().with_epsilon(0.0).init()), epsilon);
    assert_eq!(
        text(PktLossConfig::new().with_epsilon(0.5).init()),
        "`epsilon` must be from 1e-15 to 0.01, got 0.5; the authors' code uses 1e-7"
    );
    assert_eq!(
        text(cc().with_gamma(0.0).init()),
        "`gamma` must be finite and above 0, got 0; the paper uses 0.4"
    );
    for order in [0, 17] {
        let expected = format!("`order` must be from 1 to 16, got {order}; the paper uses 2");
        assert_eq!(text(cc().with_order(order).init()), expected);
    }
}

#[test]
fn what_is_wrong_is_said() {
    let one = || map([2, 3, 2, 2], 0.0);
    let two = [one(), one()];
    assert_eq!(
        text(kdsvd(&two[..1], &two[..1], 1, 8.0)),
        "`kdsvd`: `student` has 1 entries, at least 2 are needed; tap two layers or more"
    );
    assert_eq!(
        text(kdsvd(&two, &two[..1], 1, 8.0)),
        "`kdsvd`: `teacher` has 1 entries, expected 2; give one for each tap"
    );
    let found = text(kdsvd(&two, &[one(), map([2, 4, 2, 2], 0.0)], 1, 8.0));
    assert!(found.contains("differ in channels"), "{found}");
    let other = [one(), map([3, 3, 2, 2], 0.0)];
    let found = text(kdsvd(&other, &other, 1, 8.0));
    assert!(found.contains("differ in batch size"), "{found}");
    assert_eq!(
        text(KdsvdLossConfig::new().with_components(0).init()),
        "`components` must be at least 1, got 0; public code uses 1"
    );
    assert_eq!(
        text(KdsvdLossConfig::new().with_width(0.0).init()),
        "`width` must be finite and above 0, got 0; public code uses 8"
    );
}

fn map(shape: [usize; 4], phase: f64) -> Tensor<4> {
    Tensor::from_data(wave(shape, phase), &Device::flex())
}
