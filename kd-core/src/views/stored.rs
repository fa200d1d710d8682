//! Stored rows: the samples before they are made into views, or texts as they are.

use crate::data::dataset::Dataset;
use crate::data::kind::SampleKind;
use crate::data::shape::ImageShape;

/// How samples are stored: each channel with a border of zeros around it, so that a crop with padding is
/// nothing but a shifted index. Of a text its token ids are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredRows {
    kind: SampleKind,
    image: ImageShape,
    padding: usize,
}

/// Rows on the host.
#[derive(Debug)]
pub(crate) enum HostRows {
    /// Bytes of images.
    Bytes(Vec<u8>),
    /// Token ids of texts.
    Ids(Vec<i32>),
}

impl StoredRows {
    /// The rows of a data set, of images with `padding` zeros on each side.
    pub(crate) fn new(dataset: &Dataset, padding: usize) -> Self {
        Self {
            kind: dataset.kind(),
            image: dataset.shape(),
            padding,
        }
    }

    /// What the samples are.
    pub(crate) fn kind(self) -> SampleKind {
        self.kind
    }

    /// The shape of an image, or of a text as a data set has it.
    pub(crate) fn image(self) -> ImageShape {
        self.image
    }

    /// The shape of a stored image, border included.
    pub(crate) fn shape(self) -> ImageShape {
        let ImageShape {
            channels,
            height,
            width,
        } = self.image;
        ImageShape::new(
            channels,
            height + 2 * self.padding,
            width + 2 * self.padding,
        )
    }

    /// Numbers in a row: bytes of an image, ids of a text.
    pub(crate) fn numbers(self) -> usize {
        match self.kind {
            SampleKind::Images => self.shape().bytes(),
            SampleKind::Texts => self.image.width,
        }
    }

    /// The rows of the samples `ids` of `dataset`, one after the other.
    pub(crate) fn copy(self, dataset: &Dataset, ids: &[u32]) -> HostRows {
        match self.kind {
            SampleKind::Images => HostRows::Bytes(self.copy_images(dataset, ids)),
            SampleKind::Texts => {
                let texts = ids.iter().filter_map(|id| dataset.text(*id));
                HostRows::Ids(texts.flatten().map(|id| i32::from(*id)).collect())
            }
        }
    }

    fn copy_images(self, dataset: &Dataset, ids: &[u32]) -> Vec<u8> {
        let mut rows = Vec::with_capacity(ids.len() * self.numbers());
        let images = ids.iter().filter_map(|id| dataset.image(*id));
        if self.padding == 0 {
            images.for_each(|image| rows.extend_from_slice(image));
            return rows;
        }
        rows.resize(ids.len() * self.numbers(), 0);
        let (stored, padding) = (self.shape(), self.padding);
        for (row, image) in rows.chunks_exact_mut(stored.bytes()).zip(images) {
            let planes = row.chunks_exact_mut(stored.height * stored.width);
            for (plane, image) in
                planes.zip(image.chunks_exact(self.image.height * self.image.width))
            {
                let lines = plane.chunks_exact_mut(stored.width).skip(padding);
                for (line, pixels) in lines.zip(image.chunks_exact(self.image.width)) {
                    line[padding..padding + pixels.len()].copy_from_slice(pixels);
                }
            }
        }
        rows
    }
}
