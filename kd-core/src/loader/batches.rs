//! The loader, and the batches it gives.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::data::kind::SampleKind;
use crate::data::subset::Subset;
use crate::error::{Error, Result};
use crate::interruption;
use crate::loader::batch::{Batch, BatchSource, Samples};
use crate::loader::config::LoaderConfig;
use crate::loader::feed::{Feed, HostBatch, Plan, copy_masks};
use crate::memory::check_memory;
use crate::views::render::Renderer;
use crate::views::stored::StoredRows;

/// Batches of a data set, in an order and in views that are functions of seed and epoch. Texts have one view,
/// their token ids.
///
/// Where the data fits into the budget it is moved to the device once, as bytes, when the first batch is
/// made, and a batch is a gather there. Otherwise the bytes of each batch are copied together ahead of time
/// on threads and sent one by one. Both give the same bytes, on any number of threads, and any batch of any
/// epoch can be had without the ones before it.
///
/// Batches are on the plain form of the device; to train, lift them with `Tensor::from_inner`.
///
/// ```
/// use burn::tensor::Device;
/// use kd_core::{Augment, DataRoots, DatasetInfo, Loader, LoaderConfig, Split, ViewPolicy};
/// let data = DatasetInfo::find("fashion-mnist-mini")?.load(Split::Train, &DataRoots::default())?;
/// let config = LoaderConfig {
///     seed: 1,
///     views: ViewPolicy::Unlimited,
///     augment: Augment { crop_padding: 2, flip: 0.5, ..Augment::none() },
///     ..LoaderConfig::new(128)
/// };
/// let loader = Loader::new(data, config, &Device::flex())?;
/// assert_eq!(loader.steps_per_epoch(), 40);
/// for batch in loader.epoch(0).take(2) {
///     assert_eq!(batch?.pixels()?.dims(), [128, 1, 28, 28]);
/// }
/// let last = loader.batch(0, 39)?;
/// assert_eq!(last.ids.len(), 5000 - 39 * 128);
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Loader {
    plan: Arc<Plan>,
    renderer: Renderer,
    device: Device,
    source: Arc<BatchSource>,
    /// The whole subset on the device, if it fits; shared by the loaders of [`Loader::reconfigured`].
    resident: Arc<Resident>,
    /// Where [`Loader::batch`] was last.
    current: Mutex<Option<Feed>>,
    /// The order of the epoch that [`Loader::batch_without_samples`] was asked about last.
    order: Mutex<Option<(usize, Vec<usize>)>>,
    watch: Option<Watch>,
}

/// The function that is told how far an epoch is.
#[derive(Clone)]
struct Watch(Arc<dyn Fn(usize, usize) + Send + Sync>);

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// A subset on the device: each part is moved there when the first batch reads it.
#[derive(Debug, Default)]
struct Resident {
    rows: OnceLock<Tensor<2, Int>>,
    masks: OnceLock<Tensor<2, Int>>,
}

/// Checks that a batch fits into memory as numbers.
fn check_batch(config: &LoaderConfig, subset: &Subset) -> Result<()> {
    let samples = config.batch_size.min(subset.len()) as u64;
    let bytes = (4 * subset.dataset().shape().bytes() as u64).saturating_mul(samples);
    let what = format!("a batch of {samples} samples");
    check_memory("train.batch_size", &what, bytes)
}

impl Loader {
    /// A loader of `data`, a whole data set or a subset, onto `device`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if `data` has no samples, the batch size is 0, dropping the last batch leaves none,
    /// the views or the augmentation cannot be used with these samples, or images are to be changed that have
    /// masks.
    pub fn new(data: impl Into<Subset>, config: LoaderConfig, device: &Device) -> Result<Self> {
        let subset = data.into();
        let shape = subset.dataset().shape();
        let steps = config.steps(subset.len(), shape)?;
        check_batch(&config, &subset)?;
        let augment = config.applied();
        let texts = subset.dataset().kind() == SampleKind::Texts;
        if texts && config.views.augments() {
            let problem = format!(
                "must be 1 for texts, which are not augmented, and `{}` has texts",
                subset.dataset().name()
            );
            return Err(Error::config("views", problem));
        }
        let masked = subset.dataset().masks().is_some();
        if masked && !augment.is_none() {
            let problem = format!(
                "cannot be used with masks, which would have to be moved with the images, and `{}` has \
                 masks; remove it",
                subset.dataset().name()
            );
            return Err(Error::config("augment", problem));
        }
        let device = device.clone().without_autodiff();
        let rows = StoredRows::new(subset.dataset(), augment.crop_padding);
        let renderer = Renderer::new(rows, &augment, &device);
        let mask_bytes = if masked { renderer.mask_bytes() } else { 0 };
        let fits = ((renderer.row_bytes() + mask_bytes) as u64)
            .checked_mul(subset.len() as u64)
            .is_some_and(|bytes| bytes <= config.resident_budget_bytes);
        let rows = (!fits).then_some(rows);
        let source = Arc::new(BatchSource {
            dataset: subset.dataset().clone(),
            views: config.views,
            augment: augment.clone(),
            view_seed: config.view_seed(),
        });
        let plan = Arc::new(Plan {
            subset,
            config,
            augment,
            steps,
            rows,
        });
        Ok(Self {
            plan,
            renderer,
            device,
            source,
            resident: Arc::default(),
            current: Mutex::new(None),
            order: Mutex::new(None),
            watch: None,
        })
    }

