//! Gradients against central differences of plain 64-bit loops that share no code with the crate.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_losses::{
    AttentionDistance, attention_transfer, cross_entropy, hint, soft_target, weighted_cross_entropy,
};

/// Values between -2 and 2 that look random; the same on every machine.
fn wave(count: usize, phase: f64) -> Vec<f64> {
    (0..count)
        .map(|index| {
            let value = 2.0 * (phase + 1.7 * index as f64).sin();
            // Representable in 32 bits, so that both sides see the same number.
            (value * 1024.0).round() / 1024.0
        })
        .collect()
}

fn log_softmax(row: &[f64], temperature: f64) -> Vec<f64> {
    let largest = row.iter().fold(f64::MIN, |a, &b| a.max(b));
    let mut total = 0.0;
    for value in row {
        total += ((value - largest) / temperature).exp();
    }
    row.iter()
        .map(|value| (value - largest) / temperature - total.ln())
        .collect()
}

fn plain_cross_entropy(logits: &[f64], classes: usize, targets: &[usize], smoothing: f64) -> f64 {
    let mut loss = 0.0;
    for (row, &target) in logits.chunks(classes).zip(targets) {
        for (class, log_q) in log_softmax(row, 1.0).into_iter().enumerate() {
            let hard = if class == target { 1.0 } else { 0.0 };
            loss -= ((1.0 - smoothing) * hard + smoothing / classes as f64) * log_q;
        }
    }
    loss / targets.len() as f64
}

fn plain_soft_target(student: &[f64], teacher: &[f64], classes: usize, temperature: f64) -> f64 {
    let (mut loss, mut samples) = (0.0, 0.0);
    for (student, teacher) in student.chunks(classes).zip(teacher.chunks(classes)) {
        let log_q = log_softmax(student, temperature);
        let log_p = log_softmax(teacher, temperature);
        for (log_q, log_p) in log_q.into_iter().zip(log_p) {
            loss += log_p.exp() * (log_p - log_q);
        }
        samples += 1.0;
    }
    temperature.powi(2) * loss / samples
}

fn plain_hint(student: &[f64], teacher: &[f64]) -> f64 {
    let mut loss = 0.0;
    for (student, teacher) in student.iter().zip(teacher) {
        loss += (student - teacher).powi(2);
    }
    loss / student.len() as f64
}

fn plain_attention(sample: &[f64], positions: usize) -> Vec<f64> {
    let mut energy = vec![0.0; positions];
    for (index, value) in sample.iter().enumerate() {
        energy[index % positions] += value * value;
    }
    let norm = energy.iter().map(|value| value * value).sum::<f64>().sqrt();
    energy.iter().map(|value| value / norm).collect()
}

/// `shapes` are channels of student, channels of teacher, positions.
fn plain_attention_transfer(
    student: &[f64],
    teacher: &[f64],
    shapes: [usize; 3],
    distance: AttentionDistance,
) -> f64 {
    let [student_channels, teacher_channels, positions] = shapes;
    let (mut loss, mut samples) = (0.0, 0.0);
    for (student, teacher) in student
        .chunks(student_channels * positions)
        .zip(teacher.chunks(teacher_channels * positions))
    {
        let student = plain_attention(student, positions);
        let teacher = plain_attention(teacher, positions);
        let square: f64 = plain_hint(&student, &teacher) * positions as f64;
        loss += match distance {
            AttentionDistance::MeanSquare => square / positions as f64,
            AttentionDistance::Norm => square.sqrt(),
            _ => square,
        };
        samples += 1.0;
    }
    loss / samples
}

/// Compares a loss with a plain one in value, and its gradient with the plain one's differences.
fn compare<const D: usize>(
    student: &[f64],
    shape: [usize; D],
    loss: impl Fn(Tensor<D>) -> kd_losses::Result<Tensor<1>>,
    plain: impl Fn(&[f64]) -> f64,
) -> kd_losses::Result<()> {
    let data = TensorData::new(student.to_vec(), shape).convert::<f32>();
    let input = Tensor::<D>::from_data(data, &Device::flex().autodiff()).require_grad();
    let value = loss(input.clone())?;
    let gradients = value.backward();
    let found = value.into_scalar::<f64>();
    let expected = plain(student);
    assert!(
        (found - expected).abs() <= 1e-6 + 1e-5 * expected.abs(),
        "value {found}, expected {expected}"
    );

    let gradient: Vec<f64> = input
        .grad(&gradients)
        .map(|gradient| gradient.into_data().iter::<f64>().collect())
        .unwrap_or_default();
    assert_eq!(gradient.len(), student.len());
    // Central differences in 64 bits err by about step^2 + 1e-16 / step.
    let step = 1e-5;
    for (index, found) in gradient.into_iter().enumerate() {
        let mut moved = student.to_vec();
        moved[index] += step;
        let above = plain(&moved);
        moved[index] -= 2.0 * step;
        let expected = (above - plain(&moved)) / (2.0 * step);
        assert!(
            (found - expected).abs() <= 1e-6 + 1e-5 * expected.abs(),
            "gradient {index}: found {found}, expected {expected}"
        );
    }
    Ok(())
}

fn constant<const D: usize>(values: &[f64], shape: [usize; D]) -> Tensor<D> {
    let data = TensorData::new(values.to_vec(), shape).convert::<f32>();
    Tensor::from_data(data, &Device::flex())
}

