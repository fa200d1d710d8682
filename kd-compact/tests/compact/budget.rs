//! Budgets: met, as closely as channels allow, or refused in words.

use kd_compact::{Alive, Budget, CostModel, Floor, Groups, Limit, Size, graph_of};
use kd_core::{Draws, ErrorKind};
use kd_models::NetworkSpec;

struct Scene {
    groups: Groups,
    model: CostModel,
}

fn scene(name: &str) -> Scene {
    let spec = NetworkSpec::new(name, 10, [3, 32, 32]);
    let graph = graph_of(&spec).unwrap();
    let groups = Groups::of(&graph).unwrap();
    let model = CostModel::of(&graph, &groups);
    Scene { groups, model }
}

impl Scene {
    fn whole(&self) -> Size {
        self.model.size(&Alive::all(&self.groups))
    }

    /// Scores as a phase might leave them: half of them nearly 0.
    fn scores(&self, seed: u64) -> Vec<f64> {
        let mut draws = Draws::new(seed, "scores", 0, 0);
        let all = self.model.pressures(
            &kd_compact::Resource::MACS,
            &Alive::all(&self.groups),
            &vec![1.0; self.model.blocks().len()],
        );
        let score = |_| {
            let small = if draws.chance(0.5) { 1e-6 } else { 1.0 };
            small * draws.uniform()
        };
        all.iter().map(score).collect()
    }
}

fn most(macs: u64, parameters: u64) -> Size {
    Size { macs, parameters }
}

fn share(whole: u64, percent: u64) -> u64 {
    whole * percent / 100
}

const NETWORKS: [&str; 4] = ["mobilenetv2-mini", "resnet20", "crd-resnet8", "vgg8"];

#[test]
fn halves_quarters_and_fifths_are_met_within_two_percent() {
    for name in NETWORKS {
        let scene = scene(name);
        let whole = scene.whole();
        let unlimited = u64::MAX;
        let limits = [
            most(share(whole.macs, 50), unlimited),
            most(share(whole.macs, 25), unlimited),
            most(unlimited, share(whole.parameters, 20)),
            most(share(whole.macs, 40), share(whole.parameters, 30)),
        ];
        for (seed, limit) in (0..).zip(limits) {
            let budget = Budget::whole(limit);
            let alive = budget
                .choose(&scene.model, &scene.groups, &scene.scores(seed))
                .unwrap();
            let size = scene.model.size(&alive);
            assert!(size.macs <= limit.macs && size.parameters <= limit.parameters);
            // One of the limits is what stops it.
            let near = |size: u64, limit: u64| size as f64 >= 0.98 * limit as f64;
            let is_near = near(size.macs, limit.macs) || near(size.parameters, limit.parameters);
            assert!(is_near, "{name} {limit:?}: {size:?}");
            assert!(alive.by_group(&scene.groups).iter().all(|&left| left > 0));
        }
    }
}

#[test]
fn rounded_widths_are_multiples_within_the_budget_and_no_pack_more_would_fit() {
    for (seed, name) in (0..).zip(NETWORKS) {
        let scene = scene(name);
        let limit = most(share(scene.whole().macs, 50), u64::MAX);
        let budget = Budget::whole(limit);
        let (model, groups) = (&scene.model, &scene.groups);
        let choose = |round_to| {
            let scores = scene.scores(seed);
            budget
                .choose_rounded(model, groups, &scores, round_to)
                .unwrap()
        };
        assert_eq!(
            choose(1),
            budget.choose(model, groups, &scene.scores(seed)).unwrap()
        );
        let rounded = choose(8);
        assert!(model.size(&rounded).macs <= limit.macs, "{name}");
        let left = rounded.by_group(groups);
        assert_ne!(left, choose(1).by_group(groups), "{name}");
        for (place, group) in groups.groups().iter().enumerate() {
            let whole = left[place] == group.channels;
            assert!(
                whole || left[place] % 8 == 0 && left[place] > 0,
                "{name} {}: {}",
                group.name,
                left[place]
            );
            if !whole {
                // Whatever channels of the group it is: costs depend on their number alone.
                let more = Alive::chosen(groups, |other, channel| {
                    channel < left[other] + if other == place { 8 } else { 0 }
                });
                assert!(model.size(&more).macs > limit.macs, "{name} {}", group.name);
            }
        }
    }
}

