//! The catalogue of losses: names, papers, constants, and the points on which the code in the world
//! disagrees.

/// A loss as the catalogue describes it.
///
/// The table in the crate's README and the list of `kd losses` are made from these entries; the values of the
/// constants are those of the config itself, so that neither can go stale.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LossInfo {
    /// The name in a recipe, for example `dkd`.
    pub name: &'static str,
    /// The name in the literature.
    pub title: &'static str,
    /// The kind of the loss.
    pub family: Family,
    /// One line of what it does.
    pub about: &'static str,
    /// Its publication.
    pub paper: Paper,
    /// Its inputs, in words and shapes.
    pub inputs: &'static str,
    /// The source of the value of each constant.
    pub constants: &'static [Constant],
    /// The config with its default values, as JSON; `None` for a loss without constants.
    pub defaults: Option<fn() -> String>,
    /// The number of parameters that it trains beside the student, as a formula, or `none`.
    pub extra_parameters: &'static str,
    /// The weight that is usual beside a cross-entropy of weight 1 (or as its source says).
    pub usual_weight: Option<UsualWeight>,
    /// Its cost where that is more than a pass over its inputs; else empty.
    pub cost: &'static str,
    /// Points on which implementations disagree with the paper or with each other, the choice made here, and
    /// why; empty where no disagreement is known.
    pub disagreements: &'static str,
}

/// Kinds of losses, as the catalogue is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Family {
    /// Of the output of the networks.
    Logits,
    /// Of feature maps or of the dense representation.
    Features,
    /// Of maps with a prediction at each position.
    Dense,
    /// Regularisers, and priors on synthetic images and on predictions.
    Priors,
}

impl Family {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Logits, Self::Features, Self::Dense, Self::Priors];

    /// As a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Logits => "Logits",
            Self::Features => "Features",
            Self::Dense => "Dense prediction",
            Self::Priors => "Regularisers and priors",
        }
    }
}

/// The publication of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paper {
    /// The first author, or all of two, as in "Hinton et al.".
    pub authors: &'static str,
    /// The year of the first version.
    pub year: u16,
    /// The identifier at arXiv, or an empty string.
    pub arxiv: &'static str,
    /// Section or equation; where there is no arXiv identifier, the venue, too.
    pub place: &'static str,
}

/// A constant of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constant {
    /// The field of the config.
    pub name: &'static str,
    /// The source of its default value.
    pub source: &'static str,
}

/// The weight of a loss in the paper or its code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UsualWeight {
    /// The weight.
    pub value: f64,
    /// Its source.
    pub source: &'static str,
}

/// Every loss, family by family.
pub fn losses() -> impl Iterator<Item = &'static LossInfo> {
    [
        crate::logits::CATALOGUE,
        crate::features::CATALOGUE,
        crate::dense::CATALOGUE,
        crate::priors::CATALOGUE,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// The loss of this name in a recipe.
pub fn find_loss(name: &str) -> Option<&'static LossInfo> {
    losses().find(|loss| loss.name == name)
}