#[test]
fn cross_entropy_has_the_gradient_of_its_formula() -> kd_losses::Result<()> {
    for [batch_size, num_classes] in [[1, 2], [3, 5]] {
        let logits = wave(batch_size * num_classes, 0.3);
        let targets: Vec<usize> = (0..batch_size).map(|row| row % num_classes).collect();
        for smoothing in [0.0, 0.1] {
            compare(
                &logits,
                [batch_size, num_classes],
                |logits| {
                    let wide = |&class| i64::try_from(class).unwrap_or_default();
                    let data: Vec<i64> = targets.iter().map(wide).collect();
                    let targets = TensorData::new(data, [batch_size]);
                    let targets = Tensor::<1, Int>::from_data(targets, &Device::flex());
                    cross_entropy(logits, targets, smoothing)
                },
                |logits| plain_cross_entropy(logits, num_classes, &targets, smoothing),
            )?;
        }
    }
    Ok(())
}

fn plain_weighted(logits: &[f64], weights: &[f64], targets: &[usize], smoothing: f64) -> f64 {
    let (mut loss, mut total) = (0.0, 0.0);
    for (row, &target) in logits.chunks(weights.len()).zip(targets) {
        for (class, log_q) in log_softmax(row, 1.0).into_iter().enumerate() {
            let hard = if class == target { 1.0 } else { 0.0 };
            let share = (1.0 - smoothing) * hard + smoothing / weights.len() as f64;
            loss -= weights[class] * share * log_q;
        }
        total += weights[target];
    }
    loss / total
}

#[test]
fn weighted_cross_entropy_has_the_gradient_of_its_formula() -> kd_losses::Result<()> {
    for [batch_size, num_classes] in [[1, 2], [3, 5], [7, 3]] {
        let logits = wave(batch_size * num_classes, 0.3);
        let weights: Vec<f64> = (1..=num_classes).map(|class| 0.5 * class as f64).collect();
        let targets: Vec<usize> = (0..batch_size)
            .map(|row| (2 * row + 1) % num_classes)
            .collect();
        let on_device = || {
            let wide = |&class| i64::try_from(class).unwrap_or_default();
            let data: Vec<i64> = targets.iter().map(wide).collect();
            Tensor::<1, Int>::from_data(TensorData::new(data, [batch_size]), &Device::flex())
        };
        for smoothing in [0.0, 0.1] {
            compare(
                &logits,
                [batch_size, num_classes],
                |logits| weighted_cross_entropy(logits, on_device(), smoothing, &weights),
                |logits| plain_weighted(logits, &weights, &targets, smoothing),
            )?;
            // Equal weights are none, whatever their scale.
            let equal = vec![3.0; num_classes];
            compare(
                &logits,
                [batch_size, num_classes],
                |logits| weighted_cross_entropy(logits, on_device(), smoothing, &equal),
                |logits| plain_cross_entropy(logits, num_classes, &targets, smoothing),
            )?;
        }
    }
    Ok(())
}

#[test]
fn weights_that_are_no_weights_are_refused() {
    let device = Device::flex();
    for weights in [&[1.0][..], &[1.0, 0.0], &[1.0, f64::NAN], &[1.0, -2.0]] {
        let logits = Tensor::<2>::zeros([3, 2], &device);
        let targets = Tensor::<1, Int>::zeros([3], &device);
        assert!(weighted_cross_entropy(logits, targets, 0.0, weights).is_err());
    }
}

#[test]
fn soft_target_has_the_gradient_of_its_formula() -> kd_losses::Result<()> {
    for [batch_size, num_classes] in [[1, 2], [3, 5]] {
        let student = wave(batch_size * num_classes, 0.3);
        let teacher = wave(batch_size * num_classes, 2.1);
        for temperature in [0.5, 1.0, 4.0] {
            compare(
                &student,
                [batch_size, num_classes],
                |student| {
                    let teacher = constant(&teacher, [batch_size, num_classes]);
                    soft_target(student, teacher, temperature)
                },
                |student| plain_soft_target(student, &teacher, num_classes, temperature),
            )?;
        }
    }
    Ok(())
}

#[test]
fn hint_has_the_gradient_of_its_formula() -> kd_losses::Result<()> {
    for shape in [[1, 1, 1, 1], [2, 3, 2, 3]] {
        let student = wave(shape.iter().product(), 0.3);
        let teacher = wave(shape.iter().product(), 2.1);
        compare(
            &student,
            shape,
            |student| hint(student, constant(&teacher, shape)),
            |student| plain_hint(student, &teacher),
        )?;
    }
    Ok(())
}

#[test]
fn attention_transfer_has_the_gradient_of_its_formula() -> kd_losses::Result<()> {
    let distances = [
        AttentionDistance::MeanSquare,
        AttentionDistance::SquaredNorm,
        AttentionDistance::Norm,
    ];
    for [batch_size, channels, height, width] in [[1, 2, 1, 2], [2, 3, 2, 3]] {
        let positions = height * width;
        let student = wave(batch_size * channels * positions, 0.3);
        let teacher = wave(batch_size * 4 * positions, 2.1);
        for distance in distances {
            compare(
                &student,
                [batch_size, channels, height, width],
                |student| {
                    let teacher = constant(&teacher, [batch_size, 4, height, width]);
                    attention_transfer(student, teacher, distance, 1e-12)
                },
                |student| {
                    let shapes = [channels, 4, positions];
                    plain_attention_transfer(student, &teacher, shapes, distance)
                },
            )?;
        }
    }
    Ok(())
}
