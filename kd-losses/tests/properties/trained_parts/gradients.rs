//! Adapters and losses with trained parts: the parameters and positions that a term trains.

use crate::support::{numbers, wave};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};
use kd_losses::{FactorTransferLossConfig, MaskedUnit, MgdLossConfig, Result};

fn map<const D: usize>(shape: [usize; D], phase: f64) -> Tensor<D> {
    Tensor::from_data(wave(shape, phase), &Device::flex())
}

#[test]
fn what_is_masked_gets_no_gradient_from_its_own_position() -> Result<()> {
    // Equal widths: no layer between the student's map and the mask.
    let shape = [2, 3, 5, 4];
    let at = |unit, ratio: f64, draw| -> Result<Vec<bool>> {
        let config = MgdLossConfig::new().with_unit(unit).with_mask_ratio(ratio);
        let loss = config.init(3, 3, 17, &Device::flex().autodiff())?;
        let student = map(shape, 0.3).autodiff().require_grad();
        let gradients = loss
            .forward(student.clone(), map(shape, 1.1), draw)?
            .backward();
        let gradient = student.grad(&gradients).map(numbers).unwrap_or_default();
        Ok(gradient.into_iter().map(|value| value == 0.0).collect())
    };
    let masked = |zeros: &[bool]| zeros.iter().filter(|&&zero| zero).count();
    let plane = 5 * 4;
    let positions = at(MaskedUnit::Position, 0.5, 0)?;
    for (index, &zero) in positions.iter().enumerate() {
        // All channels of a position together.
        let first = index / (3 * plane) * 3 * plane + index % plane;
        assert_eq!(zero, positions[first], "{index}");
    }
    assert!(
        (30..90).contains(&masked(&positions)),
        "{}",
        masked(&positions)
    );
    let channels = at(MaskedUnit::Channel, 0.5, 0)?;
    for (index, &zero) in channels.iter().enumerate() {
        assert_eq!(zero, channels[index / plane * plane], "{index}");
    }
    assert!((1..6).contains(&(masked(&channels) / plane)));
    assert_eq!(
        positions,
        at(MaskedUnit::Position, 0.5, 0)?,
        "a draw that is repeated"
    );
    assert_ne!(positions, at(MaskedUnit::Position, 0.5, 1)?, "another draw");
    assert_eq!(masked(&at(MaskedUnit::Position, 0.0, 0)?), 0);
    Ok(())
}

/// The names of parameters, running statistics left out, and whether each has a gradient.
fn learning<M: Module>(module: &M, gradients: &Gradients) -> Vec<(String, bool)> {
    struct Visit<'a> {
        gradients: &'a Gradients,
        path: Vec<String>,
        found: Vec<(String, bool)>,
    }
    impl ModuleVisitor for Visit<'_> {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let path = self.path.join(".");
            if !path.contains("running_") {
                let learns = param.val().grad(self.gradients).is_some();
                self.found.push((path, learns));
            }
        }
    }
    let (path, found) = (Vec::new(), Vec::new());
    let mut visit = Visit {
        gradients,
        path,
        found,
    };
    module.visit(&mut visit);
    visit.found
}

/// The running statistics of a module.
fn statistics<M: Module>(module: &M) -> Vec<(String, Vec<f64>)> {
    struct Visit(Vec<String>, Vec<(String, Vec<f64>)>);
    impl ModuleVisitor for Visit {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let path = self.0.join(".");
            if path.contains("running_") {
                self.1.push((path, numbers(param.val())));
            }
        }
    }
    let mut visit = Visit(Vec::new(), Vec::new());
    // An update is seen at the next one, or by the module in inference form.
    module.valid().visit(&mut visit);
    visit.1
}

#[test]
fn each_term_of_factor_transfer_trains_its_own_part() -> Result<()> {
    let device = Device::flex().autodiff();
    let loss = FactorTransferLossConfig::new().init(2, 4, 3, &device)?;
    let student = map([3, 2, 3, 3], 0.2).autodiff().require_grad();
    let teacher = map([3, 4, 3, 3], 0.8).autodiff().require_grad();
    let before = statistics(&loss);
    assert_eq!(before.len(), 18, "two for each of nine batch norms");

    let first = loss.reconstruction(teacher.clone())?.backward();
    let between = statistics(&loss);
    let second = loss.transfer(student.clone(), teacher.clone())?.backward();
    let after = statistics(&loss);
    assert!(teacher.grad(&first).is_none() && teacher.grad(&second).is_none());
    assert!(student.grad(&second).is_some());
    for (name, learns) in learning(&loss, &first) {
        assert_eq!(
            learns,
            !name.starts_with("translator"),
            "{name} in the reconstruction"
        );
    }
    for (name, learns) in learning(&loss, &second) {
        assert_eq!(
            learns,
            name.starts_with("translator"),
            "{name} in the transfer"
        );
    }
    // The same of the statistics.
    for ((name, old), (_, new)) in before.iter().zip(&between) {
        assert_eq!(
            old != new,
            !name.starts_with("translator"),
            "{name} in the reconstruction"
        );
    }
    for ((name, old), (_, new)) in between.iter().zip(&after) {
        assert_eq!(
            old != new,
            name.starts_with("translator"),
            "{name} in the transfer"
        );
    }
    Ok(())
}
