//! Options of every kind: views of a sample, a frozen teacher and its cache, averaged students, other
//! optimizers.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::testing::{run, run_folder, same_run};
use kd_core::{
    Augment, CacheConfig, CacheDtype, EpochLog, FrozenTeacher, Loader, LoaderConfig, Metrics,
    OptimizerConfig, Scheme, Snapshot, Tensors, ViewPolicy, initialise,
};
use kd_online::{Branches, Online, OnlineConfig, OnlineData, Peers, RESULT_PHASE};

use crate::support::{KINDS, Tiny, config, normalisation, numbers, online_data, peers, training};

fn data_with_views(views: ViewPolicy) -> OnlineData {
    let mut data = online_data(12);
    data.validation = Some(crate::support::data(5, 6).into());
    data.views = views;
    data.augment = Augment {
        crop_padding: 1,
        flip: 0.5,
        ..Augment::none()
    };
    data
}

fn online(config: &OnlineConfig, data: OnlineData) -> Online {
    Online::new(
        peers(config, 3),
        config.clone(),
        data,
        training(2, 5),
        &Device::flex(),
    )
}

fn finished(online: &Online) -> (Tensors, Metrics, Vec<EpochLog>) {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(online, folder.path()).unwrap();
    let epochs = EpochLog::read_all(folder.path()).unwrap();
    let folder = run_folder(folder.path()).unwrap();
    let result = folder.result(RESULT_PHASE, Snapshot::Last).unwrap();
    (result, outcome[0].last.clone(), epochs)
}

#[test]
fn every_kind_trains_with_a_view_a_branch() {
    for toml in KINDS {
        let mut config = config(toml);
        config.views = kd_online::BranchViews::Own;
        let (result, last, epochs) =
            finished(&online(&config, data_with_views(ViewPolicy::Unlimited)));
        assert_eq!(epochs.len(), 2, "{toml}");
        assert!(last["accuracy"].is_finite() && !result.is_empty(), "{toml}");
    }
}

