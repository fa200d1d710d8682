//! A data set: contiguous pixels or token ids, labels, and what is known of both.

use std::fmt;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use crate::data::folder::fit::ImageFit;
use crate::data::folder::resize::{Pixels, resize};
use crate::data::kind::SampleKind;
use crate::data::masks::Masks;
use crate::data::parallel::for_each;
use crate::data::shape::ImageShape;
use crate::data::split::Split;
use crate::data::task::Task;
use crate::data::tokens::Tokens;
use crate::error::{Error, Result};

/// Images and labels, images and masks, or texts and labels, in memory, decoded once and shared by all
/// clones.
///
/// Each image has one class ([`Dataset::new`]), or each of its pixels has one ([`Dataset::segmentation`]):
/// then the classes are those of pixels, and the label of every image is 0. Texts are token ids with one
/// class each ([`Dataset::texts`]).
///
/// A sample's id is its position here, and stays its id in every [`Subset`](crate::Subset): views and stored
/// teacher outputs are keyed by it.
///
/// ```
/// use kd_core::{Dataset, ImageShape, Split};
/// let shape = ImageShape::new(1, 2, 2);
/// let data = Dataset::new("tiny", Split::Train, shape, 2, vec![0, 50, 100, 150, 9, 9, 9, 9], vec![0, 1])?;
/// assert_eq!((data.len(), data.label(1), data.image(0)), (2, Some(1), Some(&[0, 50, 100, 150][..])));
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Dataset {
    store: Arc<Store>,
}

struct Store {
    name: String,
    split: Split,
    shape: ImageShape,
    classes: usize,
    class_names: Option<Vec<String>>,
    images: Vec<u8>,
    labels: Vec<u16>,
    masks: Option<Masks>,
    tokens: Option<Tokens>,
    hash: OnceLock<String>,
}

impl Dataset {
    /// A data set of `images`, one after the other, each channel by channel and row by row, and a label for
    /// each.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if the bytes are not one image for each label, [`Error::Config`] if there is no
    /// sample, no pixel or no class, more samples or classes than can be numbered (32 and 16 bits), or a
    /// label that is not below `classes`.
    pub fn new(
        name: impl Into<String>,
        split: Split,
        shape: ImageShape,
        classes: usize,
        images: Vec<u8>,
        labels: Vec<u16>,
    ) -> Result<Self> {
        let name = name.into();
        let field = |part: &str| format!("data set `{name}`: {part}");
        let image_bytes = shape
            .checked_bytes()
            .filter(|bytes| *bytes > 0)
            .ok_or_else(|| {
                Error::config(
                    field("shape"),
                    format!("must have at least one pixel and fit into memory, got {shape}"),
                )
            })?;
        check_labels(&name, classes, &labels)?;
        if image_bytes.checked_mul(labels.len()) != Some(images.len()) {
            return Err(Error::Shape {
                what: field("images"),
                expected: format!(
                    "{} images of {shape} = {image_bytes} bytes each",
                    labels.len()
                ),
                found: format!("{} bytes", images.len()),
                remedy: "give one image for each label".into(),
            });
        }
        let hash = OnceLock::new();
        let store = Store {
            name,
            split,
            shape,
            classes,
            class_names: None,
            images,
            labels,
            masks: None,
            tokens: None,
            hash,
        };
        Ok(Self {
            store: Arc::new(store),
        })
    }

