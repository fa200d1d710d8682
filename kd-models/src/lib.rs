#![doc = include_str!("../README.md")]

mod block;
mod budget;
mod catalogue;
mod chain;
mod chunk_cnn;
mod densenet;
mod ensemble;
mod families;
mod free_blocks;
mod free_widths;
mod layers;
mod lenet;
mod mobilenet;
mod mobilenet_paper;
mod model_config;
mod model_folder;
mod named;
mod network;
mod okddip_resnet;
mod okddip_vgg;
#[cfg(feature = "onnx")]
mod onnx;
mod resnet;
mod resnet_blocks;
mod resnet_body;
mod resnet_large;
mod shufflenet_v1;
mod shufflenet_v2;
mod skd_resnet;
mod spec;
mod structure;
mod text_cnn;
mod trained_model;
mod unet;
mod vgg;
mod vgg_imagenet;
mod weights;
mod wrn;

pub use catalogue::{KnownNetwork, known_networks};
pub use spec::NetworkSpec;
pub use structure::Structure;

pub use named::ModelNetwork;
pub use network::Network;

pub use block::{BlockKind, BlockShortcut, FreeBlock, ResidualBlock};
pub use budget::{BUDGET_TOLERANCE, Budget, Wanted, fit_network, fit_widths};
pub use chunk_cnn::{ChunkCnn, ChunkCnnConfig};
pub use densenet::{DenseNet, DenseNetConfig};
pub use free_blocks::FreeBlocks;
pub use free_widths::FreeWidths;
pub use lenet::{LeNet, LeNetConfig};
pub use mobilenet::{InvertedResiduals, MobileNetV2, MobileNetV2Config};
pub use mobilenet_paper::{InvertedBlock, InvertedBlocks, PaperMobileNetV2};
pub use okddip_resnet::{OkddipResNet, OkddipResNetConfig};
pub use okddip_vgg::{OkddipVgg, OkddipVggConfig};
pub use resnet::{CrdResNet, HeResNet, ResNetConfig};
pub use resnet_blocks::ResNetBlocks;
pub use resnet_large::{CifarStemResNet, ImageNetResNet, LargeResNetConfig};
pub use shufflenet_v1::{ShuffleNetV1, ShuffleNetV1Config};
pub use shufflenet_v2::{ShuffleNetV2, ShuffleNetV2Blocks, ShuffleNetV2Config};
pub use skd_resnet::{SkdResNet, SkdResNetConfig, StemKind};
pub use text_cnn::{TextCnn, TextCnnConfig};
pub use unet::{UNet, UNetConfig};
pub use vgg::{Vgg, VggConfig};
pub use vgg_imagenet::{LargeVgg, LargeVggConfig};
pub use wrn::WideResNet;

pub use model_config::{CONFIG_FILE, ModelConfig, Provenance, TOKENIZER_FILE};
pub use model_folder::{WEIGHTS_FILE, load_model, save_model, state_dict};
pub use weights::{LoadReport, ShapeDifference, WeightChoice, WeightFit, WeightFormat, Weights};

pub use ensemble::{Ensemble, EnsembleAverage, EnsembleEvaluation};
pub use families::{Families, open_model};
#[cfg(feature = "onnx")]
pub use onnx::{OnnxInput, OnnxOptions};
pub use trained_model::{Evaluation, Model, TrainedModel};
