//! The optimizers against PyTorch's, step by step from the same gradients.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{
    NamedGradients, Names, Optimizer, OptimizerConfig, Schedule, Tensors, Training, export, import,
    read_tensors,
};

#[derive(Module, Debug)]
struct Two {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    idle: Param<Tensor<1>>,
}

fn fixture() -> Tensors {
    read_tensors(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/optimizers.safetensors"),
    )
    .unwrap()
}

fn start(fixture: &Tensors, device: &Device) -> Two {
    Two {
        weight: Param::from_data(fixture["weight"].clone(), device),
        bias: Param::from_data(fixture["bias"].clone(), device),
        idle: Param::from_data(TensorData::from([3.0_f32, -1.0]), device),
    }
}

/// The loss `sum(weight * g) + sum(bias * h)` has the gradients `g` and `h`; `idle` is not part of it.
fn gradients(fixture: &Tensors, two: &Two, step: usize, training: &Training) -> NamedGradients {
    let device = Device::flex().autodiff();
    let g = Tensor::<3>::from_data(fixture["gradients.weight"].clone(), &device);
    let h = Tensor::<2>::from_data(fixture["gradients.bias"].clone(), &device);
    let g = g.narrow(0, step, 1).squeeze_dim::<2>(0);
    let h = h.narrow(0, step, 1).squeeze_dim::<1>(0);
    let loss = (two.weight.val() * g).sum() + (two.bias.val() * h).sum();
    let mut raw = loss.backward();
    let mut named = NamedGradients::new();
    named.collect("two", two, &mut raw);
    training.clip(&mut named);
    named
}

fn cases() -> Vec<(&'static str, OptimizerConfig, Training, f64)> {
    let sgd = |momentum, weight_decay, nesterov| OptimizerConfig::Sgd {
        momentum,
        weight_decay,
        nesterov,
    };
    let plain = Training::default;
    let mut norm = plain();
    norm.clip_norm = Some(2.0);
    let mut value = plain();
    value.clip_value = Some(0.5);
    let mut cycle = plain();
    cycle.schedule = Schedule::one_cycle_with_momentum();
    let adam = OptimizerConfig::Adam {
        beta1: 0.8,
        beta2: 0.95,
        epsilon: 1e-6,
        weight_decay: 0.1,
    };
    let adamw = OptimizerConfig::Adamw {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
    };
    vec![
        ("sgd", sgd(0.0, 0.0, false), plain(), 0.1),
        ("sgd_momentum_decay", sgd(0.9, 0.01, false), plain(), 0.1),
        ("sgd_nesterov", sgd(0.9, 0.0, true), plain(), 0.1),
        ("adam", OptimizerConfig::adam(), plain(), 0.01),
        ("adam_decay", adam, plain(), 0.01),
        ("adamw", adamw, plain(), 0.01),
        ("sgd_clip_norm", sgd(0.9, 0.0, false), norm, 0.1),
        ("sgd_clip_value", sgd(0.9, 0.0, false), value, 0.1),
        (
            "adam_one_cycle",
            OptimizerConfig::adam(),
            cycle.clone(),
            0.01,
        ),
        ("sgd_one_cycle", sgd(0.9, 0.0, false), cycle, 0.1),
    ]
}

#[test]
fn twelve_steps_end_where_those_of_pytorch_end() {
    let fixture = fixture();
    let device = Device::flex().autodiff();
    for (name, config, mut training, lr) in cases() {
        training.steps = Some(12);
        training.lr = lr;
        let rate = training.plan(12, None).unwrap().lr;
        let mut optimizer = Optimizer::new(config.clone()).unwrap();
        let mut two = start(&fixture, &device);
        for step in 0..12 {
            let named = gradients(&fixture, &two, step, &training);
            optimizer.set_momentum(rate.momentum(step));
            two = optimizer.step("two", two, rate.at(step), &named);
            if step == 5 {
                // Half way the state goes through a checkpoint.
                let (tensors, steps) = optimizer.state();
                optimizer = Optimizer::new(config.clone()).unwrap();
                optimizer.restore(&tensors, &steps, &device);
                two = import(
                    &start(&fixture, &device),
                    &export(&two, Names::Burn),
                    Names::Burn,
                    "checkpoint",
                )
                .unwrap();
            }
        }
        for (part, got) in [
            ("weight", two.weight.val().into_data()),
            ("bias", two.bias.val().into_data()),
        ] {
            let expected = &fixture[&format!("{name}.{part}")];
            for (a, b) in got.iter::<f64>().zip(expected.iter::<f64>()) {
                assert!(
                    (a - b).abs() < 2e-6 * b.abs().max(1.0),
                    "{name}.{part}: {a} is not {b}"
                );
            }
        }
        assert_eq!(
            two.idle.val().into_data(),
            TensorData::from([3.0_f32, -1.0]),
            "{name}: no gradient, no step"
        );
    }
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    let sgd = |momentum, nesterov| OptimizerConfig::Sgd {
        momentum,
        weight_decay: 0.0,
        nesterov,
    };
    let adam = |epsilon| OptimizerConfig::Adam {
        beta1: 0.9,
        beta2: 0.999,
        epsilon,
        weight_decay: 0.0,
    };
    for (config, expected) in [
        (
            sgd(1.0, false),
            "`optimizer.momentum` must be at least 0 and below 1, got 1",
        ),
        (
            sgd(f64::NAN, false),
            "`optimizer.momentum` must be at least 0 and below 1, got NaN",
        ),
        (
            sgd(0.0, true),
            "`optimizer.nesterov` needs a momentum above 0; set `optimizer.momentum`",
        ),
        (
            adam(0.0),
            "`optimizer.epsilon` must be finite and above 0, got 0",
        ),
    ] {
        assert_eq!(Optimizer::new(config).unwrap_err().to_string(), expected);
    }
}
