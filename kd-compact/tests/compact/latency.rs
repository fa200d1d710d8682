//! Budgets in milliseconds: tables, choices, runs, refusals.

use burn::tensor::{Device, TensorData};
use kd_compact::{
    Alive, Budget, CUT_PHASE, Compact, CostModel, Criterion, Graph, Groups, LatencyTable, Widths,
    graph_of, random_scores,
};
use kd_core::{EpochLog, Tensors, testing};
use kd_models::{Network, NetworkSpec};

use crate::runs::{evaluations, method, settings, spec};

/// A table by a formula in place of a clock: a layer takes `inputs * outputs + 5 * outputs` microseconds, of
/// which a grid knows three by three points.
fn made_up(graph: &Graph, groups: &Groups) -> LatencyTable {
    let model = CostModel::of(graph, groups);
    let full = model.by_layer(&Alive::all(groups)).into_iter();
    let with_macs = full.filter(|layer| layer.size.macs > 0);
    let mut tensors: Tensors = with_macs
        .map(|layer| {
            let points = [1.0, 20.0, 100.0];
            let mut numbers = vec![0.0];
            numbers.extend(points);
            for inputs in points {
                numbers.push(inputs);
                numbers.extend(points.map(|outputs| 1e-6 * (inputs * outputs + 5.0 * outputs)));
            }
            (layer.path, TensorData::new(numbers, [4, 4]))
        })
        .collect();
    let whole = TensorData::new(vec![1.0, 0.004], [2]);
    tensors.insert("whole network".into(), whole);
    LatencyTable::of_tensors(&tensors).unwrap()
}

struct Scene {
    graph: Graph,
    groups: Groups,
    model: CostModel,
}

fn scene(spec: &NetworkSpec) -> Scene {
    let graph = graph_of(spec).unwrap();
    let groups = Groups::of(&graph).unwrap();
    let table = made_up(&graph, &groups);
    let model = CostModel::of(&graph, &groups).timed(&table).unwrap();
    Scene {
        graph,
        groups,
        model,
    }
}

fn milliseconds(most: f64) -> Budget {
    Budget {
        milliseconds: Some(most),
        ..Budget::default()
    }
}

#[test]
fn times_between_points_are_those_of_a_formula_that_is_linear_in_each_width() {
    let Scene {
        graph,
        groups,
        model,
    } = scene(&spec());
    // `timed` brings the sum over layers to the 4 ms of the whole network.
    let formula = |alive: &Alive| {
        let widths = Widths::of(&graph, &groups, alive);
        let pairs = [
            // The channels of the images, then of the layer before; a depthwise layer has one for each.
            (1, "features.0.0"),
            (widths.width("features.0.0"), "features.1.conv.0.0"),
            (widths.width("features.1.conv.0.0"), "features.1.conv.1"),
            (widths.width("features.1.conv.1"), "features.2.conv.0.0"),
            (widths.width("features.2.conv.0.0"), "features.2.conv.1.0"),
            (widths.width("features.2.conv.1.0"), "features.2.conv.2"),
            (widths.width("features.2.conv.2"), "features.3.conv.0.0"),
            (widths.width("features.3.conv.0.0"), "features.3.conv.1.0"),
            (widths.width("features.3.conv.1.0"), "features.3.conv.2"),
            (widths.width("features.3.conv.2"), "features.4.0"),
            (widths.width("features.4.0"), "classifier.1"),
        ];
        let times = pairs.map(|(inputs, layer)| {
            let outputs = widths.width(layer) as f64;
            inputs as f64 * outputs + 5.0 * outputs
        });
        times.iter().sum::<f64>()
    };
    let all = Alive::all(&groups);
    assert!((model.milliseconds(&all).unwrap() - 4.0).abs() < 1e-9);
    for seed in 0..20 {
        let alive = Alive::chosen(&groups, |group, channel| (group + channel * seed) % 3 != 0);
        let expected = 4.0 * formula(&alive) / formula(&all);
        let found = model.milliseconds(&alive).unwrap();
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }
}

#[test]
fn a_budget_is_met_and_no_channel_more_would_fit() {
    let spec = NetworkSpec::new("resnet20", 10, [3, 32, 32]);
    let Scene { groups, model, .. } = scene(&spec);
    for most in [3.0, 2.0, 1.0] {
        let scores = random_scores(&groups, 7);
        let alive = milliseconds(most).choose(&model, &groups, &scores).unwrap();
        let found = model.milliseconds(&alive).unwrap();
        assert!(found <= most && found > 0.97 * most, "{found} of {most}");
        let rounded = milliseconds(most)
            .choose_rounded(&model, &groups, &scores, 8)
            .unwrap();
        assert!(model.milliseconds(&rounded).unwrap() <= most);
        let counts = rounded.by_group(&groups).into_iter();
        for (group, count) in groups.groups().iter().zip(counts) {
            assert!(
                count == group.channels || count.is_multiple_of(8),
                "{count}"
            );
        }
    }
}

