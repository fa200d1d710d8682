//! The loader, and the batches it gives.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::LoaderConfig;
use super::feed::{Feed, HostBatch, Plan, copy_masks};
use crate::views::{Renderer, StoredRows};
use crate::{Error, Result, Subset};

/// Some samples in one view each, on the device.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[batch_size, channels, height, width]`, in `[0, 1]`, not normalised: that is the model's business.
    pub pixels: Tensor<4>,
    /// The labels, `[batch_size]`; all 0 where there are masks.
    pub targets: Tensor<1, Int>,
    /// The class of each pixel, `[batch_size, height, width]`, where the data set has masks; pixels without a class have the
    /// value of [`Masks::void`](crate::Masks::void).
    pub masks: Option<Tensor<3, Int>>,
    /// The ids of the samples in their data set.
    pub ids: Vec<u32>,
    /// Which view of the samples this is.
    pub view: u64,
}

impl Batch {
    /// The number of samples.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no sample in it; no loader gives such a batch.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// Batches of a data set, in an order and in views that are functions of seed and epoch.
///
/// Where the data fits into the budget it is moved to the device once, as bytes, and a batch is a gather there.
/// Otherwise the bytes of each batch are copied together ahead of time on threads and sent one by one. Both give
/// the same bytes, on any number of threads, and any batch of any epoch can be had without the ones before it.
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
///     assert_eq!(batch?.pixels.dims(), [128, 1, 28, 28]);
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
    /// All stored rows of the subset, if they fit.
    resident: Option<Tensor<2, Int>>,
    /// All masks of the subset, where there are any and they fit together with the rows.
    resident_masks: Option<Tensor<2, Int>>,
    /// Where [`Loader::batch`] was last.
    current: Mutex<Option<Feed>>,
    /// The order of the epoch that [`Loader::samples`] was asked about last.
    order: Mutex<Option<(usize, Vec<usize>)>>,
}

impl Loader {
    /// A loader of `data`, a whole data set or a subset, onto `device`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if `data` has no samples, the batch size is 0, dropping the last batch leaves none, the views or the
    /// augmentation cannot be used with these images, or images are to be changed that have masks.
    pub fn new(data: impl Into<Subset>, config: LoaderConfig, device: &Device) -> Result<Self> {
        let subset = data.into();
        let shape = subset.dataset().shape();
        let steps = config.steps(subset.len(), shape)?;
        let augment = config.applied();
        let masked = subset.dataset().masks().is_some();
        if masked && !augment.is_none() {
            let problem = format!(
                "cannot be used with masks, which would have to be moved with the images, and `{}` has masks; remove it",
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
        let resident =
            fits.then(|| renderer.upload(rows.copy(subset.dataset(), subset.ids()), subset.len()));
        let resident_masks = fits
            .then(|| copy_masks(subset.dataset(), subset.ids()))
            .flatten()
            .map(|masks| renderer.upload_masks(masks, subset.len()));
        let rows = (!fits).then_some(rows);
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
            resident,
            resident_masks,
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

    /// Whether the data lies on the device.
    pub fn is_resident(&self) -> bool {
        self.resident.is_some()
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

    /// The ids of the samples of batch `step` of `epoch`, and their view: [`Loader::batch`] without its pixels, for those who have
    /// kept what they need of each view.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if an epoch has no such step.
    pub fn samples(&self, epoch: usize, step: usize) -> Result<(Vec<u32>, u64)> {
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
        Ok((positions.map(|&position| ids[position]).collect(), view))
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
        let masks = match (&self.resident_masks, masks) {
            (Some(all), _) => Some(self.renderer.gather(all, positions.clone())),
            (None, masks) => masks.map(|masks| self.renderer.upload_masks(masks, ids.len())),
        };
        let rows = match (&self.resident, rows) {
            (Some(all), _) => self.renderer.gather(all, positions),
            (None, rows) => self.renderer.upload(rows.unwrap_or_default(), ids.len()),
        };
        let pixels = self.renderer.render(rows, &params);
        Batch {
            pixels,
            targets,
            masks: masks.map(|masks| self.renderer.render_masks(masks)),
            ids,
            view,
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
