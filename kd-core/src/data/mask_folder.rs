//! A data set from folders of images and masks of your own: a class for each pixel.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::camvid::{Pair, match_masks};
use crate::data::dataset::Dataset;
use crate::data::folder::MOST_BYTES;
use crate::data::folder::decode::{decode_colours, decode_image, decode_numbers};
use crate::data::folder::fit::check_sides;
use crate::data::folder::resize::{Pixels, stretch, stretch_nearest};
use crate::data::masks::Masks;
use crate::data::parallel::for_each;
use crate::data::shape::ImageShape;
use crate::data::split::Split;
use crate::error::{Error, Result};

/// A class of the pixels of a mask: `"road"`, or `{ name = "road", value = 128 }`, or
/// `{ name = "road", value = "#804080" }`.
///
/// Of a name alone the value is its place in the list, from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
#[non_exhaustive]
pub enum MaskClass {
    /// A class whose value is its place in the list.
    Name(String),
    /// A class with its value.
    Valued(ValuedClass),
}

/// A class with what its pixels have in the file of a mask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ValuedClass {
    /// What it is called.
    pub name: String,
    /// What its pixels have.
    pub value: MaskValue,
}

/// What the pixels of a class have in the file of a mask: a number, or a colour as `"#rrggbb"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
#[non_exhaustive]
pub enum MaskValue {
    /// The grey value, or the number of a colour in the palette of the file.
    Number(u8),
    /// A colour: six hexadecimal digits after `#`.
    Colour(String),
}

impl MaskClass {
    /// What it is called.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Valued(class) => &class.name,
        }
    }
}

impl MaskValue {
    /// Red, green and blue, or the number three times.
    fn key(&self) -> Result<[u8; 3]> {
        match self {
            Self::Number(number) => Ok([*number; 3]),
            Self::Colour(text) => {
                let wrong = || {
                    let problem =
                        format!("must be a number or a colour as `#804080`, got `{text}`");
                    Error::config("classes", problem)
                };
                let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
                let digits = digits
                    .filter(|digits| digits.is_ascii())
                    .ok_or_else(wrong)?;
                let part =
                    |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong());
                Ok([part(0)?, part(2)?, part(4)?])
            }
        }
    }
}

/// The classes of masks and how the files have them.
#[derive(Clone, Debug)]
struct Coding {
    names: Vec<String>,
    /// By value: a class, or the number of pixels without one.
    known: HashMap<[u8; 3], u8>,
    is_colour: bool,
    void: Option<u8>,
}

impl Coding {
    fn new(classes: &[MaskClass], no_class: Option<&MaskValue>) -> Result<Self> {
        if classes.len() < 2 || classes.len() > 255 {
            let problem = format!(
                "must be 2 to 255 names, as `[\"background\", \"cell\"]`, got {}",
                classes.len()
            );
            return Err(Error::config("classes", problem));
        }
        let numbered = classes
            .iter()
            .zip(0_u8..)
            .map(|(class, place)| match class {
                MaskClass::Name(_) => (MaskValue::Number(place), place),
                MaskClass::Valued(class) => (class.value.clone(), place),
            });
        let void = no_class.map(|_| u8::try_from(classes.len()).unwrap_or(u8::MAX));
        let all: Vec<(MaskValue, u8)> = numbered.chain(no_class.cloned().zip(void)).collect();
        let colours = all
            .iter()
            .filter(|(value, _)| matches!(value, MaskValue::Colour(_)));
        let is_colour = match colours.count() {
            0 => false,
            count if count == all.len() => true,
            _ => {
                let problem = "must have a colour each, or a number each; give all in one way";
                return Err(Error::config("classes", problem));
            }
        };
        let mut known = HashMap::new();
        for (value, class) in &all {
            if known.insert(value.key()?, *class).is_some() {
                let problem = format!("must have different values, two have {value:?}");
                return Err(Error::config("classes", problem));
            }
        }
        let names = classes.iter().map(|class| class.name().to_owned());
        Ok(Self {
            names: names.collect(),
            known,
            is_colour,
            void,
        })
    }

