//! The hard budget: the channels with the highest scores that fit into it.

use kd_core::{Error, Result};

use crate::alive::Alive;
use crate::costs::{CostModel, Kind, Size};
use crate::groups::Groups;

/// Limits on a network's cost, or on that of one of its blocks. What is not limited is the largest number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The block; none for the whole network.
    pub block: Option<String>,
    /// The most that is allowed.
    pub most: Size,
}

impl Limit {
    /// The cost that it is about, of those of all blocks.
    pub(crate) fn of(&self, model: &CostModel, by_block: &[Size]) -> Size {
        let blocks = model.blocks().iter().zip(by_block);
        let limited = blocks.filter(|(name, _)| self.is_about(name));
        limited.fold(Size::default(), |sum, (_, size)| sum + *size)
    }

    /// Whether it is about a block, be it as a part of the whole.
    pub(crate) fn is_about(&self, name: &str) -> bool {
        self.block.as_ref().is_none_or(|block| block == name)
    }

    /// The share that it allows of a cost; of several resources the smallest.
    pub(crate) fn share(&self, cost: Size) -> f64 {
        let of = |most: u64, cost: u64| (most as f64 / cost.max(1) as f64).min(1.0);
        f64::min(
            of(self.most.macs, cost.macs),
            of(self.most.parameters, cost.parameters),
        )
    }
}

/// The limits of a cut, all of which hold at its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Budget {
    /// The limits.
    pub limits: Vec<Limit>,
    /// The most milliseconds that an answer may take, by the times of [`CostModel::timed`]; without these
    /// it is not looked at.
    pub milliseconds: Option<f64>,
}

/// No limit.
pub(crate) const UNLIMITED: u64 = u64::MAX;

/// The least cost of every part: what is left when every group has one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Floor {
    /// Of the whole network.
    pub whole: Size,
    /// Of each block, with its name.
    pub blocks: Vec<(String, Size)>,
}

impl Floor {
    /// The floor of a network.
    pub fn of(model: &CostModel, groups: &Groups) -> Self {
        let least = Alive::chosen(groups, |_, _| false);
        let names = model.blocks().iter().cloned();
        Self {
            whole: model.size(&least),
            blocks: names.zip(model.by_block(&least)).collect(),
        }
    }
}

impl Budget {
    /// A budget for the whole network.
    pub fn whole(most: Size) -> Self {
        let block = None;
        Self {
            limits: vec![Limit { block, most }],
            milliseconds: None,
        }
    }

    /// The limits with the numbers of their blocks, none for the whole network.
    fn placed(&self, model: &CostModel) -> Result<Vec<(Option<usize>, Size)>> {
        let place = |limit: &Limit| {
            let Some(name) = &limit.block else {
                return Ok((None, limit.most));
            };
            let known = model.blocks().iter().map(String::as_str);
            let block = model.blocks().iter().position(|block| block == name);
            let block = block.ok_or_else(|| Error::unknown_name("block", name, known))?;
            Ok((Some(block), limit.most))
        };
        self.limits.iter().map(place).collect()
    }

    /// Checks that the budget asks for something, and for nothing that cannot be.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there is no limit, one is met already, or one is below the floor;
    /// [`Error::UnknownName`] for a block that there is not.
    pub fn check(&self, model: &CostModel, groups: &Groups) -> Result<()> {
        if self.limits.is_empty() && self.milliseconds.is_none() {
            let problem = "is missing; say how much is allowed, as `macs = 0.5`, `parameters = 0.2` or \
                           `milliseconds = 3.0`";
            return Err(Error::config("budget", problem));
        }
        let (all, least) = (Alive::all(groups), Alive::chosen(groups, |_, _| false));
        let (now, floor) = (model.by_block(&all), model.by_block(&least));
        for (block, most) in self.placed(model)? {
            let of = |sizes: &[Size]| match block {
                Some(block) => sizes[block],
                None => sizes.iter().fold(Size::default(), |sum, size| sum + *size),
            };
            let field = match block {
                Some(block) => format!("blocks.{}", model.blocks()[block]),
                None => "budget".to_owned(),
            };
            check_one(
                &format!("{field}.macs"),
                most.macs,
                of(&now).macs,
                of(&floor).macs,
            )?;
            let (now, floor) = (of(&now).parameters, of(&floor).parameters);
            check_one(&format!("{field}.parameters"), most.parameters, now, floor)?;
        }
        let times = [&all, &least].map(|alive| model.milliseconds(alive));
        match (self.milliseconds, times) {
            (Some(most), [Some(now), Some(floor)]) => check_time(most, now, floor),
            _ => Ok(()),
        }
    }

