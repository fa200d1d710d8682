//! Eigenvectors of small symmetric matrices, on the host.

/// Eigenvalues from the largest down, and their eigenvectors of unit length.
pub(super) struct Eigen {
    pub(super) values: Vec<f64>,
    /// Eigenvector `k` is `vectors[k]`.
    pub(super) vectors: Vec<Vec<f64>>,
}

/// Steps for one eigenvalue, more than any matrix of finite numbers needs; one of NaN ends here.
const STEPS: usize = 60;

/// By Householder's reflections to three diagonals, and the QL steps with implicit shifts that make one of
/// them.
///
/// `matrix` has `size * size` entries and is symmetric. Takes about `10 * size^3` operations, nearly all
/// along rows.
pub(super) fn eigen(mut matrix: Vec<f64>, size: usize) -> Eigen {
    let (mut values, mut beside, mut rows) = three_diagonals(&mut matrix, size);
    one_diagonal(&mut values, &mut beside, &mut rows);
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    Eigen {
        values: order.iter().map(|&k| values[k]).collect(),
        vectors: order
            .iter()
            .map(|&k| rows[k * size..(k + 1) * size].to_vec())
            .collect(),
    }
}

/// The diagonal, the entries beside it (one less, and a 0), and the rows `R` such that `R matrix R'` has
/// these alone.
fn three_diagonals(matrix: &mut [f64], size: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let mut beside = vec![0.0; size];
    let mut reflections: Vec<(usize, Vec<f64>, f64)> = Vec::new();
    for k in 0..size.saturating_sub(1) {
        let first = k + 1;
        // By symmetry the column below the diagonal is the row right of it.
        let mut normal = matrix[k * size + first..(k + 1) * size].to_vec();
        let scale = normal
            .iter()
            .fold(0.0_f64, |most, entry| most.max(entry.abs()));
        if normal[1..].iter().all(|entry| *entry == 0.0) {
            beside[k] = normal[0];
            continue;
        }
        // Divided by its largest entry, whose square might be 0 or infinite.
        for entry in &mut normal {
            *entry /= scale;
        }
        let length = dot(&normal, &normal).sqrt().copysign(normal[0]);
        normal[0] += length;
        beside[k] = -length * scale;
        let factor = 2.0 / dot(&normal, &normal);
        // A - v w' - w v' with w = p - (factor / 2) (p . v) v and p = factor A v
        let rest = |row: usize| row * size + first..(row + 1) * size;
        let mut moved: Vec<f64> = (first..size)
            .map(|row| factor * dot(&matrix[rest(row)], &normal))
            .collect();
        let along = 0.5 * factor * dot(&moved, &normal);
        add(&mut moved, -along, &normal);
        for row in first..size {
            let (of_normal, of_moved) = (normal[row - first], moved[row - first]);
            add(&mut matrix[rest(row)], -of_normal, &moved);
            add(&mut matrix[rest(row)], -of_moved, &normal);
        }
        reflections.push((first, normal, factor));
    }
    let values = (0..size).map(|k| matrix[k * size + k]).collect();
    let mut rows: Vec<f64> = (0..size * size)
        .map(|index| f64::from(u8::from(index / size == index % size)))
        .collect();
    for (first, normal, factor) in reflections.iter().rev() {
        for row in *first..size {
            let row = &mut rows[row * size + first..(row + 1) * size];
            let along = factor * dot(row, normal);
            add(row, -along, normal);
        }
    }
    (values, beside, rows)
}

/// Turns `rows` until nothing is left beside the diagonal, from the first value to the last.
fn one_diagonal(values: &mut [f64], beside: &mut [f64], rows: &mut [f64]) {
    let size = values.len();
    for first in 0..size {
        for _ in 0..STEPS {
            let negligible = |k: usize| {
                let around = values[k].abs() + values[k + 1].abs();
                beside[k].abs() <= f64::EPSILON * around
            };
            let last = (first..size - 1).find(|&k| negligible(k));
            let last = last.unwrap_or(size - 1);
            if last == first {
                break;
            }
            step(values, beside, rows, (first, last));
        }
    }
}

