//! Losses of dense prediction: identities, hard inputs, the teacher, which changes of a map change nothing.

use crate::support::losses::OF_PREDICTIONS;
use crate::support::{Outcome, assert_finite, hard_pairs, numbers, wave};
use burn::tensor::{Device, Int, Tensor};
use kd_losses::{
    CwdLoss, CwdLossConfig, PairWiseAffinityLoss, PairWiseAffinityLossConfig, PixelWiseLoss,
    PixelWiseLossConfig, Result, cross_entropy, cwd, pair_wise_affinity, pixel_cross_entropy,
    pixel_wise, soft_target,
};

#[test]
fn pixel_cross_entropy_is_cross_entropy_where_all_pixels_are_kept() -> Outcome {
    let device = Device::flex();
    let logits = map([2, 3, 2, 2], 0.4);
    let masks = Tensor::<3, Int>::from_data([[[0, 1], [2, 0]], [[1, 1], [2, 2]]], &device);
    let rows = logits.clone().permute([0, 2, 3, 1]).reshape([8, 3]);
    let expected = value(cross_entropy(rows, masks.clone().reshape([8]), 0.0))?;
    for ignore in [None, Some(3), Some(-1)] {
        close(
            value(pixel_cross_entropy(logits.clone(), masks.clone(), ignore))?,
            expected,
        );
    }
    Ok(())
}

#[test]
fn a_batch_without_a_labelled_pixel_teaches_nothing() -> Outcome {
    let device = Device::flex();
    let logits = Tensor::<4>::from_data(wave([2, 3, 2, 2], 0.1), &device.clone().autodiff());
    let logits = logits.require_grad();
    let masks = Tensor::<3, Int>::full([2, 2, 2], 11, &device);
    let loss = pixel_cross_entropy(logits.clone(), masks, Some(11))?;
    assert_eq!(numbers(loss.clone()), [0.0]);
    let gradients = loss.backward();
    let gradient = logits.grad(&gradients).ok_or("no gradient")?;
    assert_eq!(numbers(gradient), [0.0; 24]);
    Ok(())
}