    /// With a function that is told how far an epoch of [`Loader::epoch`] is: samples handed out, this batch
    /// counted, and samples in all.
    #[must_use]
    pub fn with_watch(mut self, watch: impl Fn(usize, usize) + Send + Sync + 'static) -> Self {
        self.watch = Some(Watch(Arc::new(watch)));
        self
    }

    /// A loader of the same samples with other settings. Both share the data on the device, so that it is
    /// moved there once, as long as the settings store it in the same form: with the same padding of crops,
    /// and within the budget.
    ///
    /// # Errors
    ///
    /// As [`Loader::new`].
    pub fn reconfigured(&self, config: LoaderConfig) -> Result<Self> {
        let mut made = Self::new(self.subset().clone(), config, &self.device)?;
        if made.plan.augment.crop_padding == self.plan.augment.crop_padding {
            made.resident = Arc::clone(&self.resident);
        }
        Ok(made)
    }

    /// The number of batches in an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.plan.steps
    }

    /// The samples that it draws from.
    pub fn subset(&self) -> &Subset {
        &self.plan.subset
    }

    /// The settings.
    pub fn config(&self) -> &LoaderConfig {
        &self.plan.config
    }

    /// The device that its batches are on, in its plain form.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The data set and the views that its batches are of.
    pub fn source(&self) -> &Arc<BatchSource> {
        &self.source
    }

    /// Whether the data lies on the device, once the first batch has been made.
    pub fn is_resident(&self) -> bool {
        self.plan.rows.is_none()
    }

    /// The stored rows on the device, moved there by the first call; none if they do not fit.
    fn resident_rows(&self) -> Option<&Tensor<2, Int>> {
        let move_there = || {
            let (dataset, ids) = (self.plan.subset.dataset(), self.plan.subset.ids());
            let rows = StoredRows::new(dataset, self.plan.augment.crop_padding);
            self.renderer.upload(rows.copy(dataset, ids), ids.len())
        };
        self.is_resident()
            .then(|| self.resident.rows.get_or_init(move_there))
    }

    /// The masks on the device, moved there by the first call; none if they do not fit, or there are none.
    fn resident_masks(&self) -> Option<&Tensor<2, Int>> {
        let (dataset, ids) = (self.plan.subset.dataset(), self.plan.subset.ids());
        let move_there = || {
            let masks = copy_masks(dataset, ids).unwrap_or_default();
            self.renderer.upload_masks(masks, ids.len())
        };
        (self.is_resident() && dataset.masks().is_some())
            .then(|| self.resident.masks.get_or_init(move_there))
    }

    /// All batches of `epoch`.
    pub fn epoch(&self, epoch: usize) -> Epoch<'_> {
        Epoch {
            loader: self,
            feed: Feed::new(&self.plan, epoch, 0),
            given: 0,
        }
    }

    /// The batches of `epoch` from `first_step` on; those before cost nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if `first_step` is beyond the end of the epoch; the end itself gives no batches.
    pub fn epoch_from(&self, epoch: usize, first_step: usize) -> Result<Epoch<'_>> {
        if first_step > self.plan.steps {
            return Err(self.no_such_step("first_step", first_step));
        }
        Ok(Epoch {
            loader: self,
            feed: Feed::new(&self.plan, epoch, first_step),
            given: 0,
        })
    }

    /// Batch `step` of `epoch`.
    ///
    /// Asked for one after the other, batches are prepared ahead as in [`Loader::epoch`].
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if an epoch has no such step.
    pub fn batch(&self, epoch: usize, step: usize) -> Result<Batch> {
        interruption::check()?;
        let host = {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            if current.as_ref().is_none_or(|feed| feed.epoch != epoch) {
                *current = Some(Feed::new(&self.plan, epoch, step));
            }
            current.as_mut().and_then(|feed| {
                feed.jump(step);
                feed.take()
            })
        };
        host.map(|host| self.finish(host))
            .ok_or_else(|| self.no_such_step("step", step))
    }

    /// Batch `step` of `epoch` as [`Loader::batch`] makes it, without samples and masks: enough where all
    /// that is computed of each view is kept. [`Loader::masks`] has the masks.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if an epoch has no such step.
    pub fn batch_without_samples(&self, epoch: usize, step: usize) -> Result<Batch> {
        interruption::check()?;
        if step >= self.plan.steps {
            return Err(self.no_such_step("step", step));
        }
        let mut kept = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|(of, _)| *of != epoch) {
            *kept = Some((epoch, self.plan.order(epoch)));
        }
        let order = kept.as_ref().map_or(&[][..], |(_, order)| order.as_slice());
        let ids = self.plan.subset.ids();
        let positions = order[self.plan.config.range(step, order.len())].iter();
        let view = self.plan.config.views.view(epoch);
        let ids: Vec<u32> = positions.map(|&position| ids[position]).collect();
        Ok(Batch {
            samples: Samples::NotRendered(ids.len()),
            targets: self.labels(&ids)?,
            masks: None,
            ids,
            view,
            source: Some(Arc::clone(&self.source)),
        })
    }

    /// The labels of the samples `ids`, `[ids]`, on the device.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if one is not in the data set.
    pub fn labels(&self, ids: &[u32]) -> Result<Tensor<1, Int>> {
        let label = |id: &u32| {
            let label = self.plan.subset.dataset().label(*id).map(i64::from);
            label.ok_or_else(|| Error::config("ids", format!("must be in the data set, got {id}")))
        };
        let labels = ids.iter().map(label).collect::<Result<Vec<i64>>>()?;
        Ok(Tensor::from_data(
            TensorData::new(labels, [ids.len()]),
            &self.device,
        ))
    }

    /// The class of each pixel of the samples `ids`, `[ids, height, width]`, on the device, as in a batch;
    /// none where the data set has no masks.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if one is not among the samples of this loader.
    pub fn masks(&self, ids: &[u32]) -> Result<Option<Tensor<3, Int>>> {
        let positions = self.positions(ids)?;
        let masks = match self.resident_masks() {
            Some(all) => Some(self.renderer.gather(all, positions)),
            None => copy_masks(self.plan.subset.dataset(), ids)
                .map(|masks| self.renderer.upload_masks(masks, ids.len())),
        };
        Ok(masks.map(|masks| self.renderer.render_masks(masks)))
    }

    /// View `view` of the samples `ids`, in the order given: what any batch shows of them under that view.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there are no ids, or one is not among the samples of this loader.
    pub fn view(&self, view: u64, ids: &[u32]) -> Result<Batch> {
        if ids.is_empty() {
            return Err(Error::config(
                "ids",
                "must be at least one sample, got none",
            ));
        }
        Ok(self.finish(self.plan.prepare(view, &self.positions(ids)?)))
    }

    /// The positions of the samples `ids` in the subset.
    fn positions(&self, ids: &[u32]) -> Result<Vec<usize>> {
        let position = |id: &u32| {
            self.plan.subset.ids().binary_search(id).map_err(|_| {
                Error::config(
                    "ids",
                    format!("must be among the samples of the loader, got {id}"),
                )
            })
        };
        ids.iter().map(position).collect()
    }

    /// The device's part of a batch.
    fn finish(&self, host: HostBatch) -> Batch {
        let HostBatch {
            view,
            ids,
            positions,
            params,
            rows,
            masks,
        } = host;
        let dataset = self.plan.subset.dataset();
        let targets: Vec<i64> = ids
            .iter()
            .filter_map(|id| dataset.label(*id))
            .map(i64::from)
            .collect();
        let targets = Tensor::from_data(TensorData::new(targets, [ids.len()]), &self.device);
        let masks = match (self.resident_masks(), masks) {
            (Some(all), _) => Some(self.renderer.gather(all, positions.clone())),
            (None, masks) => masks.map(|masks| self.renderer.upload_masks(masks, ids.len())),
        };
        let rows = match (self.resident_rows(), rows) {
            (Some(all), _) => self.renderer.gather(all, positions),
            (None, Some(rows)) => self.renderer.upload(rows, ids.len()),
            (None, None) => {
                let rows = StoredRows::new(dataset, self.plan.augment.crop_padding);
                self.renderer.upload(rows.copy(dataset, &ids), ids.len())
            }
        };
        let samples = match dataset.kind() {
            SampleKind::Images => Samples::Images(self.renderer.render(rows, &params)),
            SampleKind::Texts => Samples::Tokens(self.renderer.render_tokens(rows)),
        };
        Batch {
            samples,
            targets,
            masks: masks.map(|masks| self.renderer.render_masks(masks)),
            ids,
            view,
            source: Some(Arc::clone(&self.source)),
        }
    }

    fn no_such_step(&self, field: &str, step: usize) -> Error {
        Error::config(
            field,
            format!(
                "must be below {} (the steps of an epoch), got {step}",
                self.plan.steps
            ),
        )
    }
}

