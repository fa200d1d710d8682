//! The teacher: gradients, norms that nobody sees, preprocessing, hash.

use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{
    Batch, FrozenTeacher, ImageShape, Normalisation, Preprocessing, Requested, Samples,
    Teacher as _, network_hash,
};
use kd_datafree::{FrozenClassifier, ImageTeacher};
use kd_models::{HeResNet, ResNetConfig};

use crate::support::{IMAGE, frozen, net, teacher};

/// The gradient of the images passes through the teacher as through the same network that learns.
#[test]
fn gradients_pass_through_the_frozen_teacher() {
    let device = Device::flex().autodiff();
    let images = || {
        let values: Vec<f32> = (0..128_u8)
            .map(|place| f32::from(place % 13) / 7.0 - 0.8)
            .collect();
        Tensor::<4>::from_data(TensorData::new(values, [2, 1, 8, 8]), &device).require_grad()
    };
    let network = net(8, 1, false);
    let plain = Normalisation::identity(1);
    let teacher = FrozenClassifier::new(&network, plain, IMAGE, &device).unwrap();
    let input = images();
    let seen = teacher.inspect(input.clone());
    assert_eq!(
        (seen.norms.len(), teacher.norms(), teacher.classes()),
        (2, 2, 4)
    );
    let gradients = (seen.logits.sum() + seen.norms[1].input.clone().sum()).backward();
    let through = input.grad(&gradients).unwrap();
    // Central differences of the same sum.
    let value = |input: Tensor<4>| -> f32 {
        let seen = teacher.inspect(input.inner());
        (seen.logits.sum() + seen.norms[1].input.clone().sum()).into_scalar()
    };
    let step = 1e-2;
    for place in [0, 17, 90, 127] {
        let moved = |by: f32| {
            let mut values: Vec<f32> = images().into_data().iter::<f32>().collect();
            values[place] += by;
            Tensor::<4>::from_data(TensorData::new(values, [2, 1, 8, 8]), &device)
        };
        let expected = (value(moved(step)) - value(moved(-step))) / (2.0 * step);
        let found: Vec<f32> = through.clone().into_data().iter::<f32>().collect();
        assert!(
            (found[place] - expected).abs() < 2e-2 * expected.abs().max(1.0),
            "{place}: {} is not {expected}",
            found[place]
        );
    }
}

#[test]
fn a_norm_that_nobody_sees_is_refused_in_words() {
    let hidden = frozen(&net(4, 1, true)).unwrap_err();
    assert_eq!(
        hidden.to_string(),
        "`teacher` has 2 batch norms, of which 1 can be seen; run them by `kd_kernels::batch_norm`"
    );
}

#[test]
fn a_teacher_of_anything_but_images_is_refused_in_words() {
    let network = net(4, 1, false);
    let refused = FrozenClassifier::new(&network, Preprocessing::Tokens, IMAGE, &Device::flex());
    assert_eq!(
        refused.unwrap_err().to_string(),
        "`teacher` does not take images, and data-free distillation makes nothing else; \
         use a teacher of images"
    );
}

#[test]
fn it_is_the_teacher_of_all_methods_with_one_hash_and_one_preprocessing() {
    let (network, teacher) = (net(8, 1, false), teacher());
    let scaled = Normalisation::new(vec![0.3], vec![0.5]).unwrap();
    assert_eq!(teacher.normalisation().unwrap(), &scaled);
    let preprocessing = Preprocessing::from(scaled);
    assert_eq!(teacher.hash(), network_hash(&network, &preprocessing));
    let folded = FrozenTeacher::new(&network, preprocessing.clone(), &Device::flex());
    assert_eq!(teacher.hash(), folded.hash());
    // The answer to a batch is what is inspected.
    let values: Vec<f32> = (0..320_u16)
        .map(|place| f32::from(place % 17) / 16.0)
        .collect();
    let data = TensorData::new(values, [5, 1, 8, 8]);
    let device = Device::flex();
    let images = Samples::Images(Tensor::from_data(data, &device));
    let batch = Batch::new(images, Tensor::zeros([5], &device));
    let requested = Requested::output().with_tap("second");
    let answer = teacher.answer(&batch, &requested).unwrap();
    let seen = teacher.inspect(preprocessing.input(&batch).unwrap());
    assert_eq!(
        answer.logits().unwrap().into_data(),
        seen.logits.into_data()
    );
    assert_eq!(answer.maps[0].to_data(), seen.maps[1].to_data());
}

#[test]
fn the_stem_of_a_network_is_left_out_of_its_stages() {
    assert_eq!(teacher().stem(), 0);
    let config = ResNetConfig {
        blocks: 1,
        widths: [4, 4, 6, 8],
    };
    let device = Device::flex();
    let network = HeResNet::new(&config, [3, 8, 8], 4, 0, &device).unwrap();
    let image = ImageShape::new(3, 8, 8);
    let resnet = FrozenClassifier::new(&network, Normalisation::identity(3), image, &device);
    let boxed: Box<dyn ImageTeacher> = Box::new(resnet.unwrap());
    assert_eq!(boxed.stem(), 1);
    assert_eq!(boxed.stage_names()[0], "stem");
}
