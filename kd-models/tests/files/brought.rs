//! Weight files as users bring them: names of any length, objects beside the weights, prefixes, other names.

use std::path::PathBuf;

use burn::tensor::Device;
use kd_core::{Error, ErrorKind, Names, Tensors, export, write_tensors};
use kd_models::{Network, NetworkSpec, WeightChoice, WeightFit, Weights};
use tempfile::TempDir;

use crate::pickles::{
    Piece, archive, call, dict, global, number, object, packed_archive, tensor, text, tuple, vector,
};

const W: &[(&str, &[f32])] = &[("0", &[1.0, 2.0, 3.0])];

fn read(value: &[u8]) -> kd_core::Result<Weights> {
    let folder = TempDir::new().unwrap();
    Weights::read(&archive(folder.path(), "weights", value, W, true))
}

fn values(weights: &Weights, name: &str) -> Vec<f32> {
    weights.tensors[name].try_to_vec::<f32>().unwrap()
}

#[test]
fn archives_are_read_whatever_the_length_of_their_names() {
    let folder = TempDir::new().unwrap();
    for zip64 in [false, true] {
        for length in 1..=64 {
            let stem = "checkpoint_epoch_".repeat(4)[..length].to_owned();
            let value = dict(&[("w", vector("0", 3))]);
            let path = archive(folder.path(), &stem, &value, W, zip64);
            let weights = Weights::read(&path).unwrap_or_else(|error| panic!("{length}: {error}"));
            assert_eq!(values(&weights, "w"), [1.0, 2.0, 3.0], "{length}");
        }
    }
}

#[test]
fn archives_that_were_packed_again_are_read() {
    let folder = TempDir::new().unwrap();
    let many: Vec<f32> = (0..5000_u16).map(f32::from).collect();
    let value = dict(&[("w", vector("0", 3)), ("many", vector("1", 5000))]);
    let storages: &[(&str, &[f32])] = &[("0", &[1.0, 2.0, 3.0]), ("1", &many)];
    let path = packed_archive(folder.path(), "packed", &value, storages);
    let weights = Weights::read(&path).unwrap();
    assert_eq!(values(&weights, "w"), [1.0, 2.0, 3.0]);
    assert_eq!(values(&weights, "many"), many);

    // The checksum is that of what is unpacked.
    let good = std::fs::read(&path).unwrap();
    let mut unseen = 0;
    for at in (0..good.len()).step_by(7) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, bytes).unwrap();
        if let Ok(read) = Weights::read(&path) {
            assert_eq!(values(&read, "many"), many, "byte {at}");
            unseen += 1;
        }
    }
    assert!(unseen < good.len() / 14, "{unseen}");
}

#[test]
fn archives_that_unpack_to_far_more_than_weights_can_are_refused() {
    let folder = TempDir::new().unwrap();
    // 40 MB of zeros in some 40 kB.
    let zeros = vec![0.0; 10_000_000];
    let value = dict(&[("w", vector("0", 10_000_000))]);
    let path = packed_archive(folder.path(), "bomb", &value, &[("0", &zeros)]);
    assert!(std::fs::metadata(&path).unwrap().len() < 100_000);
    let error = Weights::read(&path).unwrap_err().to_string();
    assert!(error.contains("its members would unpack to"), "{error}");
}

