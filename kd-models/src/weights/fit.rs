//! Loading weights into a network, and finding the network that weights are of.

use burn::module::Module;
use burn::tensor::{Device, TensorData};
use kd_core::{Error, Names, Result, export, import, tensor_shapes};
use serde::{Deserialize, Serialize};

use super::Weights;
use super::report::{LoadReport, Shapes};
use crate::catalogue::known_networks;
use crate::named::ModelNetwork;
use crate::spec::NetworkSpec;

/// The exactness with which a file must fit a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WeightFit {
    /// Every tensor of the network is in the file with its shape, and nothing else is.
    #[default]
    Exact,
    /// Every tensor of the network is in the file with its shape; the file may have more, which are not used.
    Superset,
    /// Tensors that fit are taken; the rest of the network stays as it is.
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
    /// A report of how the file matches `network`, without loading anything.
    pub fn compare<M: Module>(&self, network: &M) -> LoadReport {
        let origin = self.path.display().to_string();
        let shapes = tensor_shapes(network, Names::PyTorch);
        let prefix = self.prefix_of(&shapes);
        let shape = |data: &TensorData| data.shape().as_slice().to_vec();
        let file = self
            .under(&prefix)
            .map(|(name, data)| (name.to_owned(), shape(data)));
        let mut report = LoadReport::of_shapes(origin, &file.collect(), &shapes);
        report.remarks.clone_from(&self.remarks);
        if !prefix.is_empty() {
            report
                .remarks
                .push(format!("`{prefix}` removed from the names"));
        }
        report.prefix = prefix;
        report
    }

    /// The tensors whose names begin with `prefix`, without it.
    fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a TensorData)> {
        let tensors = self.tensors.iter();
        tensors.filter_map(move |(name, data)| Some((name.strip_prefix(prefix)?, data)))
    }

    /// The one prefix that stands before every name of a network, where nothing else with axes is in the
    /// file; empty where there is none.
    fn prefix_of(&self, network: &Shapes) -> String {
        let known = |name: &str| network.contains_key(name);
        if self.tensors.keys().any(|name| known(name)) {
            return String::new();
        }
        let is_array = |data: &TensorData| !data.shape().as_slice().is_empty();
        let mut arrays = self.tensors.iter().filter(|(_, data)| is_array(data));
        let Some((first, _)) = arrays.next() else {
            return String::new();
        };
        let ends = first.match_indices('.').map(|(dot, _)| &first[..=dot]);
        let prefix = ends
            .filter(|prefix| arrays.clone().all(|(name, _)| name.starts_with(*prefix)))
            .find(|prefix| {
                let hits = self.under(prefix).filter(|(name, _)| known(name)).count();
                2 * hits >= network.len().max(1)
            });
        prefix.unwrap_or_default().to_owned()
    }

    /// A copy of `network` with the weights of the file, and how they fitted.
    ///
    /// Numbers take on the network's precision.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] if file and network do not fit each other as `fit` asks; with
    /// [`WeightFit::Partial`] at least one tensor must.
    pub fn load_into<M: Module>(&self, network: &M, fit: WeightFit) -> Result<(M, LoadReport)> {
        let report = self.compare(network);
        let network = self.import_as(network, fit, &report)?;
        Ok((network, report))
    }

    /// The network of `spec` with the weights of the file, on `device`, and how they fitted.
    ///
    /// Tensors that the file lacks of a network that it fits in part are 0; [`Weights::load_known`] keeps
    /// what a network has. Where they must fit exactly, the weights take no more memory than those of the
    /// file, whatever the spec is.
    ///
    /// # Errors
    ///
    /// As [`Weights::load_known`] and [`ModelNetwork::check_spec`].
    pub fn load_network<N: ModelNetwork>(
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
    /// As [`Weights::load_into`]. The text says for how many classes the file is, or which network it is for,
    /// where that is the difference.
    pub fn load_known<N: ModelNetwork>(
        &self,
        spec: &NetworkSpec,
        network: &N,
        fit: WeightFit,
    ) -> Result<(N, LoadReport)> {
        let mut report = self.compare(network);
        if !report.is_exact() {
            let device = network.devices().into_iter().next().unwrap_or_default();
            let reasons = self.explain::<N>(spec, &device.inner());
            report.remarks.splice(0..0, reasons);
        }
        let network = self.import_as(network, fit, &report)?;
        Ok((network, report))
    }

    fn import_as<M: Module>(&self, network: &M, fit: WeightFit, report: &LoadReport) -> Result<M> {
        if !fit.accepts(report) {
            report.check()?;
        }
        if report.is_exact() {
            if report.prefix.is_empty() {
                return import(network, &self.tensors, Names::PyTorch, &report.origin);
            }
            let named = self.under(&report.prefix);
            let tensors = named.map(|(name, data)| (name.to_owned(), data.clone()));
            return import(network, &tensors.collect(), Names::PyTorch, &report.origin);
        }
        let mut own = export(network, Names::PyTorch);
        for name in &report.matched {
            if let (Some(place), Some(data)) = (
                own.get_mut(name),
                self.tensors.get(&format!("{}{name}", report.prefix)),
            ) {
                place.clone_from(data);
            }
        }
        import(network, &own, Names::PyTorch, &report.origin)
    }

    /// Possible reasons that the file does not fit the network of `spec`.
    fn explain<N: ModelNetwork>(&self, spec: &NetworkSpec, device: &Device) -> Vec<String> {
        let mut reasons = Vec::new();
        let shapes = |classes, channels| {
            let network = N::blank(&spec.resized(classes, channels), device)?;
            Ok(tensor_shapes(&network, Names::PyTorch))
        };
        if let Ok([classes, channels]) = self.classes_and_channels(shapes) {
            if classes != spec.classes {
                let wanted = spec.classes;
                reasons.push(format!(
                    "the last layer of the file has {classes} classes, the network {wanted}"
                ));
            }
            if channels != spec.input[0] {
                let wanted = spec.input[0];
                reasons.push(format!(
                    "the first layer of the file has {channels} channels, the network {wanted}"
                ));
            }
        }
        if spec.name == "mobilenetv2-half" {
            reasons.push(format!(
                "`{}` is the network of the CRD benchmark for small images; torchvision's MobileNetV2 is \
                 `mobilenetv2-imagenet`",
                spec.name
            ));
        }
        let fitting = self.networks(device);
        if !fitting.is_empty() && fitting.iter().all(|fits| fits.name != spec.name) {
            let names = fitting.iter().map(|fits| format!("`{}`", fits.name));
            let names: Vec<String> = names.collect();
            reasons.push(format!("the file fits {}", names.join(" and ")));
        }
        reasons
    }

    /// The network `name` for as many classes and channels as the file has, and for images of the height and
    /// width of `size`, which weights do not tell.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] for a name that is not known, [`Error::Input`] if the file lacks the first or
    /// the last layer of the network.
    pub fn spec(&self, name: &str, size: [usize; 2], device: &Device) -> Result<NetworkSpec> {
        let shapes = |classes, channels| {
            NetworkSpec::new(name, classes, [channels, PROBE_SIDE, PROBE_SIDE])
                .blank(device)
                .map(|network| network.shapes())
        };
        let [classes, channels] = self.classes_and_channels(shapes)?;
        let input = [channels, size[0], size[1]];
        Ok(NetworkSpec::new(name, classes, input))
    }

    /// The classes and channels of the file, by what changes of `shapes` with them.
    fn classes_and_channels(
        &self,
        shapes: impl Fn(usize, usize) -> Result<Shapes>,
    ) -> Result<[usize; 2]> {
        let base = shapes(2, 1)?;
        let classes = self.size_that_changes(&base, &shapes(3, 1)?, "last")?;
        let channels = self.size_that_changes(&base, &shapes(2, 2)?, "first")?;
        Ok([classes, channels])
    }

    /// The size in the file of the axis along which two variants of a network differ.
    fn size_that_changes(&self, one: &Shapes, other: &Shapes, layer: &str) -> Result<usize> {
        let mut lacking = None;
        let prefix = self.prefix_of(one);
        for (name, shape) in one {
            let axis = other.get(name).and_then(|other| {
                (other.len() == shape.len())
                    .then(|| shape.iter().zip(other).position(|(a, b)| a != b))
                    .flatten()
            });
            let Some(axis) = axis else { continue };
            let found = self
                .tensors
                .get(&format!("{prefix}{name}"))
                .map(TensorData::shape);
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
                let wanted = spec.blank(device).ok()?.shapes();
                let prefix = self.prefix_of(&wanted);
                let fits = wanted.len() == self.under(&prefix).count()
                    && wanted.iter().all(|(name, shape)| {
                        let found = self.tensors.get(&format!("{prefix}{name}"));
                        let found = found.map(TensorData::shape);
                        found.is_some_and(|found| found.as_slice() == shape.as_slice())
                    });
                fits.then_some(spec)
            })
            .collect()
    }
}

/// A side that every known network takes.
const PROBE_SIDE: usize = 32;
