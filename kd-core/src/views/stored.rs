//! Stored rows: the samples before they are made into views.

use crate::data::dataset::Dataset;
use crate::data::shape::ImageShape;

/// How samples are stored: each channel with a border of zeros around it, so that a crop with padding is
/// nothing but a shifted index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredRows {
    image: ImageShape,
    padding: usize,
}

impl StoredRows {
    /// Rows of images of shape `image` with `padding` zeros on each side.
    pub(crate) fn new(image: ImageShape, padding: usize) -> Self {
        Self { image, padding }
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

    /// Bytes in a row.
    pub(crate) fn bytes(self) -> usize {
        self.shape().bytes()
    }

    /// The rows of the samples `ids` of `dataset`, one after the other.
    pub(crate) fn copy(self, dataset: &Dataset, ids: &[u32]) -> Vec<u8> {
        let mut rows = Vec::with_capacity(ids.len() * self.bytes());
        let images = ids.iter().filter_map(|id| dataset.image(*id));
        if self.padding == 0 {
            images.for_each(|image| rows.extend_from_slice(image));
            return rows;
        }
        rows.resize(ids.len() * self.bytes(), 0);
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
