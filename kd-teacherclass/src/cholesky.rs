//! Linear equations with a symmetric positive definite matrix.

/// The solution of `matrix * x = right`, for each column of `right`; `matrix` is `[size, size]` and `right`
/// `[size, columns]`, both row by row. None if the matrix is not positive definite.
pub(crate) fn solve(
    mut matrix: Vec<f64>,
    mut right: Vec<f64>,
    size: usize,
    columns: usize,
) -> Option<Vec<f64>> {
    // The lower half becomes the factor L of matrix = L L^T.
    for row in 0..size {
        for column in 0..=row {
            let (one, other) = (row * size, column * size);
            let sum: f64 = (0..column)
                .map(|at| matrix[one + at] * matrix[other + at])
                .sum();
            let left = matrix[one + column] - sum;
            matrix[one + column] = if row > column {
                left / matrix[other + column]
            } else if left > 0.0 {
                left.sqrt()
            } else {
                return None;
            };
        }
    }
    for row in 0..size {
        for at in 0..row {
            let factor = matrix[row * size + at];
            subtract(&mut right, columns, row, at, factor);
        }
        scale(&mut right, columns, row, matrix[row * size + row]);
    }
    for row in (0..size).rev() {
        for at in row + 1..size {
            let factor = matrix[at * size + row];
            subtract(&mut right, columns, row, at, factor);
        }
        scale(&mut right, columns, row, matrix[row * size + row]);
    }
    Some(right)
}

/// Subtracts `factor` times row `other` from row `row`.
fn subtract(rows: &mut [f64], columns: usize, row: usize, other: usize, factor: f64) {
    for column in 0..columns {
        let number = rows[other * columns + column];
        rows[row * columns + column] -= factor * number;
    }
}

fn scale(rows: &mut [f64], columns: usize, row: usize, divisor: f64) {
    for number in &mut rows[row * columns..(row + 1) * columns] {
        *number /= divisor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solutions_fit_their_equations() {
        let matrix = vec![4.0, 2.0, 1.0, 2.0, 5.0, 3.0, 1.0, 3.0, 6.0];
        let right = vec![1.0, 0.0, 2.0, -1.0, 3.0, 4.0];
        let found = solve(matrix.clone(), right.clone(), 3, 2).unwrap();
        for row in 0..3 {
            for column in 0..2 {
                let products = (0..3).map(|at| matrix[row * 3 + at] * found[at * 2 + column]);
                assert!((products.sum::<f64>() - right[row * 2 + column]).abs() < 1e-12);
            }
        }
        assert!(solve(vec![1.0, 2.0, 2.0, 1.0], vec![1.0, 1.0], 2, 1).is_none());
    }
}
