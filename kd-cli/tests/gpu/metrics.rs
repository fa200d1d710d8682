//! Confusion matrices and sums of metrics: whole numbers, which are the same on every device.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{Draws, SegmentationMetrics, SegmentationSummary};

use crate::devices::{cpu, gpu};

const SHAPE: [usize; 4] = [3, 5, 17, 13];

/// Counts of logits on `device`, one of which is not finite, with some pixels of no class.
fn counted(bad: f32, device: &Device) -> (SegmentationSummary, Vec<Vec<u64>>) {
    let [images, outputs, height, width] = SHAPE;
    let mut draws = Draws::new(2, "logits", 0, 0);
    let mut logits: Vec<f64> = (0..SHAPE.iter().product())
        .map(|_| draws.normal())
        .collect();
    // Equal logits, of which the first counts.
    let plane = height * width;
    for output in 0..outputs {
        logits[output * plane + 7] = 0.5;
    }
    logits[plane + 4] = f64::from(bad);
    let logits = TensorData::new(logits, SHAPE).convert::<f32>();
    let masks = (0..images * plane).map(|_| draws.below(outputs as u64).cast_signed());
    let masks = TensorData::new(masks.collect::<Vec<i64>>(), [images, height, width]);
    let mut metrics = SegmentationMetrics::new(outputs - 1, Some(4)).unwrap();
    let masks = Tensor::<3, Int>::from_data(masks, device);
    metrics
        .add(Tensor::from_data(logits, device), masks)
        .unwrap();
    let rows = metrics.confusion().rows().to_vec();
    (metrics.summary().unwrap(), rows)
}

#[test]
fn pixels_are_counted_as_on_the_cpu() {
    for bad in [0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let found = counted(bad, &gpu());
        assert_eq!(found, counted(bad, &cpu()), "{bad}");
        assert_eq!(found.0.non_finite, u64::from(!bad.is_finite()), "{bad}");
    }
}
