//! Eigenvectors of small symmetric matrices, on the host.

/// Eigenvalues from the largest down, and their eigenvectors of unit length.
pub(super) struct Eigen {
    pub(super) values: Vec<f64>,
    /// Eigenvector `k` is `vectors[k]`.
    pub(super) vectors: Vec<Vec<f64>>,
}

/// More than any matrix of finite numbers needs; one of NaN ends here.
const SWEEPS: usize = 40;

/// By Jacobi's method: rotations, each of which brings one entry beside the diagonal to zero, until all are.
///
/// `matrix` has `size * size` entries and is symmetric. A sweep takes about `4 * size^3` operations; 6 to 10 are usual.
pub(super) fn eigen(mut matrix: Vec<f64>, size: usize) -> Eigen {
    // Row k becomes eigenvector k.
    let mut rows: Vec<f64> = (0..size * size)
        .map(|index| f64::from(u8::from(index / size == index % size)))
        .collect();
    let total: f64 = matrix.iter().map(|entry| entry * entry).sum();
    for _ in 0..SWEEPS {
        let beside: f64 = (0..size)
            .flat_map(|p| (0..p).map(move |q| p * size + q))
            .map(|index| matrix[index] * matrix[index])
            .sum();
        if beside <= total * 1e-34 {
            break;
        }
        for p in 0..size {
            for q in p + 1..size {
                rotate(&mut matrix, &mut rows, size, (p, q));
            }
        }
    }
    let mut order: Vec<usize> = (0..size).collect();
    let value = |k: usize| matrix[k * size + k];
    order.sort_by(|&a, &b| value(b).total_cmp(&value(a)));
    Eigen {
        values: order.iter().map(|&k| value(k)).collect(),
        vectors: order
            .iter()
            .map(|&k| rows[k * size..(k + 1) * size].to_vec())
            .collect(),
    }
}

/// Brings entry `(p, q)` to zero.
fn rotate(matrix: &mut [f64], rows: &mut [f64], size: usize, (p, q): (usize, usize)) {
    let entry = matrix[p * size + q];
    if entry == 0.0 {
        return;
    }
    // The tangent of the smaller of the two angles that do it.
    let ratio = (matrix[q * size + q] - matrix[p * size + p]) / (2.0 * entry);
    let tangent = ratio.signum() / (ratio.abs() + ratio.hypot(1.0));
    let cosine = tangent.hypot(1.0).recip();
    let sine = tangent * cosine;
    let turn = |a: &mut [f64], left: usize, right: usize| {
        let (x, y) = (a[left], a[right]);
        a[left] = cosine * x - sine * y;
        a[right] = sine * x + cosine * y;
    };
    for k in 0..size {
        turn(matrix, k * size + p, k * size + q);
    }
    for k in 0..size {
        turn(matrix, p * size + k, q * size + k);
        turn(rows, p * size + k, q * size + k);
    }
}
