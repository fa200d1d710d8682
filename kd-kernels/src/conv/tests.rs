//! Layers of Burn's, run by the kernels and by Burn.

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Distribution, Tensor, Tolerance};

use super::{conv2d, job_of};

/// Channels in and out, kernel, stride, padding, size of the input.
struct Case {
    channels: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    size: [usize; 2],
}

const fn case(
    channels: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    size: [usize; 2],
) -> Case {
    Case {
        channels,
        kernel,
        stride,
        padding,
        size,
    }
}

/// Over long rows, by tiles and position by position, one pixel, more padding than kernel, pixels that no
/// position sees.
const CASES: [Case; 16] = [
    case([6, 40], [3, 3], [1, 1], [1, 1], [4, 5]),
    case([16, 120], [5, 5], [1, 1], [0, 0], [5, 5]),
    case([9, 130], [3, 3], [1, 1], [1, 1], [8, 8]),
    case([48, 50], [3, 3], [1, 1], [1, 1], [8, 11]),
    case([5, 8], [1, 1], [1, 1], [0, 0], [8, 8]),
    case([3, 8], [3, 3], [1, 1], [1, 1], [8, 8]),
    case([1, 6], [5, 5], [1, 1], [2, 2], [28, 28]),
    case([6, 16], [5, 5], [1, 1], [0, 0], [14, 14]),
    case([40, 5], [3, 3], [1, 1], [1, 1], [24, 30]),
    case([3, 8], [7, 7], [2, 2], [3, 3], [14, 10]),
    case([4, 8], [3, 3], [2, 2], [1, 1], [9, 12]),
    case([2, 3], [1, 3], [1, 1], [0, 1], [5, 9]),
    case([2, 3], [3, 1], [1, 2], [1, 0], [9, 8]),
    case([2, 3], [3, 3], [1, 1], [4, 4], [5, 6]),
    case([2, 3], [3, 3], [3, 3], [0, 0], [14, 14]),
    case([2, 3], [6, 6], [1, 1], [1, 2], [8, 7]),
];

impl Case {
    fn layer(&self, has_bias: bool, device: &Device) -> Conv2d {
        let [top, left] = self.padding;
        Conv2dConfig::new(self.channels, self.kernel)
            .with_stride(self.stride)
            .with_padding(PaddingConfig2d::Explicit(top, left, top, left))
            .with_bias(has_bias)
            .init(device)
    }

    fn images(&self, count: usize, device: &Device) -> Tensor<4> {
        let shape = [count, self.channels[0], self.size[0], self.size[1]];
        Tensor::random(shape, Distribution::Default, device)
    }
}

fn numbers<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().into_data().iter::<f32>().collect()
}

#[test]
fn maps_and_gradients_are_burns() {
    let device = Device::flex().autodiff();
    for (index, case) in CASES.iter().enumerate() {
        let conv = case.layer(index % 2 == 0, &device);
        let images = case.images(19, &device);
        assert!(job_of(&conv, &images).is_some(), "case {index}");
        let shape = conv2d(&conv, images.clone()).dims();
        let weights = Tensor::<4>::random(shape, Distribution::Default, &device);
        let both = [true, false].map(|is_ours| {
            let images = images.clone().detach().require_grad();
            let map = if is_ours {
                conv2d(&conv, images.clone())
            } else {
                conv.forward(images.clone())
            };
            let gradients = (map.clone() * weights.clone()).sum().backward();
            let of_input = images.grad(&gradients).unwrap();
            let of_kernel = conv.weight.val().grad(&gradients).unwrap();
            let bias = conv.bias.as_ref();
            let of_bias = bias.map(|bias| bias.val().grad(&gradients).unwrap().into_data());
            let maps = [map.inner(), of_input, of_kernel].map(Tensor::into_data);
            (maps, of_bias)
        });
        let near = Tolerance::rel_abs(2e-5, 5e-4);
        let [(ours, our_bias), (burns, burns_bias)] = both;
        for (ours, burns) in ours.iter().zip(&burns) {
            ours.assert_approx_eq::<f32>(burns, near);
        }
        assert_eq!(our_bias.is_some(), burns_bias.is_some());
        if let (Some(ours), Some(burns)) = (our_bias, burns_bias) {
            ours.assert_approx_eq::<f32>(&burns, near);
        }
    }
}

