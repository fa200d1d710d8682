//! The resource-weighted penalty on the scales of batch norms, and its two updates.

use serde::{Deserialize, Serialize};

use crate::alive::Alive;
use crate::costs::{CostModel, Kind};
use crate::groups::{Groups, Unit};

/// The scales of every norm, in the order of the norms.
pub type Scales = Vec<Vec<f64>>;

/// How the scales that decide about one channel are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Grouping {
    /// The largest, as in `MorphNet`.
    Max,
    /// All of them added: each is pulled at full strength.
    #[default]
    Sum,
    /// Their Euclidean norm.
    L2,
}

/// What a layer's part of the penalty is weighted with: the cost of one pair of channels, as `MorphNet`
/// counts it (weights alone, a multiply-accumulate as 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resource {
    /// The weight of a multiply-accumulate.
    pub macs: f64,
    /// The weight of a parameter.
    pub parameters: f64,
}

impl Resource {
    /// Multiply-accumulates.
    pub const MACS: Self = Self {
        macs: 1.0,
        parameters: 0.0,
    };
    /// Parameters.
    pub const PARAMETERS: Self = Self {
        macs: 0.0,
        parameters: 1.0,
    };

    /// Shares of the two, each over its whole in the uncut network, so that strengths have no unit.
    pub fn mixed(model: &CostModel, groups: &Groups, macs: f64, parameters: f64) -> Self {
        let all = Alive::all(groups);
        let whole = |resource: Self| {
            let costs = model.penalised(&resource, &all).into_iter();
            costs.map(|(_, cost)| cost).sum::<f64>().max(1.0)
        };
        Self {
            macs: macs / whole(Self::MACS),
            parameters: parameters / whole(Self::PARAMETERS),
        }
    }
}

impl CostModel {
    /// The coefficient of each layer; 0 for norms.
    fn coefficients(&self, resource: &Resource) -> Vec<f64> {
        let coefficient = |layer: &crate::costs::Layer| match layer.kind {
            Kind::Norm => 0.0,
            Kind::Dense { groups } => {
                let area = layer.area as f64 / groups as f64;
                area * (resource.macs * layer.pixels as f64 + resource.parameters)
            }
            Kind::Depthwise => {
                layer.area as f64 * (resource.macs * layer.pixels as f64 + resource.parameters)
            }
        };
        self.layers.iter().map(coefficient).collect()
    }

    /// The cost of each layer as the penalty counts it, by the path of the layer.
    ///
    /// ```text
    /// conv, linear: C = c a_in a_out        depthwise: C = c a_out
    /// ```
    pub fn penalised(&self, resource: &Resource, alive: &Alive) -> Vec<(String, f64)> {
        let coefficients = self.coefficients(resource);
        let layers = self.layers.iter().zip(coefficients).zip(self.counts(alive));
        let costs = layers.map(|((layer, coefficient), [inputs, outputs])| {
            let pairs = match layer.kind {
                Kind::Depthwise => outputs,
                _ => inputs * outputs,
            };
            (layer.path.clone(), coefficient * pairs as f64)
        });
        costs.collect()
    }

    /// The penalty of each layer, by its path, for the regularisers `regulariser` of every channel,
    /// counting those that go together once: the form of `MorphNet`'s paper, with the counts of live
    /// channels as constants. A depthwise layer counts from both sides, as there, although its cost is
    /// linear in one number.
    ///
    /// ```text
    /// conv, linear: G = c (a_in R_out + a_out R_in)        depthwise: G = c (R_in + R_out)
    /// ```
    pub fn penalty_by_layer(
        &self,
        resource: &Resource,
        alive: &Alive,
        regulariser: &[f64],
    ) -> Vec<(String, f64)> {
        let coefficients = self.coefficients(resource);
        let mut sums = vec![[0.0, 0.0]; self.layers.len()];
        for (unit, touched) in self.touched.iter().enumerate() {
            for &(layer, counts) in touched {
                for side in [0, 1] {
                    sums[layer][side] += counts[side] as f64 * regulariser[unit];
                }
            }
        }
        let layers = self.layers.iter().zip(coefficients);
        let layers = layers.zip(self.counts(alive)).zip(sums);
        let penalties = layers.map(|(((layer, coefficient), counts), [r_in, r_out])| {
            let [a_in, a_out] = counts.map(|count| count as f64);
            let penalty = match layer.kind {
                Kind::Depthwise => r_in + r_out,
                _ => a_in * r_out + a_out * r_in,
            };
            (layer.path.clone(), coefficient * penalty)
        });
        penalties.collect()
    }