    /// A data set of `images`, one after the other, each channel by channel and row by row, and a mask for
    /// each.
    ///
    /// Its classes are those of pixels, and the label of every image is 0.
    ///
    /// ```
    /// use kd_core::{Dataset, ImageShape, Masks, Split};
    /// let masks = Masks::new(3, Some(9), vec![0, 1, 2, 9])?;
    /// let shape = ImageShape::new(1, 1, 2);
    /// let data = Dataset::segmentation("tiny", Split::Train, shape, vec![0, 50, 100, 150], masks)?;
    /// assert_eq!((data.len(), data.classes(), data.mask(1)), (2, 3, Some(&[2, 9][..])));
    /// # Ok::<(), kd_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if there is not one pixel in `masks` for each of `images`, and the errors of
    /// [`Dataset::new`].
    pub fn segmentation(
        name: impl Into<String>,
        split: Split,
        shape: ImageShape,
        images: Vec<u8>,
        masks: Masks,
    ) -> Result<Self> {
        let name = name.into();
        // What does not divide is refused by `new`.
        let samples = images.len() / shape.checked_bytes().unwrap_or_default().max(1);
        let pixels = samples.checked_mul(shape.height * shape.width);
        if pixels != Some(masks.values().len()) {
            return Err(Error::Shape {
                what: format!("data set `{name}`: masks"),
                expected: format!("{samples} masks of {}x{} pixels", shape.height, shape.width),
                found: format!("{} pixels", masks.values().len()),
                remedy: "give one mask for each image, of its height and width".into(),
            });
        }
        let labels = vec![0; samples];
        let mut made = Self::new(name, split, shape, masks.classes(), images, labels)?;
        if let Some(store) = Arc::get_mut(&mut made.store) {
            store.masks = Some(masks);
        }
        Ok(made)
    }

    /// A data set of texts with a label for each.
    ///
    /// ```
    /// use kd_core::{Dataset, SampleKind, Split, Tokens};
    /// let tokens = Tokens::new(10, 3, vec![0, 7, 8, 1, 9, 2])?;
    /// let data = Dataset::texts("tiny", Split::Train, 2, tokens, vec![1, 0])?;
    /// assert_eq!((data.kind(), data.text(1)), (SampleKind::Texts, Some(&[1, 9, 2][..])));
    /// # Ok::<(), kd_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if there is not one text for each label, [`Error::Config`] if there is no sample or
    /// no class, more samples or classes than can be numbered (32 and 16 bits), or a label that is not below
    /// `classes`.
    pub fn texts(
        name: impl Into<String>,
        split: Split,
        classes: usize,
        tokens: Tokens,
        labels: Vec<u16>,
    ) -> Result<Self> {
        let name = name.into();
        check_labels(&name, classes, &labels)?;
        if tokens.samples() != labels.len() {
            return Err(Error::Shape {
                what: format!("data set `{name}`: tokens"),
                expected: format!("{} texts", labels.len()),
                found: tokens.samples().to_string(),
                remedy: "give one text for each label".into(),
            });
        }
        let store = Store {
            name,
            split,
            shape: tokens.shape(),
            classes,
            class_names: None,
            images: Vec::new(),
            labels,
            masks: None,
            tokens: Some(tokens),
            hash: OnceLock::new(),
        };
        Ok(Self {
            store: Arc::new(store),
        })
    }

    /// The same data set with names for its classes, in label order.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there are more or fewer names than classes.
    pub fn with_class_names<S: Into<String>>(
        self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        if names.len() != self.classes() {
            let problem = format!(
                "must be {} names, one a class, got {}",
                self.classes(),
                names.len()
            );
            return Err(Error::config(
                format!("data set `{}`: class names", self.name()),
                problem,
            ));
        }
        // Nothing is copied as long as nobody else holds the data yet, which is the case right after reading.
        let mut store = Arc::try_unwrap(self.store).unwrap_or_else(|shared| shared.copy());
        store.class_names = Some(names);
        Ok(Self {
            store: Arc::new(store),
        })
    }

