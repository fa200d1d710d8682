//! Checks made before any arithmetic: Burn panics on unequal shapes and broadcasts a batch of one
//! without a word.

use crate::error::{Axis, Error, Result};
use burn::tensor::{Device, Int, Tensor};
use core::fmt::{Debug, Display};

/// A tensor's name in the signature of the loss, and its shape.
type Named<'a> = (&'static str, &'a [usize]);

/// `value` must be finite and above 0.
pub(crate) fn temperature(value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::OutOfRange {
        name: "temperature",
        range: "finite and above 0",
        value,
        advice: "1 to 20 are usual",
    })
}

/// A constant called `name` must satisfy `ok`; `range` says in words what that is, `advice` what people use.
pub(crate) fn constant(
    name: &'static str,
    value: f64,
    ok: bool,
    range: &'static str,
    advice: &'static str,
) -> Result<()> {
    if ok {
        return Ok(());
    }
    Err(Error::OutOfRange {
        name,
        range,
        value,
        advice,
    })
}

/// `value` must be finite and above 0.
pub(crate) fn positive(name: &'static str, value: f64, advice: &'static str) -> Result<()> {
    let ok = value.is_finite() && value > 0.0;
    constant(name, value, ok, "finite and above 0", advice)
}

/// `value` must be finite and at least 0.
pub(crate) fn not_negative(name: &'static str, value: f64, advice: &'static str) -> Result<()> {
    let ok = value.is_finite() && value >= 0.0;
    constant(name, value, ok, "finite and at least 0", advice)
}

/// Any tensor must have elements.
pub(crate) fn filled<const D: usize>(
    loss: &'static str,
    name: &'static str,
    tensor: &Tensor<D>,
) -> Result<()> {
    not_empty(loss, (name, &tensor.dims()))
}

/// A list of maps must have as many entries as there should be.
pub(crate) fn count(
    loss: &'static str,
    name: &'static str,
    found: usize,
    expected: usize,
) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::UnexpectedCount {
        loss,
        name,
        found,
        expected,
    })
}

