//! The normalisation that follows from pixels.

use crate::data::dataset::Dataset;
use crate::data::kind::SampleKind;
use crate::error::{Error, Result};
use crate::network::normalisation::Normalisation;

impl Normalisation {
    /// Mean and standard deviation of each channel of all pixels of `data`, rounded to six digits as those of
    /// the known data sets are.
    ///
    /// The sums are whole numbers, so that the result does not depend on order or machine.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a channel has one value everywhere, so that there is nothing to divide by, or if
    /// the samples are no images.
    pub fn of(data: &Dataset) -> Result<Self> {
        if data.kind() != SampleKind::Images {
            let problem = format!("is for images, and `{}` has {}", data.name(), data.kind());
            return Err(Error::config("normalisation", problem));
        }
        let shape = data.shape();
        let plane = shape.height * shape.width;
        let mut sums = vec![(0_u128, 0_u128); shape.channels];
        for image in data.images().chunks_exact(shape.bytes()) {
            for ((sum, squares), pixels) in sums.iter_mut().zip(image.chunks_exact(plane)) {
                let pixels = || pixels.iter().map(|pixel| u64::from(*pixel));
                *sum += u128::from(pixels().sum::<u64>());
                *squares += u128::from(pixels().map(|pixel| pixel * pixel).sum::<u64>());
            }
        }
        let count = (data.len() * plane) as u128;
        let (mut mean, mut std) = (Vec::new(), Vec::new());
        for (channel, (sum, squares)) in sums.into_iter().enumerate() {
            // The variance times count squared, without loss.
            let variance = (count * squares).saturating_sub(sum * sum);
            if variance == 0 {
                let problem = format!(
                    "cannot be computed from `{}`: channel {channel} has the same value everywhere; say mean \
                     and std",
                    data.name()
                );
                return Err(Error::config("normalisation", problem));
            }
            let scale = count as f64 * 255.0;
            mean.push(round(sum as f64 / scale));
            std.push(round((variance as f64).sqrt() / scale).max(1e-6));
        }
        Self::new(mean, std)
    }

    /// The constants that networks trained on `ImageNet` come with, for red, green and blue: those of
    /// `torchvision`'s models.
    pub fn imagenet() -> Self {
        Self {
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
        }
    }

    /// The constants for `CamVid` in the code of the paper on stagewise distillation, for red, green and
    /// blue.
    ///
    /// The data set known by name has those of its pixels instead, whose deviations are larger.
    ///
    /// # References
    ///
    /// Kulkarni, Panchi, Raparthy, Chiddarwar, "Data Efficient Stagewise Knowledge Distillation",
    /// arXiv:1911.06786, the code.
    pub fn camvid_stagewise() -> Self {
        Self {
            mean: vec![0.41189, 0.42513, 0.43267],
            std: vec![0.27414, 0.28506, 0.28285],
        }
    }
}

fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::info::DatasetInfo;
    use crate::data::roots::DataRoots;
    use crate::data::shape::ImageShape;
    use crate::data::split::Split;

    fn data(images: &[u8]) -> Dataset {
        let shape = ImageShape::new(2, 1, 2);
        let labels = vec![0; images.len() / 4];
        Dataset::new("toy", Split::Train, shape, 1, images.to_vec(), labels).unwrap()
    }

    #[test]
    fn each_channel_has_its_own_mean_and_deviation() {
        let found = Normalisation::of(&data(&[0, 255, 10, 10, 0, 255, 10, 20])).unwrap();
        // Channel 1: 10, 10, 10, 20 has mean 12.5 and variance 18.75.
        assert_eq!(found.mean, [0.5, round(12.5 / 255.0)]);
        assert_eq!(found.std, [0.5, round(18.75_f64.sqrt() / 255.0)]);
    }

    #[test]
    fn the_shipped_set_has_the_statistics_of_a_float64_computation() {
        let info = DatasetInfo::find("fashion-mnist-mini").unwrap();
        let train = info.load(Split::Train, &DataRoots::default()).unwrap();
        let found = Normalisation::of(&train).unwrap();
        let pixels: Vec<f64> = train
            .images()
            .iter()
            .map(|p| f64::from(*p) / 255.0)
            .collect();
        let mean = pixels.iter().sum::<f64>() / pixels.len() as f64;
        let variance = pixels.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / pixels.len() as f64;
        assert!(
            (found.mean[0] - mean).abs() < 1e-6 && (found.std[0] - variance.sqrt()).abs() < 1e-6
        );
        // The constants are those of the whole set, which has the same kind of images.
        assert!((found.mean[0] - info.mean[0]).abs() < 0.01);
    }

    #[test]
    fn a_channel_without_contrast_is_refused() {
        let error = Normalisation::of(&data(&[0, 255, 10, 10])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`normalisation` cannot be computed from `toy`: channel 1 has the same value everywhere; say \
             mean and std"
        );
    }
}
