//! Inputs that cannot work: each refused in words, by its key in a recipe.

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{
    Augment, Dataset, FrozenTeacher, ImageShape, Masks, Split, StagedNetwork, Subset, ViewPolicy,
    detached_copy,
};
use kd_online::{Branches, Online, OnlineConfig, OnlineData, Peers};

use crate::support::{SIZE, Tiny, config, data, normalisation, online_data, peers, training};

/// The error of a check.
fn refused(toml: &str, data: OnlineData, batch_size: usize) -> String {
    let config = config(toml);
    let peers = match Peers::drawn(&config, 3, normalisation(), Tiny::drawn) {
        Ok(peers) => peers,
        Err(error) => return error.to_string(),
    };
    check(peers, config, data, batch_size)
}

fn check(peers: Peers, config: OnlineConfig, data: OnlineData, batch_size: usize) -> String {
    let online = Online::new(
        peers,
        config,
        data,
        training(2, batch_size),
        &Device::flex(),
    );
    match online.check() {
        Ok(()) => "nothing".into(),
        Err(error) => error.to_string(),
    }
}

fn says(toml: &str, said: &str) {
    let found = refused(toml, online_data(12), 4);
    assert!(found.contains(said), "{toml}: {found}");
}

#[test]
fn too_few_branches() {
    says(
        "kind = \"okdmde\"\nbranches = 1",
        "`branches` must be at least 2 for kind `okdmde`, got 1",
    );
    says(
        "kind = \"dml\"\nbranches = 0",
        "`branches` must be at least 2",
    );
    says(
        "kind = \"okddip\"\nbranches = 2",
        "`branches` must be at least 3 with a leader",
    );
    says(
        "kind = \"single\"\nbranches = 2",
        "`branches` must be 1 for kind `single`, got 2",
    );
    says(
        "kind = \"single\"\nshared = \"stem\"",
        "`shared` is for branches",
    );
    says(
        "kind = \"single\"\ndiversification = \"working\"",
        "`diversification` compares the classifiers of several students, and there is one",
    );
}

#[test]
fn shared_stages_that_there_are_not() {
    says(
        "kind = \"okdmde\"\nshared = \"layer9\"",
        "`shared` must be a stage of the network, and it has no `layer9`; use one of stem",
    );
    says(
        "kind = \"okdmde\"\nshared = \"body\"",
        "`shared` must leave the branches a stage, and `body` is the last; use one of stem",
    );
    says(
        "kind = \"one\"",
        "`shared` is missing; kind `one` reads what the branches share",
    );
    says("kind = \"cl-ilr\"", "`shared` is missing");
    says(
        "kind = \"okdmde\"\nattention = \"one\"",
        "`shared` is missing",
    );
}

#[test]
fn a_leader_without_attention_a_peer() {
    says(
        "kind = \"okdmde\"\nleader = true",
        "`leader` needs attention with a target a peer, and `attention` is `gate`",
    );
    says(
        "kind = \"okdmde\"\nattention = \"mean\"\ngate = \"branch-class\"",
        "`gate` has no effect where `attention` is `mean`; leave it out",
    );
}

#[test]
fn settings_that_the_attention_does_not_read() {
    for (settings, key) in [
        ("attention = \"mean\"\nmask_self = true", "mask_self"),
        ("attention = \"mean\"\ndetach = \"peer-logits\"", "detach"),
        (
            "attention = \"self-logit\"\nfusion = \"depthwise-separable\"",
            "fusion",
        ),
        ("attention = \"mean\"\nreduction = 4", "reduction"),
        (
            "attention = \"mean\"\ndetach_features = true",
            "detach_features",
        ),
        ("mask_self = true", "mask_self"),
        ("detach = \"all\"", "detach"),
        (
            "attention = \"okddip\"\nfusion = \"depthwise-separable\"",
            "fusion",
        ),
    ] {
        says(
            &format!("kind = \"okdmde\"\n{settings}"),
            &format!("`{key}` has no effect where `attention` is `"),
        );
    }
    says(
        "kind = \"okdmde\"\nreduction = 4\ndetach_features = true",
        "nothing",
    );
    says(
        "kind = \"okdmde\"\ndiversification = { overlap = \"class-cosine\", weight = 0.1, leader = true }",
        "`diversification.leader` compares the leader's classifier too, and there is no leader",
    );
}

