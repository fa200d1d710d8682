//! Templates of networks with free widths, which a budget moves.

use crate::chunk_cnn::ChunkCnnConfig;
use crate::structure::Structure;
use crate::text_cnn::TextCnnConfig;
use crate::unet::UNetConfig;

/// A template of networks with free widths: blocks of convolutions, then hidden layers. Of a U-Net the groups
/// of the encoder are the blocks, and the blocks of the decoder stand in place of hidden layers.
pub trait FreeWidths: Clone {
    /// Output channels of the convolutions of each block.
    fn blocks(&self) -> Vec<Vec<usize>>;

    /// Features of the hidden layers.
    fn hidden(&self) -> Vec<usize>;

    /// All of these, in this order, to be changed.
    fn free_widths(&mut self) -> impl Iterator<Item = &mut usize>;

    /// The widths in words.
    fn in_words(&self) -> String {
        format!("blocks {:?} and hidden {:?}", self.blocks(), self.hidden())
    }
}

impl FreeWidths for UNetConfig {
    fn blocks(&self) -> Vec<Vec<usize>> {
        self.encoder.widths.map(|width| vec![width]).to_vec()
    }

    fn hidden(&self) -> Vec<usize> {
        self.decoder.to_vec()
    }

    fn free_widths(&mut self) -> impl Iterator<Item = &mut usize> {
        self.encoder.widths.iter_mut().chain(&mut self.decoder)
    }

    fn in_words(&self) -> String {
        format!(
            "encoder {:?} and decoder {:?}",
            self.encoder.widths, self.decoder
        )
    }
}

/// The families whose configs have `blocks` and `hidden`; whatever else they have, as the features of an
/// embedding, stays as it is.
macro_rules! layered {
    ($($config:ty),+) => {
        $(impl FreeWidths for $config {
            fn blocks(&self) -> Vec<Vec<usize>> {
                self.blocks.clone()
            }

            fn hidden(&self) -> Vec<usize> {
                self.hidden.clone()
            }

            fn free_widths(&mut self) -> impl Iterator<Item = &mut usize> {
                self.blocks.iter_mut().flatten().chain(&mut self.hidden)
            }
        })+
    };
}

/// The families whose widths are free.
macro_rules! free_widths {
    ($($family:ident),+) => {
        impl Structure {
            /// Parameters and multiply-accumulates of a network with free widths for one sample, without
            /// building it; none for another family, and where it cannot take the samples.
            pub fn counts(&self, input: [usize; 3], classes: usize) -> Option<[u64; 2]> {
                match self {
                    $(Self::$family(widths) => widths.counts(input, classes),)+
                    _ => None,
                }
            }

            /// The widths of a network with free ones: of the convolutions of each block, and of the hidden
            /// layers.
            pub fn free_widths(&self) -> Option<(Vec<Vec<usize>>, Vec<usize>)> {
                match self {
                    $(Self::$family(widths) => Some((widths.blocks(), widths.hidden())),)+
                    _ => None,
                }
            }

            /// The same in words.
            pub fn widths_in_words(&self) -> Option<String> {
                match self {
                    $(Self::$family(widths) => Some(widths.in_words()),)+
                    _ => None,
                }
            }
        }
    };
}

layered!(ChunkCnnConfig, TextCnnConfig);
free_widths!(ChunkCnn, TextCnn, UNet);
