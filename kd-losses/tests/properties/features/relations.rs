//! Losses of feature maps and embeddings that train nothing: zero at equality, never negative, which changes
//! of the input change nothing.

use crate::support::losses::Loss;
use crate::{cases, value};
use burn::tensor::{Device, Tensor, TensorData};
use kd_losses::{
    CorrelationKernel, Result, SelectivityKernel, correlation_congruence, fsp, ickd, nst, pkd, pkt,
    rkd_angle, rkd_distance, similarity_preserving,
};
use proptest::prelude::*;

/// Of a value, absolute and relative.
const ROUNDING: f64 = 2e-4;

fn taylor(student: Tensor<2>, teacher: Tensor<2>) -> Result<Tensor<1>> {
    correlation_congruence(student, teacher, CorrelationKernel::Taylor, 0.4, 2, 1e-12)
}

fn bilinear(student: Tensor<2>, teacher: Tensor<2>) -> Result<Tensor<1>> {
    correlation_congruence(student, teacher, CorrelationKernel::Bilinear, 0.4, 2, 1e-12)
}

fn of_samples(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>> {
    similarity_preserving(student, teacher, 1e-12)
}

fn neighbours(student: Tensor<2>, teacher: Tensor<2>) -> Result<Tensor<1>> {
    pkt(student, teacher, 1e-7)
}

fn selectivity(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>> {
    nst(student, teacher, SelectivityKernel::Polynomial, 1e-12)
}

fn mean_selectivity(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>> {
    nst(student, teacher, SelectivityKernel::Linear, 1e-12)
}

fn gaussian_selectivity(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>> {
    nst(student, teacher, SelectivityKernel::Gaussian, 1e-12)
}

fn correlation(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>> {
    pkd(student, teacher, 1e-5)
}

fn of_channels(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>> {
    ickd(student, teacher, 1e-12)
}

fn flow(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>> {
    fsp([student.clone(), student], [teacher.clone(), teacher])
}

const OF_EMBEDDINGS: [Loss<2>; 5] = [rkd_distance, rkd_angle, neighbours, taylor, bilinear];
const OF_MAPS: [Loss<4>; 7] = [
    of_samples,
    selectivity,
    mean_selectivity,
    gaussian_selectivity,
    correlation,
    of_channels,
    flow,
];

fn tensor<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
}

fn close(one: f64, other: f64) -> Result<(), TestCaseError> {
    let tolerance = ROUNDING * (1.0 + one.abs());
    prop_assert!((one - other).abs() <= tolerance, "{one}, {other}");
    Ok(())
}

/// The same numbers whose first two columns are turned by an angle.
fn turned(x: Tensor<2>) -> Tensor<2> {
    let [_, width] = x.dims();
    let (one, other) = (x.clone().narrow(1, 0, 1), x.clone().narrow(1, 1, 1));
    let mut columns = vec![
        one.clone() * 0.6 - other.clone() * 0.8,
        one * 0.8 + other * 0.6,
    ];
    if width > 2 {
        columns.push(x.narrow(1, 2, width - 2));
    }
    Tensor::cat(columns, 1)
}

prop_compose! {
    /// Embeddings of student and teacher, of different width, whose samples are well apart.
    fn embeddings()(batch in 2_usize..6, width in 2_usize..5, other in 2_usize..5)(
        student in prop::collection::vec(-0.4_f32..0.4, batch * width),
        teacher in prop::collection::vec(-0.4_f32..0.4, batch * other),
        shapes in Just(([batch, width], [batch, other])),
    ) -> (Tensor<2>, Tensor<2>) {
        // Sample i is around i + 1 in the first feature and the square of that in the second.
        let spread = |values: &[f32], shape: [usize; 2]| {
            let mut values = values.to_vec();
            for (index, row) in values.chunks_mut(shape[1]).enumerate() {
                let position = index as f32 + 1.0;
                row[0] += position;
                row[1] -= position * position;
            }
            tensor(&values, shape)
        };
        (spread(&student, shapes.0), spread(&teacher, shapes.1))
    }
}

prop_compose! {
    /// Maps of student and teacher, alike in shape, without a channel of zeros.
    fn maps()(shape in (1_usize..4, 1_usize..4, 1_usize..4, 2_usize..4))(
        student in prop::collection::vec(0.1_f32..4.0, shape.0 * shape.1 * shape.2 * shape.3),
        teacher in prop::collection::vec(0.1_f32..4.0, shape.0 * shape.1 * shape.2 * shape.3),
        shape in Just([shape.0, shape.1, shape.2, shape.3]),
    ) -> (Tensor<4>, Tensor<4>) {
        (tensor(&student, shape), tensor(&teacher, shape))
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn all_are_zero_at_equality_and_never_negative(
        (student, teacher) in embeddings(),
        (student_map, teacher_map) in maps(),
    ) {
        for loss in OF_EMBEDDINGS {
            prop_assert!(value(loss(teacher.clone(), teacher.clone()))?.abs() <= 1e-6);
            prop_assert!(value(loss(student.clone(), teacher.clone()))? >= -1e-6);
        }
        for loss in OF_MAPS {
            prop_assert!(value(loss(teacher_map.clone(), teacher_map.clone()))?.abs() <= 1e-6);
            prop_assert!(value(loss(student_map.clone(), teacher_map.clone()))? >= -1e-6);
        }
    }

    #[test]
    fn embeddings_may_be_turned_scaled_and_reordered(
        (student, teacher) in embeddings(),
        scale in 0.2_f32..5.0,
    ) {
        for loss in OF_EMBEDDINGS {
            let plain = value(loss(student.clone(), teacher.clone()))?;
            close(plain, value(loss(turned(student.clone()), teacher.clone()))?)?;
            close(plain, value(loss(student.clone() * scale, teacher.clone()))?)?;
            close(plain, value(loss(student.clone().flip([0]), teacher.clone().flip([0])))?)?;
        }
    }

    #[test]
    fn distances_and_angles_see_no_shift(
        (student, teacher) in embeddings(),
        shift in -20.0_f32..20.0,
    ) {
        for loss in [rkd_distance, rkd_angle] {
            let plain = value(loss(student.clone(), teacher.clone()))?;
            close(plain, value(loss(student.clone() + shift, teacher.clone()))?)?;
        }
    }

    #[test]
    fn maps_of_samples_may_be_scaled_and_reordered((student, teacher) in maps(), scale in 0.2_f32..5.0) {
        for loss in [
            of_samples, selectivity, mean_selectivity, gaussian_selectivity, correlation, of_channels,
        ] {
            let plain = value(loss(student.clone(), teacher.clone()))?;
            close(plain, value(loss(student.clone() * scale, teacher.clone()))?)?;
        }
        for loss in OF_MAPS {
            let plain = value(loss(student.clone(), teacher.clone()))?;
            let flipped = loss(student.clone().flip([0, 2, 3]), teacher.clone().flip([0, 2, 3]));
            close(plain, value(flipped)?)?;
        }
    }

    #[test]
    fn similarity_and_selectivity_see_no_order_of_channels((student, teacher) in maps()) {
        for loss in [of_samples, selectivity, mean_selectivity, gaussian_selectivity] {
            let plain = value(loss(student.clone(), teacher.clone()))?;
            close(plain, value(loss(student.clone().flip([1]), teacher.clone()))?)?;
        }
    }

    #[test]
    fn correlation_sees_neither_shift_nor_scale_of_a_channel_and_doubles_when_reversed(
        (student, teacher) in maps(),
        scale in 0.2_f32..5.0,
        shift in -5.0_f32..5.0,
    ) {
        let plain = value(correlation(student.clone(), teacher.clone()))?;

        close(plain, value(correlation(student.clone() * scale + shift, teacher.clone()))?)?;
        // 1 - r and 1 + r.
        close(2.0 - plain, value(correlation(student.neg(), teacher))?)?;
    }

    #[test]
    fn flow_grows_with_the_fourth_power((student, teacher) in maps()) {
        let plain = value(flow(student.clone(), teacher.clone()))?;
        let doubled = value(flow(student.clone() * 2.0, teacher.clone() * 2.0))?;
        close(plain, doubled / 16.0)?;
        // The sign is common to both layers.
        close(plain, value(flow(student.neg(), teacher))?)?;
    }
}