    /// Which channels stay: those with the highest `scores`, one for each unit of [`Groups`], until every
    /// limit holds; then every one that still fits comes back, the best first. So no channel could be added
    /// to the result within the budget. Every group keeps a channel.
    ///
    /// # Errors
    ///
    /// As [`Budget::check`].
    pub fn choose(&self, model: &CostModel, groups: &Groups, scores: &[f64]) -> Result<Alive> {
        self.choose_rounded(model, groups, scores, 1)
    }

    /// As [`Budget::choose`], but the channels that stay of each group are a multiple of `round_to`, or all
    /// of them: the weakest beyond the last multiple go as well, and channels come back in packs of so
    /// many, those with the best one first, as long as a whole pack fits. A group with fewer channels stays
    /// whole.
    ///
    /// # Errors
    ///
    /// As [`Budget::check`], and [`Error::Config`] if multiples of `round_to` cannot meet the budget.
    pub fn choose_rounded(
        &self,
        model: &CostModel,
        groups: &Groups,
        scores: &[f64],
        round_to: usize,
    ) -> Result<Alive> {
        self.check(model, groups)?;
        let mut state = State::new(model, groups, self)?;
        // From the weakest to the best, ties from the last to the first.
        let mut order: Vec<usize> = (0..groups.units.len())
            .filter(|&unit| groups.is_free(&groups.units[unit]))
            .collect();
        order.sort_by(|&one, &other| scores[one].total_cmp(&scores[other]).then(other.cmp(&one)));
        state.shrink(&order, round_to);
        if round_to > 1 {
            state.round_down(&order, round_to);
        }
        if !state.is_met() {
            let problem = format!(
                "is {round_to}, with which groups of channels keep so many that the budget is not met; take \
                 a smaller number, or allow more"
            );
            return Err(Error::config("compact.round_to", problem));
        }
        state.refill(&order, round_to);
        Ok(state.alive)
    }
}

fn check_one(field: &str, most: u64, now: u64, floor: u64) -> Result<()> {
    if most == UNLIMITED {
        return Ok(());
    }
    if most >= now {
        let problem = format!("is {most}, and the network needs only {now}; nothing is to be cut");
        return Err(Error::config(field, problem));
    }
    if most < floor {
        let problem = format!(
            "is {most} of {now}, and no less than {floor} is possible: every group of channels keeps one, \
             and some are fixed; allow more, or lift other limits"
        );
        return Err(Error::config(field, problem));
    }
    Ok(())
}

fn check_time(most: f64, now: f64, floor: f64) -> Result<()> {
    let problem = if most >= now {
        format!("is {most}, and an answer takes {now:.3} ms here; nothing is to be cut")
    } else if most < floor {
        format!(
            "is {most} of {now:.3} ms, and no less than {floor:.3} ms is possible here: every group of \
             channels \
             keeps one, and some are fixed; allow more, or take a smaller network"
        )
    } else {
        return Ok(());
    };
    Err(Error::config("budget.milliseconds", problem))
}

/// The time of an answer on its way into a budget, in seconds.
struct Clock {
    most: f64,
    by_layer: Vec<f64>,
}

impl Clock {
    fn is_late(&self) -> bool {
        self.by_layer.iter().sum::<f64>() > self.most
    }
}

/// Channels on their way into a budget.
struct State<'a> {
    model: &'a CostModel,
    groups: &'a Groups,
    limits: Vec<(Option<usize>, Size)>,
    alive: Alive,
    left: Vec<usize>,
    counts: Vec<[u64; 2]>,
    sizes: Vec<Size>,
    clock: Option<Clock>,
}

impl<'a> State<'a> {
    fn new(model: &'a CostModel, groups: &'a Groups, budget: &Budget) -> Result<Self> {
        let alive = Alive::all(groups);
        let counts = model.counts(&alive);
        let times = budget.milliseconds.zip(model.seconds(&counts));
        Ok(Self {
            model,
            groups,
            limits: budget.placed(model)?,
            clock: times.map(|(most, by_layer)| Clock {
                most: 1e-3 * most,
                by_layer,
            }),
            left: alive.by_group(groups),
            counts,
            sizes: model.by_block(&alive),
            alive,
        })
    }

