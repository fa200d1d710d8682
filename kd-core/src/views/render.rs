//! Making a whole batch of views on the device at once.

use burn::tensor::ops::{GridSampleOptions, GridSamplePaddingMode, InterpolateMode};
use burn::tensor::{DType, Device, Int, IntDType, Tensor, TensorData};

use crate::data::kind::SampleKind;
use crate::data::shape::ImageShape;
use crate::views::augment::{Augment, ViewParams};
use crate::views::stored::{HostRows, StoredRows};

/// Turns rows of stored bytes into a batch of views.
///
/// Only a few numbers a sample are sent to the device; everything that has the size of the pixels is made
/// there.
#[derive(Clone, Debug)]
pub(crate) struct Renderer {
    shape: ImageShape,
    stored: StoredRows,
    device: Device,
    /// How bytes are kept on the device.
    bytes: DType,
    /// How whole numbers are kept there where nothing is said.
    ints: IntDType,
    /// Where row `y` of channel `c` begins in a stored row: `[1, channels * height, 1]`; none where pixels
    /// stay in place.
    line_starts: Option<Tensor<3, Int>>,
    /// Pixel positions relative to the centre, `[1, 1, width]` and `[1, height, 1]`; none without rotation
    /// and translation.
    centred: Option<(Tensor<3>, Tensor<3>)>,
}

impl Renderer {
    /// A renderer of views of what is stored as `stored`, which must have been checked against `augment`.
    pub(crate) fn new(stored: StoredRows, augment: &Augment, device: &Device) -> Self {
        let shape = stored.image();
        let bytes = if device.supports_dtype(DType::U8) {
            DType::U8
        } else {
            DType::I32
        };
        let mut renderer = Self {
            shape,
            stored,
            device: device.clone(),
            bytes,
            ints: device.settings().int_dtype,
            line_starts: None,
            centred: None,
        };
        if augment.crop_padding > 0 || augment.flip > 0.0 {
            let stored = stored.shape();
            let starts = (0..shape.channels).flat_map(|c| {
                (0..shape.height).map(move |y| (c * stored.height + y) * stored.width)
            });
            renderer.line_starts =
                Some(renderer.indices(starts.collect(), [1, shape.channels * shape.height, 1]));
        }
        if augment.rotate_degrees > 0.0 || augment.translate_pixels > 0.0 {
            let centred =
                |size: usize| (0..size).map(move |at| at as f64 - (size as f64 - 1.0) / 2.0);
            let columns = renderer.floats(centred(shape.width), [1, 1, shape.width]);
            let lines = renderer.floats(centred(shape.height), [1, shape.height, 1]);
            renderer.centred = Some((columns, lines));
        }
        renderer
    }

    /// Bytes of a stored row on the device.
    pub(crate) fn row_bytes(&self) -> usize {
        let number = match self.stored.kind() {
            SampleKind::Images => self.bytes,
            SampleKind::Texts => DType::I32,
        };
        self.stored.numbers() * number.size()
    }

    /// Sends `count` stored rows to the device: `[count, numbers of a row]`.
    pub(crate) fn upload(&self, rows: HostRows, count: usize) -> Tensor<2, Int> {
        let shape = [count, self.stored.numbers()];
        match rows {
            HostRows::Bytes(bytes) => {
                Tensor::from_data(TensorData::new(bytes, shape), (&self.device, self.bytes))
            }
            HostRows::Ids(ids) => {
                Tensor::from_data(TensorData::new(ids, shape), (&self.device, DType::I32))
            }
        }
    }

    /// Token ids that can be indices, `[batch_size, length]`.
    pub(crate) fn render_tokens(&self, rows: Tensor<2, Int>) -> Tensor<2, Int> {
        rows.cast(self.ints)
    }

    /// Bytes of a mask on the device.
    pub(crate) fn mask_bytes(&self) -> usize {
        self.shape.height * self.shape.width * self.bytes.size()
    }

    /// Sends `count` masks to the device: `[count, height * width]`.
    pub(crate) fn upload_masks(&self, masks: Vec<u8>, count: usize) -> Tensor<2, Int> {
        let data = TensorData::new(masks, [count, self.shape.height * self.shape.width]);
        Tensor::from_data(data, (&self.device, self.bytes))
    }