    /// The pressure on every channel: what one unit of its scale costs, given the channels that are alive.
    /// `strengths` has one number for each block.
    ///
    /// ```text
    /// p = sum over layers that write it of  s c a_in  +  sum over layers that read it of  s c a_out
    /// ```
    pub fn pressures(&self, resource: &Resource, alive: &Alive, strengths: &[f64]) -> Vec<f64> {
        let counts = self.counts(alive);
        let coefficients = self.coefficients(resource);
        let of_layer = |&(layer, [inputs, outputs]): &(usize, [u64; 2])| {
            let scale = strengths[self.layers[layer].block] * coefficients[layer];
            let [a_in, a_out] = counts[layer].map(|count| count as f64);
            let pairs = match self.layers[layer].kind {
                Kind::Depthwise => (inputs + outputs) as f64,
                _ => a_in * outputs as f64 + a_out * inputs as f64,
            };
            scale * pairs
        };
        let of_unit = |touched: &Vec<_>| touched.iter().map(of_layer).sum();
        self.touched.iter().map(of_unit).collect()
    }
}

/// The penalty on a network's scales.
///
/// ```text
/// penalty = sum over channels of  p R        R = max |g|, sum |g| or sqrt(sum g^2) over its scales g
/// ```
///
/// The pressures `p` are constants. Channels that cannot be cut are left out.
#[derive(Clone, Debug)]
pub struct Penalty {
    grouping: Grouping,
    /// The scales of each channel; none for one that cannot be cut.
    sources: Vec<Vec<(usize, usize)>>,
}

impl Penalty {
    /// The penalty of these groups.
    pub fn new(groups: &Groups, grouping: Grouping) -> Self {
        let sources = |unit: &Unit| {
            if groups.is_free(unit) {
                unit.sources.clone()
            } else {
                Vec::new()
            }
        };
        Self {
            grouping,
            sources: groups.units.iter().map(sources).collect(),
        }
    }

    /// The score of every channel: the largest of its scales, without their signs; infinite for one that
    /// cannot be cut.
    pub fn scores(&self, scales: &Scales) -> Vec<f64> {
        let score = |sources: &Vec<(usize, usize)>| {
            let sizes = sources
                .iter()
                .map(|&(norm, channel)| scales[norm][channel].abs());
            if sources.is_empty() {
                f64::INFINITY
            } else {
                sizes.fold(0.0, f64::max)
            }
        };
        self.sources.iter().map(score).collect()
    }

    /// The channels with a score above `threshold`.
    pub fn alive(&self, scales: &Scales, threshold: f64) -> Alive {
        let scores = self.scores(scales).into_iter();
        Alive(scores.map(|score| score > threshold).collect())
    }

    /// The scales, but 0 for those of every channel whose scales were all 0 in `before`.
    pub(crate) fn without_dead(&self, mut scales: Scales, before: &Scales) -> Scales {
        for sources in &self.sources {
            if sources
                .iter()
                .all(|&(norm, channel)| before[norm][channel] == 0.0)
            {
                for &(norm, channel) in sources {
                    scales[norm][channel] = 0.0;
                }
            }
        }
        scales
    }

    /// The regulariser of every channel.
    pub fn regularisers(&self, scales: &Scales) -> Vec<f64> {
        let regulariser = |sources: &Vec<(usize, usize)>| {
            let values = sources.iter().map(|&(norm, channel)| scales[norm][channel]);
            match self.grouping {
                Grouping::Max => values.map(f64::abs).fold(0.0, f64::max),
                Grouping::Sum => values.map(f64::abs).sum(),
                Grouping::L2 => values.map(|value| value * value).sum::<f64>().sqrt(),
            }
        };
        self.sources.iter().map(regulariser).collect()
    }

    /// The penalty under these pressures.
    pub fn value(&self, scales: &Scales, pressures: &[f64]) -> f64 {
        let regularisers = self.regularisers(scales);
        regularisers.iter().zip(pressures).map(|(r, p)| r * p).sum()
    }

    /// A subgradient of the penalty: 0 at 0; of several largest scales the first has all of it.
    pub fn subgradient(&self, scales: &Scales, pressures: &[f64]) -> Scales {
        let mut gradient: Scales = scales.iter().map(|norm| vec![0.0; norm.len()]).collect();
        for (sources, &pressure) in self.sources.iter().zip(pressures) {
            let values = sources.iter().map(|&(norm, channel)| scales[norm][channel]);
            let values: Vec<f64> = values.collect();
            for (part, &(norm, channel)) in self.slopes(&values).into_iter().zip(sources) {
                gradient[norm][channel] += pressure * part;
            }
        }
        gradient
    }