/// The batches of one epoch; see [`Loader::epoch`].
#[derive(Debug)]
pub struct Epoch<'a> {
    loader: &'a Loader,
    feed: Feed,
    /// Samples handed out.
    given: usize,
}

impl Iterator for Epoch<'_> {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let host = self.feed.take()?;
        if let Err(stopped) = interruption::check() {
            return Some(Err(stopped));
        }
        let batch = self.loader.finish(host);
        self.given += batch.ids.len();
        if let Some(Watch(watch)) = &self.loader.watch {
            watch(self.given, self.loader.subset().len());
        }
        Some(Ok(batch))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.feed.left(), Some(self.feed.left()))
    }
}

impl ExactSizeIterator for Epoch<'_> {}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::data::dataset::Dataset;
    use crate::data::masks::Masks;
    use crate::data::shape::ImageShape;
    use crate::data::split::Split;
    use crate::views::augment::Augment;
    use crate::views::policy::ViewPolicy;

    fn subset() -> Result<Subset> {
        let (shape, images) = (ImageShape::new(1, 2, 2), (0..24).collect());
        let masks = Masks::new(2, None, (0..24).map(|pixel| pixel % 2).collect())?;
        let data = Dataset::segmentation("squares", Split::Train, shape, images, masks)?;
        Subset::from_ids(&data, vec![0, 2, 3, 5])
    }

    #[test]
    fn loaders_of_the_same_samples_share_them_on_the_device() {
        let first =
            Loader::new(subset().unwrap(), LoaderConfig::ordered(2), &Device::flex()).unwrap();
        let second = first.reconfigured(LoaderConfig::new(3)).unwrap();
        assert!(
            first.resident.rows.get().is_none(),
            "nothing is moved before it is read"
        );
        second.batch(0, 0).unwrap();
        assert!(Arc::ptr_eq(&first.resident, &second.resident));
        assert!(first.resident.rows.get().is_some());
        // Crops want the rows in another form.
        let classes = Dataset::new(
            "rows",
            Split::Train,
            ImageShape::new(1, 2, 2),
            1,
            vec![0; 8],
            vec![0; 2],
        );
        let plain = Loader::new(
            Subset::all(&classes.unwrap()),
            LoaderConfig::new(1),
            &Device::flex(),
        )
        .unwrap();
        let cropped = LoaderConfig {
            views: ViewPolicy::Unlimited,
            augment: Augment {
                crop_padding: 1,
                ..Augment::none()
            },
            ..LoaderConfig::new(1)
        };
        assert!(!Arc::ptr_eq(
            &plain.resident,
            &plain.reconfigured(cropped).unwrap().resident
        ));
    }

    #[test]
    fn a_watch_is_told_of_each_batch() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        let loader = Loader::new(subset().unwrap(), LoaderConfig::ordered(3), &Device::flex());
        let watch = move |done, all| list.lock().unwrap().push((done, all));
        assert_eq!(loader.unwrap().with_watch(watch).epoch(0).count(), 2);
        assert_eq!(*told.lock().unwrap(), [(3, 4), (4, 4)]);
    }

    #[test]
    fn masks_are_those_of_the_batch_and_need_no_pixels() {
        let fitting = LoaderConfig::new(3);
        let streamed = LoaderConfig {
            resident_budget_bytes: 0,
            ..fitting.clone()
        };
        for config in [fitting, streamed] {
            let loader = Loader::new(subset().unwrap(), config, &Device::flex()).unwrap();
            let bare = loader.batch_without_samples(0, 0).unwrap();
            let masks = loader.masks(&bare.ids).unwrap().unwrap();
            assert!(loader.resident.rows.get().is_none());
            let batch = loader.batch(0, 0).unwrap();
            assert_eq!(bare.ids, batch.ids);
            assert_eq!(masks.into_data(), batch.masks.unwrap().into_data());
            assert!(
                loader
                    .masks(&[1])
                    .unwrap_err()
                    .to_string()
                    .contains("got 1")
            );
        }
    }
}
