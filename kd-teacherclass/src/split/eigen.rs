//! The eigenvalues and eigenvectors of a symmetric matrix.

/// Passes over all pairs; the method converges quadratically and needs some ten of them.
const SWEEPS: usize = 60;

/// Eigenvalues of a symmetric matrix, the largest first, and a unit eigenvector for each.
///
/// Jacobi's method: each rotation makes one pair of numbers off the diagonal zero. The sign of a vector is
/// such that its largest number is positive, so that equal matrices give equal vectors.
pub(super) fn eigen(mut matrix: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
    let size = matrix.len();
    let unit = |at: usize| {
        (0..size)
            .map(|row| f64::from(u8::from(row == at)))
            .collect()
    };
    // Row k is the k-th vector.
    let mut vectors: Vec<Vec<f64>> = (0..size).map(unit).collect();
    let whole: f64 = matrix.iter().flatten().map(|number| number * number).sum();
    for _ in 0..SWEEPS {
        if off_diagonal(&matrix) <= 1e-26 * whole {
            break;
        }
        for low in 0..size {
            for high in low + 1..size {
                rotate(&mut matrix, &mut vectors, low, high);
            }
        }
    }
    let values = (0..size).map(|at| matrix[at][at]);
    let mut found: Vec<(f64, Vec<f64>)> = values.zip(vectors.into_iter().map(signed)).collect();
    found.sort_by(|one, other| other.0.total_cmp(&one.0));
    found
}

/// The sum of squares above the diagonal.
fn off_diagonal(matrix: &[Vec<f64>]) -> f64 {
    let rows = matrix.iter().enumerate();
    let above = rows.flat_map(|(row, numbers)| &numbers[row + 1..]);
    above.map(|number| number * number).sum()
}

/// The rotation in the plane of `low` and `high` after which their entry is zero.
fn rotate(matrix: &mut [Vec<f64>], vectors: &mut [Vec<f64>], low: usize, high: usize) {
    let entry = matrix[low][high];
    if entry == 0.0 {
        return;
    }
    let theta = (matrix[high][high] - matrix[low][low]) / (2.0 * entry);
    let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let tangent = if theta == 0.0 { 1.0 } else { tangent };
    let cosine = tangent.hypot(1.0).recip();
    let sine = tangent * cosine;
    for row in matrix.iter_mut() {
        let (one, other) = (row[low], row[high]);
        row[low] = cosine * one - sine * other;
        row[high] = sine * one + cosine * other;
    }
    turn_rows(matrix, low, high, cosine, sine);
    turn_rows(vectors, low, high, cosine, sine);
    // What rounding leaves there would be taken for an entry once more.
    matrix[low][high] = 0.0;
    matrix[high][low] = 0.0;
}

fn turn_rows(rows: &mut [Vec<f64>], low: usize, high: usize, cosine: f64, sine: f64) {
    let (before, after) = rows.split_at_mut(high);
    for (one, other) in before[low].iter_mut().zip(after[0].iter_mut()) {
        let (first, second) = (*one, *other);
        *one = cosine * first - sine * second;
        *other = sine * first + cosine * second;
    }
}

fn signed(vector: Vec<f64>) -> Vec<f64> {
    let largest = vector.iter().copied().fold(0.0_f64, |most, number| {
        if number.abs() > most.abs() {
            number
        } else {
            most
        }
    });
    if largest < 0.0 {
        return vector.into_iter().map(|number| -number).collect();
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_matrix_is_taken_apart() {
        let found = eigen(vec![
            vec![2.0, 1.0, 0.0],
            vec![1.0, 2.0, 0.0],
            vec![0.0, 0.0, 5.0],
        ]);
        let half = 0.5_f64.sqrt();
        let expected = [
            (5.0, [0.0, 0.0, 1.0]),
            (3.0, [half, half, 0.0]),
            (1.0, [half, -half, 0.0]),
        ];
        for ((value, vector), (wanted, direction)) in found.iter().zip(&expected) {
            assert!((value - wanted).abs() < 1e-12, "{value} {wanted}");
            let along: f64 = vector.iter().zip(direction).map(|(a, b)| a * b).sum();
            assert!((along.abs() - 1.0).abs() < 1e-12, "{vector:?}");
        }
    }

    #[test]
    fn vectors_are_those_of_the_matrix_and_orthogonal() {
        let mut draws = kd_core::Draws::new(1, "eigen", 0, 0);
        let size = 17;
        let numbers: Vec<f64> = (0..size * size).map(|_| draws.normal()).collect();
        let entry = |row: usize, column: usize| numbers[row.min(column) * size + row.max(column)];
        let row = |row| (0..size).map(|column| entry(row, column)).collect();
        let matrix: Vec<Vec<f64>> = (0..size).map(row).collect();
        let found = eigen(matrix.clone());
        for (index, (value, vector)) in found.iter().enumerate() {
            for (row, expected) in matrix.iter().zip(vector) {
                let image: f64 = row.iter().zip(vector).map(|(a, b)| a * b).sum();
                assert!((image - value * expected).abs() < 1e-10);
            }
            for (other, (_, second)) in found.iter().enumerate() {
                let product: f64 = vector.iter().zip(second).map(|(a, b)| a * b).sum();
                let expected = f64::from(u8::from(index == other));
                assert!((product - expected).abs() < 1e-10);
            }
        }
        assert!(found.windows(2).all(|pair| pair[0].0 >= pair[1].0));
    }
}
