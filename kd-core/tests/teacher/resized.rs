//! A teacher of images of another size: each view is scaled between the centres of its pixels.

use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{Answer, Batch, Requested, ResizedTeacher, Result, Samples, Teacher};

/// A teacher whose one map is the image itself.
#[derive(Debug)]
struct Mirror;

impl Teacher for Mirror {
    fn stage_names(&self) -> Vec<String> {
        vec!["image".into()]
    }

    fn answer(&self, batch: &Batch, _requested: &Requested) -> Result<Answer> {
        Ok(Answer::new(None, vec![batch.pixels()?]))
    }

    fn hash(&self) -> String {
        "mirror".into()
    }
}

fn batch(images: Tensor<4>) -> Batch {
    let device = images.device();
    let [count, ..] = images.dims();
    Batch::new(Samples::Images(images), Tensor::zeros([count], &device))
}

#[test]
fn views_are_scaled_linearly_and_each_by_itself() {
    let device = Device::flex();
    // Columns add 1, rows 2; the second image is ten times as bright.
    let pixels = [0.0_f32, 1.0, 2.0, 3.0, 0.0, 10.0, 20.0, 30.0];
    let images = Tensor::<4>::from_data(TensorData::new(pixels.to_vec(), [2, 1, 2, 2]), &device);
    let requested = Requested::at_taps(["image"]);
    let larger = ResizedTeacher::new(Mirror, [4, 3]);
    let answer = larger.answer(&batch(images.clone()), &requested).unwrap();
    assert_eq!(answer.maps[0].dims(), [2, 1, 4, 3]);
    let found: Vec<f32> = answer.maps[0].clone().into_data().iter().collect();
    // The centre of a new pixel at (i + 1/2) old/new - 1/2 of the old ones, held within them.
    let place = |at: usize, new: f64| ((at as f64 + 0.5) * 2.0 / new - 0.5).clamp(0.0, 1.0);
    for (at, found) in found.iter().enumerate() {
        let (image, y, x) = (at / 12, at % 12 / 3, at % 3);
        let expected = [1.0, 10.0][image] * (place(x, 3.0) + 2.0 * place(y, 4.0));
        assert!(
            (f64::from(*found) - expected).abs() < 1e-5,
            "{at}: {found}, {expected}"
        );
    }
    // An image by itself gives the same bits, and one of the teacher's size is not touched.
    let alone = larger
        .answer(&batch(images.clone().narrow(0, 1, 1)), &requested)
        .unwrap();
    let alone: Vec<f32> = alone.maps[0].clone().into_data().iter().collect();
    assert_eq!(alone, found[12..]);
    let same = ResizedTeacher::new(Mirror, [2, 2]);
    let answer = same.answer(&batch(images), &requested).unwrap();
    let found: Vec<f32> = answer.maps[0].clone().into_data().iter().collect();
    assert_eq!(found, pixels);
    assert_eq!(same.stage_names(), ["image"]);
    assert!(same.hash() != larger.hash() && same.hash() != Mirror.hash());
}
