//! The inputs of the batch norms of a network, noted while it runs.

use std::cell::RefCell;

use burn::nn::BatchNorm;
use burn::tensor::Tensor;

/// The input of a batch norm, and the running statistics of its training data.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NormInput {
    /// The input, `[batch_size, channels, height, width]`, with its graph.
    pub input: Tensor<4>,
    /// The running mean of the norm, `[channels]`.
    pub running_mean: Tensor<1>,
    /// The running variance of the norm, `[channels]`.
    pub running_variance: Tensor<1>,
}

thread_local! {
    static SEEN: RefCell<Option<Vec<NormInput>>> = const { RefCell::new(None) };
}

/// Runs `forward` and gives, beside its result, what went into each batch norm on the way, in order.
///
/// Burn's layers have no hooks. Norms that are run by [`batch_norm`](crate::batch_norm) are seen here, as
/// those of all networks of kd-models are; norms that a network runs by Burn directly are not. Compare their
/// number with that of the norms in the network where you need all of them. Forward passes on other threads
/// are not seen. One inside another sees its own part, and the outer one sees nothing of it.
///
/// # Examples
///
/// ```
/// use burn::nn::BatchNormConfig;
/// use burn::tensor::{Device, Tensor};
/// use kd_kernels::{batch_norm, watch_norms};
///
/// let device = Device::flex();
/// let norm = BatchNormConfig::new(3).init(&device);
/// let (output, seen) = watch_norms(|| batch_norm(&norm, Tensor::ones([2, 3, 4, 4], &device)));
/// assert_eq!(output.dims(), [2, 3, 4, 4]);
/// assert_eq!(seen.len(), 1);
/// assert_eq!(seen[0].running_mean.dims(), [3]);
/// ```
pub fn watch_norms<T>(forward: impl FnOnce() -> T) -> (T, Vec<NormInput>) {
    let outer = Outer(SEEN.replace(Some(Vec::new())));
    let result = forward();
    let seen = SEEN.take().unwrap_or_default();
    drop(outer);
    (result, seen)
}

/// Gives the watch back to whoever had it, however the forward pass ends.
struct Outer(Option<Vec<NormInput>>);

impl Drop for Outer {
    fn drop(&mut self) {
        SEEN.set(self.0.take());
    }
}

/// Notes what goes into `norm`, if someone watches.
pub(crate) fn note(norm: &BatchNorm, input: &Tensor<4>) {
    SEEN.with_borrow_mut(|seen| {
        if let Some(seen) = seen {
            seen.push(NormInput {
                input: input.clone(),
                running_mean: norm.running_mean.value_sync(),
                running_variance: norm.running_var.value_sync(),
            });
        }
    });
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use burn::nn::BatchNormConfig;
    use burn::tensor::Device;

    use super::*;
    use crate::batch_norm;

    #[test]
    fn each_watch_sees_its_own_part() {
        let device = Device::flex();
        let norm = BatchNormConfig::new(1).init(&device);
        let pass = |value: f32| {
            let input = Tensor::full([1, 1, 1, 1], value, &device);
            drop(batch_norm(&norm, input));
        };
        let values = |seen: &[NormInput]| -> Vec<f32> {
            let value = |seen: &NormInput| seen.input.clone().into_scalar::<f32>();
            seen.iter().map(value).collect()
        };
        pass(0.0);
        let (inner, seen) = watch_norms(|| {
            pass(1.0);
            let ((), inner) = watch_norms(|| pass(2.0));
            pass(3.0);
            inner
        });
        assert_eq!((values(&inner), values(&seen)), (vec![2.0], vec![1.0, 3.0]));

        // A forward pass that fails leaves nothing behind.
        let broken = catch_unwind(AssertUnwindSafe(|| {
            watch_norms(|| -> () { std::panic::resume_unwind(Box::new("stop")) })
        }));
        assert!(broken.is_err());
        SEEN.with_borrow(|seen| assert!(seen.is_none()));
    }
}
