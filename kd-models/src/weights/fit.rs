//! Weights into a network, and which network weights are for.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, TensorData};
use kd_core::{Error, Names, Result, Tensors, export, import, tensor_shapes};
use serde::{Deserialize, Serialize};

use super::Weights;
use super::report::LoadReport;
use crate::known::{NetworkSpec, NetworkTask, known_networks};
use crate::model_network::ModelNetwork;
use crate::network::Network;
use crate::unet::UNet;

/// How exactly a file must fit a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WeightFit {
    /// Every tensor of the network is in the file with its shape, and nothing else is.
    #[default]
    Exact,
    /// Every tensor of the network is in the file with its shape; the file may have more, which are not used.
    Superset,
    /// What fits is taken; the rest of the network stays as it is.
    Partial,
}

impl WeightFit {
    /// Whether what was found is enough.
    fn accepts(self, report: &LoadReport) -> bool {
        match self {
            Self::Exact => report.is_exact(),
            Self::Superset => report.missing.is_empty() && report.unequal.is_empty(),
            Self::Partial => !report.matched.is_empty(),
        }
    }
}

impl Weights {
    /// What of the file fits `network`, without loading anything.
    pub fn compare<M: Module>(&self, network: &M) -> LoadReport {
        self.compare_tensors(&export(network, Names::PyTorch))
    }

    fn compare_tensors(&self, network: &Tensors) -> LoadReport {
        let origin = self.path.display().to_string();
        let mut report = LoadReport::compare(origin, &self.tensors, network);
        report.remarks.clone_from(&self.remarks);
        report
    }

    /// A copy of `network` with the weights of the file, and what fitted.
    ///
    /// Numbers take on the network's precision.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] if file and network do not fit each other as `fit` asks; with [`WeightFit::Partial`] at least one
    /// tensor must.
    pub fn load_into<M: Module>(&self, network: &M, fit: WeightFit) -> Result<(M, LoadReport)> {
        let mut own = export(network, Names::PyTorch);
        let report = self.compare_tensors(&own);
        let network = self.import_as(network, &mut own, fit, &report)?;
        Ok((network, report))
    }

    /// The classifier of `spec` with the weights of the file, on `device`, and what fitted.
    ///
    /// What the file lacks of a network that it fits in part is 0; [`Weights::load_known`] keeps what a network has.
    ///
    /// # Errors
    ///
    /// As [`Weights::load_known`] and [`NetworkSpec::check_for`].
    pub fn load_network(
        &self,
        spec: &NetworkSpec,
        fit: WeightFit,
        device: &Device,
    ) -> Result<(Network, LoadReport)> {
        self.load_network_as(spec, fit, device)
    }

    /// As [`Weights::load_network`], of a [`Network`] or a [`UNet`].
    ///
    /// # Errors
    ///
    /// As [`Weights::load_known`] and [`NetworkSpec::check_for`].
    pub fn load_network_as<N: ModelNetwork>(
        &self,
        spec: &NetworkSpec,
        fit: WeightFit,
        device: &Device,
    ) -> Result<(N, LoadReport)> {
        self.load_known(spec, &N::blank(spec, device)?, fit)
    }

    /// As [`Weights::load_into`], of the network of `spec`.
    ///
    /// # Errors
    ///
    /// As [`Weights::load_into`]. The text says for how many classes the file is, or which network it is for, where that is
    /// the difference.
    pub fn load_known<N: ModelNetwork>(
        &self,
        spec: &NetworkSpec,
        network: &N,
        fit: WeightFit,
    ) -> Result<(N, LoadReport)> {
        let mut own = export(network, Names::PyTorch);
        let mut report = self.compare_tensors(&own);
        if !report.is_exact() {
            let device = network.devices().into_iter().next().unwrap_or_default();
            let reasons = self.explain(spec, &device.inner());
            report.remarks.splice(0..0, reasons);
        }
        let network = self.import_as(network, &mut own, fit, &report)?;
        Ok((network, report))
    }

    fn import_as<M: Module>(
        &self,
        network: &M,
        own: &mut Tensors,
        fit: WeightFit,
        report: &LoadReport,
    ) -> Result<M> {
        if !fit.accepts(report) {
            report.check()?;
        }
        if report.is_exact() {
            return import(network, &self.tensors, Names::PyTorch, &report.origin);
        }
        for name in &report.matched {
            if let (Some(place), Some(data)) = (own.get_mut(name), self.tensors.get(name)) {
                place.clone_from(data);
            }
        }
        import(network, own, Names::PyTorch, &report.origin)
    }

