//! The host's part of batches, prepared ahead on threads where that pays.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use crate::data::dataset::Dataset;
use crate::data::subset::Subset;
use crate::draws::Draws;
use crate::loader::config::LoaderConfig;
use crate::views::augment::{Augment, ViewParams};
use crate::views::stored::{HostRows, StoredRows};

/// Batches that each thread may be ahead.
const AHEAD: usize = 2;

/// What the batches of one loader have in common.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) subset: Subset,
    pub(super) config: LoaderConfig,
    pub(super) augment: Augment,
    pub(super) steps: usize,
    /// The form in which rows are sent to the device with each batch; none if they are there already.
    pub(super) rows: Option<StoredRows>,
}

/// A batch before it is on the device.
#[derive(Debug)]
pub(super) struct HostBatch {
    pub(super) view: u64,
    pub(super) ids: Vec<u32>,
    /// Where the samples are in the subset.
    pub(super) positions: Vec<usize>,
    pub(super) params: Vec<ViewParams>,
    /// The stored rows, unless the device has them.
    pub(super) rows: Option<HostRows>,
    /// The masks, where there are any, unless the device has them.
    pub(super) masks: Option<Vec<u8>>,
}

impl Plan {
    /// The positions of the samples in the order of `epoch`.
    pub(super) fn order(&self, epoch: usize) -> Vec<usize> {
        let mut order: Vec<usize> = if self.config.balanced {
            self.balanced(epoch)
        } else {
            (0..self.subset.len()).collect()
        };
        if self.config.shuffle {
            Draws::new(self.config.seed, "order", epoch as u64, 0).shuffle(&mut order);
        }
        order
    }

    /// As many positions as there are samples, each class equally often but for one.
    fn balanced(&self, epoch: usize) -> Vec<usize> {
        let dataset = self.subset.dataset();
        let mut classes = vec![Vec::new(); dataset.classes()];
        for (position, &id) in self.subset.ids().iter().enumerate() {
            if let Some(members) = dataset
                .label(id)
                .and_then(|label| classes.get_mut(usize::from(label)))
            {
                members.push(position);
            }
        }
        classes.retain(|members| !members.is_empty());
        let (samples, count) = (self.subset.len(), classes.len().max(1));
        let mut drawn = Vec::with_capacity(samples);
        for (class, mut members) in classes.into_iter().enumerate() {
            // Which classes have one more changes from epoch to epoch.
            let turn = (class + epoch % count) % count;
            let mut left = samples / count + usize::from(turn < samples % count);
            let mut draws = Draws::new(self.config.seed, "balanced", epoch as u64, class as u64);
            while left > 0 {
                draws.shuffle(&mut members);
                let taken = left.min(members.len());
                drawn.extend_from_slice(&members[..taken]);
                left -= taken;
            }
        }
        drawn
    }

    /// The host's part of a batch of the samples at `positions`.
    pub(super) fn prepare(&self, view: u64, positions: &[usize]) -> HostBatch {
        let ids: Vec<u32> = positions
            .iter()
            .map(|position| self.subset.ids()[*position])
            .collect();
        let params = ids
            .iter()
            .map(|id| self.augment.params(self.config.view_seed(), view, *id))
            .collect();
        let rows = self.rows.map(|rows| rows.copy(self.subset.dataset(), &ids));
        let masks = self
            .rows
            .and_then(|_| copy_masks(self.subset.dataset(), &ids));
        HostBatch {
            view,
            ids,
            positions: positions.to_vec(),
            params,
            rows,
            masks,
        }
    }
}

/// The masks of the samples `ids`, one after the other, where there are masks.
pub(super) fn copy_masks(dataset: &Dataset, ids: &[u32]) -> Option<Vec<u8>> {
    dataset.masks()?;
    let masks: Vec<&[u8]> = ids.iter().filter_map(|id| dataset.mask(*id)).collect();
    Some(masks.concat())
}

/// The batches of one epoch, one after the other.
///
/// From the second batch on they are prepared ahead, if rows have to be copied and there are threads. Of `n`
/// threads, the k-th does every n-th batch and has a queue of its own, so that the order cannot depend on
/// which of them is fast.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) epoch: usize,
    plan: Arc<Plan>,
    order: Arc<Vec<usize>>,
    next: usize,
    /// Batches taken since the last jump.
    taken: usize,
    /// The queues of the threads, in turn; the first belongs to the next batch.
    queues: VecDeque<Receiver<HostBatch>>,
}

impl Feed {
    /// The batches of `epoch` from `step` on.
    pub(super) fn new(plan: &Arc<Plan>, epoch: usize, step: usize) -> Self {
        let order = Arc::new(plan.order(epoch));
        Self {
            epoch,
            plan: Arc::clone(plan),
            order,
            next: step,
            taken: 0,
            queues: VecDeque::new(),
        }
    }

    /// Goes to `step`; what was prepared for other steps is thrown away.
    pub(super) fn jump(&mut self, step: usize) {
        if step != self.next {
            self.next = step;
            self.taken = 0;
            self.queues.clear();
        }
    }

    /// The number of batches left.
    pub(super) fn left(&self) -> usize {
        self.plan.steps.saturating_sub(self.next)
    }

    /// The next batch, if there is one.
    pub(super) fn take(&mut self) -> Option<HostBatch> {
        if self.left() == 0 {
            return None;
        }
        let step = self.next;
        // A single batch asked for out of order does not deserve threads.
        if self.taken == 1 && self.plan.rows.is_some() {
            self.start_threads();
        }
        let ahead = self.queues.pop_front().and_then(|queue| {
            let batch = queue.recv().ok();
            self.queues.push_back(queue);
            batch
        });
        self.next += 1;
        self.taken += 1;
        // Without threads, or should one have died, the batch is prepared here: it is the same.
        ahead.or_else(|| Some(batch_at(&self.plan, &self.order, self.epoch, step)))
    }

    fn start_threads(&mut self) {
        let threads = self.plan.config.threads.min(self.left());
        for first in (self.next..).take(threads) {
            let (sender, receiver) = sync_channel(AHEAD);
            let (plan, order, epoch) =
                (Arc::clone(&self.plan), Arc::clone(&self.order), self.epoch);
            let work = move || {
                for step in (first..plan.steps).step_by(threads) {
                    // Nobody listens any more: the loader jumped or is gone.
                    if sender.send(batch_at(&plan, &order, epoch, step)).is_err() {
                        break;
                    }
                }
            };
            // A thread that cannot be started leaves a queue without sender, and its batches are prepared in
            // place.
            drop(
                thread::Builder::new()
                    .name(format!("kd-loader-{first}"))
                    .spawn(work),
            );
            self.queues.push_back(receiver);
        }
    }
}

/// The host's part of batch `step` of an epoch.
fn batch_at(plan: &Plan, order: &[usize], epoch: usize, step: usize) -> HostBatch {
    let range = plan.config.range(step, order.len());
    plan.prepare(plan.config.views.view(epoch), &order[range])
}