    fn is_late(&self) -> bool {
        self.clock.as_ref().is_some_and(Clock::is_late)
    }

    fn size(&self, block: Option<usize>) -> Size {
        if let Some(block) = block {
            return self.sizes[block];
        }
        let sizes = self.sizes.iter();
        sizes.fold(Size::default(), |sum, size| sum + *size)
    }

    fn is_met(&self) -> bool {
        !self.is_late()
            && self.limits.iter().all(|&(block, most)| {
                let size = self.size(block);
                size.macs <= most.macs && size.parameters <= most.parameters
            })
    }

    /// Whether a unit has a part in something that is above its limit.
    fn helps(&self, unit: usize) -> bool {
        let is_late = self.is_late();
        let mut layers = self.model.touched[unit].iter();
        layers.any(|&(layer, _)| {
            let layer = &self.model.layers[layer];
            let has_macs = layer.kind != Kind::Norm;
            has_macs && is_late
                || self.limits.iter().any(|&(block, most)| {
                    let size = self.size(block);
                    let above =
                        (has_macs && size.macs > most.macs) || size.parameters > most.parameters;
                    above && block.is_none_or(|block| block == layer.block)
                })
        })
    }

    fn change(&mut self, unit: usize, add: bool) {
        let model = self.model;
        let touched = &model.touched[unit];
        let before: Vec<Size> = touched
            .iter()
            .map(|&(layer, _)| model.layers[layer].size(self.counts[layer]))
            .collect();
        if add {
            model.put(&mut self.counts, unit);
        } else {
            model.take(&mut self.counts, unit);
        }
        for (&(layer, _), before) in touched.iter().zip(before) {
            let after = model.layers[layer].size(self.counts[layer]);
            let size = &mut self.sizes[model.layers[layer].block];
            size.macs = size.macs - before.macs + after.macs;
            size.parameters = size.parameters - before.parameters + after.parameters;
            if let Some(clock) = &mut self.clock {
                clock.by_layer[layer] = model.seconds_of(layer, self.counts[layer]);
            }
        }
        self.alive.0[unit] = add;
        let left = &mut self.left[self.groups.units[unit].group];
        *left = if add { *left + 1 } else { *left - 1 };
    }

    /// Takes the weakest channels until every limit holds; a group keeps `least`, or all that it has.
    fn shrink(&mut self, order: &[usize], least: usize) {
        for &unit in order {
            if self.is_met() {
                break;
            }
            if self.left[self.groups.units[unit].group] > least && self.helps(unit) {
                self.take(unit);
            }
        }
    }

    /// Takes the weakest channels of each group that was cut until those that are left are a multiple.
    fn round_down(&mut self, order: &[usize], round_to: usize) {
        for &unit in order {
            let group = self.groups.units[unit].group;
            let left = self.left[group];
            let whole = left == self.groups.groups()[group].channels;
            if !whole && self.alive.0[unit] && !left.is_multiple_of(round_to) {
                self.take(unit);
            }
        }
    }

    /// Brings back what still fits, the best first, in packs of `pack` channels of one group, or what is left
    /// of it. Channels of a group cost the same, so that a group of which no pack fits is done with.
    fn refill(&mut self, order: &[usize], pack: usize) {
        let groups = self.groups;
        let mut full = vec![false; groups.groups().len()];
        for (place, &unit) in order.iter().enumerate().rev() {
            let group = groups.units[unit].group;
            if self.alive.0[unit] || full[group] {
                continue;
            }
            let weaker = order[..=place].iter().copied().rev();
            let dead = weaker.filter(|&other| groups.units[other].group == group);
            let units: Vec<usize> = dead
                .filter(|&other| !self.alive.0[other])
                .take(pack)
                .collect();
            for &unit in &units {
                self.put(unit);
            }
            if !self.is_met() {
                full[group] = true;
                for &unit in &units {
                    self.take(unit);
                }
            }
        }
    }

    fn take(&mut self, unit: usize) {
        self.change(unit, false);
    }

    fn put(&mut self, unit: usize) {
        self.change(unit, true);
    }
}