    fn slopes(&self, values: &[f64]) -> Vec<f64> {
        let sign = |value: f64| if value == 0.0 { 0.0 } else { value.signum() };
        match self.grouping {
            Grouping::Sum => values.iter().map(|&value| sign(value)).collect(),
            Grouping::L2 => {
                let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
                let slope = |value: &f64| if norm > 0.0 { value / norm } else { 0.0 };
                values.iter().map(slope).collect()
            }
            Grouping::Max => {
                let largest = values
                    .iter()
                    .fold(0.0, |most: f64, value| most.max(value.abs()));
                let first = values.iter().position(|value| value.abs() >= largest);
                let slope = |(index, &value): (usize, &f64)| match first {
                    Some(first) if first == index => sign(value),
                    _ => 0.0,
                };
                values.iter().enumerate().map(slope).collect()
            }
        }
    }

    /// The proximal step: the scales that have the least of
    /// `|g - scales|^2 / 2 + rate * penalty(g)`. It reaches 0 exactly.
    pub fn proximal(&self, scales: &Scales, pressures: &[f64], rate: f64) -> Scales {
        let mut stepped = scales.clone();
        for (sources, &pressure) in self.sources.iter().zip(pressures) {
            let values = sources.iter().map(|&(norm, channel)| scales[norm][channel]);
            let values: Vec<f64> = values.collect();
            let shrunk = self.shrink(&values, rate * pressure);
            for (value, &(norm, channel)) in shrunk.into_iter().zip(sources) {
                stepped[norm][channel] = value;
            }
        }
        stepped
    }

    fn shrink(&self, values: &[f64], by: f64) -> Vec<f64> {
        match self.grouping {
            Grouping::Sum => {
                let soft = |value: &f64| value.signum() * (value.abs() - by).max(0.0);
                values.iter().map(soft).collect()
            }
            Grouping::L2 => {
                let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
                let keep = if norm > by { 1.0 - by / norm } else { 0.0 };
                values.iter().map(|value| value * keep).collect()
            }
            Grouping::Max => {
                let level = water_level(values, by);
                let cut = |value: &f64| value.signum() * value.abs().min(level);
                values.iter().map(cut).collect()
            }
        }
    }
}

/// The level above which the sizes of `values` have `by` in all; 0 if they have no more.
fn water_level(values: &[f64], by: f64) -> f64 {
    let mut sizes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
    sizes.sort_by(|one, other| other.total_cmp(one));
    let mut sum = 0.0;
    let mut level: f64 = 0.0;
    for (index, size) in sizes.iter().enumerate() {
        sum += size;
        let here = (sum - by) / (index + 1) as f64;
        let next = sizes.get(index + 1).copied().unwrap_or(0.0);
        if here >= next {
            level = here;
            break;
        }
    }
    level.max(0.0)
}

/// The strength at which the penalty alone moves the scales by `move_by` on the mean, over steps whose rates
/// sum up to `rates`.
///
/// ```text
/// move = strength * 2 / scales * rates / (1 - momentum)
/// ```
///
/// Our arithmetic: the penalty counts every cost from both sides. In small trials a move of 1.4 gave 1.45
/// times fewer multiply-accumulates, one of 2.8 gave 3.5 times fewer, in the proximal form with sums.
pub fn suggest_strength(move_by: f64, rates: f64, momentum: f64, scales: usize) -> f64 {
    move_by * scales as f64 * (1.0 - momentum) / (2.0 * rates.max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_stays_dead_once_all_its_scales_were_0() {
        // The first channel has scales in both norms, the second in the second alone.
        let penalty = Penalty {
            grouping: Grouping::Sum,
            sources: vec![vec![(0, 0), (1, 0)], vec![(1, 1)]],
        };
        let now = vec![vec![0.5], vec![0.25, 0.125]];
        let after = |before: Scales| penalty.without_dead(now.clone(), &before);
        let half_dead = vec![vec![0.0], vec![0.1, 0.0]];
        assert_eq!(after(half_dead), [vec![0.5], vec![0.25, 0.0]]);
        let first_dead = vec![vec![0.0], vec![0.0, 0.2]];
        assert_eq!(after(first_dead), [vec![0.0], vec![0.0, 0.125]]);
    }
}
