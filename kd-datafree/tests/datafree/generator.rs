//! The generator: its size, its output, the fold against the plain way, training and inference.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData, Tolerance};
use kd_core::{Draws, ImageShape, Names, export};
use kd_datafree::{Generator, GeneratorConfig, OutputKind};
use kd_kernels::{doubled_conv2d, folded_doubled_conv2d};

fn numbers<const D: usize>(name: &str, shape: [usize; D], device: &Device) -> Tensor<D> {
    let mut draws = Draws::new(3, name, 0, 0);
    let count = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|_| draws.normal()).collect();
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F64))
}

/// Everything that a doubling with its convolution gives: the map, and the gradients of map, kernel and bias.
fn seen(
    way: fn(Tensor<4>, Tensor<4>, Option<Tensor<1>>) -> Tensor<4>,
    sizes: [usize; 3],
    with_bias: bool,
) -> Vec<TensorData> {
    let device = Device::flex().autodiff();
    let [channels, height, width] = sizes;
    let map = numbers("map", [2, channels, height, width], &device).require_grad();
    let kernel = numbers("kernel", [5, channels, 3, 3], &device).require_grad();
    let bias = numbers("bias", [5], &device).require_grad();
    let output = way(map.clone(), kernel.clone(), with_bias.then(|| bias.clone()));
    let weights = numbers("weights", [2, 5, 2 * height, 2 * width], &device);
    let gradients = (output.clone() * weights).sum().backward();
    let mut seen = vec![
        output.into_data(),
        map.grad(&gradients).unwrap().into_data(),
        kernel.grad(&gradients).unwrap().into_data(),
    ];
    if with_bias {
        seen.push(bias.grad(&gradients).unwrap().into_data());
    }
    seen
}

#[test]
fn the_fold_is_the_plain_way_in_values_and_gradients() {
    for sizes in [[3, 4, 4], [1, 7, 7], [2, 1, 1], [2, 3, 5], [6, 8, 1]] {
        for with_bias in [true, false] {
            let folded = seen(folded_doubled_conv2d, sizes, with_bias);
            let plain = seen(doubled_conv2d, sizes, with_bias);
            assert_eq!(folded.len(), plain.len());
            for (folded, plain) in folded.iter().zip(&plain) {
                folded.assert_approx_eq::<f64>(plain, Tolerance::absolute(1e-12));
            }
        }
    }
}

#[test]
fn parameters_are_those_of_the_public_code() {
    let device = Device::flex();
    let make = |config: &GeneratorConfig, channels| {
        let image = ImageShape::new(channels, 32, 32);
        config.init(image, 0, &device).unwrap().parameters()
    };
    let mnist = GeneratorConfig::default();
    assert_eq!(make(&mnist, 1), 1_049_985);
    let cifar = GeneratorConfig {
        noise: 1000,
        ..mnist
    };
    assert_eq!(make(&cifar, 3), 8_423_939);
    // CMI's: the large convolutions have no bias, the last has one.
    let cmi = GeneratorConfig {
        noise: 256,
        conv_bias: false,
        output: OutputKind::Sigmoid,
        ..cifar
    };
    let (linear, norms) = (256 * 8192 + 8192, 2 * (128 + 128 + 64));
    let convolutions = 9 * (128 * 128 + 128 * 64 + 64 * 3) + 3;
    assert_eq!(make(&cmi, 3), linear + norms + convolutions);
}

fn small(output: OutputKind) -> GeneratorConfig {
    GeneratorConfig {
        noise: 6,
        widths: [8, 4],
        output,
        ..GeneratorConfig::default()
    }
}

fn noise(count: usize, device: &Device) -> Tensor<2> {
    numbers("noise", [count, 6], device).cast(DType::F32)
}

fn made(output: OutputKind, device: &Device) -> Generator {
    let image = ImageShape::new(3, 12, 8);
    small(output).init(image, 1, device).unwrap()
}

