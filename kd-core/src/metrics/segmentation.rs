//! Metrics of a segmentation: pixel accuracy and intersection over union.

use burn::tensor::{Int, Tensor};

use crate::data::masks::Masks;
use crate::error::{Error, Result};
use crate::metrics::summary::{ConfusionMatrix, SegmentationSummary};

/// Metrics of a segmentation over any number of batches.
///
/// The largest logit of each pixel is found on the device; what is counted then are whole numbers of 64 bits
/// on the host, so that the result is exact, whatever the number of pixels, and does not depend on how images
/// were cut into batches.
///
/// With counts over all images, of pixels that have a class (those of the value `void` are left out, whatever
/// was predicted there):
///
/// ```text
/// pixel accuracy  share of pixels whose prediction is their class
/// IoU of class c  |predicted c and true c| / |predicted c or true c|, none without a true or predicted c
/// mean IoU        mean over the classes that have an IoU
/// ```
///
/// A network may have more outputs than there are classes, such as one for void, which is never learnt. A
/// pixel that is predicted to be none of the classes is wrong, and is predicted to be no other. So is a pixel
/// with a logit that is NaN or infinite; [`SegmentationSummary::non_finite`] counts such pixels.
///
/// `miou_compat` is the metric in the code of the paper on stagewise distillation. With `e = 1e-6`,
///
/// ```text
/// miou_compat = mean over images of mean over classes c of
///               (|predicted c and true c| + e) / (|predicted c or true c| + e)
/// ```
///
/// where *all* pixels of an image count. So a class that an image neither has nor is predicted to have scores
/// 1, and a class predicted where nothing is labelled, as every network must predict something there, counts
/// as predicted wrongly. It depends on which images there are together with the rare classes, and is there to
/// be compared with published numbers only.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kd_core::SegmentationMetrics;
///
/// let device = Device::flex();
/// let predicted = Tensor::<3, Int>::from_data([[[0, 0, 1], [1, 1, 1]]], &device);
/// let masks = Tensor::<3, Int>::from_data([[[0, 1, 1], [1, 1, 2]]], &device);
/// let mut metrics = SegmentationMetrics::new(2, Some(2))?;
/// metrics.add_predictions(predicted, masks)?;
/// let summary = metrics.summary()?;
/// assert_eq!((summary.pixels, summary.pixel_accuracy), (5, 0.8));
/// assert_eq!(summary.class_iou, [Some(0.5), Some(0.75)]);
/// assert_eq!(summary.mean_iou, 0.625);
/// # Ok::<(), kd_core::Error>(())
/// ```
///
/// # References
///
/// Everingham, Van Gool, Williams, Winn, Zisserman, "The PASCAL Visual Object Classes (VOC) Challenge", IJCV
/// 88, 2010, section 4.1.3, for the intersection over union over all images. Kulkarni, Panchi, Raparthy,
/// Chiddarwar, "Data Efficient Stagewise Knowledge Distillation", arXiv:1911.06786, whose code has
/// `miou_compat`.
#[derive(Clone, Debug)]
pub struct SegmentationMetrics {
    classes: usize,
    void: Option<u8>,
    images: u64,
    non_finite: u64,
    /// One row for each true class and one for void, in it one column for each predicted class and one for
    /// none of them.
    counts: Vec<u64>,
    /// The sum of `miou_compat` over images.
    compat: f64,
}

/// What the authors' code adds to both counts.
const EPSILON: f64 = 1e-6;

impl SegmentationMetrics {
    /// Nothing counted yet, for `classes` classes and pixels of the value `void` that have none.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for fewer than 2 or more than 256 classes, or if `void` is one of them.
    pub fn new(classes: usize, void: Option<u8>) -> Result<Self> {
        if !(2..=256).contains(&classes) {
            let problem = format!("must be 2 to 256, got {classes}");
            return Err(Error::config("classes", problem));
        }
        if let Some(void) = void.filter(|void| usize::from(*void) < classes) {
            let problem = format!(
                "must be no class, got {void}; classes are 0 to {}",
                classes - 1
            );
            return Err(Error::config("void", problem));
        }
        Ok(Self {
            classes,
            void,
            images: 0,
            non_finite: 0,
            counts: vec![0; (classes + 1) * (classes + 1)],
            compat: 0.0,
        })
    }

