//! Cross-entropy of each pixel against its class, with pixels that have none.

use crate::check;
use crate::error::{Axis, Error, Result};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// Cross-entropy of dense logits against the class of each pixel; pixels of the value `ignore` are left out.
///
/// ```text
/// loss = mean over the kept pixels of all samples of  -log q[y]
///
/// q = softmax over classes of a pixel's logits      y = the pixel's class
/// ```
///
/// # Shapes
///
/// - `logits`: `[batch_size, num_classes, height, width]`
/// - `masks`: `[batch_size, height, width]`, each value from 0 to `num_classes - 1`, or `ignore`
/// - result: `[1]`
///
/// The mean is over the kept pixels of the whole batch, so that a sample with many of them weighs more, as in
/// `PyTorch`. **If no pixel is kept, the result is 0 with a gradient of zeros**, where `PyTorch` has NaN:
/// such a batch teaches nothing and breaks nothing. The result is in nats and never negative. Values and
/// gradients are finite for logits of 1e4 and beyond. `ignore` may be one of the classes; usual are a value
/// above them and `None`, for masks without such pixels.
///
/// A value that is neither a class nor `ignore` cannot be seen without waiting for the device, so it is **not
/// checked**: depending on the backend it panics or reads a wrong element. Check masks where they are loaded.
///
/// # Errors
///
/// An empty batch; unequal batch sizes, heights or widths; tensors on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kd_losses::pixel_cross_entropy;
///
/// let device = Device::flex();
/// // Two classes, three pixels in a row; the last has no class.
/// let logits = Tensor::<4>::from_data([[[[2.0, 0.0, 9.0]], [[0.0, 0.0, 0.0]]]], &device);
/// let masks = Tensor::<3, Int>::from_data([[[0, 1, 255]]], &device);
///
/// let loss = pixel_cross_entropy(logits, masks, Some(255))?.into_scalar::<f32>();
/// // (ln(1 + e^-2) + ln 2) / 2
/// assert!((loss - 0.410_037_6).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015, arXiv
/// 1411.4038, section 4: the multinomial logistic loss of each pixel, without those that the ground truth
/// leaves open. They sum over pixels; here the mean, as in `PyTorch` and in the code of Kulkarni et al.,
/// "Data Efficient Stagewise Knowledge Distillation", arXiv 1911.06786.
pub fn pixel_cross_entropy(
    logits: Tensor<4>,
    masks: Tensor<3, Int>,
    ignore: Option<i64>,
) -> Result<Tensor<1>> {
    check_shapes(&logits, &masks)?;
    let [batch_size, _num_classes, height, width] = logits.dims();
    let masks = masks
        .without_autodiff()
        .reshape([batch_size, 1, height, width]); // [batch_size, 1, height, width]
    let dtype = logits.dtype();
    let log_q = log_softmax(logits, 1);
    let Some(ignore) = ignore else {
        return Ok(log_q.gather(1, masks).mean().neg());
    };
    let left_out = masks.clone().equal_elem(ignore);
    // Any class will do where nothing is kept of what it gives.
    let classes = masks.mask_fill(left_out.clone(), 0);
    let log_q = log_q.gather(1, classes).mask_fill(left_out.clone(), 0.0);
    // Counted in whole numbers, which are exact however many pixels there are.
    let kept = left_out.bool_not().int().sum().float().clamp_min(1.0);
    Ok(log_q.sum().neg() / kept.cast(dtype))
}

fn check_shapes(logits: &Tensor<4>, masks: &Tensor<3, Int>) -> Result<()> {
    const LOSS: &str = "pixel_cross_entropy";
    check::filled(LOSS, "logits", logits)?;
    let [batch_size, _, height, width] = logits.dims();
    let [samples, rows, columns] = masks.dims();
    if batch_size != samples {
        return Err(Error::UnequalShapes {
            loss: LOSS,
            axis: Axis::Batch,
            left: "logits",
            left_shape: logits.dims().to_vec(),
            right: "masks",
            right_shape: masks.dims().to_vec(),
        });
    }
    if [height, width] != [rows, columns] {
        return Err(Error::Unlike {
            loss: LOSS,
            what: "height or width",
            left: format!("`logits` {:?}", logits.dims()),
            right: format!("`masks` {:?}", masks.dims()),
            advice: "give masks of the size of the logits",
        });
    }
    check::same_device(LOSS, ["logits", "masks"], [logits.device(), masks.device()])
}