#[test]
fn every_dense_loss_survives_hard_inputs() -> Outcome {
    for (name, loss) in OF_PREDICTIONS {
        for shape in [[2, 3, 4, 3], [1, 2, 3, 3], [3, 2, 1, 1], [1, 1, 1, 1]] {
            for (input, student, teacher) in hard_pairs::<4>(shape) {
                let what = format!("{name} {shape:?} {input}");
                let teacher = Tensor::<4>::from_data(teacher, &Device::flex());
                let value =
                    assert_finite(&what, student, |student| loss(student, teacher.clone()))?;
                assert!(value >= -1e-5, "{what}: {value}");
                if ["equal", "both of zeros"].contains(&input) {
                    assert!(value <= 1e-5, "{what}: {value}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn no_gradient_reaches_the_teacher() -> Outcome {
    let shape = [3, 2, 3, 4];
    let plain = Device::flex();
    let autodiff = plain.clone().autodiff();
    for (name, loss) in OF_PREDICTIONS {
        let student = Tensor::<4>::from_data(wave(shape, 0.3), &autodiff).require_grad();
        let leaf = Tensor::<4>::from_data(wave(shape, 2.1), &autodiff).require_grad();
        let teacher = leaf.clone() * 1.5;
        let value = loss(student.clone(), teacher.clone())?;
        let gradients = value.backward();
        assert!(student.grad(&gradients).is_some(), "{name}: no gradient");
        assert!(
            leaf.grad(&gradients).is_none(),
            "{name}: the teacher learns"
        );
        let lifted = loss(student.clone(), teacher.clone().inner())?;
        let alone = loss(student.inner(), teacher)?;
        assert!(!alone.is_autodiff(), "{name}");
        let value = value.into_scalar::<f32>().to_bits();
        assert_eq!(value, lifted.into_scalar::<f32>().to_bits(), "{name}");
        assert_eq!(value, alone.into_scalar::<f32>().to_bits(), "{name}");
    }
    Ok(())
}

fn value(loss: Result<Tensor<1>>) -> Outcome<f64> {
    Ok(numbers(loss?).into_iter().sum())
}

fn close(one: f64, other: f64) {
    assert!(
        (one - other).abs() <= 1e-5 * (1.0 + one.abs()),
        "{one}, {other}"
    );
}

fn map(shape: [usize; 4], phase: f64) -> Tensor<4> {
    Tensor::from_data(wave(shape, phase), &Device::flex())
}

#[test]
fn pixel_wise_is_soft_targets_at_each_position() -> Outcome {
    let (student, teacher) = (map([2, 5, 3, 2], 0.3), map([2, 5, 3, 2], 2.1));
    let rows = |map: Tensor<4>| map.permute([0, 2, 3, 1]).reshape([12, 5]);
    let expected = soft_target(rows(student.clone()), rows(teacher.clone()), 3.0);
    close(value(pixel_wise(student, teacher, 3.0))?, value(expected)?);
    Ok(())
}

#[test]
fn cwd_is_pixel_wise_with_channels_and_positions_exchanged() -> Outcome {
    let (student, teacher) = (map([2, 5, 1, 6], 0.3), map([2, 5, 1, 6], 2.1));
    let turned = |map: Tensor<4>| map.swap_dims(1, 3);
    let expected = pixel_wise(turned(student.clone()), turned(teacher.clone()), 3.0);
    close(value(cwd(student, teacher, 3.0))?, value(expected)?);
    Ok(())
}

#[test]
fn each_divergence_sees_no_shift_along_its_axis() -> Outcome {
    let (student, teacher) = (map([2, 3, 4, 4], 0.3), map([2, 3, 4, 4], 2.1));
    let of_channels = map([2, 3, 1, 1], 1.0) * 5.0;
    let of_positions = map([2, 1, 4, 4], 1.0) * 5.0;
    let plain = value(cwd(student.clone(), teacher.clone(), 2.0))?;
    let shifted = cwd(student.clone() + of_channels.clone(), teacher.clone(), 2.0);
    close(plain, value(shifted)?);
    let shifted = cwd(student.clone() + of_positions.clone(), teacher.clone(), 2.0);
    assert!((plain - value(shifted)?).abs() > 0.1);
    let plain = value(pixel_wise(student.clone(), teacher.clone(), 2.0))?;
    let shifted = pixel_wise(student.clone() + of_positions, teacher.clone(), 2.0);
    close(plain, value(shifted)?);
    let shifted = pixel_wise(student + of_channels, teacher, 2.0);
    assert!((plain - value(shifted)?).abs() > 0.1);
    Ok(())
}

#[test]
fn the_gradient_of_a_divergence_keeps_its_size_as_the_temperature_grows() -> Outcome {
    let autodiff = Device::flex().autodiff();
    let teacher = map([2, 3, 4, 4], 2.1);
    for loss in [cwd, pixel_wise] {
        let size = |temperature| -> Outcome<f64> {
            let student = Tensor::from_data(wave([2, 3, 4, 4], 0.3), &autodiff).require_grad();
            let gradients = loss(student.clone(), teacher.clone(), temperature)?.backward();
            let gradient = student.grad(&gradients).ok_or("no gradient")?;
            value(Ok(gradient.abs().sum()))
        };
        let ratio = size(40.0)? / size(80.0)?;
        assert!((ratio - 1.0).abs() < 0.05, "{ratio}");
    }
    Ok(())
}

#[test]
fn affinities_see_neither_scale_nor_a_rotation_of_channels_nor_the_order_of_positions() -> Outcome {
    let (student, teacher) = (map([2, 2, 3, 2], 0.3), map([2, 4, 3, 2], 2.1));
    let loss = |student| value(pair_wise_affinity(student, teacher.clone(), 0.1, 1e-8));
    let plain = loss(student.clone())?;
    assert!(plain > 0.01);
    close(plain, loss(student.clone() * 7.0)?);
    let (one, other) = (
        student.clone().narrow(1, 0, 1),
        student.clone().narrow(1, 1, 1),
    );
    let turned = [
        one.clone() * 0.6 - other.clone() * 0.8,
        one * 0.8 + other * 0.6,
    ];
    close(plain, loss(Tensor::cat(turned.to_vec(), 1))?);
    let flipped = pair_wise_affinity(student.flip([2, 3]), teacher.flip([2, 3]), 0.1, 1e-8);
    close(plain, value(flipped)?);
    Ok(())
}

#[test]
fn public_types_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    send_and_sync::<CwdLoss>();
    send_and_sync::<CwdLossConfig>();
    send_and_sync::<PairWiseAffinityLoss>();
    send_and_sync::<PairWiseAffinityLossConfig>();
    send_and_sync::<PixelWiseLoss>();
    send_and_sync::<PixelWiseLossConfig>();
}