/// Objects of the Python world, none of which is needed.
fn objects() -> Vec<(&'static str, Piece)> {
    let namespace = object(
        "argparse",
        "Namespace",
        dict(&[("lr", number(1)), ("name", text("a run"))]),
    );
    let array = call(
        global("numpy._core.multiarray", "_reconstruct"),
        &[global("numpy", "ndarray"), tuple(&[number(0)]), text("b")],
    );
    let array = [
        array,
        tuple(&[number(1), text("f8"), text("bytes")]),
        b"b".to_vec(),
    ]
    .concat();
    let path = call(global("pathlib", "PosixPath"), &[text("runs"), text("a")]);
    let date = call(global("datetime", "datetime"), &[text("bytes")]);
    let state = call(global("__main__", "Stage"), &[number(2)]);
    // A subclass of a dictionary, with items of its own; an object made by a call with keywords.
    let items = [
        call(global("easydict", "EasyDict"), &[]),
        text("a"),
        number(1),
        b"s".to_vec(),
    ];
    let keywords = [
        global("own", "Class"),
        tuple(&[]),
        dict(&[("a", number(1))]),
        b"\x92".to_vec(),
    ];
    let old = [b"(".to_vec(), number(1), b"iold\nClass\n".to_vec()].concat();
    let older = [
        b"(".to_vec(),
        global("older", "Class"),
        number(1),
        b"o".to_vec(),
    ]
    .concat();
    // What would do harm is passed over as all else.
    let harm = call(global("posix", "system"), &[text("echo harm")]);
    vec![
        ("argparse.Namespace", namespace),
        ("numpy._core.multiarray._reconstruct", array),
        ("pathlib.PosixPath", path),
        ("datetime.datetime", date),
        ("__main__.Stage", state),
        ("easydict.EasyDict", items.concat()),
        ("own.Class", keywords.concat()),
        ("old.Class", old),
        ("older.Class", older),
        ("posix.system", harm),
    ]
}

#[test]
fn objects_beside_the_weights_are_passed_over_by_name() {
    for (name, object) in objects() {
        let value = dict(&[("args", object), ("model", dict(&[("w", vector("0", 3))]))]);
        let weights = read(&value).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(values(&weights, "w"), [1.0, 2.0, 3.0], "{name}");
        let said = format!("passed over, without being made: `{name}`");
        assert!(
            weights.remarks.contains(&said),
            "{name}: {:?}",
            weights.remarks
        );
    }
}

#[test]
fn objects_in_the_chosen_dictionary_are_named() {
    for (name, object) in objects() {
        let value = dict(&[("w", vector("0", 3)), ("args", object)]);
        let weights = read(&value).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(weights.tensors.len(), 1);
        let said = "ignored, as no tensors: `args`".to_owned();
        assert!(
            weights.remarks.contains(&said),
            "{name}: {:?}",
            weights.remarks
        );
    }
}