#[test]
fn outputs_are_in_the_space_that_their_kind_says() {
    let device = Device::flex().autodiff();
    for output in [OutputKind::TanhNorm, OutputKind::Norm, OutputKind::Sigmoid] {
        let images = made(output, &device).forward(noise(16, &device));
        assert_eq!(images.dims(), [16, 3, 12, 8], "{output:?}");
        let images = images.inner();
        if output == OutputKind::Sigmoid {
            let [low, high] = [images.clone().min(), images.max()];
            assert!(low.into_scalar::<f32>() > 0.0 && high.into_scalar::<f32>() < 1.0);
            continue;
        }
        let mean = images.clone().mean_dims(&[0, 2, 3]);
        let variance = (images - mean.clone()).square().mean_dims(&[0, 2, 3]);
        let near = |data: Tensor<4>, value: f32| {
            let expected = TensorData::new(vec![value; 3], [1, 3, 1, 1]);
            data.into_data()
                .assert_approx_eq::<f32>(&expected, Tolerance::absolute(1e-2));
        };
        near(mean, 0.0);
        near(variance, 1.0);
    }
}

#[test]
fn the_plain_form_uses_what_training_has_remembered() {
    let device = Device::flex().autodiff();
    let generator = made(OutputKind::TanhNorm, &device);
    let before = export(&generator, Names::PyTorch);
    // An image must not depend on the others of its batch at inference.
    let alone = |generator: &Generator| {
        let plain = generator.valid();
        let all = noise(5, &device.clone().inner());
        let whole = plain.forward(all.clone()).narrow(0, 2, 1);
        let one = plain.forward(all.narrow(0, 2, 1));
        whole
            .into_data()
            .assert_approx_eq::<f32>(&one.clone().into_data(), Tolerance::absolute(1e-5));
        one.into_data()
    };
    let fresh = alone(&generator);
    assert!(
        export(&generator, Names::PyTorch) == before,
        "inference changes nothing"
    );
    for _ in 0..200 {
        drop(generator.forward(noise(5, &device)));
    }
    let after = export(&generator, Names::PyTorch);
    let moved: Vec<&str> = after
        .iter()
        .filter(|(name, data)| before[*name] != **data)
        .map(|(name, _)| name.as_str())
        .collect();
    let expected = ["norm0", "norm1", "norm2", "standard"]
        .map(|norm| ["running_mean", "running_var"].map(|what| format!("{norm}.{what}")));
    assert_eq!(moved, expected.concat());
    assert!(alone(&generator) != fresh);
    // After many equal batches the running statistics are those of the batch, up to rounding.
    let trained = generator.forward(noise(5, &device)).inner();
    let plain = generator.valid().forward(noise(5, &device.inner()));
    plain
        .into_data()
        .assert_approx_eq::<f32>(&trained.into_data(), Tolerance::absolute(1e-3));
}

#[test]
fn folded_and_plain_generators_are_the_same() {
    let device = Device::flex().autodiff();
    let image = ImageShape::new(3, 12, 8);
    let run = |folded| {
        let config = GeneratorConfig {
            folded,
            ..small(OutputKind::TanhNorm)
        };
        let generator = config.init(image, 1, &device).unwrap();
        generator.forward(noise(7, &device)).into_data()
    };
    run(true).assert_approx_eq::<f32>(&run(false), Tolerance::absolute(1e-4));
}

#[test]
fn mistakes_are_said_in_words() {
    let image = ImageShape::new(1, 28, 28);
    let good = GeneratorConfig::default();
    good.check(image).unwrap();
    let refused = |config: GeneratorConfig, image: ImageShape| {
        let error = config.init(image, 0, &Device::flex()).unwrap_err();
        error.to_string()
    };
    let expected = [
        (
            refused(
                GeneratorConfig {
                    noise: 0,
                    ..good.clone()
                },
                image,
            ),
            "`generator.noise` must be above 0; 100 is usual",
        ),
        (
            refused(
                GeneratorConfig {
                    widths: [8, 0],
                    ..good.clone()
                },
                image,
            ),
            "`generator.widths` must be above 0, got [8, 0]",
        ),
        (
            refused(
                GeneratorConfig {
                    epsilon: 0.0,
                    ..good.clone()
                },
                image,
            ),
            "`generator.epsilon` must be finite and above 0, got 0",
        ),
        (
            refused(good, ImageShape::new(1, 30, 28)),
            "`generator.output` doubles a map twice, so that the sides of images must be multiples of 4, got \
             30x28; choose another size of images",
        ),
    ];
    for (said, expected) in expected {
        assert_eq!(said, expected);
    }
}