    /// Masks as classes that can be indices, `[batch_size, height, width]`.
    pub(crate) fn render_masks(&self, masks: Tensor<2, Int>) -> Tensor<3, Int> {
        let [batch_size, _] = masks.dims();
        let masks = masks.reshape([batch_size, self.shape.height, self.shape.width]);
        masks.cast(self.ints)
    }

    /// The rows at `positions` of what [`Renderer::upload`] or [`Renderer::upload_masks`] made.
    pub(crate) fn gather(&self, rows: &Tensor<2, Int>, positions: Vec<usize>) -> Tensor<2, Int> {
        let count = positions.len();
        rows.clone().select(0, self.indices(positions, [count]))
    }

    /// The views of `rows` that `params` describe, as pixels in `[0, 1]`.
    ///
    /// # Shapes
    ///
    /// `rows`: `[batch_size, stored bytes]`; the result: `[batch_size, channels, height, width]`. There is
    /// one of `params` for each row.
    pub(crate) fn render(&self, rows: Tensor<2, Int>, params: &[ViewParams]) -> Tensor<4> {
        let ImageShape {
            channels,
            height,
            width,
        } = self.shape;
        let batch_size = params.len();
        let rows = match &self.line_starts {
            None => rows,
            Some(starts) => rows.gather(1, self.pixel_indices(starts, params)),
        };
        let pixels = rows
            .float()
            .div_scalar(255.0)
            .reshape([batch_size, channels, height, width]);
        match &self.centred {
            None => pixels,
            Some((columns, lines)) => {
                let options = GridSampleOptions::new(InterpolateMode::Bilinear)
                    .with_padding_mode(GridSamplePaddingMode::Zeros)
                    .with_align_corners(false);
                pixels.grid_sample_2d(self.grid(columns, lines, params), options)
            }
        }
    }

    /// Where each pixel of a crop comes from within its stored row: `[batch_size, channels * height *
    /// width]`.
    fn pixel_indices(&self, starts: &Tensor<3, Int>, params: &[ViewParams]) -> Tensor<2, Int> {
        let ImageShape {
            channels,
            height,
            width,
        } = self.shape;
        let stored_width = self.stored.shape().width;
        let columns = params.iter().flat_map(|view| {
            let first = view.crop_top * stored_width + view.crop_left;
            (0..width).map(move |x| first + if view.flip { width - 1 - x } else { x })
        });
        let columns = self.indices(columns.collect(), [params.len(), 1, width]);
        // [batch_size, channels * height, width]
        let indices = starts.clone() + columns;
        indices.reshape([params.len(), channels * height * width])
    }

    /// Where each pixel is sampled, in the coordinates of `grid_sample_2d`: `[batch_size, height, width, 2]`.
    fn grid(&self, columns: &Tensor<3>, lines: &Tensor<3>, params: &[ViewParams]) -> Tensor<4> {
        // A result pixel at p (from the centre) shows what was at R(-angle) (p - shift).
        let number = |of: &dyn Fn(&ViewParams) -> f64| {
            self.floats(params.iter().map(of), [params.len(), 1, 1])
        };
        // Grid coordinates run from -1 to 1 over the whole width or height, pixel edges included.
        let (x, y) = (
            2.0 / self.shape.width as f64,
            2.0 / self.shape.height as f64,
        );
        let horizontal = columns.clone() * number(&|view| x * view.angle.cos())
            + lines.clone() * number(&|view| x * view.angle.sin())
            - number(&|view| x * (view.angle.cos() * view.right + view.angle.sin() * view.down));
        let vertical = lines.clone() * number(&|view| y * view.angle.cos())
            - columns.clone() * number(&|view| y * view.angle.sin())
            + number(&|view| y * (view.angle.sin() * view.right - view.angle.cos() * view.down));
        Tensor::stack(vec![horizontal, vertical], 3)
    }

    fn indices<const D: usize>(&self, values: Vec<usize>, shape: [usize; D]) -> Tensor<D, Int> {
        let values: Vec<i64> = values
            .into_iter()
            .map(|value| i64::try_from(value).unwrap_or(i64::MAX))
            .collect();
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "computed in double precision, used in single"
    )]
    fn floats<const D: usize>(
        &self,
        values: impl Iterator<Item = f64>,
        shape: [usize; D],
    ) -> Tensor<D> {
        let values: Vec<f32> = values.map(|value| value as f32).collect();
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }
}