    /// The same samples with images of another height and width: scaled as [`ImageFit`](crate::ImageFit)
    /// says, so that they just cover the size, and cut at the centre.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a size that cannot be used, for masks, and for channels other than 1 or 3.
    pub fn resized(&self, [height, width]: [usize; 2]) -> Result<Self> {
        let (from, channels) = (self.shape(), self.shape().channels);
        if self.store.masks.is_some() {
            let problem = "is of images with masks; give their size where they are read";
            return Err(Error::config("size", problem));
        }
        let fit = ImageFit::new(ImageShape::new(channels, height, width));
        fit.check()?;
        let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        let plane = from.height * from.width;
        let mut images = vec![0; self.len() * fit.shape.bytes()];
        let samples = self.images().chunks_exact(from.bytes());
        let places = images.chunks_exact_mut(fit.shape.bytes());
        let pairs = samples.zip(places);
        for_each(
            Some("scaling images"),
            self.len(),
            pairs,
            |(image, place)| {
                // From planes to the channels of a pixel side by side.
                let bytes =
                    (0..plane).flat_map(|at| (0..channels).map(move |of| image[of * plane + at]));
                let pixels = Pixels {
                    bytes: bytes.collect(),
                    channels,
                    height: side(from.height),
                    width: side(from.width),
                };
                resize(&pixels, &fit, place);
                Ok(())
            },
        )?;
        let labels = self.labels().to_vec();
        let made = Self::new(
            self.name(),
            self.split(),
            fit.shape,
            self.classes(),
            images,
            labels,
        )?;
        match self.class_names() {
            Some(names) => made.with_class_names(names.to_vec()),
            None => Ok(made),
        }
    }

    /// The name that it goes by.
    pub fn name(&self) -> &str {
        &self.store.name
    }

    /// Which part of the whole this is.
    pub fn split(&self) -> Split {
        self.store.split
    }

    /// What its samples are.
    pub fn kind(&self) -> SampleKind {
        match self.store.tokens {
            Some(_) => SampleKind::Texts,
            None => SampleKind::Images,
        }
    }

    /// The size of each image; of texts `[vocabulary, 1, length]`: a text is an image of one row with a
    /// channel for each id, of which one is 1 at each token.
    pub fn shape(&self) -> ImageShape {
        self.store.shape
    }

    /// The number of classes, of images or of pixels; every label is below it.
    pub fn classes(&self) -> usize {
        self.store.classes
    }

    /// What is said of each image.
    pub fn task(&self) -> Task {
        match self.store.masks {
            Some(_) => Task::Segmentation,
            None => Task::Classification,
        }
    }

    /// Checks that each image has a class, which is what a classifier learns and is measured by.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if it has a mask instead.
    pub fn check_labelled(&self) -> Result<()> {
        match self.task() {
            Task::Segmentation => {
                let problem = format!(
                    "must have a class for each image, `{}` has a mask for each; use a method that learns \
                     masks",
                    self.name()
                );
                Err(Error::config("data", problem))
            }
            Task::Classification => Ok(()),
        }
    }

    /// The names of the classes in label order, where they are known.
    pub fn class_names(&self) -> Option<&[String]> {
        self.store.class_names.as_deref()
    }

    /// The number of samples, at least one.
    #[expect(clippy::len_without_is_empty, reason = "a data set is never empty")]
    pub fn len(&self) -> usize {
        self.store.labels.len()
    }

    /// All pixels, `[samples, channels, height, width]`, 0 to 255; none where there are texts.
    pub fn images(&self) -> &[u8] {
        &self.store.images
    }

    /// All labels, by sample id; all 0 where there are masks.
    pub fn labels(&self) -> &[u16] {
        &self.store.labels
    }

    /// The pixels of sample `id`, `[channels, height, width]`, if there is such a sample.
    pub fn image(&self, id: u32) -> Option<&[u8]> {
        let bytes = self.store.shape.bytes();
        let start = usize::try_from(id).ok()?.checked_mul(bytes)?;
        self.store.images.get(start..start.checked_add(bytes)?)
    }

    /// The label of sample `id`, if there is such a sample.
    pub fn label(&self, id: u32) -> Option<u16> {
        self.store.labels.get(usize::try_from(id).ok()?).copied()
    }

    /// All token ids, where the samples are texts.
    pub fn tokens(&self) -> Option<&Tokens> {
        self.store.tokens.as_ref()
    }

