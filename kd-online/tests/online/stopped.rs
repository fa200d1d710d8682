//! A run that is stopped after every step equals an undisturbed one, averaged students and weights of peers
//! included.

use burn::tensor::Device;
use kd_core::testing::{run_steps, stopped_at_every_step, tensor_files};
use kd_core::{Augment, ViewPolicy};
use kd_online::Online;

use crate::support::{KINDS, config, data, online_data, peers, training};

fn online(toml: &str) -> Online {
    let config = config(toml);
    let mut data_with_views = online_data(7);
    data_with_views.validation = Some(data(5, 6).into());
    data_with_views.views = ViewPolicy::Bank(4);
    data_with_views.augment = Augment {
        crop_padding: 1,
        flip: 0.5,
        ..Augment::none()
    };
    let mut training = training(2, 3);
    if config.objective.name() == "one" {
        training.batch_size = 5;
    }
    Online::new(
        peers(&config, 3),
        config,
        data_with_views,
        training,
        &Device::flex(),
    )
    .with_seed(5)
}

#[test]
fn every_kind_goes_on_where_it_was() {
    for toml in KINDS {
        stopped_at_every_step(|| online(toml)).unwrap_or_else(|error| panic!("{toml}: {error}"));
    }
}

#[test]
fn a_checkpoint_holds_no_tensor_that_is_not_used() {
    for (toml, averages) in [
        ("kind = \"okdmde\"\nshared = \"stem\"", false),
        ("kind = \"pcl\"\nshared = \"stem\"", true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        assert!(!run_steps(&online(toml), folder.path(), 1).unwrap());
        let files = tensor_files(folder.path()).unwrap();
        let (_, bytes) = files
            .iter()
            .find(|(name, _)| name.starts_with("checkpoint"))
            .unwrap();
        let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
        let names: Vec<&str> = file.names().into_iter().collect();
        let has = |part: &str| names.iter().any(|name| name.starts_with(part));
        assert!(
            has("branch-0/stem.") && has("branch-1/body.") && has("branch-2/fc."),
            "{names:?}"
        );
        assert!(
            has("branch-0-optimizer/branch-0.stem.") && has("ensemble/"),
            "{names:?}"
        );
        assert!(
            !has("branch-1/stem.") && !has("branch-2/stem."),
            "{names:?}"
        );
        assert!(!has("branch-1-optimizer/branch-1.stem."), "{names:?}");
        assert_eq!(
            has("average-0/stem.") && has("average-1/body."),
            averages,
            "{names:?}"
        );
        assert!(!has("average-1/stem."), "{names:?}");
    }
}