    /// Nothing counted yet, for the classes of these masks.
    ///
    /// # Errors
    ///
    /// As [`SegmentationMetrics::new`].
    pub fn of(masks: &Masks) -> Result<Self> {
        Self::new(masks.classes(), masks.void())
    }

    /// Adds a batch of logits; this waits for the device.
    ///
    /// Of equal logits the backend decides, in general for the lower class. After an error nothing of the
    /// batch was added.
    ///
    /// # Shapes
    ///
    /// `logits`: `[batch_size, outputs, height, width]` with at least as many outputs as classes; `masks`:
    /// `[batch_size, height, width]`.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if the shapes do not fit each other or there are fewer outputs than classes,
    /// [`Error::Config`] for a value in `masks` that is neither a class nor void.
    pub fn add(&mut self, logits: Tensor<4>, masks: Tensor<3, Int>) -> Result<()> {
        let [batch_size, outputs, height, width] = logits.dims();
        if outputs < self.classes {
            return Err(Error::Shape {
                what: "logits".into(),
                expected: format!("at least {} outputs a pixel, one a class", self.classes),
                found: format!("{:?}", logits.dims()),
                remedy: "give the logits of a network that knows these classes".into(),
            });
        }
        check_shape([batch_size, height, width], masks.dims())?;
        let logits = logits.without_autodiff();
        // 0 times a number is 0 unless the number is not finite, and then so is the sum: one pass for all
        // outputs.
        let finite = (logits.clone() * 0.0).sum_dim(1).is_finite();
        let predicted = logits.argmax(1).mask_fill(finite.clone().bool_not(), -1);
        let predicted = whole_numbers(predicted.reshape([batch_size, height, width]))?;
        let masks = whole_numbers(masks)?;
        let bad = predicted.iter().filter(|class| **class < 0).count();
        self.count(batch_size, &predicted, &masks)?;
        self.non_finite += bad as u64;
        Ok(())
    }

    /// Adds a batch of predicted classes; this waits for the device.
    ///
    /// A prediction that is no class counts as wrong. After an error nothing of the batch was added.
    ///
    /// # Shapes
    ///
    /// `predictions` and `masks`: `[batch_size, height, width]`.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if the shapes differ, [`Error::Config`] for a value in `masks` that is neither a
    /// class nor void.
    pub fn add_predictions(
        &mut self,
        predictions: Tensor<3, Int>,
        masks: Tensor<3, Int>,
    ) -> Result<()> {
        let [batch_size, height, width] = predictions.dims();
        check_shape([batch_size, height, width], masks.dims())?;
        let (predictions, masks) = (whole_numbers(predictions)?, whole_numbers(masks)?);
        self.count(batch_size, &predictions, &masks)
    }

    /// What was counted so far.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if no pixel with a class was added.
    pub fn summary(&self) -> Result<SegmentationSummary> {
        let classes = 0..self.classes;
        let row = |class: usize| -> u64 { self.row(class).iter().sum() };
        let (pixels, void_pixels) = (classes.clone().map(row).sum::<u64>(), row(self.classes));
        if pixels == 0 {
            return Err(Error::Shape {
                what: "metrics".into(),
                expected: "at least 1 pixel that has a class".into(),
                found: format!("0 in {} images", self.images),
                remedy: "evaluate on a split that is not empty and has labelled pixels".into(),
            });
        }
        let correct: u64 = classes.clone().map(|class| self.row(class)[class]).sum();
        let iou = |class: usize| {
            let predicted: u64 = classes.clone().map(|of| self.row(of)[class]).sum();
            let both = self.row(class)[class];
            let either = row(class) + predicted - both;
            (either > 0).then(|| both as f64 / either as f64)
        };
        let class_iou: Vec<Option<f64>> = classes.clone().map(iou).collect();
        let present: Vec<f64> = class_iou.iter().copied().flatten().collect();
        Ok(SegmentationSummary {
            images: self.images,
            pixels,
            void_pixels,
            non_finite: self.non_finite,
            pixel_accuracy: correct as f64 / pixels as f64,
            mean_iou: present.iter().sum::<f64>() / present.len() as f64,
            class_iou,
            miou_compat: self.compat / self.images as f64,
        })
    }

