//! Structures in `config.json`: of every family, written and read back, bounded, and refused in words.

use std::fmt::Debug;
use std::path::Path;

use burn::tensor::{Device, Distribution, Int, Tensor};
use kd_core::{
    Batch, Draws, Error, ErrorKind, Names, Normalisation, Preprocessing, SampleKind, Samples, Task,
    TokenizerFile, export,
};
use kd_models::{
    BlockKind, CONFIG_FILE, InvertedResiduals, LargeResNetConfig, LeNetConfig, MobileNetV2Config,
    Model, ModelConfig, ModelNetwork, Network, NetworkSpec, ResNetConfig, SkdResNetConfig,
    StemKind, Structure, TOKENIZER_FILE, TextCnn, TrainedModel, UNet, UNetConfig, VggConfig,
    known_networks, load_model, open_model, save_model,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::narrow::{narrow, text_cnn};

const INPUT: [usize; 3] = [3, 32, 32];
const CLASSES: usize = 4;

fn spec(structure: Structure) -> NetworkSpec {
    NetworkSpec::with_structure("narrow", structure, CLASSES, INPUT)
}

fn text(spec: &NetworkSpec) -> String {
    serde_json::to_string(spec).unwrap()
}

/// Keys of plain networks with free widths that may be left out.
const FREE: [&str; 9] = [
    "head",
    "pool",
    "stride",
    "embedding_dropout",
    "flat_dropout",
    "kernel",
    "padded",
    "block_dropout",
    "hidden_dropout",
];

#[test]
fn every_family_has_a_narrow_network_here() {
    let families: Vec<String> = narrow()
        .iter()
        .map(|made| made.family().to_owned())
        .collect();
    assert_eq!(families, Structure::FAMILIES);
    let of_types = [Network::FAMILIES, TextCnn::FAMILIES, UNet::FAMILIES].concat();
    assert_eq!(of_types, Structure::FAMILIES);
}

#[test]
fn a_network_with_a_structure_of_its_own_comes_back() {
    let images = |made: &Structure| made.takes() == Some(SampleKind::Images);
    for structure in narrow().into_iter().filter(images) {
        match structure.task() {
            Some(Task::Segmentation) => comes_back::<UNet>(structure),
            _ => comes_back::<Network>(structure),
        }
    }
}

fn comes_back<N>(structure: Structure)
where
    N: ModelNetwork<Input = Tensor<4>, Output: Into<Logits>>,
{
    let (folder, device, family) = (
        TempDir::new().unwrap(),
        Device::flex(),
        structure.family().to_owned(),
    );
    let spec = spec(structure.clone());
    let network = N::build(&spec, 3, &device).unwrap();
    let config = ModelConfig::new(spec.clone(), Normalisation::identity(3));
    save_model(folder.path(), &network, &config).unwrap();

    let (loaded, read) = load_model::<N>(folder.path(), &device).unwrap();
    assert_eq!(read, config, "{family}");
    assert_eq!(read.network.structure().unwrap(), structure);
    assert_eq!(read.network.title(), format!("narrow ({family})"));
    assert_eq!(
        export(&loaded, Names::Burn),
        export(&network, Names::Burn),
        "{family}"
    );
    let images = Tensor::random([2, 3, 32, 32], Distribution::Uniform(0.0, 1.0), &device);
    let logits = |network: &N| -> Logits { network.forward(&images).into() };
    assert_eq!(logits(&loaded).0, logits(&network).0, "{family}");

    let model = open_model(folder.path(), &device).unwrap();
    assert_eq!(model.task(), spec.task().unwrap());
    assert_eq!(model.costs().unwrap(), spec.costs(&device).unwrap());
    assert!(model.network::<N>().is_some());
}

#[test]
fn a_network_for_text_comes_back_with_its_tokenizer() {
    let (folder, device) = (TempDir::new().unwrap(), Device::flex());
    let structure = Structure::TextCnn(text_cnn());
    let spec = NetworkSpec::with_structure("narrow", structure, CLASSES, [11, 1, 16]);
    let network = TextCnn::build(&spec, 3, &device).unwrap();
    let tokenizer = TokenizerFile::new("{\"version\":\"1.0\"}");
    let preprocessing = Preprocessing::Text(tokenizer.clone());
    let config = ModelConfig::new(spec.clone(), preprocessing);
    save_model(folder.path(), &network, &config).unwrap();
    let (loaded, read) = load_model::<TextCnn>(folder.path(), &device).unwrap();
    assert_eq!(read, config);
    assert_eq!(
        read.preprocessing.tokenizer().unwrap().json(),
        tokenizer.json()
    );
    assert_eq!(export(&loaded, Names::Burn), export(&network, Names::Burn));
    let model = open_model(folder.path(), &device).unwrap();
    assert_eq!(model.costs().unwrap(), spec.costs(&device).unwrap());
    let other = TokenizerFile::new("{}");
    let other = ModelConfig::new(spec.clone(), Preprocessing::Text(other));
    let other = Model::new(network.clone(), other).unwrap();
    assert_ne!(
        model.hash(),
        other.hash(),
        "the tokenizer is part of what a network is"
    );

    let batch = |length| {
        let ids = Tensor::<2, Int>::zeros([2, length], &device);
        Batch::new(Samples::Tokens(ids), Tensor::zeros([2], &device))
    };
    let output = model.output(&batch(16)).unwrap().logits().unwrap();
    assert_eq!(output.dims(), [2, CLASSES]);
    let error = model.output(&batch(15)).unwrap_err().to_string();
    assert!(error.contains("expected 16 tokens, got 15"), "{error}");
    let error = model
        .output(&Batch::black([11, 1, 16], 2, &device))
        .unwrap_err();
    assert!(error.to_string().contains("takes text"), "{error}");

    let path = folder.path().join(TOKENIZER_FILE);
    std::fs::write(&path, "{}").unwrap();
    let error = open_model(folder.path(), &device).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(
        error
            .to_string()
            .contains("is another tokenizer than the network was"),
        "{error}"
    );
    std::fs::remove_file(&path).unwrap();
    assert!(open_model(folder.path(), &device).is_err());

    let images = ModelConfig::new(spec, Normalisation::identity(11));
    let error = images.check().unwrap_err().to_string();
    assert!(
        error.contains("is for images, and the network takes texts"),
        "{error}"
    );
    let error = Network::check_spec(&images.network)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("a network for texts, where a network for images"),
        "{error}"
    );
    let error = TextCnn::check_spec(&NetworkSpec::new("resnet8", 3, [11, 1, 16])).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a network for images, where a network for texts"),
        "{error}"
    );
    for (input, said) in [
        ([11, 16, 16], "must be [vocabulary, 1, length]"),
        ([11, 1, 3], "has texts of 3 tokens, of which 2 blocks"),
        (
            [70_000, 1, 16],
            "must have a vocabulary of at most 65536, got 70000",
        ),
    ] {
        let spec = NetworkSpec::with_structure("narrow", Structure::TextCnn(text_cnn()), 2, input);
        let error = TextCnn::check_spec(&spec).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// Logits of either task as numbers.
struct Logits(Vec<f32>);

impl<const D: usize> From<Tensor<D>> for Logits {
    fn from(logits: Tensor<D>) -> Self {
        Self(logits.into_data().iter().collect())
    }
}

#[test]
fn a_structure_has_the_documented_form() {
    let resnet = Structure::HeResNet(ResNetConfig {
        blocks: 3,
        widths: [16, 16, 24, 40],
    });
    let spec = NetworkSpec::with_structure("resnet20-cut", resnet, 10, INPUT);
    assert_eq!(
        text(&spec),
        "{\"name\":\"resnet20-cut\",\"classes\":10,\"input\":[3,32,32],\
         \"structure\":{\"family\":\"he-resnet\",\"blocks\":3,\"widths\":[16,16,24,40]}}"
    );
    let unet = narrow().pop().unwrap();
    assert_eq!(
        serde_json::to_value(unet).unwrap(),
        json!({
            "family": "skd-unet",
            "encoder": { "blocks": [1, 1, 2, 1], "widths": [4, 5, 6, 7], "stem": "large" },
            "decoder": [6, 5, 4, 3, 2],
        })
    );
    let bottlenecks = narrow()
        .into_iter()
        .find(|made| made.family() == "cifar-stem-resnet");
    let bottlenecks = serde_json::to_value(bottlenecks).unwrap();
    assert_eq!(bottlenecks["block"], "bottleneck");
}

#[test]
fn a_structure_of_the_catalogue_is_written_as_its_name() {
    for known in known_networks() {
        let preset = NetworkSpec::new(known.name, 10, INPUT);
        assert!(preset.is_preset());
        let structure = preset.structure().unwrap();
        let spec = NetworkSpec::with_structure("mine", structure.clone(), 10, INPUT);
        assert_eq!(spec, preset);
        assert_eq!(spec.title(), known.name);
        let written = format!(
            "{{\"name\":\"{}\",\"classes\":10,\"input\":[3,32,32]}}",
            known.name
        );
        assert_eq!(text(&spec), written);
        // And one that someone has written out is read as that network.
        let mut long: Value = serde_json::from_str(&written).unwrap();
        long["name"] = "mine".into();
        long["structure"] = serde_json::to_value(structure).unwrap();
        let read: NetworkSpec = serde_json::from_value(long).unwrap();
        assert_eq!(read, preset);
    }
}

#[test]
fn every_structure_survives_json_and_no_key_is_overlooked() {
    let presets = known_networks().map(|known| {
        let spec = NetworkSpec::new(known.name, 10, INPUT);
        spec.structure().unwrap()
    });
    for structure in narrow().into_iter().chain(presets) {
        let value = serde_json::to_value(&structure).unwrap();
        assert_eq!(
            serde_json::from_value::<Structure>(value.clone()).unwrap(),
            structure
        );
        let family = structure.family();
        let refused = |value: Value| {
            let error = serde_json::from_value::<Structure>(value)
                .unwrap_err()
                .to_string();
            let begin = format!("structure of family `{family}`: ");
            assert!(error.starts_with(&begin), "{error}");
            error
        };
        for key in value
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "family")
        {
            let mut lacking = value.clone();
            lacking.as_object_mut().unwrap().remove(key);
            // Of networks with free widths a few keys have usual values.
            let free = ["chunk-cnn", "text-cnn", "skd-unet"].contains(&family);
            if !(free && FREE.contains(&key.as_str())) {
                assert!(refused(lacking).contains(&format!("missing field `{key}`")));
            }
            let mut other = value.clone();
            other[key] = "wide".into();
            refused(other);
        }
        let mut more = value;
        more["dropout"] = 0.5.into();
        assert!(refused(more).contains("unknown field `dropout`"));
    }
}

