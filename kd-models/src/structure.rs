//! Structures: the families of networks, each with its widths and depths.

use kd_core::{Error, Result, SampleKind, Task};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::chunk_cnn::ChunkCnnConfig;
use crate::densenet::DenseNetConfig;
use crate::free_blocks::FreeBlocks;
use crate::lenet::LeNetConfig;
use crate::mobilenet::MobileNetV2Config;
use crate::mobilenet_paper::InvertedBlocks;
use crate::okddip_resnet::OkddipResNetConfig;
use crate::okddip_vgg::OkddipVggConfig;
use crate::resnet::ResNetConfig;
use crate::resnet_blocks::ResNetBlocks;
use crate::resnet_large::LargeResNetConfig;
use crate::shufflenet_v1::ShuffleNetV1Config;
use crate::shufflenet_v2::{ShuffleNetV2Blocks, ShuffleNetV2Config};
use crate::skd_resnet::SkdResNetConfig;
use crate::text_cnn::TextCnnConfig;
use crate::unet::UNetConfig;
use crate::vgg::VggConfig;
use crate::vgg_imagenet::LargeVggConfig;

/// The families of this crate: the variant with its config, the name in files, the task, and how a config is
/// checked.
///
/// A further family of this crate is a further line here, and a variant of the network type that is built of
/// it.
macro_rules! families {
    ($($(#[$doc:meta])* $variant:ident($config:ty), $name:literal, $task:ident, $check:path;)+) => {
        /// A family of networks with the widths and depths of one of them: what is built, but for classes and
        /// input.
        ///
        /// In files it is a table of the config's fields with `family` before them:
        ///
        /// ```
        /// use kd_models::{ResNetConfig, Structure};
        ///
        /// let text = r#"{"family":"he-resnet","blocks":3,"widths":[16,16,24,40]}"#;
        /// let structure: Structure = serde_json::from_str(text)?;
        /// let config = ResNetConfig { blocks: 3, widths: [16, 16, 24, 40] };
        /// assert_eq!(structure, Structure::HeResNet(config));
        /// assert_eq!(serde_json::to_string(&structure)?, text);
        /// assert!(serde_json::from_str::<Structure>(&text.replace("blocks", "block")).is_err());
        /// # Ok::<(), serde_json::Error>(())
        /// ```
        ///
        /// Widths are at most 4096 channels, blocks in a row at most 256, and the channels of all layers
        /// together at most 1,048,576, so that a damaged file cannot ask for more than a program can hold:
        /// [`NetworkSpec::check`](crate::NetworkSpec::check) refuses it in words.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Structure {
            $($(#[$doc])* $variant($config),)+
            /// A family that another crate brings; see [`Families`](crate::Families).
            Other {
                /// The name of the family.
                family: String,
                /// Its config, which that crate reads.
                config: Map<String, Value>,
            },
        }

        impl Structure {
            /// The names of the families of this crate, as files have them.
            pub const FAMILIES: [&'static str; [$($name),+].len()] = [$($name),+];

            /// The name of the family.
            pub fn family(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $name,)+
                    Self::Other { family, .. } => family,
                }
            }

            /// The task that the family is for; none for a family that another crate brings, whose models say
            /// it.
            pub fn task(&self) -> Option<Task> {
                match self {
                    $(Self::$variant(_) => Some(Task::$task),)+
                    Self::Other { .. } => None,
                }
            }

            /// Checks what can be built of it.
            pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
                match self {
                    $(Self::$variant(config) => $check(config, input, classes),)+
                    Self::Other { .. } => Ok(()),
                }
            }

            fn from_parts(family: String, config: Map<String, Value>) -> serde_json::Result<Self> {
                match family.as_str() {
                    $($name => serde_json::from_value(Value::Object(config)).map(Self::$variant),)+
                    _ => Ok(Self::Other { family, config }),
                }
            }
        }

        impl Serialize for Structure {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                let family = self.family();
                match self {
                    $(Self::$variant(config) => Tagged { family, config }.serialize(serializer),)+
                    Self::Other { config, .. } => Tagged { family, config }.serialize(serializer),
                }
            }
        }
    };
}