#[test]
fn budgets_that_cannot_be_are_refused_in_words() {
    let Scene { groups, model, .. } = scene(&spec());
    let refusal = |most: f64| {
        milliseconds(most)
            .check(&model, &groups)
            .unwrap_err()
            .to_string()
    };
    assert!(
        refusal(4.5).contains("nothing is to be cut"),
        "{}",
        refusal(4.5)
    );
    assert!(refusal(0.01).contains("no less than"), "{}", refusal(0.01));
    assert!(milliseconds(2.0).check(&model, &groups).is_ok());
}

#[test]
fn what_a_layer_was_measured_at_is_kept_and_never_grows_with_fewer_channels() {
    let spec = spec();
    let graph = graph_of(&spec).unwrap();
    let groups = Groups::of(&graph).unwrap();
    let table = LatencyTable::measured(&graph, &groups, 2, &Device::flex(), || Ok(())).unwrap();
    assert_eq!(LatencyTable::of_tensors(&table.tensors()).unwrap(), table);
    assert_eq!(table.batch(), 2);
    let model = CostModel::of(&graph, &groups).timed(&table).unwrap();
    let mut last = model.milliseconds(&Alive::all(&groups)).unwrap();
    for kept in (1..12).rev() {
        let alive = Alive::chosen(&groups, |_, channel| channel < kept);
        let found = model.milliseconds(&alive).unwrap();
        assert!(found <= last * (1.0 + 1e-9), "{found} {last}");
        last = found;
    }
}

/// A method with a budget of so many milliseconds.
fn within(milliseconds: f64) -> Compact<Network> {
    let mut settings = settings(Criterion::Sparsify);
    settings.budget.macs = None;
    settings.budget.milliseconds = Some(milliseconds);
    settings.compact.round_to = 2;
    method(settings)
}

fn by_a_table() -> Compact<Network> {
    let method = within(2.5);
    let table = made_up(&graph_of(&spec()).unwrap(), method.groups());
    method.with_latency(table)
}

#[test]
fn a_run_by_a_given_table_ends_the_same_when_it_is_stopped_at_every_step() {
    by_a_table().check().unwrap();
    testing::stopped_at_every_step(by_a_table).unwrap();
}

#[test]
fn a_resumed_run_goes_by_the_times_that_it_began_with() {
    let places = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [whole, parts] = places.each_ref().map(tempfile::TempDir::path);
    testing::run(&by_a_table(), whole).unwrap();
    // Begun by the table, and gone on with where this machine's times would be others.
    testing::run_steps(&by_a_table(), parts, 1).unwrap();
    testing::run(&within(2.5), parts).unwrap();
    let files = [whole, parts].map(|run| testing::tensor_files(run).unwrap());
    assert!(files[0] == files[1]);
    let [by_table, measured] = [whole, parts].map(|run| evaluations(run, CUT_PHASE));
    let name = "milliseconds_predicted";
    assert_eq!(by_table[name], measured[name]);
    assert!(by_table[name] <= 2.5);
    assert!(!by_table.contains_key("milliseconds") && measured["milliseconds"] > 0.0);
}

#[test]
fn a_budget_that_measuring_finds_met_ends_the_run_before_any_training() {
    let place = tempfile::tempdir().unwrap();
    let error = testing::run(&within(1e9), place.path()).unwrap_err();
    assert!(
        error.to_string().contains("nothing is to be cut"),
        "{error}"
    );
    assert!(EpochLog::read_all(place.path()).unwrap().is_empty());
}

#[test]
fn settings_of_milliseconds_are_refused_in_words() {
    let refusal = |milliseconds: Option<f64>, batch: Option<usize>| {
        let mut settings = settings(Criterion::L1);
        settings.budget.milliseconds = milliseconds;
        settings.budget.batch = batch;
        settings.check().unwrap_err().to_string()
    };
    assert!(refusal(Some(0.0), None).contains("budget.milliseconds"));
    assert!(refusal(Some(1.0), Some(0)).contains("budget.batch"));
    assert!(refusal(None, Some(4)).contains("leave it out"));
    let mut none = settings(Criterion::None);
    none.budget.milliseconds = Some(1.0);
    let text = method(none).budget().unwrap_err().to_string();
    assert!(text.contains("nothing is cut"), "{text}");
}
