//! The penalty against float64 references, and its two updates.

use std::path::Path;

use kd_compact::{Alive, CostModel, Grouping, Groups, Penalty, Resource, Scales};
use kd_core::{Draws, read_tensors};

use crate::own;

const GROUPINGS: [(&str, Grouping); 3] = [
    ("max", Grouping::Max),
    ("sum", Grouping::Sum),
    ("l2", Grouping::L2),
];

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
}

fn model() -> (Groups, CostModel) {
    let graph = own::graph();
    let groups = Groups::of(&graph).unwrap();
    let model = CostModel::of(&graph, &groups);
    (groups, model)
}

/// Random scales of the network's norms.
fn random(groups: &Groups, draws: &mut Draws) -> Scales {
    let sizes = [5, 3, 6, 4];
    assert_eq!(groups.norms().len(), sizes.len());
    let norm = |size| (0..size).map(|_| draws.normal()).collect();
    sizes.map(norm).to_vec()
}

#[test]
fn values_and_gradients_are_those_of_the_layer_form() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compact/fixtures/penalty.safetensors");
    let fixture = read_tensors(&path).unwrap();
    let read = |name: &str| fixture[name].iter::<f64>().collect::<Vec<f64>>();
    let (groups, model) = model();
    let scales: Scales = groups.norms().iter().map(|norm| read(norm)).collect();
    let strengths = vec![1.0; model.blocks().len()];
    for (name, grouping) in GROUPINGS {
        for (of, resource) in [
            ("macs", Resource::MACS),
            ("parameters", Resource::PARAMETERS),
        ] {
            let penalty = Penalty::new(&groups, grouping);
            let alive = penalty.alive(&scales, 0.3);
            let pressures = model.pressures(&resource, &alive, &strengths);
            let value = penalty.value(&scales, &pressures);
            let case = format!("{name}.{of}");
            assert!(
                close(value, read(&format!("{case}.value"))[0]),
                "{case}: {value}"
            );
            let gradient = penalty.subgradient(&scales, &pressures);
            for (norm, gradient) in groups.norms().iter().zip(gradient) {
                let expected = read(&format!("{case}.gradient.{norm}"));
                let pairs = gradient.iter().zip(&expected);
                assert!(
                    pairs.clone().all(|(one, other)| close(*one, *other)),
                    "{case} {norm}"
                );
            }
        }
    }
}

#[test]
fn both_forms_of_the_penalty_are_equal() {
    let (groups, model) = model();
    let resource = Resource::mixed(&model, &groups, 0.7, 0.3);
    let strengths = vec![1.0; model.blocks().len()];
    let mut draws = Draws::new(1, "scales", 0, 0);
    for (_, grouping) in GROUPINGS {
        let penalty = Penalty::new(&groups, grouping);
        for _ in 0..50 {
            let scales = random(&groups, &mut draws);
            let alive = penalty.alive(&scales, 0.5);
            let regularisers = penalty.regularisers(&scales);
            let layers = model.penalty_by_layer(&resource, &alive, &regularisers);
            let by_layer: f64 = layers.into_iter().map(|(_, value)| value).sum();
            let pressures = model.pressures(&resource, &alive, &strengths);
            assert!(close(penalty.value(&scales, &pressures), by_layer));
        }
    }
}

#[test]
fn the_share_of_a_whole_network_is_about_two() {
    // Every cost is counted once from each side, and the image's side is fixed.
    let (groups, model) = model();
    let resource = Resource::mixed(&model, &groups, 1.0, 0.0);
    let all = Alive::all(&groups);
    let costs = model.penalised(&resource, &all).into_iter();
    assert!(close(costs.map(|(_, cost)| cost).sum(), 1.0));
}

#[test]
fn the_proximal_step_has_the_least_of_its_objective() {
    let (groups, _) = model();
    let mut draws = Draws::new(2, "proximal", 0, 0);
    for (name, grouping) in GROUPINGS {
        let penalty = Penalty::new(&groups, grouping);
        let scales = random(&groups, &mut draws);
        let fixed = penalty.scores(&scales);
        let pressures: Vec<f64> = fixed.iter().map(|_| draws.between(0.0, 3.0)).collect();
        let rate = 0.4;
        let objective = |at: &Scales| {
            let pairs = at.iter().flatten().zip(scales.iter().flatten());
            let distance: f64 = pairs.map(|(one, other)| (one - other).powi(2)).sum();
            distance / 2.0 + rate * penalty.value(at, &pressures)
        };
        let stepped = penalty.proximal(&scales, &pressures, rate);
        let least = objective(&stepped);
        assert!(least < objective(&scales), "{name}");
        for trial in 0..2000 {
            let size = 10.0_f64.powi(-(trial % 5));
            let mut near = stepped.clone();
            for value in near.iter_mut().flatten() {
                if draws.chance(0.3) {
                    *value += size * draws.normal();
                }
            }
            assert!(objective(&near) >= least - 1e-12, "{name} {trial}");
        }
    }
}

#[test]
fn a_proximal_step_reaches_zero_and_a_stronger_one_never_leaves_more() {
    let (groups, model) = model();
    let resource = Resource::mixed(&model, &groups, 1.0, 0.0);
    let mut draws = Draws::new(3, "monotone", 0, 0);
    for (name, grouping) in GROUPINGS {
        let penalty = Penalty::new(&groups, grouping);
        let scales = random(&groups, &mut draws);
        let alive = penalty.alive(&scales, 0.01);
        let left = |strength: f64| {
            let strengths = vec![strength; model.blocks().len()];
            let pressures = model.pressures(&resource, &alive, &strengths);
            let stepped = penalty.proximal(&scales, &pressures, 0.1);
            stepped
                .iter()
                .flatten()
                .map(|value| value.abs())
                .sum::<f64>()
        };
        let sums = [0.0, 0.1, 1.0, 10.0, 100.0, 1e6].map(left);
        assert!(
            sums.is_sorted_by(|one, other| one >= other),
            "{name}: {sums:?}"
        );
        assert!(sums[0] > 0.0 && sums[5] <= 0.0, "{name}: {sums:?}");
    }
}