families! {
    /// LeNet-5 and its half: [`LeNet`](crate::LeNet).
    LeNet(LeNetConfig), "lenet", Classification, LeNetConfig::check;
    /// CIFAR ResNets with shortcuts that have no parameters: [`HeResNet`](crate::HeResNet).
    HeResNet(ResNetConfig), "he-resnet", Classification, ResNetConfig::check_growing;
    /// ResNets of the CRD benchmark: [`CrdResNet`](crate::CrdResNet).
    CrdResNet(ResNetConfig), "crd-resnet", Classification, ResNetConfig::check;
    /// CIFAR ResNets block by block, as cutting channels leaves them: [`HeResNet`](crate::HeResNet).
    HeResNetBlocks(ResNetBlocks), "he-resnet-blocks", Classification, ResNetBlocks::check_padded;
    /// ResNets of the CRD benchmark block by block: [`CrdResNet`](crate::CrdResNet).
    CrdResNetBlocks(ResNetBlocks), "crd-resnet-blocks", Classification, ResNetBlocks::check_projected;
    /// ResNets for large images block by block: [`ImageNetResNet`](crate::ImageNetResNet).
    ImageNetResNetBlocks(FreeBlocks), "imagenet-resnet-blocks", Classification, FreeBlocks::check_large;
    /// ResNets of four groups for small images block by block: [`CifarStemResNet`](crate::CifarStemResNet).
    CifarStemResNetBlocks(FreeBlocks), "cifar-stem-resnet-blocks", Classification, FreeBlocks::check_large;
    /// Wide ResNets block by block: [`WideResNet`](crate::WideResNet).
    WideResNetBlocks(FreeBlocks), "wide-resnet-blocks", Classification, FreeBlocks::check_wide;
    /// Wide ResNets: [`WideResNet`](crate::WideResNet).
    WideResNet(ResNetConfig), "wide-resnet", Classification, ResNetConfig::check;
    /// VGG for small images: [`Vgg`](crate::Vgg).
    Vgg(VggConfig), "vgg", Classification, VggConfig::check;
    /// MobileNetV2 for small images: [`MobileNetV2`](crate::MobileNetV2).
    MobileNetV2(MobileNetV2Config), "mobilenet-v2", Classification, MobileNetV2Config::check;
    /// MobileNetV2 of its paper, block by block: [`PaperMobileNetV2`](crate::PaperMobileNetV2).
    PaperMobileNetV2(InvertedBlocks), "mobilenet-v2-paper", Classification, InvertedBlocks::check;
    /// ShuffleNet V1 for small images: [`ShuffleNetV1`](crate::ShuffleNetV1).
    ShuffleNetV1(ShuffleNetV1Config), "shufflenet-v1", Classification, ShuffleNetV1Config::check;
    /// ShuffleNet V2 for small images: [`ShuffleNetV2`](crate::ShuffleNetV2).
    ShuffleNetV2(ShuffleNetV2Config), "shufflenet-v2", Classification, ShuffleNetV2Config::check;
    /// ShuffleNet V2 block by block: [`ShuffleNetV2`](crate::ShuffleNetV2).
    ShuffleNetV2Blocks(ShuffleNetV2Blocks), "shufflenet-v2-blocks", Classification, ShuffleNetV2Blocks::check;
    /// ResNets with the stem for large images: [`ImageNetResNet`](crate::ImageNetResNet).
    ImageNetResNet(LargeResNetConfig), "imagenet-resnet", Classification, LargeResNetConfig::check;
    /// ResNets with four groups and a stem for small images: [`CifarStemResNet`](crate::CifarStemResNet).
    CifarStemResNet(LargeResNetConfig), "cifar-stem-resnet", Classification, LargeResNetConfig::check;
    /// ResNets of Stagewise KD: [`SkdResNet`](crate::SkdResNet).
    SkdResNet(SkdResNetConfig), "skd-resnet", Classification, SkdResNetConfig::check;
    /// Plain convolutional networks with free widths: [`ChunkCnn`](crate::ChunkCnn).
    ChunkCnn(ChunkCnnConfig), "chunk-cnn", Classification, ChunkCnnConfig::check;
    /// ResNets of bottlenecks as in the code of OKDDip: [`OkddipResNet`](crate::OkddipResNet).
    OkddipResNet(OkddipResNetConfig), "okddip-resnet", Classification, OkddipResNetConfig::check;
    /// The VGG of the code of OKDDip: [`OkddipVgg`](crate::OkddipVgg).
    OkddipVgg(OkddipVggConfig), "okddip-vgg", Classification, OkddipVggConfig::check;
    /// DenseNet-BC for small images: [`DenseNet`](crate::DenseNet).
    DenseNet(DenseNetConfig), "densenet", Classification, DenseNetConfig::check;
    /// VGG with batch norm for large images: [`LargeVgg`](crate::LargeVgg).
    LargeVgg(LargeVggConfig), "imagenet-vgg", Classification, LargeVggConfig::check;
    /// Convolutional networks for text: [`TextCnn`](crate::TextCnn).
    TextCnn(TextCnnConfig), "text-cnn", Classification, TextCnnConfig::check;
    /// U-Nets of Stagewise KD: [`UNet`](crate::UNet).
    UNet(UNetConfig), "skd-unet", Segmentation, UNetConfig::check;
}