#[test]
fn parts_that_nothing_would_train() {
    says(
        "kind = \"okdmde\"\nensemble_loss = false",
        "`ensemble_loss` is off, and the target is a constant: nothing would train the attention `gate`",
    );
    says(
        "kind = \"okdmde\"\nattention = \"one\"\nshared = \"stem\"\nensemble_loss = false",
        "the attention `one`",
    );
    says(
        "kind = \"okdmde\"\nattention = \"per-peer\"\ndetach = \"all\"",
        "`detach` is `all` and `ensemble_loss` is off",
    );
    for settings in [
        "kind = \"okddip\"\nkd_weight = 0",
        "kind = \"okdmde\"\nattention = \"per-peer\"\nkd_weight = 0",
    ] {
        says(
            settings,
            "`kd_weight` is 0: nothing would train the attention",
        );
    }
    says(
        "kind = \"okddip\"\nbranches = 3\nmask_self = true",
        "`mask_self` leaves each of two peers one other",
    );
    says(
        "kind = \"okdmde\"\nattention = \"per-peer\"\nensemble_loss = true\nkd_weight = 0",
        "nothing",
    );
    let trained =
        "kind = \"okdmde\"\nattention = \"per-peer\"\ndetach = \"all\"\nensemble_loss = true";
    says(trained, "nothing");
    says(
        "kind = \"okdmde\"\nattention = \"mean\"\nensemble_loss = false",
        "nothing",
    );
}

#[test]
fn a_frozen_attention_is_said_to_be() {
    let config = config("kind = \"okddip\"\ndetach = \"all\"\ndiversification = \"literal\"");
    let online = Online::new(
        peers(&config, 0),
        config,
        online_data(12),
        training(1, 4),
        &Device::flex(),
    );
    online.check().unwrap();
    let notes: Vec<String> = online.notes().into_iter().map(|note| note.text).collect();
    assert!(
        notes
            .iter()
            .any(|note| note.contains("stay as they were drawn")),
        "{notes:?}"
    );
    assert!(
        notes
            .iter()
            .any(|note| note.contains("nothing that can be measured")),
        "{notes:?}"
    );
}

#[test]
fn equal_branches() {
    let network = Tiny::drawn(1).unwrap();
    for (shared, toml) in [
        (
            Some("stem"),
            "kind = \"okdmde\"\nshared = \"stem\"\nbranches = 2",
        ),
        (None, "kind = \"dml\""),
    ] {
        let networks = vec![detached_copy(&network), detached_copy(&network)];
        let branches = Branches::new(networks, shared).unwrap();
        let peers = Peers::of(branches, normalisation());
        let found = check(peers, config(toml), online_data(12), 4);
        assert!(
            found.contains("number 0 and number 1 have equal weights"),
            "{found}"
        );
    }
    // Shared stages that happen to be equal are not the branches'.
    let networks = vec![Tiny::drawn(1).unwrap(), Tiny::drawn(2).unwrap()];
    assert!(Branches::new(networks, Some("stem")).is_ok());
}

