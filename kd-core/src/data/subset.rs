//! Parts of a data set, drawn class by class.

use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use crate::data::dataset::Dataset;
use crate::data::task::Task;
use crate::draws::Draws;
use crate::error::{Error, Result};

/// Some samples of a data set, by their ids in the whole, in ascending order.
///
/// The ids stay those of the whole set, because views and stored teacher outputs are keyed by them. Every
/// draw goes class by class: for each class one permutation, a function of the seed and the class alone, of
/// which the first so many are taken. So a smaller subset is part of a larger one of the same seed, and what
/// was held out by [`Subset::split`] is the other end of the same permutation.
///
/// The images of a set with masks have no class: they are drawn from as if they were all of one. A tenth of
/// `CamVid`'s 367 images is 37, to the nearest, and two, three and four tenths are 73, 110 and 147; where the
/// fraction is rounded down, as in code that others published, it is 36, 73, 110 and 146, which `per_class`
/// gives.
///
/// ```
/// use kd_core::{Dataset, ImageShape, Split, Subset};
/// let labels = (0..20).map(|i| i % 2).collect();
/// let data = Dataset::new("tiny", Split::Train, ImageShape::new(1, 1, 1), 2, vec![0; 20], labels)?;
/// let six = Subset::all(&data).per_class(3, 7)?;
/// assert_eq!(six.class_counts(), [3, 3]);
/// let (train, held_out) = Subset::all(&data).split(0.2, 7)?;
/// assert_eq!((train.len(), held_out.len()), (16, 4));
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Subset {
    dataset: Dataset,
    ids: Arc<[u32]>,
    hash: OnceLock<String>,
}

impl Subset {
    /// All samples of `dataset`.
    pub fn all(dataset: &Dataset) -> Self {
        // A data set has at most u32::MAX samples, which `Dataset::new` checks.
        Self::sorted(dataset, (0..).take(dataset.len()).collect())
    }

    /// The samples `ids` of `dataset`; the order in which they are given does not matter.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if an id is not in the data set or is given twice.
    pub fn from_ids(dataset: &Dataset, mut ids: Vec<u32>) -> Result<Self> {
        ids.sort_unstable();
        if let Some(last) = ids.last().filter(|id| dataset.label(**id).is_none()) {
            let problem = format!(
                "must be below {} (the number of samples), got {last}",
                dataset.len()
            );
            return Err(Error::config("subset ids", problem));
        }
        if let Some([id, _]) = ids.array_windows().find(|[first, second]| first == second) {
            return Err(Error::config(
                "subset ids",
                format!("must each be given once, got {id} twice"),
            ));
        }
        Ok(Self::sorted(dataset, ids))
    }

    /// As many samples of each class as asked for; of a set with masks as many in all.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if `count` is 0 or a class has fewer samples here.
    pub fn per_class(&self, count: usize, seed: u64) -> Result<Self> {
        if count == 0 {
            return Err(Error::config(
                "per_class",
                "must be at least 1 sample of each class, got 0",
            ));
        }
        self.draw(seed, |class, available| {
            if count <= available {
                return Ok(count);
            }
            let problem = format!(
                "asks for {count} samples of each class, but class {class} of `{}` has {available} here; ask \
                 for fewer",
                self.dataset.name()
            );
            Err(Error::config("per_class", problem))
        })
        .map(|(taken, _)| taken)
    }

    /// The same fraction of each class, rounded to the nearest count.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if `fraction` is not above 0 and at most 1, or so small that nothing of a class is
    /// left.
    pub fn fraction(&self, fraction: f64, seed: u64) -> Result<Self> {
        if !(fraction > 0.0 && fraction <= 1.0) {
            return Err(Error::config(
                "fraction",
                format!("must be above 0 and at most 1, got {fraction}"),
            ));
        }
        self.draw(seed, |class, available| {
            match portion(fraction, available) {
                0 if available > 0 => {
                    let problem = format!(
                        "of {fraction} leaves nothing of class {class}, which has {available} \
                                       samples"
                    );
                    Err(Error::config("fraction", problem))
                }
                count => Ok(count),
            }
        })
        .map(|(taken, _)| taken)
    }

    /// Two parts, each with all classes in proportion: the one to train on, and `held_out` of the whole.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if `held_out` is not between 0 and 1, or one of the parts would get nothing of a
    /// class.
    pub fn split(&self, held_out: f64, seed: u64) -> Result<(Self, Self)> {
        if !(held_out > 0.0 && held_out < 1.0) {
            return Err(Error::config(
                "held_out",
                format!("must be above 0 and below 1, got {held_out}"),
            ));
        }
        self.draw(seed, |class, available| {
            let held = portion(held_out, available);
            if available > 0 && (held == 0 || held == available) {
                let problem = format!(
                    "of {held_out} puts {held} of the {available} samples of class {class} aside; each part \
                     needs one"
                );
                return Err(Error::config("held_out", problem));
            }
            Ok(available - held)
        })
    }

    /// The data set that this is a part of.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The ids, ascending.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no sample in it.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many samples of each class there are, in label order; of a set with masks all in one number.
    pub fn class_counts(&self) -> Vec<usize> {
        self.by_class().iter().map(Vec::len).collect()
    }

    /// The SHA-256, in hexadecimal, of the data set's own hash and the ids.
    pub fn hash(&self) -> &str {
        self.hash.get_or_init(|| {
            let mut hasher = Sha256::new();
            hasher.update(self.dataset.hash());
            for id in self.ids.iter() {
                hasher.update(id.to_le_bytes());
            }
            crate::network::tensors::hex(&hasher.finalize())
        })
    }

    fn sorted(dataset: &Dataset, ids: Vec<u32>) -> Self {
        Self {
            dataset: dataset.clone(),
            ids: ids.into(),
            hash: OnceLock::new(),
        }
    }

    /// The ids of each class, ascending; images with masks are of one class.
    fn by_class(&self) -> Vec<Vec<u32>> {
        let classes = match self.dataset.task() {
            Task::Classification => self.dataset.classes(),
            Task::Segmentation => 1,
        };
        let mut classes = vec![Vec::new(); classes];
        for &id in self.ids.iter() {
            if let Some(label) = self.dataset.label(id) {
                classes[usize::from(label)].push(id);
            }
        }
        classes
    }

    /// What `count(class, available)` takes from the front of each class's permutation, and the rest.
    fn draw(
        &self,
        seed: u64,
        count: impl Fn(usize, usize) -> Result<usize>,
    ) -> Result<(Self, Self)> {
        let (mut taken, mut rest) = (Vec::new(), Vec::new());
        for (class, mut ids) in self.by_class().into_iter().enumerate() {
            let count = count(class, ids.len())?;
            Draws::new(seed, "subset", class as u64, 0).shuffle(&mut ids);
            let (front, back) = ids.split_at(count);
            taken.extend_from_slice(front);
            rest.extend_from_slice(back);
        }
        taken.sort_unstable();
        rest.sort_unstable();
        Ok((
            Self::sorted(&self.dataset, taken),
            Self::sorted(&self.dataset, rest),
        ))
    }
}

impl From<Dataset> for Subset {
    fn from(dataset: Dataset) -> Self {
        Self::all(&dataset)
    }
}

impl From<&Dataset> for Subset {
    fn from(dataset: &Dataset) -> Self {
        Self::all(dataset)
    }
}

/// `fraction` of `available`, to the nearest whole.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a fraction in (0, 1] of a count is a count"
)]
fn portion(fraction: f64, available: usize) -> usize {
    ((fraction * available as f64).round() as usize).min(available)
}
