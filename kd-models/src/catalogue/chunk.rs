//! Plain convolutional networks of the catalogue: the template, and those of the teacher-class paper's
//! official code, dropout included.

use super::{Entry, classifier};
use crate::chunk_cnn::ChunkCnnConfig;
use crate::structure::Structure;

/// A student on grey images: `first` channels twice, `second` channels twice, hidden features.
macro_rules! grey {
    ($name:literal, $shown:literal, $config:expr) => {
        classifier(
            $name,
            concat!("Student of the teacher-class paper's code, ", $shown),
            || Structure::ChunkCnn($config),
        )
    };
}

pub(super) static CLASSIFIERS: [Entry; 14] = [
    classifier(
        "chunk-cnn",
        "Plain network with free widths, a student of a class: 8, 8, 16 channels, 32 features",
        || Structure::ChunkCnn(ChunkCnnConfig::template()),
    ),
    classifier(
        "tcn-teacher",
        "Teacher of the teacher-class paper's code on grey images: 32, 64 channels, 256 features twice",
        || Structure::ChunkCnn(teacher()),
    ),
    grey!("tcn-mnist-1", "MNIST, 1 student", student(64, 32, &[16])),
    grey!("tcn-mnist-2", "MNIST, 2 students", student(16, 16, &[])),
    grey!("tcn-mnist-4", "MNIST, 4 students", student(32, 16, &[8])),
    grey!("tcn-mnist-8", "MNIST, 8 students", student(16, 16, &[12])),
    grey!(
        "tcn-mnist-gan-1",
        "MNIST, adversarial, 1 student",
        student(64, 16, &[32])
    ),
    grey!(
        "tcn-mnist-gan-2",
        "MNIST, adversarial, 2 students",
        ChunkCnnConfig {
            kernel: 5,
            ..student(32, 16, &[32])
        }
    ),
    grey!(
        "tcn-mnist-gan-4",
        "MNIST, adversarial, 4 students",
        student(16, 16, &[32])
    ),
    grey!(
        "tcn-mnist-gan-8",
        "MNIST, adversarial, 8 students",
        ChunkCnnConfig {
            block_dropout: Vec::new(),
            hidden_dropout: vec![20],
            ..student(16, 16, &[8])
        }
    ),
    grey!(
        "tcn-fashion-1",
        "Fashion-MNIST, 1 student",
        student(32, 16, &[64])
    ),
    grey!(
        "tcn-fashion",
        "Fashion-MNIST, 2, 4 and 8 students",
        student(32, 16, &[16])
    ),
    grey!("tcn-cifar10-1", "CIFAR-10, 1 student", colour(128, 256, 64)),
    grey!(
        "tcn-cifar10",
        "CIFAR-10, 2, 4 and 8 students",
        colour(64, 128, 16)
    ),
];

fn teacher() -> ChunkCnnConfig {
    ChunkCnnConfig {
        pool: 1,
        blocks: vec![vec![32, 64]],
        hidden: vec![256, 256],
        kernel: 3,
        padded: false,
        block_dropout: vec![25],
        hidden_dropout: vec![0, 50],
    }
}

fn student(first: usize, second: usize, hidden: &[usize]) -> ChunkCnnConfig {
    ChunkCnnConfig {
        blocks: vec![vec![first; 2], vec![second; 2]],
        hidden: hidden.to_vec(),
        block_dropout: vec![0, 25],
        hidden_dropout: vec![30],
        ..teacher()
    }
}

fn colour(second: usize, third: usize, hidden: usize) -> ChunkCnnConfig {
    ChunkCnnConfig {
        pool: 1,
        blocks: vec![vec![32; 2], vec![second; 2], vec![third; 2]],
        hidden: vec![hidden],
        kernel: 3,
        padded: true,
        block_dropout: vec![20, 30, 40],
        hidden_dropout: vec![20],
    }
}
