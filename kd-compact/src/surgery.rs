//! Surgery on named tensors: a mask, the constants that dead channels leave, and the smaller network.

use kd_core::{Error, Result, Tensors};
use serde::{Deserialize, Serialize};

use crate::alive::Alive;
use crate::constants::constants;
use crate::graph::Graph;
use crate::groups::Groups;
use crate::op::{ConvShape, Op};
use crate::tensors::{gather, numbers, put, shape, values};

/// What becomes of the shift of a channel that is cut: without its scale the channel still says a constant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// It is set to 0, and so is the constant: the network changes when the channel is masked.
    Zero,
    /// It stays, and the constant is folded into the layers that read it; where that is not exact, as under
    /// the zeros that pad a convolution, the cut is refused.
    Fold,
    /// It is folded where that is exact, and set to 0 elsewhere.
    #[default]
    FoldOrZero,
}

/// A network's description with its groups: all that surgery needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Surgery<'a> {
    /// The layers.
    pub graph: &'a Graph,
    /// The groups of their channels.
    pub groups: &'a Groups,
}

impl Surgery<'_> {
    /// The tensors, in PyTorch's names, with the scales of dead channels at exactly 0, and their shifts as
    /// the policy says: the network that [`Surgery::cut`] reproduces.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] if the tensors are not those of the description; [`Error::Config`] if `policy` is
    /// [`Policy::Fold`] and a constant cannot be folded.
    pub fn masked(&self, tensors: &Tensors, alive: &Alive, policy: Policy) -> Result<Tensors> {
        let mut masked = tensors.clone();
        masked.extend(self.masked_rows(tensors, alive, policy)?);
        Ok(masked)
    }

    /// The tensors of one axis, all that a mask changes, masked.
    fn masked_rows(&self, tensors: &Tensors, alive: &Alive, policy: Policy) -> Result<Tensors> {
        self.check(tensors)?;
        let rows = tensors
            .iter()
            .filter(|(_, data)| data.shape().as_slice().len() == 1);
        let mut masked: Tensors = rows
            .map(|(name, data)| (name.clone(), data.clone()))
            .collect();
        let dead: Vec<bool> = alive.0.iter().map(|alive| !alive).collect();
        self.clear(&mut masked, "weight", &dead);
        if policy == Policy::Zero {
            self.clear(&mut masked, "bias", &dead);
            return Ok(masked);
        }
        // A shift that is set to 0 makes constants 0 and no constant anything else, so that this ends.
        loop {
            let (inexact, reader) = self.inexact(&masked, alive);
            match (reader, policy) {
                (None, _) => return Ok(masked),
                (Some(_), Policy::FoldOrZero) => self.clear(&mut masked, "bias", &inexact),
                (Some(reader), _) => {
                    let problem = format!(
                        "is \"fold\", and `{reader}` reads a constant that cannot be folded exactly; use \
                         \"fold-or-zero\""
                    );
                    return Err(Error::config("policy", problem));
                }
            }
        }
    }

    /// The tensors of the smaller network: those of [`Surgery::masked`] without the dead channels, whose
    /// constants are folded into what reads them.
    ///
    /// # Errors
    ///
    /// As [`Surgery::masked`].
    pub fn cut(&self, tensors: &Tensors, alive: &Alive, policy: Policy) -> Result<Tensors> {
        let changed = self.folded_rows(tensors, alive, policy)?;
        Ok(self.gathered(tensors, &changed, alive))
    }

    /// The masked tensors with the constants of dead channels folded into what reads them.
    pub(crate) fn folded(
        &self,
        tensors: &Tensors,
        alive: &Alive,
        policy: Policy,
    ) -> Result<Tensors> {
        let mut whole = tensors.clone();
        whole.extend(self.folded_rows(tensors, alive, policy)?);
        Ok(whole)
    }

    /// The tensors of one axis, all that folding changes.
    fn folded_rows(&self, tensors: &Tensors, alive: &Alive, policy: Policy) -> Result<Tensors> {
        let mut rows = self.masked_rows(tensors, alive, policy)?;
        self.fold(tensors, &mut rows, alive);
        Ok(rows)
    }

    /// Sets the numbers of all norms' channels to 0 whose unit is among `units`.
    fn clear(&self, tensors: &mut Tensors, field: &str, units: &[bool]) {
        for (index, node) in self.graph.nodes.iter().enumerate() {
            if let Op::Norm { path } = &node.op {
                let name = format!("{path}.{field}");
                let mut numbers = values(tensors, &name);
                for (number, &unit) in numbers.iter_mut().zip(&self.groups.of_node[index]) {
                    if units[unit] {
                        *number = 0.0;
                    }
                }
                put(tensors, &name, &numbers);
            }
        }
    }

    /// The dead units whose constants a layer cannot take exactly, and one such layer.
    fn inexact(&self, masked: &Tensors, alive: &Alive) -> (Vec<bool>, Option<String>) {
        let constants = constants(self.graph, masked);
        let (mut inexact, mut reader) = (vec![false; alive.0.len()], None);
        for (index, node) in self.graph.nodes.iter().enumerate() {
            if !self.graph.mixes(index) {
                continue;
            }
            let takes_any = self.graph.place(index).is_some();
            let input = node.inputs[0];
            for (&unit, constant) in self.groups.of_node[input].iter().zip(&constants[input]) {
                let is_exact = match constant {
                    Some(constant) => takes_any || *constant == 0.0,
                    None => false,
                };
                if !alive.0[unit] && !is_exact {
                    inexact[unit] = true;
                    reader = node.op.path().map(str::to_owned);
                }
            }
        }
        (inexact, reader)
    }

    /// Folds the constants of dead channels into the rows of what reads them with the weights of `tensors`.
    fn fold(&self, tensors: &Tensors, rows: &mut Tensors, alive: &Alive) {
        let constants = constants(self.graph, rows);
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let (Some((name, sign)), true) = (self.graph.place(index), self.graph.mixes(index))
            else {
                continue;
            };
            let input = node.inputs[0];
            let dead = self.groups.of_node[input].iter().zip(&constants[input]);
            let dead = dead.map(|(&unit, constant)| match constant {
                Some(constant) if !alive.0[unit] => *constant,
                _ => 0.0,
            });
            let dead: Vec<f64> = dead.collect();
            if dead.iter().all(|&constant| constant == 0.0) {
                continue;
            }
            let weight = format!("{}.weight", node.op.path().unwrap_or_default());
            let sums = sums(tensors, &weight, &dead);
            let folded = values(rows, &name).into_iter().zip(sums);
            let folded: Vec<f64> = folded.map(|(value, sum)| value + sign * sum).collect();
            put(rows, &name, &folded);
        }
    }

    /// The tensors, those in `changed` in place of the same in `whole`, without the dead channels.
    fn gathered(&self, whole: &Tensors, changed: &Tensors, alive: &Alive) -> Tensors {
        let found = |name: &str| changed.get(name).or_else(|| whole.get(name));
        let mut cut = Tensors::new();
        for (index, node) in self.graph.nodes.iter().enumerate() {
            if let Op::Unknown { tensors, .. } = &node.op {
                let names = tensors.iter().map(|(name, _)| name);
                let held = names.filter_map(|name| Some((name.clone(), found(name)?.clone())));
                cut.extend(held);
            }
            let Some(path) = node.op.path() else { continue };
            let kept = alive.kept(self.groups, index);
            let mut take = |field: &str, inputs: Option<&[usize]>| {
                let name = format!("{path}.{field}");
                if let Some(data) = found(&name) {
                    cut.insert(name, gather(data, &kept, inputs));
                }
            };
            match &node.op {
                Op::Norm { .. } => {
                    for field in NORM {
                        take(field, None);
                    }
                }
                Op::Conv { .. } | Op::Linear { .. } => {
                    let inputs = alive.kept(self.groups, node.inputs[0]);
                    take("weight", self.graph.mixes(index).then_some(&inputs));
                    take("bias", None);
                }
                _ => {}
            }
        }
        cut
    }

    /// Checks that the tensors are exactly those of the description.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] with what differs.
    pub fn check(&self, tensors: &Tensors) -> Result<()> {
        let mut wanted = std::collections::BTreeMap::new();
        for node in &self.graph.nodes {
            let before = node
                .inputs
                .first()
                .map(|&input| self.graph.nodes[input].shape[0]);
            for (name, shape) in shapes(&node.op, before.unwrap_or_default(), node.shape[0]) {
                wanted.insert(name, shape);
            }
        }
        let known = |name: &&String| !wanted.contains_key(name.as_str());
        let unexpected: Vec<String> = tensors.keys().filter(known).cloned().collect();
        let lacking = |name: &&String| !tensors.contains_key(name.as_str());
        let missing: Vec<String> = wanted.keys().filter(lacking).cloned().collect();
        let other = wanted.iter().filter_map(|(name, wanted)| {
            let found = tensors.get(name)?.shape().as_slice().to_vec();
            (found != *wanted).then(|| format!("{name}: network {found:?}, description {wanted:?}"))
        });
        let unequal: Vec<String> = other.collect();
        if missing.is_empty() && unexpected.is_empty() && unequal.is_empty() {
            return Ok(());
        }
        Err(Error::Mismatch {
            origin: "the description of the network".into(),
            missing: unexpected,
            unexpected: missing,
            unequal,
            hint: String::new(),
        })
    }
}

