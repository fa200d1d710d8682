//! Errors of the losses of dense prediction.

use crate::support::losses::OF_PREDICTIONS;
use crate::support::text;
use burn::tensor::{Device, Int, Tensor};
use kd_losses::{
    CwdLossConfig, PairWiseAffinityLossConfig, PixelWiseLossConfig, cwd, pixel_cross_entropy,
    pixel_wise,
};

#[test]
fn masks_of_another_size_are_refused_in_words() {
    let device = Device::flex();
    let text = |shape: [usize; 4], masks: [usize; 3]| {
        let masks = Tensor::<3, Int>::zeros(masks, &device);
        let loss = pixel_cross_entropy(Tensor::zeros(shape, &device), masks, Some(11));
        loss.map_or_else(|error| error.to_string(), |_| String::new())
    };
    assert_eq!(
        text([2, 3, 4, 5], [1, 4, 5]),
        "`pixel_cross_entropy`: `logits` [2, 3, 4, 5] and `masks` [1, 4, 5] differ in batch size; take both \
         from the same batch"
    );
    assert_eq!(
        text([2, 3, 4, 5], [2, 5, 4]),
        "`pixel_cross_entropy`: `logits` [2, 3, 4, 5] and `masks` [2, 5, 4] differ in height or width; give \
         masks of the size of the logits"
    );
    assert_eq!(
        text([0, 3, 4, 5], [0, 4, 5]),
        "`pixel_cross_entropy`: `logits` [0, 3, 4, 5] has no elements; skip empty batches"
    );
}

#[test]
fn other_shapes_are_errors() {
    let device = Device::flex();
    let ones = |shape: [usize; 4]| Tensor::<4>::ones(shape, &device);
    for (name, loss) in OF_PREDICTIONS {
        let against = |shape| text(loss(ones([2, 2, 2, 2]), ones(shape)));
        let found = against([1, 2, 2, 2]);
        assert!(found.contains("differ in batch size"), "{name}: {found}");
        let found = against([2, 2, 2, 1]);
        assert!(
            found.contains("differ in height or width"),
            "{name}: {found}"
        );
        let found = against([2, 0, 2, 2]);
        assert!(found.contains("has no elements"), "{name}: {found}");
    }
    assert_eq!(
        text(pixel_wise(ones([2, 3, 2, 2]), ones([2, 4, 2, 2]), 1.0)),
        "`pixel_wise`: `student_logits` [2, 3, 2, 2] and `teacher_logits` [2, 4, 2, 2] differ in number of \
         classes; give teacher and student the same classes in the same order"
    );
    assert_eq!(
        text(cwd(ones([2, 3, 2, 2]), ones([2, 4, 2, 2]), 1.0)),
        "`cwd`: `student_features` [2, 3, 2, 2] and `teacher_features` [2, 4, 2, 2] differ in channels; \
         bring the student to the teacher's width with a `Regressor`"
    );
}

#[test]
fn constants_outside_their_range_are_errors() {
    assert_eq!(
        text(CwdLossConfig::new().with_temperature(0.0).init()),
        "`temperature` must be finite and above 0, got 0; the paper uses 4"
    );
    assert_eq!(
        text(PixelWiseLossConfig::new().with_temperature(-1.0).init()),
        "`temperature` must be finite and above 0, got -1; 1 leaves the logits as they are"
    );
    let pair_wise = PairWiseAffinityLossConfig::new;
    for scale in [0.0, 1.5, f64::NAN] {
        let found = text(pair_wise().with_scale(scale).init());
        let expected = format!(
            "`scale` must be above 0 and at most 1, got {scale}; the authors' code uses 0.5"
        );
        assert_eq!(found, expected);
    }
    assert_eq!(
        text(pair_wise().with_epsilon(2.0).init()),
        "`epsilon` must be from 1e-15 to 1, got 2; 1e-12 suits 32-bit floats, 1e-3 16-bit ones"
    );
}