#[test]
fn a_chosen_dictionary_that_needs_such_an_object_is_refused_by_name() {
    let of_type = |module: &str, name: &str| tensor(global(module, name), "0", 3);
    let rebuilt = call(global("torch._utils", "_rebuild_qtensor"), &[number(1)]);
    for (kind, needed) in [
        (
            "torch.ComplexFloatStorage",
            of_type("torch", "ComplexFloatStorage"),
        ),
        ("torch._utils._rebuild_qtensor", rebuilt),
    ] {
        let value = dict(&[("w", vector("0", 3)), ("x", needed.clone())]);
        let error = read(&value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        let error = error.to_string();
        assert!(
            error.contains("tensor `x`") && error.contains(kind),
            "{error}"
        );
        // Elsewhere in the file nobody needs it.
        let value = dict(&[("model", dict(&[("w", vector("0", 3))])), ("x", needed)]);
        assert_eq!(values(&read(&value).unwrap(), "w"), [1.0, 2.0, 3.0]);
    }
}

#[test]
fn a_file_of_objects_alone_is_refused_by_name() {
    for (name, object) in objects() {
        for value in [object.clone(), dict(&[("model", object)])] {
            let error = read(&value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Input);
            let error = error.to_string();
            assert!(
                error.contains("would run code") && error.contains(name),
                "{name}: {error}"
            );
        }
    }
}

#[test]
fn state_dictionaries_are_found_at_any_depth() {
    let mut value = dict(&[("w", vector("0", 3))]);
    let mut key = String::new();
    for depth in 0..20 {
        let weights = read(&value).unwrap_or_else(|error| panic!("{depth}: {error}"));
        assert_eq!(values(&weights, "w"), [1.0, 2.0, 3.0]);
        if depth > 0 {
            let said = format!("the state dictionary is the one under `{key}`");
            assert_eq!(weights.remarks, [said]);
        }
        value = dict(&[("epoch", number(3)), ("below", value)]);
        key = if key.is_empty() {
            "below".into()
        } else {
            format!("below.{key}")
        };
    }
}

#[test]
fn a_dictionary_below_one_that_was_found_can_be_chosen() {
    let folder = TempDir::new().unwrap();
    let inner = dict(&[("v", vector("0", 3))]);
    let deep = dict(&[
        ("a", dict(&[("b.c", dict(&[("d", inner)]))])),
        ("w", vector("0", 3)),
    ]);
    let path = archive(folder.path(), "deep", &deep, W, true);
    let choice = WeightChoice::default().with_key("a.b.c.d");
    let weights = Weights::read_chosen(&path, &choice).unwrap();
    assert_eq!(values(&weights, "v"), [1.0, 2.0, 3.0]);
}

/// The tensors of a small network.
fn lenet() -> (NetworkSpec, Tensors) {
    let spec = NetworkSpec::new("lenet5-half", 3, [3, 32, 32]);
    let network = Network::build(&spec, 1, &Device::flex()).unwrap();
    (spec, export(&network, Names::PyTorch))
}

fn written(folder: &TempDir, tensors: &Tensors) -> PathBuf {
    let path = folder.path().join("weights.safetensors");
    write_tensors(&path, tensors).unwrap();
    path
}

fn named(tensors: &Tensors, name: impl Fn(&str) -> String) -> Tensors {
    let named = tensors.iter().map(|(old, data)| (name(old), data.clone()));
    named.collect()
}

#[test]
fn one_prefix_that_explains_a_file_is_removed_and_said() {
    let folder = TempDir::new().unwrap();
    let (spec, tensors) = lenet();
    let device = Device::flex();
    for prefix in [
        "model.",
        "net.",
        "student.",
        "model.net._orig_mod.",
        "_orig_mod.model.",
    ] {
        for with_counter in [false, true] {
            let mut file = named(&tensors, |name| format!("{prefix}{name}"));
            if with_counter {
                let counter = burn::tensor::TensorData::new(vec![7.0_f32], Vec::<usize>::new());
                file.insert("n_averaged".into(), counter);
            }
            let weights = Weights::read(&written(&folder, &file)).unwrap();
            let names: Vec<String> = weights
                .networks(&device)
                .into_iter()
                .map(|spec| spec.name)
                .collect();
            assert!(
                names.contains(&"lenet5-half".to_owned()),
                "{prefix}: {names:?}"
            );
            assert_eq!(
                weights.spec("lenet5-half", [32, 32], &device).unwrap(),
                spec
            );
            let (network, report) = weights
                .load_network::<Network>(&spec, WeightFit::Exact, &device)
                .unwrap_or_else(|error| panic!("{prefix}: {error}"));
            assert_eq!(export(&network, Names::PyTorch), tensors, "{prefix}");
            let said = report.to_string();
            assert!(said.contains("removed from the names"), "{prefix}: {said}");
            assert!(
                said.contains("10 matched, 0 missing, 0 unused"),
                "{prefix}: {said}"
            );
        }
    }
}

#[test]
fn names_are_mapped_as_a_user_says() {
    let folder = TempDir::new().unwrap();
    let (spec, tensors) = lenet();
    let file = named(&tensors, |name| match name.strip_prefix("conv") {
        Some(rest) => format!("body.conv_{rest}"),
        None => name.to_owned(),
    });
    let path = written(&folder, &file);
    let choice = WeightChoice::default().with_rename("body.conv_", "conv");
    let weights = Weights::read_chosen(&path, &choice).unwrap();
    let (network, report) = weights
        .load_network::<Network>(&spec, WeightFit::Exact, &Device::flex())
        .unwrap();
    assert_eq!(export(&network, Names::PyTorch), tensors);
    assert!(
        report
            .to_string()
            .contains("`body.conv_` replaced by `conv` in"),
        "{report}"
    );

    // What is not there, and what would make two of one, is refused.
    let choice = WeightChoice::default().with_rename("downsample.", "shortcut.");
    let error = Weights::read_chosen(&path, &choice)
        .unwrap_err()
        .to_string();
    assert!(error.contains("has no name with `downsample.`"), "{error}");
    let choice = WeightChoice::default()
        .with_rename("body.conv_1.", "same.")
        .with_rename("body.conv_2.", "same.");
    let error = Weights::read_chosen(&path, &choice)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("two tensors that `rename` calls `same."),
        "{error}"
    );
}

