//! Warnings of a run in words: students that have become alike, attention that has collapsed.

use kd_core::{Finding, Metrics, Topic};

/// Below this distance of predictions, of 1.41, students count as alike.
const ALIKE_DIST: f64 = 0.01;
/// Below this share of different predictions, too.
const ALIKE_DISAGREEMENT: f64 = 0.005;
/// Below this share of the largest entropy a gate has collapsed; 0.8 and more is usual.
const COLLAPSED_GATE: f64 = 0.5;
/// Above this mean attention to itself a peer imitates itself.
const IDENTITY: f64 = 0.95;
/// Below this share of weight decay's gradient a penalty changes nothing that can be measured.
const INERT: f64 = 1e-3;

/// What is suspicious about the evaluation of a run, in words; nothing where all is well.
///
/// ```
/// use kd_core::{Grade, Metrics};
/// use kd_online::findings;
///
/// let collapsed = Metrics::from([("dist".to_owned(), 0.3), ("gate_entropy".to_owned(), 0.02)]);
/// let found = findings(&collapsed);
/// assert_eq!(found[0].grade, Grade::Warning);
/// assert!(found[0].text.contains("the gate has collapsed"));
/// ```
pub fn findings(metrics: &Metrics) -> Vec<Finding> {
    let value = |name: &str| metrics.get(name).copied();
    let warning = |text: String| Finding::warning(Topic::Losses, text);
    let mut found = Vec::new();
    let dist = value("dist").filter(|&dist| dist < ALIKE_DIST);
    let disagreement = value("disagreement").filter(|&share| share < ALIKE_DISAGREEMENT);
    if dist.is_some() || disagreement.is_some() {
        let text = format!(
            "the branches have become alike: their predictions differ by {:.4} of 1.41 and in {:.2} % of \
             the classes, so that the ensemble has nothing to teach; check that each was drawn from a seed \
             of its own, or give each its own view of a sample",
            value("dist").unwrap_or_default(),
            100.0 * value("disagreement").unwrap_or_default()
        );
        found.push(warning(text));
    }
    if let Some(entropy) = value("gate_entropy").filter(|&entropy| entropy < COLLAPSED_GATE) {
        let text = format!(
            "the gate has collapsed: its weights have {:.0} % of the largest entropy, so that the ensemble \
             is nearly one branch; compare with `attention = \"mean\"`",
            100.0 * entropy
        );
        found.push(warning(text));
    }
    if let Some(diagonal) = value("attention_diagonal").filter(|&diagonal| diagonal > IDENTITY) {
        let text = format!(
            "the attention has become the identity: a peer's target is {:.0} % its own output, so that it \
             learns from itself; set `mask_self`, or `detach = \"peer-logits\"`",
            100.0 * diagonal
        );
        found.push(warning(text));
    }
    if let Some(ratio) = value("diversification_to_weight_decay").filter(|&ratio| ratio < INERT) {
        let text = format!(
            "the penalty on the likeness of classifiers is inert: its gradient is {ratio:.1e} of that of \
             weight decay; to see an effect use `diversification = \"working\"`"
        );
        found.push(Finding::note(Topic::Losses, text));
    }
    found
}