/// The error that a spec with this structure is refused with.
fn refusal(structure: Value) -> String {
    let value =
        json!({ "name": "narrow", "classes": 4, "input": [3, 32, 32], "structure": structure });
    let spec: NetworkSpec = serde_json::from_value(value).unwrap();
    let error = spec.check().unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error}");
    error.to_string()
}

#[test]
fn sizes_that_no_program_can_hold_are_refused_before_anything_is_made() {
    let huge = 1_u64 << 60;
    for structure in narrow() {
        let value = serde_json::to_value(&structure).unwrap();
        for place in numbers(&value) {
            for size in [0, huge, u64::from(u32::MAX), 5000] {
                let mut damaged = value.clone();
                *damaged.pointer_mut(&place).unwrap() = size.into();
                let is_group = place == "/groups" || place.ends_with("stride");
                let may_be_none =
                    structure.family() == "shufflenet-v2" && place.starts_with("/blocks");
                let may_be_none = may_be_none || place.contains("/padded/");
                if size == 0 && may_be_none {
                    continue;
                }
                let error = refusal(damaged);
                assert!(error.len() < 300, "{error}");
                if size > 4096 && !is_group && structure.family() != "shufflenet-v1" {
                    let known = ["must be at most", "must not shrink", "must be 1 to 16"];
                    let known = known.iter().any(|known| error.contains(known));
                    assert!(known, "{} {place}: {error}", structure.family());
                }
            }
        }
    }
}

