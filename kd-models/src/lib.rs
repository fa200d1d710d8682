#![doc = include_str!("../README.md")]

mod block;
mod chain;
mod known;
mod layers;
mod lenet;
mod mobilenet;
mod model;
mod model_network;
mod network;
mod resnet;
mod resnet_body;
mod resnet_large;
mod shufflenet_v1;
mod shufflenet_v2;
mod skd_resnet;
mod table;
mod table_skd;
mod unet;
mod vgg;
mod weights;
mod wrn;

pub use known::{KnownNetwork, NetworkSpec, NetworkTask, known_networks};
pub use model_network::ModelNetwork;
pub use network::Network;

pub use block::BlockKind;
pub use lenet::{LeNet, LeNetConfig};
pub use mobilenet::{InvertedResiduals, MobileNetV2, MobileNetV2Config};
pub use resnet::{CrdResNet, HeResNet, ResNetConfig};
pub use resnet_large::{CifarStemResNet, ImageNetResNet, LargeResNetConfig};
pub use shufflenet_v1::{ShuffleNetV1, ShuffleNetV1Config};
pub use shufflenet_v2::{ShuffleNetV2, ShuffleNetV2Config};
pub use skd_resnet::{SkdResNet, SkdResNetConfig, StemKind};
pub use unet::{UNet, UNetConfig};
pub use vgg::{Vgg, VggConfig};
pub use wrn::WideResNet;

pub use model::{
    CONFIG_FILE, ModelConfig, Provenance, WEIGHTS_FILE, load_model, load_model_as, save_model,
    state_dict,
};
pub use weights::{LoadReport, ShapeDifference, WeightChoice, WeightFit, WeightFormat, Weights};