    /// The mask at `path` as classes.
    fn read(&self, path: &Path) -> Result<Pixels> {
        let mut pixels = if self.is_colour {
            decode_colours(path)?
        } else {
            decode_numbers(path)?
        };
        let width = pixels.width as usize;
        let mut classes = Vec::with_capacity(width * pixels.height as usize);
        // Neighbours are mostly of one class.
        let mut last = None;
        for (at, value) in pixels.bytes.chunks_exact(pixels.channels).enumerate() {
            let key: [u8; 3] = if self.is_colour {
                [value[0], value[1], value[2]]
            } else {
                [value[0]; 3]
            };
            let class = match last {
                Some((known, class)) if known == key => class,
                _ => *self
                    .known
                    .get(&key)
                    .ok_or_else(|| self.unknown(path, key, at, width))?,
            };
            last = Some((key, class));
            classes.push(class);
        }
        pixels.bytes = classes;
        pixels.channels = 1;
        Ok(pixels)
    }

    fn unknown(&self, path: &Path, [red, green, blue]: [u8; 3], at: usize, width: usize) -> Error {
        let found = if self.is_colour {
            format!("the colour #{red:02x}{green:02x}{blue:02x}")
        } else {
            format!("the value {red}")
        };
        let names: Vec<String> = self.names.iter().map(|name| format!("`{name}`")).collect();
        input(
            path,
            format!(
                "has {found} in row {}, column {} (from 0), which is none of the classes {}; add it to \
                 `classes`, or give it as `no_class`",
                at / width,
                at % width,
                names.join(", ")
            ),
        )
    }
}

/// Images and masks of your own, in two folders a split.
///
/// ```text
/// PATH/train, PATH/trainannot            or  PATH/images/train, PATH/masks/train
///                                        or  PATH/train/images, PATH/train/masks
/// ```
///
/// and alike for `test` and for `val` (also called `valid` or `validation`), which may be missing. A mask is
/// a PNG of the name and size of its image: grey values or palette numbers, or colours, as `classes` say.
/// Images may have any sizes; image and mask are brought to one size as those of
/// [`read_camvid`](crate::read_camvid) are.
#[derive(Clone, Debug)]
pub struct MaskFolder {
    name: String,
    path: PathBuf,
    size: [usize; 2],
    coding: Coding,
    splits: Vec<(Split, Vec<Pair>)>,
}

impl MaskFolder {
    /// Lists the images and masks below `path`, without reading any. `size` is height and width, `no_class`
    /// what pixels without a class have.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] naming the file or folder: without images to train on or to test on, an image without
    /// mask or a mask without image; [`Error::Config`] for classes or a size that cannot be used.
    pub fn open(
        path: impl Into<PathBuf>,
        size: [usize; 2],
        classes: &[MaskClass],
        no_class: Option<&MaskValue>,
    ) -> Result<Self> {
        let path = path.into();
        check_sides(size)?;
        let coding = Coding::new(classes, no_class)?;
        let mut splits = Vec::new();
        for split in [Split::Train, Split::Validation, Split::Test] {
            if let Some([images, masks]) = folders(&path, split) {
                splits.push((split, match_masks(&images, &masks)?));
            }
        }
        if splits.is_empty() {
            let problem = "has no images with masks; put them into `train` and `trainannot`, `images/train` \
                           and `masks/train`, or `train/images` and `train/masks`, and alike for `test`";
            return Err(input(&path, problem.to_owned()));
        }
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Self {
            name: name.display().to_string(),
            path,
            size,
            coding,
            splits,
        })
    }

    /// What it is called: the last part of its path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the classes in the order of their numbers.
    pub fn class_names(&self) -> &[String] {
        &self.coding.names
    }

    /// The size of each image.
    pub fn shape(&self) -> ImageShape {
        ImageShape::new(3, self.size[0], self.size[1])
    }

    /// The number of images in a split, if it is there.
    pub fn samples(&self, split: Split) -> Option<usize> {
        self.pairs(split).map(<[Pair]>::len)
    }

    fn pairs(&self, split: Split) -> Option<&[Pair]> {
        let found = self.splits.iter().find(|(known, _)| *known == split);
        found.map(|(_, pairs)| pairs.as_slice())
    }

    /// Reads a split, on all cores.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if the split is not there or takes more than 8 GiB, for a mask of another size than
    /// its image and for a value that is no class; [`Error::BadFile`] for a file that is no image, damaged or
    /// cut off.
    pub fn load(&self, split: Split) -> Result<Dataset> {
        let missing = || {
            input(
                &self.path,
                format!("has no {split} split with images and masks"),
            )
        };
        let pairs = self.pairs(split).ok_or_else(missing)?;
        let (shape, pixels) = (self.shape(), self.size[0] * self.size[1]);
        let (mut images, mut masks) = (self.room(pairs, shape.bytes())?, self.room(pairs, pixels)?);
        let places = images
            .chunks_exact_mut(shape.bytes())
            .zip(masks.chunks_exact_mut(pixels));
        for_each(
            Some("reading images"),
            pairs.len(),
            pairs.iter().zip(places),
            |(pair, (image, mask))| self.read(pair, image, mask),
        )?;
        let masks = Masks::new(self.coding.names.len(), self.coding.void, masks)?;
        Dataset::segmentation(&self.name, split, shape, images, masks)?
            .with_class_names(self.coding.names.iter().cloned())
    }

    fn read(&self, pair: &Pair, image: &mut [u8], mask: &mut [u8]) -> Result<()> {
        let pixels = decode_image(&pair.image, 3)?;
        let classes = self.coding.read(&pair.mask)?;
        pair.check_sizes(&pixels, &classes)?;
        stretch(&pixels, self.size, image);
        stretch_nearest(&classes, self.size, mask);
        Ok(())
    }

    fn room(&self, pairs: &[Pair], bytes: usize) -> Result<Vec<u8>> {
        let all = pairs.len().checked_mul(bytes);
        let mut room = Vec::new();
        let all =
            all.filter(|all| *all as u64 <= MOST_BYTES && room.try_reserve_exact(*all).is_ok());
        let too_large = || {
            let problem = format!(
                "has {} images, which at {} take more memory than is used for them; use a smaller size",
                pairs.len(),
                self.shape()
            );
            input(&self.path, problem)
        };
        room.resize(all.ok_or_else(too_large)?, 0);
        Ok(room)
    }
}