const NORM: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

/// The tensors of a layer.
fn shapes(op: &Op, inputs: usize, outputs: usize) -> Vec<(String, Vec<usize>)> {
    let with_bias = |path: &str, weight: Vec<usize>, bias: bool| {
        let bias = bias.then(|| (format!("{path}.bias"), vec![outputs]));
        let weight = (format!("{path}.weight"), weight);
        std::iter::once(weight).chain(bias).collect()
    };
    match op {
        Op::Norm { path } => {
            let field = |field| (format!("{path}.{field}"), vec![outputs]);
            NORM.into_iter().map(field).collect()
        }
        Op::Conv { path, shape } => {
            let ConvShape { kernel, groups, .. } = *shape;
            let weight = vec![outputs, inputs / groups, kernel[0], kernel[1]];
            with_bias(path, weight, shape.bias)
        }
        Op::Linear { path, bias } => with_bias(path, vec![outputs, inputs], *bias),
        Op::Unknown { tensors, .. } => tensors.clone(),
        _ => Vec::new(),
    }
}

/// For every output the sum over inputs and places of weight times constant.
fn sums(tensors: &Tensors, weight: &str, constants: &[f64]) -> Vec<f64> {
    let shape = shape(tensors, weight);
    let weights = numbers(tensors, weight);
    let area: usize = shape[2..].iter().product();
    let of_output = |row: &[f32]| {
        let inputs = row.chunks(area.max(1)).zip(constants);
        let taps = |taps: &[f32]| taps.iter().map(|&tap| f64::from(tap)).sum::<f64>();
        inputs.map(|(row, constant)| constant * taps(row)).sum()
    };
    let row = constants.len() * area.max(1);
    weights.chunks(row.max(1)).map(of_output).collect()
}