#[test]
fn peers_of_different_shapes_where_they_are_joined() {
    let device = Device::flex();
    let both = || {
        let small = Branches::new(vec![Tiny::drawn(1).unwrap()], None).unwrap();
        let wide =
            kd_core::initialise(&Tiny::wide(6, &device), kd_core::Scheme::PyTorch, 3).unwrap();
        let wide = Branches::new(vec![wide], None).unwrap();
        Peers::of(small, normalisation()).and(wide, normalisation())
    };
    let found = |toml: &str| check(both(), config(toml), online_data(12), 4);
    for (toml, said) in [
        (
            "kind = \"okdmde\"\nbranches = 2",
            "`online.attention` cannot be used here: last maps [4, 3, 3]",
        ),
        (
            "kind = \"okddip\"\nbranches = 2\nleader = false",
            "`online.kind` cannot be used here: features [4]",
        ),
        (
            "kind = \"pcl\"\nbranches = 2\nviews = \"same\"",
            "`online.kind` cannot be used here: features [4]",
        ),
        (
            "kind = \"dml\"\ndiversification = \"working\"",
            "`online.diversification` cannot be used here",
        ),
        (
            "kind = \"okdmde\"\nbranches = 2\nattention = \"mean\"",
            "nothing",
        ),
        (
            "kind = \"dml\"\nshared = \"stem\"",
            "`online.shared` is for branches of one network",
        ),
        (
            "kind = \"dml\"\nbranches = 3",
            "`online.branches` is 3, and there are 2 students; set it to 2",
        ),
    ] {
        let found = found(toml);
        assert!(found.contains(said), "{toml}: {found}");
    }
    let networks = vec![Tiny::blank(&device), Tiny::wide(6, &device)];
    let error = Branches::new(networks, None).unwrap_err().to_string();
    assert!(
        error.contains("number 1 has other tensors than number 0"),
        "{error}"
    );
}

#[test]
fn settings_and_branches_that_share_other_stages() {
    let branches = Branches::drawn(3, None, 0, Tiny::drawn).unwrap();
    let peers = Peers::of(branches, normalisation());
    let found = check(
        peers,
        config("kind = \"okdmde\"\nshared = \"stem\""),
        online_data(12),
        4,
    );
    assert!(
        found.contains("`online.shared` is stem, and the branches share nothing"),
        "{found}"
    );
}

#[test]
fn a_batch_of_one_for_the_gate_of_one() {
    let one = "kind = \"one\"\nshared = \"stem\"";
    let found = refused(one, online_data(12), 1);
    assert!(
        found.contains("`train.batch_size` is 1, and the batch norm of ONE's gate"),
        "{found}"
    );
    let found = refused(one, online_data(13), 4);
    assert!(
        found.contains("is 4, which leaves a batch of one of 13 samples"),
        "{found}"
    );
    assert_eq!(refused(one, online_data(12), 4), "nothing");
    assert_eq!(
        refused("kind = \"okdmde\"\nshared = \"stem\"", online_data(13), 4),
        "nothing"
    );
}

#[test]
fn views_that_are_not_enough_for_a_view_a_branch() {
    let own = "kind = \"okdmde\"\nviews = \"own\"";
    let with = |views: ViewPolicy| {
        let mut data = online_data(12);
        data.views = views;
        data.augment = Augment {
            flip: 0.5,
            ..Augment::none()
        };
        refused(own, data, 4)
    };
    let found = refused(own, online_data(12), 4);
    assert!(
        found.contains("`online.views` is `own`, which needs 3 views of a sample, and there is 1"),
        "{found}"
    );
    let found = with(ViewPolicy::Bank(2));
    assert!(
        found.contains("which needs 3 views of a sample, and there are 2"),
        "{found}"
    );
    assert_eq!(with(ViewPolicy::Bank(3)), "nothing");
    assert_eq!(with(ViewPolicy::Unlimited), "nothing");
}

#[test]
fn segmentation_data() {
    let masks = Masks::new(3, None, vec![0; 4 * SIZE * SIZE]).unwrap();
    let shape = ImageShape::new(1, SIZE, SIZE);
    let images = vec![0; 4 * SIZE * SIZE];
    let masked = Dataset::segmentation("masked", Split::Train, shape, images, masks).unwrap();
    let data = OnlineData::new(masked, data(7, 2));
    let found = refused("kind = \"okdmde\"", data, 4);
    assert!(
        found.contains("masked") && found.contains("mask"),
        "{found}"
    );
}