#[test]
fn multiples_that_cannot_meet_the_budget_are_refused() {
    let scene = scene("resnet20");
    let limit = most(share(scene.whole().macs, 10), u64::MAX);
    let scores = scene.scores(0);
    let choose = |round_to| {
        Budget::whole(limit).choose_rounded(&scene.model, &scene.groups, &scores, round_to)
    };
    assert!(choose(4).is_ok());
    let text = choose(16).unwrap_err().to_string();
    assert!(text.starts_with("`compact.round_to` is 16"), "{text}");
}

#[test]
fn a_budget_by_block_leaves_the_other_blocks_alone() {
    let scene = scene("resnet20");
    let all = Alive::all(&scene.groups);
    let before = scene.model.by_block(&all);
    let third = scene
        .model
        .blocks()
        .iter()
        .position(|block| block == "layer3");
    let third = third.unwrap();
    let limit = share(before[third].parameters, 30);
    let budget = Budget {
        limits: vec![Limit {
            block: Some("layer3".into()),
            most: most(u64::MAX, limit),
        }],
        milliseconds: None,
    };
    let alive = budget
        .choose(&scene.model, &scene.groups, &scene.scores(1))
        .unwrap();
    let after = scene.model.by_block(&alive);
    assert!(after[third].parameters <= limit);
    assert!(after[third].parameters as f64 >= 0.98 * limit as f64);
    // The first group's inner channels are nobody else's.
    let inner = scene.groups.groups().iter();
    let inner = inner.zip(alive.by_group(&scene.groups));
    let mut inner = inner.filter(|(group, _)| group.name == "layer1.0.bn1");
    let (group, left) = inner.next().unwrap();
    assert_eq!(group.channels, left);
}

#[test]
fn channels_of_low_scores_go_first() {
    let scene = scene("vgg8");
    let whole = scene.whole();
    let scores = scene.scores(3);
    let budget = Budget::whole(most(share(whole.macs, 50), u64::MAX));
    let choose = |scores: &[f64]| budget.choose(&scene.model, &scene.groups, scores).unwrap();
    assert_eq!(choose(&scores), choose(&scores));
    let upside_down: Vec<f64> = scores.iter().map(|score| 1.0 - score).collect();
    assert_ne!(choose(&scores), choose(&upside_down));
}

#[test]
fn budgets_that_cannot_be_are_refused_with_the_numbers() {
    let scene = scene("mobilenetv2-mini");
    let whole = scene.whole();
    let floor = Floor::of(&scene.model, &scene.groups).whole;
    let refusal = |budget: Budget| {
        let error = budget.check(&scene.model, &scene.groups).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        error.to_string()
    };
    let text = refusal(Budget::default());
    assert!(text.starts_with("`budget` is missing"), "{text}");
    let text = refusal(Budget::whole(most(whole.macs, u64::MAX)));
    assert!(text.contains("nothing is to be cut"), "{text}");
    let text = refusal(Budget::whole(most(floor.macs - 1, u64::MAX)));
    let floor_macs = format!("no less than {} is possible", floor.macs);
    assert!(text.contains(&floor_macs), "{text}");
    let text = refusal(Budget {
        limits: vec![Limit {
            block: Some("stage9".into()),
            most: most(1, 1),
        }],
        milliseconds: None,
    });
    assert!(text.contains("unknown block `stage9`"), "{text}");
    // The floor itself can be had.
    let budget = Budget::whole(most(floor.macs, u64::MAX));
    let alive = budget.choose(&scene.model, &scene.groups, &scene.scores(0));
    assert_eq!(scene.model.size(&alive.unwrap()).macs, floor.macs);
}