    /// What may be the reason that the file does not fit the network of `spec`.
    fn explain(&self, spec: &NetworkSpec, device: &Device) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Ok(found) = self.spec(&spec.name, [spec.input[1], spec.input[2]], device) {
            if found.classes != spec.classes {
                reasons.push(format!(
                    "the last layer of the file has {} classes, the network {}",
                    found.classes, spec.classes
                ));
            }
            if found.input[0] != spec.input[0] {
                reasons.push(format!(
                    "the first layer of the file has {} channels, the network {}",
                    found.input[0], spec.input[0]
                ));
            }
        }
        let fitting = self.networks(device);
        if !fitting.is_empty() && fitting.iter().all(|fits| fits.name != spec.name) {
            let names: Vec<String> = fitting
                .iter()
                .map(|fits| format!("`{}`", fits.name))
                .collect();
            reasons.push(format!("the file fits {}", names.join(" and ")));
        }
        reasons
    }

    /// The network `name` for as many classes and channels as the file has, and for images of the height and width of
    /// `size`, which weights do not tell.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] for a name that is not known, [`Error::Input`] if the file lacks the first or the last layer of
    /// the network.
    pub fn spec(&self, name: &str, size: [usize; 2], device: &Device) -> Result<NetworkSpec> {
        let shapes = |classes, channels| {
            let spec = NetworkSpec::new(name, classes, [channels, PROBE_SIDE, PROBE_SIDE]);
            shapes(&spec, device)
        };
        let base = shapes(2, 1)?;
        let classes = self.size_that_changes(&base, &shapes(3, 1)?, "last")?;
        let channels = self.size_that_changes(&base, &shapes(2, 2)?, "first")?;
        Ok(NetworkSpec::new(
            name,
            classes,
            [channels, size[0], size[1]],
        ))
    }

    /// The size in the file of the axis along which two variants of a network differ.
    fn size_that_changes(&self, one: &Shapes, other: &Shapes, layer: &str) -> Result<usize> {
        let mut lacking = None;
        for (name, shape) in one {
            let axis = other.get(name).and_then(|other| {
                (other.len() == shape.len())
                    .then(|| shape.iter().zip(other).position(|(a, b)| a != b))
                    .flatten()
            });
            let Some(axis) = axis else { continue };
            let found = self.tensors.get(name).map(TensorData::shape);
            if let Some(&size) = found.as_ref().and_then(|shape| shape.as_slice().get(axis)) {
                return Ok(size);
            }
            lacking = lacking.or(Some(name));
        }
        let lacking = lacking.map_or_else(String::new, |name| format!(", `{name}`"));
        Err(Error::Input {
            path: self.path.clone(),
            problem: format!(
                "lacks the {layer} layer of the network{lacking}; name the network that the weights are of"
            ),
        })
    }

    /// The known networks that the file fits exactly, for images of 32 by 32.
    ///
    /// There is more than one where networks differ in nothing that has weights.
    pub fn networks(&self, device: &Device) -> Vec<NetworkSpec> {
        known_networks()
            .filter_map(|known| {
                let spec = self.spec(known.name, [PROBE_SIDE; 2], device).ok()?;
                let wanted = shapes(&spec, device).ok()?;
                let fits = wanted.len() == self.tensors.len()
                    && wanted.iter().all(|(name, shape)| {
                        let found = self.tensors.get(name).map(TensorData::shape);
                        found.is_some_and(|found| found.as_slice() == shape.as_slice())
                    });
                fits.then_some(spec)
            })
            .collect()
    }
}

/// A side that every known network takes.
const PROBE_SIDE: usize = 32;

type Shapes = BTreeMap<String, Vec<usize>>;

/// The shapes of the tensors of a network, in PyTorch's names and layouts.
fn shapes(spec: &NetworkSpec, device: &Device) -> Result<Shapes> {
    Ok(match spec.task()? {
        NetworkTask::Classification => {
            tensor_shapes(&Network::blank(spec, device)?, Names::PyTorch)
        }
        NetworkTask::Segmentation => tensor_shapes(&UNet::blank(spec, device)?, Names::PyTorch),
    })
}