#[test]
fn names_are_mapped_by_regular_expressions_between_slashes() {
    let folder = TempDir::new().unwrap();
    let (spec, tensors) = lenet();
    let file = named(&tensors, |name| match name.strip_prefix("conv") {
        Some(rest) => format!("body.{}", rest.replacen('.', ".c.", 1)),
        None => name.to_owned(),
    });
    let path = written(&folder, &file);
    let read = |from: &str, to: &str| {
        Weights::read_chosen(&path, &WeightChoice::default().with_rename(from, to))
    };
    let weights = read(r"/^body\.(\d)\.c\./", "conv$1.").unwrap();
    let loaded = weights.load_network::<Network>(&spec, WeightFit::Exact, &Device::flex());
    let (network, report) = loaded.unwrap();
    assert_eq!(export(&network, Names::PyTorch), tensors);
    let said = r"`/^body\.(\d)\.c\./` replaced by `conv$1.` in 6 names";
    assert!(report.to_string().contains(said), "{report}");

    for (from, to, expected) in [
        (r"/^head\./", "", "has no name with `/^head\\./`"),
        (
            "/(/",
            "x",
            "has `/(/`, which is no regular expression: unclosed group",
        ),
        (r"/\d/", "", "two tensors that `rename` calls"),
        ("/.*/", "", "of which `rename` leaves no name"),
        ("", "x", "has an empty part"),
    ] {
        let error = read(from, to).unwrap_err().to_string();
        assert!(error.contains(expected), "{from}: {error}");
    }
    // What is compiled is bounded.
    assert!(read("/((a{1000}){1000}){1000}/", "").is_err());
}

#[test]
fn a_pipe_is_refused_before_it_is_opened() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("pipe.pth");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: there is no mkfifo here");
        return;
    }
    let error = Weights::read(&pipe).unwrap_err();
    assert!(matches!(error, Error::Input { .. }), "{error}");
    assert!(
        error.to_string().contains("is a pipe or a device"),
        "{error}"
    );
}

#[test]
fn folders_of_hugging_face_are_read_whole_or_in_several_files() {
    let (spec, tensors) = lenet();
    let device = Device::flex();
    let folder = TempDir::new().unwrap();
    let place = |name: &str| folder.path().join(name);
    let config = r#"{ "architecture": "lenet", "num_classes": 3 }"#;
    std::fs::write(place("config.json"), config).unwrap();
    write_tensors(&place("model.safetensors"), &tensors).unwrap();
    let loaded = |weights: &Weights| {
        let (network, _) = weights
            .load_network::<Network>(&spec, WeightFit::Exact, &device)
            .unwrap();
        export(&network, Names::PyTorch)
    };
    assert_eq!(loaded(&Weights::read(folder.path()).unwrap()), tensors);

    std::fs::remove_file(place("model.safetensors")).unwrap();
    let middle = tensors.keys().nth(5).unwrap().clone();
    let (mut first, mut second) = (tensors.clone(), Tensors::new());
    let mut map = Vec::new();
    for (name, data) in &tensors {
        let is_first = *name < middle;
        if !is_first {
            first.remove(name);
            second.insert(name.clone(), data.clone());
        }
        map.push(format!(
            "\"{name}\": \"part-{}.safetensors\"",
            if is_first { 1 } else { 2 }
        ));
    }
    write_tensors(&place("part-1.safetensors"), &first).unwrap();
    write_tensors(&place("part-2.safetensors"), &second).unwrap();
    let index = format!(
        "{{ \"metadata\": {{}}, \"weight_map\": {{ {} }} }}",
        map.join(", ")
    );
    let list = place("model.safetensors.index.json");
    std::fs::write(&list, &index).unwrap();
    let weights = Weights::read(folder.path()).unwrap();
    assert_eq!(loaded(&weights), tensors);

    // What is not beside the list, or lies elsewhere, or lacks a tensor, is named.
    for (from, to, said) in [
        ("part-2.safe", "part-3.safe", "which is no file beside it"),
        (
            "part-2.safe",
            "../part-2.safe",
            "which is no file beside it",
        ),
        (
            "\"conv1.bias\"",
            "\"conv9.bias\"",
            "`conv9.bias` should be in `part-1.safetensors`",
        ),
    ] {
        std::fs::write(&list, index.replace(from, to)).unwrap();
        let error = Weights::read(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains(said), "{error}");
    }
}
