//! Data sets with masks and folders of images as recipes name them. The images are made here.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use kd_core::{DataRoots, Normalisation, Result, Task};
use kd_recipe::{
    Context, DataFacts, DataRecipe, LoadedData, Machine, MethodRecipe, Methods, Prepared,
};
use serde::{Deserialize, Serialize};

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A place with a folder `camvid` of as many images as the published set has, of 3 by 4 pixels each.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let image = png(RgbImage::from_fn(4, 3, |x, y| {
        Rgb([if x > y { 200 } else { 50 }; 3])
    }));
    // Six pixels of road, three of sky, three without class.
    let mask = GrayImage::from_fn(4, 3, |x, _| Luma([[3, 3, 0, 11][x as usize]]));
    let mask = png(mask);
    for (split, count) in [("train", 367), ("val", 101), ("test", 233)] {
        let folders = [split.to_owned(), format!("{split}annot")];
        let [images, masks] = folders.map(|name| place.path().join("camvid").join(name));
        fs::create_dir_all(&images).unwrap();
        fs::create_dir_all(&masks).unwrap();
        for at in 0..count {
            let name = format!("{at:03}.png");
            fs::write(images.join(&name), &image).unwrap();
            fs::write(masks.join(&name), &mask).unwrap();
        }
    }
    place
}

fn recipe(text: &str) -> DataRecipe {
    toml::from_str(text).unwrap()
}

fn facts(text: &str) -> Result<DataFacts> {
    let recipe = recipe(text);
    recipe.facts(&recipe.source()?)
}

fn load(text: &str, root: &Path) -> Result<LoadedData> {
    let roots = DataRoots {
        explicit: Some(root.to_owned()),
        ..DataRoots::default()
    };
    let recipe = recipe(text);
    recipe.load(recipe.source()?, &roots)
}

#[test]
fn a_recipe_reads_it_for_methods_that_know_masks() {
    let place = place();
    let text = "name = \"camvid\"\nsize = [6, 8]\nfraction = 0.1\n";
    let facts_of = facts(text).unwrap();
    assert_eq!(
        (facts_of.task, facts_of.input()),
        (Task::Segmentation, [3, 6, 8])
    );
    let loaded = load(text, place.path()).unwrap();
    assert_eq!((loaded.train.len(), loaded.held_out.len()), (37, 233));
    assert_eq!(loaded.validation.as_ref().unwrap().len(), 101);
    assert_eq!(loaded.facts, facts_of);
    let preprocessing = loaded.preprocessing().unwrap();
    let constants = preprocessing.normalisation().unwrap();
    assert_eq!(constants.mean, [0.412_130, 0.425_355, 0.432_837]);
    assert_eq!(loaded.train.dataset().mask(0).unwrap().len(), 48);
    assert_eq!(facts("name = \"camvid\"").unwrap().input(), [3, 480, 640]);
    let held_out = "name = \"camvid\"\nsize = 4\nper_class = 36\nheld_out = 0.2\n";
    let loaded = load(held_out, place.path()).unwrap();
    assert_eq!((loaded.train.len(), loaded.held_out.len()), (36, 73));
    assert!(Normalisation::camvid_stagewise().std < constants.std);
}

#[test]
fn what_a_recipe_cannot_say_of_it_is_refused_in_words() {
    let text = |more: &str| {
        let facts = facts(&format!("name = \"camvid\"\n{more}"));
        facts.unwrap_err().to_string()
    };
    assert_eq!(
        text("size = [0, 8]"),
        "`data.size` must be 1 to 4096 pixels a side, got 0x8"
    );
    assert_eq!(
        text("resize = 9"),
        "`data.resize` is for a folder of images (`folder`), of `camvid` only the `size` can be chosen; \
         remove it"
    );
    assert_eq!(
        text("views = 2\naugment = { flip = 0.5 }"),
        "`data.augment` cannot be used with masks, which would have to be moved with the images, and \
         `camvid` has masks; \
         remove it"
    );
    // Nothing is read for that.
    let labelled = facts("name = \"camvid\"").unwrap().check_labelled();
    assert_eq!(
        labelled.unwrap_err().to_string(),
        "`camvid` has a mask for each image, not a class; use a method that learns masks"
    );
}

/// A method that asks for its data several times, and adds an image to the folder between.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lister {
    data: DataRecipe,
    add: PathBuf,
}

impl MethodRecipe for Lister {
    const METHOD: &'static str = "lister";
    const ABOUT: &'static str = "lists a folder";

    fn prepare(&mut self, at: &Context) -> Result<Prepared> {
        let facts = at.facts(&self.data)?;
        let image = fs::read(self.add.with_file_name("0.png")).unwrap();
        fs::write(&self.add, image).unwrap();
        assert_eq!(at.facts(&self.data)?, facts);
        // Whoever listed the folder again would find the image that was added.
        assert_eq!(at.data(&self.data)?.train.len(), 4);
        let images = at.split(&self.data, kd_core::Split::Train, "the images")?;
        assert_eq!(images.len(), 4);
        Err(kd_core::Error::config("data", "was listed once"))
    }
}

#[test]
fn a_folder_of_images_is_listed_once_a_preparation() {
    let place = tempfile::tempdir().unwrap();
    let images = [
        "train/a/0",
        "train/a/1",
        "train/b/0",
        "train/b/1",
        "test/a/0",
        "test/b/0",
    ];
    for name in images {
        let path = place.path().join(format!("{name}.png"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, png(RgbImage::from_pixel(4, 4, Rgb([9, 9, 9])))).unwrap();
    }
    let add = place.path().join("train/a/2.png");
    let text = format!(
        "method = \"lister\"\ndevice = \"cpu\"\nadd = {:?}\n\
         [data]\nname = \"folder\"\npath = {:?}\nsize = 4\n",
        add.display().to_string(),
        place.path().display().to_string()
    );
    let methods = Methods::new().with::<Lister>();
    let recipe = methods.read("lister.toml", &text, &[]);
    let error = recipe.unwrap().prepare(&Machine::default()).unwrap_err();
    assert_eq!(error.to_string(), "`data` was listed once");
    assert!(add.is_file());
}