    /// How often pixels of one class were taken for another so far; void pixels and predictions of no class
    /// are missing.
    pub fn confusion(&self) -> ConfusionMatrix {
        let row = |class: usize| self.row(class)[..self.classes].to_vec();
        ConfusionMatrix::of((0..self.classes).map(row).collect())
    }

    /// The counts of pixels of one class, or of void after the last class.
    fn row(&self, class: usize) -> &[u64] {
        let wide = self.classes + 1;
        &self.counts[class * wide..(class + 1) * wide]
    }

    /// Counts a batch, image by image.
    fn count(&mut self, batch_size: usize, predicted: &[i64], masks: &[i64]) -> Result<()> {
        let (classes, wide) = (self.classes, self.classes + 1);
        // The row of a mask's value, the column of a prediction.
        let class = |value: i64| usize::try_from(value).ok().filter(|class| *class < classes);
        let void = self.void.map(i64::from);
        let mut compat = Vec::with_capacity(batch_size);
        let mut counts = vec![0_u64; wide * wide];
        let mut image = vec![0_u64; wide * wide];
        let pixels = masks.len() / batch_size.max(1);
        let images = predicted
            .chunks_exact(pixels.max(1))
            .zip(masks.chunks_exact(pixels.max(1)));
        for (predicted, masks) in images {
            image.fill(0);
            for (predicted, value) in predicted.iter().zip(masks) {
                let row = match class(*value) {
                    Some(class) => class,
                    None if void == Some(*value) => classes,
                    None => return Err(self.no_class(*value)),
                };
                image[row * wide + class(*predicted).unwrap_or(classes)] += 1;
            }
            compat.push(compat_of(&image, classes));
            for (all, new) in counts.iter_mut().zip(&image) {
                *all += new;
            }
        }
        for (all, new) in self.counts.iter_mut().zip(counts) {
            *all += new;
        }
        self.images += batch_size as u64;
        // One after the other, so that batches leave no trace in the last digits.
        for score in compat {
            self.compat += score;
        }
        Ok(())
    }

    fn no_class(&self, value: i64) -> Error {
        let void = self
            .void
            .map_or_else(String::new, |void| format!(" or {void} (no class)"));
        let problem = format!("must be 0 to {}{void}, got {value}", self.classes - 1);
        Error::config("masks", problem)
    }
}

fn check_shape(predicted: [usize; 3], masks: [usize; 3]) -> Result<()> {
    if predicted == masks {
        return Ok(());
    }
    Err(Error::Shape {
        what: "masks".into(),
        expected: format!("{predicted:?}, as the predictions have"),
        found: format!("{masks:?}"),
        remedy: "give one mask for each image, of its height and width".into(),
    })
}

/// The authors' metric of one image, of its counts with a row for void and a column for no class.
fn compat_of(counts: &[u64], classes: usize) -> f64 {
    let wide = classes + 1;
    let iou = |class: usize| {
        let both = counts[class * wide + class];
        let is: u64 = counts[class * wide..(class + 1) * wide].iter().sum();
        let predicted: u64 = counts.iter().skip(class).step_by(wide).sum();
        (both as f64 + EPSILON) / ((is + predicted - both) as f64 + EPSILON)
    };
    (0..classes).map(iou).sum::<f64>() / classes as f64
}

/// The elements of a tensor on the host.
fn whole_numbers(tensor: Tensor<3, Int>) -> Result<Vec<i64>> {
    let data = tensor.into_data().convert::<i64>();
    data.try_into_vec().map_err(|error| Error::Shape {
        what: "masks or predictions".into(),
        expected: "whole numbers".into(),
        found: error.to_string(),
        remedy: "give tensors of whole numbers".into(),
    })
}
