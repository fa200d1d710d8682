//! Losses of a student's and a teacher's features, each under a name, for the tests of all of them.

use burn::tensor::Tensor;
use kd_losses::{
    CorrelationKernel, Result, SelectivityKernel, correlation_congruence, cwd, fsp, ickd, nst,
    pair_wise_affinity, pixel_wise, pkd, pkt, rkd_angle, rkd_distance, similarity_preserving,
};

/// A loss of student and teacher.
pub(crate) type Loss<const D: usize> = fn(Tensor<D>, Tensor<D>) -> Result<Tensor<1>>;

/// Losses of embeddings.
pub(crate) const OF_EMBEDDINGS: &[(&str, Loss<2>)] = &[
    ("rkd-distance", rkd_distance),
    ("rkd-angle", rkd_angle),
    ("pkt", |student, teacher| pkt(student, teacher, 1e-7)),
    ("cc", |student, teacher| {
        correlation_congruence(student, teacher, CorrelationKernel::Taylor, 0.4, 2, 1e-12)
    }),
    ("cc bilinear", |student, teacher| {
        let kernel = CorrelationKernel::Bilinear;
        correlation_congruence(student, teacher, kernel, 0.4, 2, 1e-12)
    }),
];

/// Losses of feature maps.
pub(crate) const OF_MAPS: &[(&str, Loss<4>)] = &[
    ("sp", |student, teacher| {
        similarity_preserving(student, teacher, 1e-12)
    }),
    ("pkd", |student, teacher| pkd(student, teacher, 1e-5)),
    ("nst", |student, teacher| {
        nst(student, teacher, SelectivityKernel::Polynomial, 1e-12)
    }),
    ("nst linear", |student, teacher| {
        nst(student, teacher, SelectivityKernel::Linear, 1e-12)
    }),
    ("nst gaussian", |student, teacher| {
        nst(student, teacher, SelectivityKernel::Gaussian, 1e-12)
    }),
    ("ickd", |student, teacher| ickd(student, teacher, 1e-12)),
    ("fsp", |student, teacher| {
        fsp([student.clone(), student], [teacher.clone(), teacher])
    }),
];

/// Losses of maps with a prediction at each position.
pub(crate) const OF_PREDICTIONS: &[(&str, Loss<4>)] = &[
    ("cwd", |student, teacher| cwd(student, teacher, 4.0)),
    ("pixel-wise", |student, teacher| {
        pixel_wise(student, teacher, 1.0)
    }),
    ("pair-wise-affinity", |student, teacher| {
        pair_wise_affinity(student, teacher, 0.5, 1e-8)
    }),
    ("pair-wise-affinity of positions", |student, teacher| {
        pair_wise_affinity(student, teacher, 1e-3, 1e-8)
    }),
];