/// One QL step on the values from `first` to `last`, shifted by what is nearly the first eigenvalue.
fn step(values: &mut [f64], beside: &mut [f64], rows: &mut [f64], (first, last): (usize, usize)) {
    let half = (values[first + 1] - values[first]) / (2.0 * beside[first]);
    let shift = beside[first] / (half + half.hypot(1.0).copysign(half));
    let mut chased = values[last] - values[first] + shift;
    let (mut sine, mut cosine, mut taken) = (1.0, 1.0, 0.0);
    for k in (first..last).rev() {
        let (bulge, side) = (sine * beside[k], cosine * beside[k]);
        let length = bulge.hypot(chased);
        beside[k + 1] = length;
        if length == 0.0 {
            // It has come apart in two here.
            values[k + 1] -= taken;
            beside[last] = 0.0;
            return;
        }
        (sine, cosine) = (bulge / length, chased / length);
        chased = values[k + 1] - taken;
        let turned = (values[k] - chased) * sine + 2.0 * cosine * side;
        taken = sine * turned;
        values[k + 1] = chased + taken;
        chased = cosine * turned - side;
        turn(rows, values.len(), k, (sine, cosine));
    }
    values[first] -= taken;
    beside[first] = chased;
    beside[last] = 0.0;
}

/// Turns row `k` and the next into each other.
fn turn(rows: &mut [f64], size: usize, k: usize, (sine, cosine): (f64, f64)) {
    let (before, after) = rows.split_at_mut((k + 1) * size);
    let pairs = before[k * size..].iter_mut().zip(&mut after[..size]);
    for (here, next) in pairs {
        (*here, *next) = (cosine * *here - sine * *next, sine * *here + cosine * *next);
    }
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}

/// `to + factor * what`
fn add(to: &mut [f64], factor: f64, what: &[f64]) {
    for (to, what) in to.iter_mut().zip(what) {
        *to += factor * what;
    }
}

#[cfg(test)]
mod tests {
    use super::eigen;

    /// Checks `A v = value v`, that the vectors are orthonormal and the values in order.
    fn check(matrix: &[f64], size: usize) {
        let found = eigen(matrix.to_vec(), size);
        let largest = matrix.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
        let bound = 1e-13 * size as f64;
        for (k, (value, vector)) in found.values.iter().zip(&found.vectors).enumerate() {
            for row in 0..size {
                let moved: f64 = (0..size).map(|c| matrix[row * size + c] * vector[c]).sum();
                let off = (moved - value * vector[row]).abs();
                assert!(off <= bound * largest, "{size} {k} {row}: {off}");
            }
            for (other, other_vector) in found.vectors.iter().enumerate() {
                let dot: f64 = vector.iter().zip(other_vector).map(|(a, b)| a * b).sum();
                let expected = f64::from(u8::from(k == other));
                assert!((dot - expected).abs() <= bound, "{size} {k} {other}: {dot}");
            }
        }
        assert!(found.values.windows(2).all(|pair| pair[0] >= pair[1]));
    }

    fn gram(size: usize, width: usize, scale: f64) -> Vec<f64> {
        let entry = |row: usize, at: usize| ((row * 37 + at * at * 11 + row * at) as f64).sin();
        let product = |index: usize| -> f64 {
            let (a, b) = (index / size, index % size);
            (0..width)
                .map(|at| entry(a, at) * entry(b, at))
                .sum::<f64>()
                * scale
        };
        (0..size * size).map(product).collect()
    }

    #[test]
    fn values_and_vectors_are_those_of_the_matrix() {
        for size in [1, 2, 3, 7, 64] {
            // Of full rank, of rank 2 with many zeros among the values, very large and very small.
            for (width, scale) in [(size + 3, 1.0), (2, 1.0), (size, 1e150), (size, 1e-150)] {
                check(&gram(size, width, scale), size);
            }
        }
    }

    #[test]
    fn special_matrices() {
        for size in [1, 2, 5] {
            let diagonal = |value: fn(usize) -> f64| -> Vec<f64> {
                let at = |i: usize| {
                    if i / size == i % size {
                        value(i / size)
                    } else {
                        0.0
                    }
                };
                (0..size * size).map(at).collect()
            };
            check(&diagonal(|_| 0.0), size);
            check(&diagonal(|_| 3.0), size);
            check(&diagonal(|row| row as f64), size);
            check(&vec![1.0; size * size], size);
        }
        assert!(eigen(vec![f64::NAN; 16], 4).vectors[0][0].is_nan());
        assert!(eigen(Vec::new(), 0).values.is_empty());
    }
}
