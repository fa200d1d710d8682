//! Templates of networks with free widths, which a budget moves.

use crate::chunk_cnn::ChunkCnnConfig;
use crate::structure::Structure;
use crate::text_cnn::TextCnnConfig;

/// A template of networks with free widths: blocks of convolutions, then hidden layers.
pub trait FreeWidths: Clone {
    /// Output channels of the convolutions of each block.
    fn blocks(&self) -> &[Vec<usize>];

    /// Features of the hidden layers.
    fn hidden(&self) -> &[usize];

    /// All of these, in this order, to be changed.
    fn free_widths(&mut self) -> impl Iterator<Item = &mut usize>;
}

/// The families whose configs have `blocks` and `hidden`; whatever else they have, as the features of an
/// embedding, stays as it is.
macro_rules! free_widths {
    ($($family:ident($config:ty)),+) => {
        $(impl FreeWidths for $config {
            fn blocks(&self) -> &[Vec<usize>] {
                &self.blocks
            }

            fn hidden(&self) -> &[usize] {
                &self.hidden
            }

            fn free_widths(&mut self) -> impl Iterator<Item = &mut usize> {
                self.blocks.iter_mut().flatten().chain(&mut self.hidden)
            }
        })+

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
            pub fn free_widths(&self) -> Option<(&[Vec<usize>], &[usize])> {
                match self {
                    $(Self::$family(widths) => Some((widths.blocks(), widths.hidden())),)+
                    _ => None,
                }
            }
        }
    };
}

free_widths!(ChunkCnn(ChunkCnnConfig), TextCnn(TextCnnConfig));
