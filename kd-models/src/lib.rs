#![doc = include_str!("../README.md")]

mod block;
mod chain;
mod initialise;
mod known;
mod layers;
mod lenet;
mod model;
mod network;
mod resnet;
mod resnet_body;
mod weights;

pub use known::{KnownNetwork, NetworkSpec, known_networks};
pub use network::Network;

pub use block::BlockKind;
pub use lenet::{LeNet, LeNetConfig};
pub use resnet::{CrdResNet, HeResNet, ResNetConfig};

pub use model::{
    CONFIG_FILE, ModelConfig, Provenance, WEIGHTS_FILE, load_model, save_model, state_dict,
};
pub use weights::{LoadReport, ShapeDifference, WeightChoice, WeightFit, WeightFormat, Weights};
