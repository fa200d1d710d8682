//! The images of a pool: bytes in memory, and a file for each batch.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{
    Dataset, Error, ImageShape, Normalisation, Result, Split, hash_tensors, read_tensors,
    write_tensors,
};

use crate::bank::{BLOCK, ImageSource, pixel_range};

/// The folder of the pool in a run folder.
const FOLDER: &str = "pool";
/// The name of the images in the file of a batch.
const IMAGES: &str = "images";
/// The name of the data set.
const NAME: &str = "synthetic pool";

/// Images that come in batches and are kept.
pub(super) struct ImagePool {
    folder: PathBuf,
    image: ImageShape,
    /// Images of a batch.
    batch: usize,
    /// The pixels of all batches.
    bytes: Vec<u8>,
    /// The hash of each batch.
    hashes: Vec<String>,
}

impl ImagePool {
    /// An empty pool in a run folder, of batches of `batch` images.
    pub(super) fn new(run: &Path, image: ImageShape, batch: usize) -> Self {
        Self {
            folder: run.join(FOLDER),
            image,
            batch,
            bytes: Vec::new(),
            hashes: Vec::new(),
        }
    }

    /// The number of batches.
    pub(super) fn batches(&self) -> usize {
        self.hashes.len()
    }

    /// The SHA-256 of each batch, by which it is known again.
    pub(super) fn hashes(&self) -> &[String] {
        &self.hashes
    }

    /// The number of images.
    pub(super) fn images(&self) -> usize {
        self.batches() * self.batch
    }

    fn file(&self, batch: usize) -> PathBuf {
        self.folder.join(format!("{batch:05}.safetensors"))
    }

    /// Adds a batch, pixels in `[0, 1]`, and writes its file.
    pub(super) fn add(&mut self, pixels: Tensor<4>) -> Result<()> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rounded, and from 0 to 255"
        )]
        let byte = |value: f32| (value * 255.0).round() as u8;
        let bytes: Vec<u8> = pixels.into_data().iter::<f32>().map(byte).collect();
        std::fs::create_dir_all(&self.folder).map_err(Error::io("make", &self.folder))?;
        let ImageShape {
            channels,
            height,
            width,
        } = self.image;
        let shape = [self.batch, channels, height, width];
        let tensors = [(IMAGES.to_owned(), TensorData::new(bytes.clone(), shape))].into();
        write_tensors(&self.file(self.batches()), &tensors)?;
        self.bytes.extend(bytes);
        self.hashes.push(hash_tensors(&tensors));
        Ok(())
    }

    /// Reads the first `batches` batches from their files, in place of what is there. `hashes` are those that
    /// they had; none of a checkpoint that knows none.
    pub(super) fn read(&mut self, batches: usize, hashes: &[String]) -> Result<()> {
        self.bytes.clear();
        self.hashes.clear();
        for batch in 0..batches {
            let path = self.file(batch);
            let mut tensors = read_tensors(&path)?;
            let hash = hash_tensors(&tensors);
            if hashes.get(batch).is_some_and(|known| *known != hash) {
                let problem =
                    "has other images than the checkpoint knows; restore it, or begin the run anew";
                return Err(Error::Input {
                    path,
                    problem: problem.to_owned(),
                });
            }
            let images = tensors.remove(IMAGES);
            let bytes: Vec<u8> = images.map_or_else(Vec::new, |data| data.iter::<u8>().collect());
            if bytes.len() != self.batch * self.image.bytes() {
                let problem = "is not a batch of this run; begin the run anew".to_owned();
                return Err(Error::Input { path, problem });
            }
            self.bytes.extend(bytes);
            self.hashes.push(hash);
        }
        Ok(())
    }

    /// All images as a data set. A student learns from the teacher's logits of its views, so that they have
    /// no labels of their own.
    pub(super) fn dataset(&self, classes: usize) -> Result<Dataset> {
        let labels = vec![0; self.images()];
        let bytes = self.bytes.clone();
        Dataset::new(NAME, Split::Train, self.image, classes, bytes, labels)
    }

    /// The last `count` images.
    pub(super) fn last<'a>(
        &'a self,
        count: usize,
        normalisation: &'a Normalisation,
        device: &'a Device,
    ) -> LastImages<'a> {
        let bytes = count * self.image.bytes();
        LastImages {
            bytes: &self.bytes[self.bytes.len() - bytes..],
            image: self.image,
            normalisation,
            device,
        }
    }
}

/// Images as a source of banks; the last block begins anew where they end.
pub(super) struct LastImages<'a> {
    bytes: &'a [u8],
    image: ImageShape,
    normalisation: &'a Normalisation,
    device: &'a Device,
}

impl LastImages<'_> {
    /// `count` images from number `first` on, as the teacher takes them.
    pub(super) fn from(&self, first: usize, count: usize) -> Result<Tensor<4>> {
        let ImageShape {
            channels,
            height,
            width,
        } = self.image;
        let size = self.image.bytes();
        let all = self.bytes.len() / size;
        let image = |place: usize| {
            let at = (first + place) % all * size;
            &self.bytes[at..at + size]
        };
        let bytes = (0..count).flat_map(image);
        let pixels: Vec<f32> = bytes.map(|&byte| f32::from(byte) / 255.0).collect();
        let data = TensorData::new(pixels, [count, channels, height, width]);
        self.normalisation
            .apply(Tensor::from_data(data, self.device))
    }
}

impl ImageSource for LastImages<'_> {
    fn images(&self, block: u64, _generation: u64) -> Result<Tensor<4>> {
        self.from(usize::try_from(block).unwrap_or_default() * BLOCK, BLOCK)
    }

    fn range(&self) -> Result<[Vec<f64>; 2]> {
        Ok(pixel_range(self.normalisation))
    }
}