/// The places of all numbers.
fn numbers(value: &Value) -> Vec<String> {
    let below = |key: String, value: &Value| {
        let inner = numbers(value).into_iter();
        inner
            .map(|place| format!("/{key}{place}"))
            .collect::<Vec<_>>()
    };
    match value {
        Value::Number(_) => vec![String::new()],
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items
                .flat_map(|(at, item)| below(at.to_string(), item))
                .collect()
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            fields
                .flat_map(|(key, item)| below(key.clone(), item))
                .collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn many_wide_blocks_together_are_refused_as_well() {
    let wide = json!({ "family": "crd-resnet", "blocks": 256, "widths": [4096, 4096, 4096, 4096] });
    assert_eq!(
        refusal(wide),
        "`structure` must have at most 1048576 channels in all layers together, got 8388608; give \
         fewer blocks or smaller widths"
    );
    let row = json!({ "expansion": 32, "width": 4096, "blocks": 256, "stride": 1 });
    let rows = vec![row; 7];
    let mobile = json!({ "family": "mobilenet-v2", "stem": 4, "groups": rows, "last": 4 });
    assert!(refusal(mobile).contains("in all layers together"));
    let vgg = json!({ "family": "vgg", "widths": [[4], [4], vec![4; 300], [4], [4]] });
    assert!(refusal(vgg).contains("must have at most 256 convolutions in each group, got 300"));
    let vgg = json!({ "family": "vgg", "widths": vec![vec![4096; 250]; 5] });
    assert!(refusal(vgg).contains("in all layers together"));
}

#[test]
fn the_largest_structures_are_counted_without_overflow_and_without_memory_for_their_weights() {
    let (device, input) = (Device::flex(), [4096, 4096, 4096]);
    let row = |stride| InvertedResiduals {
        expansion: 32,
        width: 4096,
        blocks: 1,
        stride,
    };
    let large = |block| LargeResNetConfig {
        block,
        blocks: [20, 1, 1, 1],
        stem: 4096,
        widths: [4096; 4],
    };
    let skd = SkdResNetConfig {
        blocks: [30, 1, 1, 1],
        widths: [4096; 4],
        stem: StemKind::Large,
    };
    let resnet = ResNetConfig {
        blocks: 31,
        widths: [4096; 4],
    };
    let mut groups = [row(1); 7];
    for group in &mut groups[3..] {
        (group.expansion, group.width) = (1, 1);
    }
    for structure in [
        Structure::LeNet(LeNetConfig { widths: [4096; 4] }),
        Structure::HeResNet(resnet),
        Structure::CrdResNet(resnet),
        Structure::WideResNet(resnet),
        Structure::Vgg(VggConfig {
            widths: [51, 51, 51, 51, 51].map(|count| vec![4096; count]),
        }),
        Structure::MobileNetV2(MobileNetV2Config {
            stem: 4096,
            groups,
            last: 4096,
        }),
        Structure::ImageNetResNet(large(BlockKind::Basic)),
        Structure::CifarStemResNet(large(BlockKind::Bottleneck)),
        Structure::SkdResNet(skd.with_stem(StemKind::Small)),
        Structure::UNet(UNetConfig {
            encoder: skd,
            decoder: [4096; 5],
            head: 3,
        }),
    ] {
        let family = structure.family().to_owned();
        let spec = NetworkSpec::with_structure("largest", structure, 1_000_000, input);
        let costs = spec
            .costs(&device)
            .unwrap_or_else(|error| unreachable!("{family}: {error}"));
        assert!(costs.macs() > 1 << 44, "{family}: {}", costs.macs());
    }
}

/// The result of reading a narrow network whose description is changed by `change`.
fn after_damage<E: Debug>(change: impl Fn(&str) -> Result<String, E>) -> Result<(), Error> {
    let folder = TempDir::new().unwrap();
    save_narrow(folder.path());
    let path = folder.path().join(CONFIG_FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, change(&text).unwrap()).unwrap();
    let typed = load_model::<Network>(folder.path(), &Device::flex()).map(drop);
    let open = open_model(folder.path(), &Device::flex()).map(drop);
    assert_eq!(typed.is_ok(), open.is_ok());
    typed
}

fn save_narrow(folder: &Path) {
    let spec = spec(narrow().swap_remove(1));
    let network = Network::build(&spec, 0, &Device::flex()).unwrap();
    save_model(
        folder,
        &network,
        &ModelConfig::new(spec, Normalisation::identity(3)),
    )
    .unwrap();
}

#[test]
fn what_is_wrong_with_a_structure_is_said_with_the_file() {
    for (from, to, expected) in [
        (
            "\"blocks\": 2",
            "\"block\": 2",
            "structure of family `he-resnet`: unknown field `block`",
        ),
        (
            "\"blocks\": 2",
            "\"blocks\": 0",
            "`blocks` must be 1 or more, got [0]",
        ),
        (
            "\"blocks\": 2",
            "\"blocks\": 300",
            "`blocks` must be at most 256, got 300",
        ),
        ("he-resnet", "hh-resnet", "h-resnet"),
        (
            "\"narrow\"",
            "\"resnet20\"",
            "`name` is `resnet20`, and the structure is not that of `resnet20`",
        ),
        (
            "\"narrow\"",
            "\" \"",
            "must be 1 to 100 characters in one line, got \" \"",
        ),
        ("\"family\": \"he-resnet\",", "", "missing field `family`"),
    ] {
        let error = after_damage(|text| {
            assert!(text.contains(from), "{text}");
            Ok::<_, ()>(text.replacen(from, to, 1))
        });
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "{error}");
        assert!(error.to_string().contains("config.json`"), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    // Another depth is a network of its own, which has other weights.
    let other =
        after_damage(|text| Ok::<_, ()>(text.replacen("\"blocks\": 2", "\"blocks\": 3", 1)));
    assert!(matches!(other, Err(Error::Mismatch { .. })), "{other:?}");
}

#[test]
fn a_damaged_structure_gives_an_error_or_the_same_network() {
    let mut refused = 0;
    for seed in 0..300 {
        let result = after_damage(|text| {
            let mut draws = Draws::new(seed, "damage", 0, 0);
            let mut below = |count: usize| usize::try_from(draws.below(count as u64)).unwrap();
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..=below(2) {
                let at = below(bytes.len());
                match below(3) {
                    0 => bytes[at] = b'0' + u8::try_from(below(10)).unwrap(),
                    1 => drop(bytes.splice(at..at, b"99999999".iter().copied())),
                    _ => drop(bytes.remove(at)),
                }
            }
            String::from_utf8(bytes)
        });
        if let Err(error) = result {
            refused += 1;
            assert_eq!(error.kind(), ErrorKind::Input, "seed {seed}: {error}");
            assert!(error.to_string().len() < 3000, "seed {seed}: {error}");
        }
    }
    assert!(refused > 150, "{refused}");
}
