//! Every loss of the catalogue on the inputs that its benchmark has: its value, and the gradients of what
//! learns.

use burn::tensor::Device;
use kd_benches::losses::{Measured, measured, unmeasured};
use kd_core::Tensors;

use crate::compared::Compared;
use crate::devices::{cpu, gpu};

/// What a loss makes of the same numbers on `device`: its value and its gradients.
fn record(one: &Measured, device: &Device) -> [Tensors; 2] {
    let record = one.make(device).and_then(|case| case.record()).unwrap();
    let (value, others): (Tensors, Tensors) =
        record.into_iter().partition(|(name, _)| name == "value");
    let gradients = others
        .into_iter()
        .filter(|(name, _)| name.starts_with("gradient."))
        .collect();
    [value, gradients]
}

#[test]
fn losses_and_their_gradients_are_those_of_the_cpu() {
    assert!(unmeasured().is_empty(), "{:?}", unmeasured());
    let mut values = Compared::new("values of losses", 1e-4);
    let mut gradients = Compared::new("gradients of losses", 1e-3);
    for one in measured() {
        let name = format!("{one:?}");
        values.part(&name, |values| {
            let [found, expected] = [&gpu(), &cpu()].map(|device| record(&one, device));
            values.tensors(&name, &found[0], &expected[0]);
            gradients.tensors(&name, &found[1], &expected[1]);
        });
    }
    values.end();
    gradients.end();
}
