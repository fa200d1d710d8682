//! Statistics of norms taken anew, which sparse training leaves behind the scales.

use kd_core::{Classifier, Names, NetworkInput, Result, Tensors, detached_copy, export, import};

use crate::tensors::{put, values};

/// A copy of the network, on the plain device, whose norms have the mean of the statistics of `inputs`, each
/// as training sees it.
///
/// A norm keeps a moving average `r' = (1 - m) r + m b`. From `r = 0` it is `m b`, and `m` follows from one
/// input passed twice, from `r = 0` and from `r = 1`. So the mean of all `b` needs no access to the norm.
///
/// # Errors
///
/// Those of [`import`].
pub fn recalibrated<N: Classifier>(network: &N, inputs: &[N::Input]) -> Result<N> {
    let mut tensors = export(network, Names::PyTorch);
    let names: Vec<String> = tensors
        .keys()
        .filter(|name| name.ends_with("running_mean") || name.ends_with("running_var"))
        .cloned()
        .collect();
    let Some(first) = inputs.first() else {
        return Ok(network.valid());
    };
    let training = detached_copy(network).train();
    let after = |value: f64, input: &N::Input| -> Result<Tensors> {
        let mut begun = tensors.clone();
        for name in &names {
            let numbers = vec![value; values(&begun, name).len()];
            put(&mut begun, name, &numbers);
        }
        // Without gradients nothing is kept for a backward pass that does not come.
        let trial = import(&training, &begun, Names::PyTorch, "the statistics")?.no_grad();
        drop(trial.forward(&input.clone().lifted()));
        Ok(export(&trial, Names::PyTorch))
    };
    let (zero, one) = (after(0.0, first)?, after(1.0, first)?);
    let mut sums: Vec<Vec<f64>> = names.iter().map(|name| values(&zero, name)).collect();
    for input in &inputs[1..] {
        let found = after(0.0, input)?;
        for (sum, name) in sums.iter_mut().zip(&names) {
            for (sum, value) in sum.iter_mut().zip(values(&found, name)) {
                *sum += value;
            }
        }
    }
    for (sum, name) in sums.iter().zip(&names) {
        let pairs = values(&zero, name).into_iter().zip(values(&one, name));
        let kept: f64 = pairs.map(|(zero, one)| one - zero).sum();
        let momentum = 1.0 - kept / sum.len().max(1) as f64;
        let scale = 1.0 / (momentum * inputs.len() as f64);
        let mean: Vec<f64> = sum.iter().map(|sum| sum * scale).collect();
        put(&mut tensors, name, &mean);
    }
    import(&network.valid(), &tensors, Names::PyTorch, "the statistics")
}
