//! The loader, and the batches it gives.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::data::subset::Subset;
use crate::error::{Error, Result};
use crate::loader::batch::{Batch, BatchSource, Samples};
use crate::loader::config::LoaderConfig;
use crate::loader::feed::{Feed, HostBatch, Plan, copy_masks};
use crate::views::render::Renderer;
use crate::views::stored::StoredRows;

/// Batches of a data set, in an order and in views that are functions of seed and epoch.
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
    /// Rows and masks of the whole subset on the device, from the first batch on, if they fit.
    resident: OnceLock<Resident>,
    /// Where [`Loader::batch`] was last.
    current: Mutex<Option<Feed>>,
    /// The order of the epoch that [`Loader::samples`] was asked about last.
    order: Mutex<Option<(usize, Vec<usize>)>>,
}

/// A subset on the device.
#[derive(Debug)]
struct Resident {
    rows: Tensor<2, Int>,
    masks: Option<Tensor<2, Int>>,
}

impl Loader {
    /// A loader of `data`, a whole data set or a subset, onto `device`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if `data` has no samples, the batch size is 0, dropping the last batch leaves none,
    /// the views or the augmentation cannot be used with these images, or images are to be changed that have
    /// masks.
    pub fn new(data: impl Into<Subset>, config: LoaderConfig, device: &Device) -> Result<Self> {
        let subset = data.into();
        let shape = subset.dataset().shape();
        let steps = config.steps(subset.len(), shape)?;
        let augment = config.applied();
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
        let renderer = Renderer::new(shape, &augment, &device);
        let rows = StoredRows::new(shape, augment.crop_padding);
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
            resident: OnceLock::new(),
            current: Mutex::new(None),
            order: Mutex::new(None),
        })
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

    /// The data on the device, moved there by the first call; none if it does not fit.
    fn resident(&self) -> Option<&Resident> {
        let move_there = || {
            let (dataset, ids) = (self.plan.subset.dataset(), self.plan.subset.ids());
            let rows = StoredRows::new(dataset.shape(), self.plan.augment.crop_padding);
            let masks = copy_masks(dataset, ids);
            Resident {
                rows: self.renderer.upload(rows.copy(dataset, ids), ids.len()),
                masks: masks.map(|masks| self.renderer.upload_masks(masks, ids.len())),
            }
        };
        self.is_resident()
            .then(|| self.resident.get_or_init(move_there))
    }

    /// All batches of `epoch`.
    pub fn epoch(&self, epoch: usize) -> Epoch<'_> {
        Epoch {
            loader: self,
            feed: Feed::new(&self.plan, epoch, 0),
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

    /// Batch `step` of `epoch` as [`Loader::batch`] makes it, its samples not rendered: enough where all that
    /// is computed of each view is kept.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if an epoch has no such step.
    pub fn batch_without_samples(&self, epoch: usize, step: usize) -> Result<Batch> {
        if step >= self.plan.steps {
            return Err(self.no_such_step("step", step));
        }
        let mut kept = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|(of, _)| *of != epoch) {
            *kept = Some((epoch, self.plan.order(epoch)));
        }
        let order = kept.as_ref().map_or(&[][..], |(_, order)| order.as_slice());
        let batch_size = self.plan.config.batch_size;
        let ids = self.plan.subset.ids();
        let positions = order.iter().skip(step * batch_size).take(batch_size);
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
        let position = |id: &u32| {
            self.plan.subset.ids().binary_search(id).map_err(|_| {
                Error::config(
                    "ids",
                    format!("must be among the samples of the loader, got {id}"),
                )
            })
        };
        let positions = ids.iter().map(position).collect::<Result<Vec<_>>>()?;
        Ok(self.finish(self.plan.prepare(view, &positions)))
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
        let resident = self.resident();
        let masks = match (resident.and_then(|all| all.masks.as_ref()), masks) {
            (Some(all), _) => Some(self.renderer.gather(all, positions.clone())),
            (None, masks) => masks.map(|masks| self.renderer.upload_masks(masks, ids.len())),
        };
        let rows = match (resident, rows) {
            (Some(all), _) => self.renderer.gather(&all.rows, positions),
            (None, rows) => self.renderer.upload(rows.unwrap_or_default(), ids.len()),
        };
        Batch {
            samples: Samples::Images(self.renderer.render(rows, &params)),
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
}

impl Iterator for Epoch<'_> {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.feed.take().map(|host| Ok(self.loader.finish(host)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.feed.left(), Some(self.feed.left()))
    }
}

impl ExactSizeIterator for Epoch<'_> {}