    /// The token ids of sample `id`, `[length]`, if there are texts and such a sample.
    pub fn text(&self, id: u32) -> Option<&[u16]> {
        let tokens = self.store.tokens.as_ref()?;
        let start = usize::try_from(id).ok()?.checked_mul(tokens.length())?;
        tokens.ids().get(start..start.checked_add(tokens.length())?)
    }

    /// All masks, where each pixel has a class.
    pub fn masks(&self) -> Option<&Masks> {
        self.store.masks.as_ref()
    }

    /// The mask of sample `id`, `[height, width]`, if there are masks and such a sample.
    pub fn mask(&self, id: u32) -> Option<&[u8]> {
        let pixels = self.store.shape.height * self.store.shape.width;
        let start = usize::try_from(id).ok()?.checked_mul(pixels)?;
        let values = self.store.masks.as_ref()?.values();
        values.get(start..start.checked_add(pixels)?)
    }

    /// Whether both are the same samples, to the byte; clones are told by what they share.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store) || self.hash() == other.hash()
    }

    /// The SHA-256, in hexadecimal, of shape, class count, images or token ids, labels and, where there are
    /// any, masks; neither name nor split enter it.
    ///
    /// Computed on first use and kept.
    pub fn hash(&self) -> &str {
        self.store.hash.get_or_init(|| {
            let Store {
                shape,
                classes,
                images,
                labels,
                masks,
                tokens,
                ..
            } = &*self.store;
            let mut hasher = Sha256::new();
            for number in [
                labels.len(),
                shape.channels,
                shape.height,
                shape.width,
                *classes,
            ] {
                hasher.update((number as u64).to_le_bytes());
            }
            hasher.update(images);
            let labels: Vec<u8> = labels
                .iter()
                .flat_map(|label| label.to_le_bytes())
                .collect();
            hasher.update(labels);
            if let Some(masks) = masks {
                // What a data set of labels never has, so that the two kinds cannot have one hash.
                hasher.update("masks");
                hasher.update(masks.void().map_or(u16::MAX, u16::from).to_le_bytes());
                hasher.update(masks.values());
            }
            if let Some(tokens) = tokens {
                hasher.update("tokens");
                let ids = tokens.ids().iter().flat_map(|id| id.to_le_bytes());
                hasher.update(ids.collect::<Vec<u8>>());
            }
            crate::network::tensors::hex(&hasher.finalize())
        })
    }
}

/// Checks that labels can be numbered and are classes.
fn check_labels(name: &str, classes: usize, labels: &[u16]) -> Result<()> {
    let bad = |part: &str, problem: String| {
        Err(Error::config(format!("data set `{name}`: {part}"), problem))
    };
    if classes == 0 || classes > usize::from(u16::MAX) + 1 {
        return bad("classes", format!("must be 1 to 65536, got {classes}"));
    }
    if labels.is_empty() || u32::try_from(labels.len()).is_err() {
        let problem = format!("must be 1 to {} samples, got {}", u32::MAX, labels.len());
        return bad("labels", problem);
    }
    let mut all = labels.iter().enumerate();
    match all.find(|(_, label)| usize::from(**label) >= classes) {
        Some((sample, label)) => {
            let problem = format!(
                "must be below {classes} (the number of classes), got {label} for sample {sample}"
            );
            bad("labels", problem)
        }
        None => Ok(()),
    }
}

impl Store {
    fn copy(&self) -> Self {
        Self {
            name: self.name.clone(),
            split: self.split,
            shape: self.shape,
            classes: self.classes,
            class_names: self.class_names.clone(),
            images: self.images.clone(),
            labels: self.labels.clone(),
            masks: self.masks.clone(),
            tokens: self.tokens.clone(),
            hash: self.hash.clone(),
        }
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset")
            .field("name", &self.name())
            .field("split", &self.split())
            .field("samples", &self.len())
            .field("kind", &self.kind())
            .field("shape", &self.shape())
            .field("classes", &self.classes())
            .field("task", &self.task())
            .finish_non_exhaustive()
    }
}