/// What lies in folders of images and masks, before it is known which classes there are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MaskSurvey {
    /// The values of the masks that were looked at, sorted; all are numbers, or all are colours.
    pub values: Vec<MaskValue>,
    /// Height and width of these masks.
    pub sizes: Vec<[usize; 2]>,
    /// The number of images to train on.
    pub train: usize,
    /// Whether there are images to test on.
    pub has_test: bool,
}

impl MaskSurvey {
    /// Looks at the masks to train on below `path`, at most `most` of them, spread evenly; none if there are
    /// no folders of images and masks.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for an image without mask or a mask without image, and for more values than classes
    /// there can be; [`Error::BadFile`] for a file that is no image.
    pub fn of(path: &Path, most: usize) -> Result<Option<Self>> {
        let Some([images, masks]) = folders(path, Split::Train) else {
            return Ok(None);
        };
        let pairs = match_masks(&images, &masks)?;
        let looked_at: Vec<&Pair> = pairs
            .iter()
            .step_by(pairs.len().div_ceil(most.max(1)))
            .collect();
        let all = |decode: fn(&Path) -> Result<Pixels>| {
            looked_at
                .iter()
                .map(|pair| decode(&pair.mask))
                .collect::<Result<Vec<Pixels>>>()
        };
        // What cannot be read as numbers is of colours.
        let decoded = all(decode_numbers).or_else(|_| all(decode_colours))?;
        let sizes = decoded
            .iter()
            .map(|mask| [mask.height as usize, mask.width as usize])
            .collect();
        let keys: BTreeSet<&[u8]> = decoded
            .iter()
            .flat_map(|mask| mask.bytes.chunks_exact(mask.channels))
            .collect();
        if keys.len() > 255 {
            let problem = format!(
                "have {} different values, more than classes there can be; name the classes and their values",
                keys.len()
            );
            return Err(input(&masks, problem));
        }
        let value = |key: &[u8]| match key {
            [red, green, blue] => MaskValue::Colour(format!("#{red:02x}{green:02x}{blue:02x}")),
            number => MaskValue::Number(number.first().copied().unwrap_or_default()),
        };
        Ok(Some(Self {
            values: keys.into_iter().map(value).collect(),
            sizes,
            train: pairs.len(),
            has_test: folders(path, Split::Test).is_some(),
        }))
    }
}

/// The folders of the images and of the masks of a split, if they are there.
fn folders(root: &Path, split: Split) -> Option<[PathBuf; 2]> {
    let names: &[&str] = match split {
        Split::Train => &["train"],
        Split::Validation => &["val", "valid", "validation"],
        Split::Test => &["test"],
    };
    names.iter().find_map(|name| {
        let layouts = [
            [root.join(name), root.join(format!("{name}annot"))],
            [
                root.join("images").join(name),
                root.join("masks").join(name),
            ],
            [
                root.join(name).join("images"),
                root.join(name).join("masks"),
            ],
        ];
        layouts
            .into_iter()
            .find(|pair| pair.iter().all(|folder| folder.is_dir()))
    })
}

fn input(path: &Path, problem: String) -> Error {
    Error::Input {
        path: path.to_owned(),
        problem,
    }
}
