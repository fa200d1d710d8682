//! Every loss of kd-losses with inputs to measure it on, for the bench and for the comparison with PyTorch.
//!
//! | file | holds |
//! |---|---|
//! | `case` | [`Case`]: a loss with its inputs, its value and its gradients |
//! | `data` | the inputs, drawn from their names, and how a case is made of them |
//! | `logits`, `features`, `trained`, `priors` | the losses |
//!
//! A loss is here once for each size that it is measured at. [`unmeasured`] says which of the catalogue are
//! not.

mod case;
mod data;
mod features;
mod logits;
mod priors;
mod trained;

use burn::tensor::Device;
use kd_losses::losses;

pub use case::{Case, Outcome};
use data::Data;

/// Channels and side of the first and of the last maps of the CIFAR `ResNets`.
const MAPS: [[usize; 2]; 2] = [[16, 32], [64, 8]];
/// Samples of a batch.
const BATCH: usize = 64;
/// Numbers of an embedding.
const EMBEDDING: usize = 256;
/// Classes of CIFAR-100.
const CLASSES: usize = 100;

type Make = dyn Fn(Data) -> kd_losses::Result<Case>;

/// A loss at one size. Its inputs are only made by [`make`](Measured::make).
pub struct Measured {
    /// The loss, as the catalogue calls it.
    pub name: &'static str,
    /// The sizes of its inputs, for example `b64_c100`.
    pub sizes: String,
    make: Box<Make>,
}

impl std::fmt::Debug for Measured {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.name, self.sizes)
    }
}

impl Measured {
    /// The loss with its inputs on `device`, a plain one.
    ///
    /// # Errors
    ///
    /// Those of the loss: the sizes here do not fit it.
    pub fn make(&self, device: &Device) -> kd_losses::Result<Case> {
        (self.make)(Data::new(device))
    }
}

/// What is measured, in the order of the catalogue.
pub fn measured() -> Vec<Measured> {
    let mut all = Vec::new();
    for add in [logits::add, features::add, trained::add, priors::add] {
        add(&mut Sizes(&mut all));
    }
    let order: Vec<&str> = losses().map(|loss| loss.name).collect();
    all.sort_by_key(|one| order.iter().position(|name| *name == one.name));
    all
}

/// The losses of the catalogue that [`measured`] lacks; none, or a bench stops.
pub fn unmeasured() -> Vec<&'static str> {
    let measured = measured();
    losses()
        .map(|loss| loss.name)
        .filter(|name| measured.iter().all(|one| one.name != *name))
        .collect()
}

/// Where a family puts its losses.
struct Sizes<'a>(&'a mut Vec<Measured>);

impl Sizes<'_> {
    fn add(
        &mut self,
        name: &'static str,
        sizes: impl Into<String>,
        make: impl Fn(Data) -> kd_losses::Result<Case> + 'static,
    ) {
        self.0.push(Measured {
            name,
            sizes: sizes.into(),
            make: Box::new(make),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{measured, unmeasured};

    #[test]
    fn every_loss_of_the_catalogue_is_measured() {
        assert!(unmeasured().is_empty(), "{:?}", unmeasured());
    }

    #[test]
    fn every_name_is_in_the_catalogue_and_no_size_is_there_twice() {
        let ids: Vec<String> = measured().iter().map(|one| format!("{one:?}")).collect();
        for (index, one) in measured().iter().enumerate() {
            assert!(kd_losses::find_loss(one.name).is_some(), "{one:?}");
            assert!(!ids[..index].contains(&ids[index]), "{one:?} twice");
        }
    }
}