#[test]
fn an_image_gives_the_same_in_every_batch_and_on_every_number_of_threads() {
    let device = Device::flex();
    let bits = |tensor: Tensor<4>| -> Vec<u32> {
        numbers(&tensor).into_iter().map(f32::to_bits).collect()
    };
    let pool = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap()
    };
    for case in &CASES {
        let graph = device.clone().autodiff();
        let conv = case.layer(true, &graph);
        let images = case.images(21, &graph).require_grad();
        let run = || {
            let map = conv2d(&conv, images.clone());
            let gradients = map.clone().square().sum().backward();
            let of_kernel = conv.weight.val().grad(&gradients).unwrap();
            let of_input = images.grad(&gradients).unwrap();
            [map.inner(), of_kernel, of_input].map(bits)
        };
        let all = pool(1).install(run);
        assert_eq!(all, pool(2).install(run));
        assert_eq!(all, pool(3).install(run));
        let row = all[0].len() / 21;
        for image in [0, 7, 20] {
            let alone = images.clone().inner().narrow(0, image, 1);
            for threads in [1, 2, 3] {
                let map = pool(threads).install(|| conv2d(&plain_copy(&conv), alone.clone()));
                assert_eq!(bits(map), all[0][image * row..(image + 1) * row]);
            }
        }
    }
}

fn plain_copy(conv: &Conv2d) -> Conv2d {
    conv.valid().to_device(&Device::flex())
}

#[test]
fn a_frozen_layer_passes_gradients_on() {
    let device = Device::flex();
    let conv = CASES[0].layer(true, &device);
    let images = CASES[0]
        .images(2, &device.clone().autodiff())
        .require_grad();
    let gradients = conv2d(&conv, images.clone()).sum().backward();
    let ours = images.grad(&gradients).unwrap().into_data();
    let gradients = conv.forward(images.clone()).sum().backward();
    let burns = images.grad(&gradients).unwrap().into_data();
    ours.assert_approx_eq::<f32>(&burns, Tolerance::absolute(1e-5));
}

#[test]
fn any_padding_and_groups_are_ours() {
    let device = Device::flex();
    let image = Tensor::<4>::random([2, 4, 8, 9], Distribution::Default, &device);
    let layer = |kernel| Conv2dConfig::new([4, 8], [kernel, kernel]);
    for config in [
        layer(1),
        layer(3).with_groups(2),
        layer(3).with_groups(4).with_stride([2, 1]),
        layer(3).with_dilation([2, 1]),
        layer(2).with_padding(PaddingConfig2d::Same),
        layer(3)
            .with_padding(PaddingConfig2d::Same)
            .with_stride([2, 2]),
        layer(3).with_padding(PaddingConfig2d::Explicit(1, 3, 0, 2)),
    ] {
        let conv = config.init(&device);
        assert!(job_of(&conv, &image).is_some());
        let (ours, burns) = (conv2d(&conv, image.clone()), conv.forward(image.clone()));
        assert_eq!(ours.dims(), burns.dims());
        let near = Tolerance::rel_abs(2e-5, 1e-5);
        ours.into_data()
            .assert_approx_eq::<f32>(&burns.into_data(), near);
    }
    // A kernel that does not fit is left to Burn, which says so.
    assert!(job_of(&layer(9).init(&device), &image).is_none());
}

#[test]
fn a_weight_that_was_changed_in_its_place_is_prepared_again() {
    let device = Device::flex();
    let mut conv = CASES[0].layer(false, &device);
    let images = CASES[0].images(2, &device);
    let before = conv2d(&conv, images.clone());
    assert_eq!(numbers(&before), numbers(&conv2d(&conv, images.clone())));
    conv.weight = conv.weight.map(|weight| weight.mul_scalar(2.0));
    let after = conv2d(&conv, images.clone());
    assert_eq!(numbers(&after), numbers(&before.mul_scalar(2.0)));
}