/// Two lists must be of one length; `advice` says what belongs together.
pub(crate) fn same_count(
    loss: &'static str,
    (left_name, left): (&'static str, usize),
    (right_name, right): (&'static str, usize),
    advice: &'static str,
) -> Result<()> {
    if left == right {
        return Ok(());
    }
    let (left, right) = ((left_name, left), (right_name, right));
    Err(unlike(loss, "number", left, right, advice))
}

/// Checks that a list has one entry for each channel of the teacher's map.
pub(crate) fn one_for_each_channel(
    loss: &'static str,
    name: &'static str,
    found: usize,
    channels: usize,
) -> Result<()> {
    if found == channels {
        return Ok(());
    }
    Err(Error::NotOneForEachChannel {
        loss,
        name,
        found,
        channels,
    })
}

/// A map must have the number of channels (or a dense representation the number of features) that a module
/// was made for.
pub(crate) fn width<const D: usize>(
    loss: &'static str,
    name: &'static str,
    tensor: &Tensor<D>,
    expected: usize,
) -> Result<()> {
    let shape = tensor.dims();
    if shape[1] == expected {
        return Ok(());
    }
    Err(Error::UnexpectedWidth {
        loss,
        name,
        shape: shape.to_vec(),
        expected,
    })
}

/// Logits `[batch_size, num_classes]` and hard labels `[batch_size]`.
pub(crate) fn logits_and_targets(
    loss: &'static str,
    logits: &Tensor<2>,
    targets: &Tensor<1, Int>,
) -> Result<()> {
    let (left, right) = (logits.dims(), targets.dims());
    let (left, right): (Named<'_>, Named<'_>) = (("logits", &left), ("targets", &right));
    not_empty(loss, left)?;
    not_empty(loss, right)?;
    equal(loss, Axis::Batch, 0..1, left, right)?;
    same_device(loss, [left.0, right.0], [logits.device(), targets.device()])
}

/// Two `[batch_size, num_classes]`, equal in both.
pub(crate) fn logits_pair(
    loss: &'static str,
    student: &Tensor<2>,
    teacher: &Tensor<2>,
) -> Result<()> {
    let names = ["student_logits", "teacher_logits"];
    let axes = [(Axis::Batch, 0..1), (Axis::Classes, 1..2)];
    pair(loss, names, student, teacher, axes)
}

/// Two `[batch_size, num_classes]`, equal in both, and hard labels `[batch_size]`.
pub(crate) fn labelled_pair(
    loss: &'static str,
    student: &Tensor<2>,
    teacher: &Tensor<2>,
    targets: &Tensor<1, Int>,
) -> Result<()> {
    logits_pair(loss, student, teacher)?;
    labelled(loss, ("student_logits", student), targets)
}

/// Logits `[batch_size, num_classes]` under a name of their own, and hard labels `[batch_size]`.
pub(crate) fn labelled(
    loss: &'static str,
    (name, logits): (&'static str, &Tensor<2>),
    targets: &Tensor<1, Int>,
) -> Result<()> {
    let (left, right) = (logits.dims(), targets.dims());
    not_empty(loss, (name, &left))?;
    equal(loss, Axis::Batch, 0..1, (name, &left), ("targets", &right))?;
    let devices = [logits.device(), targets.device()];
    same_device(loss, [name, "targets"], devices)
}

/// A loss that sets one class against the others needs others.
pub(crate) fn two_classes(
    loss: &'static str,
    name: &'static str,
    logits: &Tensor<2>,
) -> Result<()> {
    let shape = logits.dims();
    if shape[1] >= 2 {
        return Ok(());
    }
    Err(Error::TooFewClasses { loss, name, shape })
}

/// Two `[batch_size, channels, height, width]`, equal in all.
pub(crate) fn feature_pair(
    loss: &'static str,
    student: &Tensor<4>,
    teacher: &Tensor<4>,
) -> Result<()> {
    let axes = [
        (Axis::Batch, 0..1),
        (Axis::Channels, 1..2),
        (Axis::MapSize, 2..4),
    ];
    pair(loss, FEATURES, student, teacher, axes)
}

/// Two `[batch_size, channels, height, width]`, whose channels may differ.
pub(crate) fn map_pair(loss: &'static str, student: &Tensor<4>, teacher: &Tensor<4>) -> Result<()> {
    let axes = [(Axis::Batch, 0..1), (Axis::MapSize, 2..4)];
    pair(loss, FEATURES, student, teacher, axes)
}

/// Two `[batch_size, channels, height, width]`, of which only the batch size must be equal.
pub(crate) fn sample_pair(
    loss: &'static str,
    student: &Tensor<4>,
    teacher: &Tensor<4>,
) -> Result<()> {
    pair(loss, FEATURES, student, teacher, [(Axis::Batch, 0..1)])
}

/// Two dense representations `[batch_size, features]`, equal in both.
pub(crate) fn embedding_pair(
    loss: &'static str,
    student: &Tensor<2>,
    teacher: &Tensor<2>,
) -> Result<()> {
    let axes = [(Axis::Batch, 0..1), (Axis::Features, 1..2)];
    pair(loss, EMBEDDINGS, student, teacher, axes)
}

/// Two dense representations `[batch_size, features]`, of which only the batch size must be equal.
pub(crate) fn embedding_batches(
    loss: &'static str,
    student: &Tensor<2>,
    teacher: &Tensor<2>,
) -> Result<()> {
    pair(loss, EMBEDDINGS, student, teacher, [(Axis::Batch, 0..1)])
}

const EMBEDDINGS: [&str; 2] = ["student_embedding", "teacher_embedding"];
const FEATURES: [&str; 2] = ["student_features", "teacher_features"];

/// Two tensors with the names that the signature gives them: not empty, equal along `axes`, of one dtype, on
/// one device.
pub(crate) fn pair<const D: usize, const N: usize>(
    loss: &'static str,
    names: [&'static str; 2],
    student: &Tensor<D>,
    teacher: &Tensor<D>,
    axes: [(Axis, core::ops::Range<usize>); N],
) -> Result<()> {
    let shapes = [student.dims(), teacher.dims()];
    let left: Named<'_> = (names[0], &shapes[0]);
    let right: Named<'_> = (names[1], &shapes[1]);
    not_empty(loss, left)?;
    not_empty(loss, right)?;
    for (axis, dims) in axes {
        equal(loss, axis, dims, left, right)?;
    }
    let (left_dtype, right_dtype) = (student.dtype(), teacher.dtype());
    if left_dtype != right_dtype {
        return Err(Error::UnequalDtypes {
            loss,
            left: left.0,
            left_dtype,
            right: right.0,
            right_dtype,
        });
    }
    same_device(loss, names, [student.device(), teacher.device()])
}

/// Two tensors must be of one shape and dtype and on one device; `advice` says where they come from.
pub(crate) fn alike<const D: usize>(
    loss: &'static str,
    left: (impl Display, &Tensor<D>),
    right: (impl Display, &Tensor<D>),
    advice: &'static str,
) -> Result<()> {
    let shapes = (left.1.dims(), right.1.dims());
    if shapes.0 != shapes.1 {
        let (left, right) = ((left.0, shapes.0), (right.0, shapes.1));
        return Err(unlike(loss, "shape", left, right, advice));
    }
    same_kind(loss, left, right, advice)
}

/// Two tensors of any shape must be of one dtype and on one device.
pub(crate) fn same_kind<const D: usize, const E: usize>(
    loss: &'static str,
    (left_name, left): (impl Display, &Tensor<D>),
    (right_name, right): (impl Display, &Tensor<E>),
    advice: &'static str,
) -> Result<()> {
    let dtypes = (left.dtype(), right.dtype());
    if dtypes.0 != dtypes.1 {
        let (left, right) = ((left_name, dtypes.0), (right_name, dtypes.1));
        return Err(unlike(loss, "dtype", left, right, advice));
    }
    let devices = (left.device(), right.device());
    if devices.0 != devices.1 {
        let (left, right) = ((left_name, devices.0), (right_name, devices.1));
        return Err(unlike(loss, "device", left, right, advice));
    }
    Ok(())
}

fn unlike(
    loss: &'static str,
    what: &'static str,
    left: (impl Display, impl Debug),
    right: (impl Display, impl Debug),
    advice: &'static str,
) -> Error {
    Error::Unlike {
        loss,
        what,
        left: format!("`{}` ({:?})", left.0, left.1),
        right: format!("`{}` ({:?})", right.0, right.1),
        advice,
    }
}

/// A list must not be shorter than the loss needs.
pub(crate) fn at_least(
    loss: &'static str,
    name: &'static str,
    found: usize,
    needed: usize,
    advice: &'static str,
) -> Result<()> {
    if found >= needed {
        return Ok(());
    }
    Err(Error::TooFewEntries {
        loss,
        name,
        found,
        needed,
        advice,
    })
}

/// Two tensors of any rank must have equal batch sizes, their first axes.
pub(crate) fn batches<const D: usize, const E: usize>(
    loss: &'static str,
    (left_name, left): (&'static str, &Tensor<D>),
    (right_name, right): (&'static str, &Tensor<E>),
) -> Result<()> {
    let (left, right) = (left.dims(), right.dims());
    let (left, right): (Named<'_>, Named<'_>) = ((left_name, &left), (right_name, &right));
    equal(loss, Axis::Batch, 0..1, left, right)
}

/// The hardware must be the same; autodiff on or off makes no difference here.
pub(crate) fn same_device(
    loss: &'static str,
    [left, right]: [&'static str; 2],
    [left_device, right_device]: [Device; 2],
) -> Result<()> {
    if left_device == right_device {
        return Ok(());
    }
    Err(Error::UnequalDevices {
        loss,
        left,
        left_device: format!("{left_device:?}"),
        right,
        right_device: format!("{right_device:?}"),
    })
}

fn not_empty(loss: &'static str, (name, shape): Named<'_>) -> Result<()> {
    if shape.contains(&0) {
        return Err(Error::Empty {
            loss,
            name,
            shape: shape.to_vec(),
        });
    }
    Ok(())
}

fn equal(
    loss: &'static str,
    axis: Axis,
    dims: core::ops::Range<usize>,
    left: Named<'_>,
    right: Named<'_>,
) -> Result<()> {
    if left.1[dims.clone()] == right.1[dims] {
        return Ok(());
    }
    Err(Error::UnequalShapes {
        loss,
        axis,
        left: left.0,
        left_shape: left.1.to_vec(),
        right: right.0,
        right_shape: right.1.to_vec(),
    })
}