#[test]
fn other_classes_than_the_data_has() {
    let shape = ImageShape::new(1, SIZE, SIZE);
    let images = vec![7; 8 * SIZE * SIZE];
    let data = Dataset::new("ten", Split::Train, shape, 10, images, vec![0; 8]).unwrap();
    let found = refused("kind = \"dml\"", OnlineData::new(data.clone(), data), 4);
    assert!(
        found.contains("branch 0: expected 10 classes, as data set `ten` has, got 3"),
        "{found}"
    );
}

#[test]
fn a_teacher_without_its_term_and_a_term_without_its_teacher() {
    let term = "kind = \"dml\"\nteacher = {}";
    let found = refused(term, online_data(12), 4);
    assert!(
        found.contains("`online.teacher` is a term, and there is no teacher"),
        "{found}"
    );
    let config = config("kind = \"dml\"");
    let teacher = FrozenTeacher::new(&Tiny::drawn(9).unwrap(), normalisation(), &Device::flex());
    let online = Online::new(
        peers(&config, 0),
        config,
        online_data(12),
        training(1, 4),
        &Device::flex(),
    );
    let found = online
        .with_teacher(Box::new(teacher))
        .check()
        .unwrap_err()
        .to_string();
    assert!(
        found.contains("`online.teacher` is missing, and a teacher is given"),
        "{found}"
    );
}

#[test]
fn a_general_target_without_validation_data() {
    let general = "kind = \"kdcl\"\ntarget = \"general\"\nviews = \"same\"";
    let found = refused(general, online_data(12), 4);
    assert!(found.contains("`online.target` is `general`"), "{found}");
    let mut with = online_data(12);
    with.validation = Some(Subset::all(&data(5, 3)));
    assert_eq!(refused(general, with, 4), "nothing");
}

/// A network whose head is as it is told to be.
#[derive(Module, Debug)]
struct Headed {
    tiny: Tiny,
    hidden: Option<Linear>,
    norm: Option<BatchNorm>,
    fc: Linear,
}

impl Headed {
    fn new(hidden: bool, norm: bool, seed: u64) -> Self {
        let device = Device::flex();
        let blank = Self {
            tiny: Tiny::blank(&device),
            hidden: hidden.then(|| LinearConfig::new(4, 4).init(&device)),
            norm: norm.then(|| BatchNormConfig::new(4).init(&device)),
            fc: LinearConfig::new(4, 3).init(&device),
        };
        kd_core::initialise(&blank, kd_core::Scheme::PyTorch, seed).unwrap()
    }
}

impl StagedNetwork for Headed {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        self.tiny.stage_names()
    }

    fn stage_parameters(&self, stage: usize) -> Vec<String> {
        let paths = self.tiny.stage_parameters(stage).into_iter();
        paths.map(|path| format!("tiny.{path}")).collect()
    }

    fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
        self.tiny.forward_stage(stage, input, earlier)
    }

    fn forward_dense(&self, input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        self.tiny.forward_dense(input, maps)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        let dense = match &self.hidden {
            Some(layer) => relu(layer.forward(dense)),
            None => dense,
        };
        let dense = match &self.norm {
            Some(norm) => norm.forward(dense),
            None => dense,
        };
        self.fc.forward(dense)
    }
}

#[test]
fn a_head_that_is_not_linear_with_a_penalty_on_classifiers() {
    let found = |hidden: bool, norm: bool, toml: &str| {
        let config = config(toml);
        let networks = (0..2).map(|seed| Headed::new(hidden, norm, seed)).collect();
        let branches = Branches::new(networks, None).unwrap();
        check(
            Peers::of(branches, normalisation()),
            config,
            online_data(12),
            4,
        )
    };
    let with = "kind = \"dml\"\ndiversification = \"working\"";
    let nonlinear = found(true, false, with);
    assert!(
        nonlinear.contains(
            "`online.diversification` compares the classifiers of all students, and `branch-0` has a head \
             that is no single linear layer"
        ),
        "{nonlinear}"
    );
    let normed = found(false, true, with);
    assert!(normed.contains("is not linear while it learns"), "{normed}");
    assert_eq!(found(false, false, with), "nothing");
    assert_eq!(found(true, true, "kind = \"dml\""), "nothing");
}