/// A config as it is written.
#[derive(Serialize)]
struct Tagged<'a, C> {
    family: &'a str,
    #[serde(flatten)]
    config: &'a C,
}

/// A config as it is read, before it is known whose it is.
#[derive(Deserialize)]
struct Untagged {
    family: String,
    #[serde(flatten)]
    config: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Structure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let Untagged { family, config } = Untagged::deserialize(deserializer)?;
        let of = format!("structure of family `{family}`");
        Self::from_parts(family, config).map_err(|error| D::Error::custom(format!("{of}: {error}")))
    }
}

impl Structure {
    /// What the networks of the family take; none for a family that another crate brings, whose models say
    /// it.
    pub fn takes(&self) -> Option<SampleKind> {
        match self {
            Self::TextCnn(_) => Some(SampleKind::Texts),
            Self::Other { .. } => None,
            _ => Some(SampleKind::Images),
        }
    }

    /// A structure of the family `family`, mostly one that another crate brings; `config` is a struct of its
    /// fields.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if `config` is no struct, has a field `family`, or is not that of a family of this
    /// crate.
    ///
    /// ```
    /// #[derive(serde::Serialize)]
    /// struct Branches { count: usize }
    ///
    /// let structure = kd_models::Structure::of_family("branched", &Branches { count: 3 })?;
    /// assert_eq!(serde_json::to_string(&structure).unwrap(), r#"{"family":"branched","count":3}"#);
    /// # Ok::<(), kd_core::Error>(())
    /// ```
    pub fn of_family(family: &str, config: &impl Serialize) -> Result<Self> {
        let bad = |problem: &dyn std::fmt::Display| cannot_be_used(family, problem);
        let value = serde_json::to_value(config).map_err(|error| bad(&error))?;
        let Value::Object(config) = value else {
            return Err(bad(&"its config must have named fields"));
        };
        if config.contains_key("family") {
            return Err(bad(
                &"its config must have no field `family`, which names the family",
            ));
        }
        Self::from_parts(family.to_owned(), config).map_err(|error| bad(&error))
    }

    /// Its config, if it is of the family `family` and is a `C`.
    pub(crate) fn config_of<C: DeserializeOwned>(&self, family: &str) -> Result<C> {
        if self.family() != family {
            return Err(self.wrong_family(family));
        }
        let mut config = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = config.as_object_mut() {
            fields.remove("family");
        }
        serde_json::from_value(config).map_err(|error| cannot_be_used(family, error))
    }

    /// The error that it is not of the family, or of one of the families, `wanted`.
    pub(crate) fn wrong_family(&self, wanted: &str) -> Error {
        let found = self.family();
        let problem = format!("is of family `{found}`, where {wanted} is wanted");
        Error::config("structure", problem)
    }
}

fn cannot_be_used(family: &str, problem: impl std::fmt::Display) -> Error {
    let problem = format!("of family `{family}` cannot be used: {problem}");
    Error::config("structure", problem)
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Structure {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Structure".into()
    }

    /// The config of a family is known by its own reader, so that any keys may stand beside `family`.
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "properties": { "family": {
                "type": "string", "examples": Self::FAMILIES,
                "description": "The family; the keys of its config stand beside it."
            } },
            "required": ["family"]
        })
    }
}
