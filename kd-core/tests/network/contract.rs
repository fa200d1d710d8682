//! The network contract with a network of your own, and the traps that kd-core takes care of.

use crate::support::{Small, batch};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{
    Frozen, Names, StagedNetwork, detached_copy, export, import, import_owned, tensor_shapes,
};

#[test]
fn the_whole_pass_is_the_stages_and_the_head_one_after_the_other() {
    let device = Device::flex();
    let net = Small::new(&device).valid();
    let (pixels, _) = batch(0, 0, &device);
    let stem = net.forward_stage(0, &pixels, &[]);
    let dense = net.forward_dense(&pixels, std::slice::from_ref(&stem));
    let by_hand = net.forward_head(dense).into_data();
    let trace = net.forward_traced(&pixels);
    assert_eq!(by_hand, net.forward(&pixels).into_data());
    assert_eq!(by_hand, trace.output.into_data());
    assert_eq!(stem.into_data(), trace.maps[0].clone().into_data());
    assert_eq!(net.tap("stem").unwrap(), 0);
    let error = net.tap("sten").unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown tap `sten`; did you mean `stem`?; known: stem"
    );
}

#[test]
fn a_frozen_network_does_not_change_when_the_one_it_was_made_from_trains() {
    let device = Device::flex().autodiff();
    let net = Small::new(&device);
    let frozen = Frozen::new(&net);
    let before = export(frozen.network(), Names::PyTorch);
    let (pixels, _) = batch(0, 0, &device);
    for _ in 0..3 {
        let _ = net.forward(&pixels);
        let _ = frozen.network().forward(&pixels.clone().inner());
    }
    assert_eq!(before, export(frozen.network(), Names::PyTorch));
    let moved = export(&net, Names::PyTorch);
    assert_ne!(
        before["norm.running_mean"], moved["norm.running_mean"],
        "training must move the original"
    );
}

/// A plain `clone` shares running statistics; this is the trap that `detached_copy` closes. If Burn mends it,
/// the first half of this test says so.
#[test]
fn a_detached_copy_shares_no_running_statistics() {
    let device = Device::flex().autodiff();
    let (pixels, _) = batch(0, 0, &device);
    let net = Small::new(&device);
    let (shared, detached) = (net.clone(), detached_copy(&net));
    let before = export(&detached, Names::Burn);
    let _ = net.forward(&pixels);
    assert_eq!(export(&net, Names::Burn), export(&shared, Names::Burn));
    assert_eq!(export(&detached, Names::Burn), before);
    assert!(detached.stem.weight.val().is_require_grad());
}

#[test]
fn exporting_sees_the_update_of_the_last_forward_pass_and_importing_forgets_it() {
    let device = Device::flex().autodiff();
    let (pixels, _) = batch(0, 0, &device);
    let net = Small::new(&device);
    let fresh = export(&net, Names::Burn);
    let _ = net.forward(&pixels);
    let once = export(&net, Names::Burn);
    assert_ne!(fresh["norm.running_var"], once["norm.running_var"]);
    let _ = net.forward(&pixels);
    let back = import(&net, &once, Names::Burn, "test").unwrap();
    assert_eq!(export(&back, Names::Burn), once);
    let _ = net.forward(&pixels);
    assert_eq!(
        export(&back, Names::Burn),
        once,
        "the copy shares nothing with the original"
    );
}

#[test]
fn shapes_are_those_of_what_is_exported() {
    let net = Small::new(&Device::flex());
    for names in [Names::Burn, Names::PyTorch] {
        let exported: Vec<_> = export(&net, names)
            .into_iter()
            .map(|(name, data)| (name, data.shape().as_slice().to_vec()))
            .collect();
        assert_eq!(
            tensor_shapes(&net, names).into_iter().collect::<Vec<_>>(),
            exported
        );
    }
}

#[test]
fn names_and_layouts_of_pytorch_are_used_and_taken_back() {
    let device = Device::flex();
    let net = Small::new(&device);
    let theirs = export(&net, Names::PyTorch);
    let names: Vec<&str> = theirs.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "fc.bias",
            "fc.weight",
            "norm.bias",
            "norm.running_mean",
            "norm.running_var",
            "norm.weight",
            "stem.bias",
            "stem.weight"
        ]
    );
    assert_eq!(theirs["fc.weight"].shape().as_slice(), [3, 4]);
    let ours = export(&net, Names::Burn);
    let weight = Tensor::<2>::from_data(ours["fc.weight"].clone(), &device)
        .transpose()
        .into_data();
    assert_eq!(weight, theirs["fc.weight"]);
    let mut zeroed = net.clone();
    zeroed.fc.weight = zeroed.fc.weight.map(|weight| weight.zeros_like());
    let back = import(&zeroed, &theirs, Names::PyTorch, "test").unwrap();
    assert_eq!(export(&back, Names::Burn), ours);
    let back = import_owned(&zeroed, theirs, Names::PyTorch, "test").unwrap();
    assert_eq!(export(&back, Names::Burn), ours);
}

#[test]
fn tensors_that_do_not_fit_are_listed() {
    let device = Device::flex();
    let net = Small::new(&device);
    let mut tensors = export(&net, Names::PyTorch);
    let weight = tensors.remove("fc.weight").unwrap();
    tensors.insert("head.weight".into(), weight.clone());
    tensors.insert("stem.bias".into(), weight);
    let error = import(&net, &tensors, Names::PyTorch, "other.safetensors")
        .unwrap_err()
        .to_string();
    let moved = import_owned(&net, tensors, Names::PyTorch, "other.safetensors");
    assert_eq!(moved.unwrap_err().to_string(), error);
    assert_eq!(
        error,
        "other.safetensors: tensors do not fit the network: 1 missing (fc.weight); 1 unexpected \
         (head.weight); 1 of another \
         shape (stem.bias: network [4], file [3, 4])"
    );
}

#[test]
fn a_safetensors_file_gives_back_the_same_tensors_and_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = export(&Small::new(&Device::flex()), Names::Burn);
    let (a, b) = (
        folder.path().join("a.safetensors"),
        folder.path().join("b.safetensors"),
    );
    kd_core::write_tensors(&a, &tensors).unwrap();
    kd_core::write_tensors(&b, &tensors).unwrap();
    assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
    let back = kd_core::read_tensors(&a).unwrap();
    assert_eq!(back, tensors);
    assert_eq!(
        kd_core::hash_tensors(&back),
        kd_core::hash_tensors(&tensors)
    );
    std::fs::write(&b, &std::fs::read(&a).unwrap()[..200]).unwrap();
    let error = kd_core::read_tensors(&b).unwrap_err().to_string();
    assert!(
        error.contains("give a complete .safetensors file"),
        "{error}"
    );
}
