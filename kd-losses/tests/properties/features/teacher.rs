//! The teacher is a constant in the losses of feature maps and embeddings.

use crate::support::losses::{Loss, OF_EMBEDDINGS, OF_MAPS};
use crate::support::{Outcome, wave};
use burn::tensor::{Device, Tensor};

fn check_teacher<const D: usize>(name: &str, loss: Loss<D>, shape: [usize; D]) -> Outcome {
    let plain = Device::flex();
    let autodiff = plain.clone().autodiff();
    let student = Tensor::<D>::from_data(wave(shape, 0.3), &autodiff).require_grad();
    let leaf = Tensor::<D>::from_data(wave(shape, 2.1), &autodiff).require_grad();
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
    assert!(
        !alone.is_autodiff(),
        "{name}: nothing is to be differentiated"
    );
    let value = value.into_scalar::<f32>().to_bits();
    assert_eq!(value, lifted.into_scalar::<f32>().to_bits(), "{name}");
    assert_eq!(value, alone.into_scalar::<f32>().to_bits(), "{name}");
    Ok(())
}

#[test]
fn no_gradient_reaches_the_teacher() -> Outcome {
    for (name, loss) in OF_EMBEDDINGS {
        check_teacher(name, *loss, [4, 3])?;
    }
    for (name, loss) in OF_MAPS {
        check_teacher(name, *loss, [3, 2, 3, 4])?;
    }
    Ok(())
}
