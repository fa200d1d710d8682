//! The time of an answer by the widths of a network's layers: measured layers, interpolated.

use std::collections::BTreeMap;

use burn::tensor::TensorData;
use kd_core::{Error, Result, Tensors};

/// Measured times of a layer at a grid of widths.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grid {
    /// Numbers of input channels, rising; one alone where the time does not follow them.
    inputs: Vec<f64>,
    /// Numbers of output channels, rising.
    outputs: Vec<f64>,
    /// In seconds, a row for each number of inputs.
    times: Vec<f64>,
}

impl Grid {
    /// Measures every point with `seconds`, given inputs and outputs. A layer cannot take longer than a wider
    /// one: where it was found to, as something came in between, it takes as long.
    pub(crate) fn measured(
        inputs: &[usize],
        outputs: &[usize],
        mut seconds: impl FnMut([usize; 2]) -> Result<f64>,
    ) -> Result<Self> {
        let mut times = Vec::with_capacity(inputs.len() * outputs.len());
        for &input in inputs {
            for &output in outputs {
                times.push(seconds([input, output])?);
            }
        }
        let columns = outputs.len();
        for place in (0..times.len()).rev() {
            let wider_output = (place % columns + 1 < columns).then_some(place + 1);
            let wider_input = Some(place + columns).filter(|place| *place < times.len());
            for wider in [wider_output, wider_input].into_iter().flatten() {
                times[place] = times[place].min(times[wider]);
            }
        }
        let numbers = |counts: &[usize]| counts.iter().map(|&count| count as f64).collect();
        Ok(Self {
            inputs: numbers(inputs),
            outputs: numbers(outputs),
            times,
        })
    }

    /// The time at any widths: between four points of the grid, and at its edge beyond it.
    pub(crate) fn at(&self, [inputs, outputs]: [u64; 2]) -> f64 {
        let (rows, down) = between(&self.inputs, inputs as f64);
        let (columns, along) = between(&self.outputs, outputs as f64);
        let of_row = |row: usize| {
            let [one, next] = columns.map(|column| self.times[row * self.outputs.len() + column]);
            one + along * (next - one)
        };
        let [one, next] = rows.map(of_row);
        one + down * (next - one)
    }

    /// As a table with the numbers of inputs in front of the rows and those of outputs above the columns.
    fn tensor(&self) -> TensorData {
        let mut numbers = vec![0.0];
        numbers.extend(&self.outputs);
        let rows = self.times.chunks(self.outputs.len());
        for (inputs, row) in self.inputs.iter().zip(rows) {
            numbers.push(*inputs);
            numbers.extend(row);
        }
        let shape = [self.inputs.len() + 1, self.outputs.len() + 1];
        TensorData::new(numbers, shape)
    }

    fn of_tensor(data: &TensorData) -> Option<Self> {
        let shape = data.shape().as_slice().to_vec();
        let [rows, columns] = shape.try_into().ok()?;
        if rows < 2 || columns < 2 {
            return None;
        }
        let numbers: Vec<f64> = data.iter::<f64>().collect();
        let (first, rows) = numbers.split_at(columns);
        Some(Self {
            inputs: rows.chunks(columns).map(|row| row[0]).collect(),
            outputs: first[1..].to_vec(),
            times: rows
                .chunks(columns)
                .flat_map(|row| row[1..].to_vec())
                .collect(),
        })
    }
}

/// The two points about a number and its way from the first to the second, 0 to 1.
fn between(points: &[f64], at: f64) -> ([usize; 2], f64) {
    let next = points.partition_point(|point| *point < at);
    if next == 0 || next == points.len() {
        let end = next.min(points.len() - 1);
        return ([end, end], 0.0);
    }
    let [low, high] = [points[next - 1], points[next]];
    ([next - 1, next], (at - low) / (high - low))
}

/// What a budget in milliseconds goes by: the time of a network's answer and that of each of its layers at a
/// grid of widths, on the machine that measured them.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyTable {
    /// Samples at once.
    pub(crate) batch: usize,
    /// The median of many answers of the whole network, in seconds.
    pub(crate) whole: f64,
    /// By the path of each layer.
    pub(crate) layers: BTreeMap<String, Grid>,
}

/// What the numbers of the whole network are called; no layer has a space in its path.
const WHOLE: &str = "whole network";

impl LatencyTable {
    /// The samples that are answered at once.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The time of an answer of the network as it was, in milliseconds.
    pub fn milliseconds(&self) -> f64 {
        1e3 * self.whole
    }

    /// As tensors for a file: of each layer a table, seconds under and beside numbers of channels.
    pub fn tensors(&self) -> Tensors {
        let layers = self.layers.iter();
        let mut tensors: Tensors = layers
            .map(|(path, grid)| (path.clone(), grid.tensor()))
            .collect();
        let whole = TensorData::new(vec![self.batch as f64, self.whole], [2]);
        tensors.insert(WHOLE.to_owned(), whole);
        tensors
    }

    /// The opposite of [`LatencyTable::tensors`].
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for tensors that are no such table.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float becomes the nearest size of a batch"
    )]
    pub fn of_tensors(tensors: &Tensors) -> Result<Self> {
        let bad =
            |name: &str| Error::config("latency", format!("has no table of times in `{name}`"));
        let whole = tensors.get(WHOLE).ok_or_else(|| bad(WHOLE))?;
        let whole: Vec<f64> = whole.iter::<f64>().collect();
        let &[batch, whole] = whole.as_slice() else {
            return Err(bad(WHOLE));
        };
        let others = tensors.iter().filter(|(name, _)| *name != WHOLE);
        let layers = others.map(|(name, data)| {
            let grid = Grid::of_tensor(data).ok_or_else(|| bad(name))?;
            Ok((name.clone(), grid))
        });
        Ok(Self {
            batch: batch as usize,
            whole,
            layers: layers.collect::<Result<_>>()?,
        })
    }
}
