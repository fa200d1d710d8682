//! The measure of a metric: percent or a plain number, and its name in words.

use serde::{Deserialize, Serialize};

/// The measure that a metric is shown in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Measure {
    /// A share, shown in percent.
    Percent,
    /// A number as it is.
    #[default]
    Plain,
}

impl Measure {
    /// The measure of a metric, by its name.
    pub(crate) fn of(metric: &str) -> Self {
        let shares = ["accuracy", "agreement", "mean_iou", "miou_compat"];
        if shares.iter().any(|share| metric.ends_with(share)) {
            Self::Percent
        } else {
            Self::Plain
        }
    }

    /// What a value is multiplied with.
    pub(crate) fn factor(self) -> f64 {
        match self {
            Self::Percent => 100.0,
            Self::Plain => 1.0,
        }
    }

    /// The largest value that there can be.
    pub(crate) fn most(self) -> Option<f64> {
        (self == Self::Percent).then_some(100.0)
    }

    /// Digits behind the point.
    pub(crate) fn decimals(self) -> usize {
        match self {
            Self::Percent => 2,
            Self::Plain => 4,
        }
    }

    /// The name of a metric in words, with the measure.
    pub(crate) fn label(self, metric: &str) -> String {
        let name = match metric
            .strip_prefix("top")
            .and_then(|rest| rest.split_once('_'))
        {
            Some((k, rest)) if k.bytes().all(|byte| byte.is_ascii_digit()) => {
                format!("top-{k} {rest}")
            }
            _ => metric.to_owned(),
        };
        let name = match name.as_str() {
            "ece" => "calibration error".to_owned(),
            name => name
                .replace("mean_iou", "mean IoU")
                .replace("miou", "mIoU")
                .replace('_', " "),
        };
        match self {
            Self::Percent => format!("{name} (%)"),
            Self::Plain => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_in_words() {
        for (metric, expected) in [
            ("accuracy", "accuracy (%)"),
            ("top5_accuracy", "top-5 accuracy (%)"),
            ("agreement", "agreement (%)"),
            ("mean_iou", "mean IoU (%)"),
            ("validation_mean_iou", "validation mean IoU (%)"),
            ("miou_compat", "mIoU compat (%)"),
            ("pixel_accuracy", "pixel accuracy (%)"),
            ("ece", "calibration error"),
            ("teacher_loss", "teacher loss"),
        ] {
            assert_eq!(Measure::of(metric).label(metric), expected);
        }
    }
}