#[test]
fn each_branch_sees_a_view_of_its_own() {
    // With a view a branch and nothing shared, branch 1 of an independent pair sees what a network alone
    // would see of view 2 * epoch + 1: one step of it by hand gives the same weights.
    let mut config = config("kind = \"independent\"\nbranches = 2");
    config.views = kd_online::BranchViews::Own;
    let data = data_with_views(ViewPolicy::Bank(6));
    let mut settings = training(1, 12);
    settings.lr = 0.3;
    let online = Online::new(
        peers(&config, 3),
        config,
        data.clone(),
        settings.clone(),
        &Device::flex(),
    );
    let (result, ..) = finished(&online);

    let loader = Loader::new(
        data.train.clone(),
        LoaderConfig {
            views: data.views,
            augment: data.augment.clone(),
            ..LoaderConfig::new(12)
        },
        &Device::flex(),
    )
    .unwrap();
    let step = |view: u64| {
        let ids = loader.batch_without_samples(0, 0).unwrap().ids;
        let batch = loader.view(view, &ids).unwrap();
        let network = Tiny::drawn(kd_online::branch_seed(3, 1)).unwrap().train();
        let input = normalisation().apply(batch.pixels().unwrap()).unwrap();
        let logits = kd_core::StagedNetwork::forward(&network, &Tensor::from_inner(input));
        let loss = kd_losses::cross_entropy(logits, batch.targets, 0.0).unwrap();
        let mut student = kd_core::Trained::new("s", network, settings.optimizer.clone()).unwrap();
        let mut gradients = kd_core::NamedGradients::new();
        student.collect(&mut gradients, &mut loss.backward());
        let at = kd_core::StepContext {
            step: 0,
            epoch: 0,
            step_in_epoch: 0,
            lr: 0.3,
            momentum: None,
        };
        student.step(at, &gradients);
        student.result()
    };
    let off = |view: u64| {
        let by_hand = step(view);
        let each = by_hand.iter().flat_map(|(name, data)| {
            let found = numbers(&result[&format!("branch-1/{name}")]);
            found.into_iter().zip(numbers(data))
        });
        each.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    assert!(off(1) < 1e-6, "{}", off(1));
    assert!(off(0) > 1e-4, "another view gives other weights");
}

#[test]
fn a_teacher_is_one_more_target_and_may_be_read_from_a_cache() {
    let toml = "kind = \"okdmde\"\nshared = \"stem\"\nteacher = { weight = 0.5, temperature = 2 }";
    let config = config(toml);
    let teacher = || {
        let network = Tiny::drawn(77).unwrap();
        Box::new(FrozenTeacher::new(
            &network,
            normalisation(),
            &Device::flex(),
        ))
    };
    let live = online(&config, data_with_views(ViewPolicy::Bank(2))).with_teacher(teacher());
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    run(&live, folders[0].path()).unwrap();
    let epochs = EpochLog::read_all(folders[0].path()).unwrap();
    assert!(epochs[0].train["teacher_kd"] > 0.0);

    let caches = tempfile::tempdir().unwrap();
    let place = CacheConfig::dir(caches.path()).with_dtype(CacheDtype::F32);
    let cached = online(&config, data_with_views(ViewPolicy::Bank(2)))
        .with_teacher(teacher())
        .with_cache(place);
    run(&cached, folders[1].path()).unwrap();
    assert!(cached.cache().is_some());
    same_run(folders[0].path(), folders[1].path()).unwrap();
}

#[test]
fn different_networks_teach_each_other() {
    let device = Device::flex();
    let wide = initialise(&Tiny::wide(6, &device), Scheme::PyTorch, 5).unwrap();
    let small = Branches::new(vec![Tiny::drawn(1).unwrap()], None).unwrap();
    let large = Branches::new(vec![wide.clone()], None).unwrap();
    let peers = Peers::of(small, normalisation())
        .and(large, normalisation())
        .with_optimizer(OptimizerConfig::adam());
    let config = config("kind = \"dml\"");
    let online = Online::new(peers, config, online_data(12), training(2, 5), &device);
    let (result, last, epochs) = finished(&online);
    assert!(epochs[0].train["kd"] > 0.0 && last["dist"] > 0.0);
    assert!(
        !last.contains_key("overlap_class_cosine"),
        "heads of different shapes"
    );
    assert_eq!(result["branch-0/fc.weight"].shape().as_slice(), [3, 4]);
    assert_eq!(result["branch-1/fc.weight"].shape().as_slice(), [3, 6]);
    let trained = Branches::new(vec![wide], None).unwrap();
    let part: Tensors = result
        .iter()
        .filter_map(|(name, data)| {
            Some((
                format!("branch-0/{}", name.strip_prefix("branch-1/")?),
                data.clone(),
            ))
        })
        .collect();
    assert!(trained.with_result(&part).is_ok());
}

#[test]
fn an_average_is_deployed_where_it_is_asked_for() {
    let plain = finished(&online(&config("kind = \"single\""), online_data(12)));
    let averaged = "kind = \"single\"\naverage_decay = 0.9";
    let averaged = finished(&online(&config(averaged), online_data(12)));
    // The weights themselves are those of a run without.
    for (name, data) in &plain.0 {
        assert_eq!(&averaged.0[name], data, "{name}");
    }
    assert!((plain.1["loss"] - averaged.1["loss"]).abs() > 1e-6);
    assert!(averaged.0.contains_key("average-0/fc.weight"));
}

#[test]
fn the_penalty_on_predictions_makes_them_less_alike() {
    let dist = |weight: f64| {
        let toml =
            format!("kind = \"independent\"\nprediction_penalty = {{ weight = {weight:.1} }}");
        let mut settings = training(12, 6);
        settings.lr = 0.05;
        let config = config(&toml);
        let online = Online::new(
            peers(&config, 3),
            config,
            online_data(24),
            settings,
            &Device::flex(),
        );
        let folder = tempfile::tempdir().unwrap();
        run(&online, folder.path()).unwrap();
        let epochs = EpochLog::read_all(folder.path()).unwrap();
        epochs.last().unwrap().train["prediction_penalty"]
    };
    let (without, with) = (dist(0.0), dist(2.0));
    assert!(with < without - 0.02, "{with} and {without}");
}
