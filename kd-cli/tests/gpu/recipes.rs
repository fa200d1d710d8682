//! The recipes of the runs, one of each method, and runs of them in this process.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use kd_cli::methods;
use kd_core::{DeviceName, EpochLog, Tensors, read_tensors, testing};
use kd_recipe::Machine;

use crate::compared::Compared;

/// The names of the recipes.
pub(crate) const RECIPES: [&str; 9] = [
    "train",
    "offline",
    "stagewise",
    "data-free",
    "online",
    "teacher-class",
    "compact",
    "text-teacher",
    "text",
];

const IMAGES: &str = "[data]\nname = \"fashion-mnist-mini\"\nper_class = 12\nheld_out = 0.02\n";
const NETWORK: &str = "name = \"narrow\"\n\
                       structure = { family = \"he-resnet\", blocks = 1, widths = [4, 4, 6, 8] }\n";
const VIEWS: &str = "views = \"unlimited\"\n\
                     augment = { crop_padding = 2, flip = 0.5, rotate_degrees = 10, translate_pixels = 1 }\n";
const TEXTS: &str =
    "[data]\nname = \"text\"\npath = \"reviews\"\ntext = { length = 8, vocabulary = 20 }\n";
const READER: &str = "name = \"reader\"\nstructure = { family = \"text-cnn\", embedding = 4, \
                      blocks = [[6]], hidden = [8], padded = true }\n";

/// The recipe `name`: an epoch of a few steps of 40 samples, of a teacher in the folder `teacher`.
pub(crate) fn recipe(name: &str) -> String {
    let teacher = format!("[student]\n{NETWORK}[teacher]\nmodel = \"teacher\"\n");
    let parts = match name {
        "train" => format!("{IMAGES}{VIEWS}[network]\n{NETWORK}"),
        "offline" => format!(
            "{IMAGES}[student]\n{NETWORK}[[teachers]]\nmodel = \"teacher\"\n\
             [[losses]]\nkind = \"cross-entropy\"\n[[losses]]\nkind = \"kd\"\n\
             [[losses]]\nkind = \"hint\"\nstudent_tap = \"layer2\"\nregressor = \"always\"\n"
        ),
        "stagewise" => format!("{IMAGES}{teacher}"),
        "data-free" => format!(
            "{teacher}[test]\nname = \"fashion-mnist-mini\"\n\
             [synthesis]\nkind = \"rdskd\"\ngenerator_training = {{ steps = 2, batch_size = 40 }}\n\
             synthetic = {{ kind = \"generator\", generator = {{ noise = 4, widths = [4, 4] }} }}\n\
             bank = {{ images = 120 }}\n"
        ),
        "online" => format!(
            "{IMAGES}[student]\n{NETWORK}[online]\nkind = \"okdmde\"\nbranches = 3\nshared = \"layer1\"\n"
        ),
        "teacher-class" => {
            format!(
                "{IMAGES}{teacher}[teacher-class]\nstudents = 2\ncollapse = 1e9\nhead.epochs = 1\n"
            )
        }
        "compact" => format!(
            "{IMAGES}[network]\nmodel = \"teacher\"\n[budget]\nmacs = 0.8\n\
             [sparsify]\nepochs = 1\nbatch_size = 40\nlr = 0.05\n"
        ),
        "text-teacher" => format!("{TEXTS}[network]\n{READER}"),
        "text" => format!(
            "{TEXTS}[student]\n{READER}[[teachers]]\nmodel = \"text-teacher\"\n[[losses]]\nkind = \"kd\"\n"
        ),
        _ => panic!("no recipe `{name}`"),
    };
    let method = match name {
        "text-teacher" => "train",
        "text" => "offline",
        method => method,
    };
    format!("method = \"{method}\"\n{parts}[train]\nepochs = 1\nbatch_size = 40\nlr = 0.05\n")
}

/// A table of so many texts of two classes.
fn texts(count: usize) -> String {
    let mut table = "label\ttext\n".to_owned();
    for index in 0..count {
        let (class, word) = [("bad", "dull"), ("good", "bright")][index % 2];
        let other = ["the", "film", "we", "saw", "is"][index / 2 % 5];
        writeln!(table, "{class}\t{other} {word} {other}").unwrap();
    }
    table
}

/// Puts all recipes and texts into `place`.
pub(crate) fn fill(place: &Path) {
    for name in RECIPES {
        fs::write(place.join(format!("{name}.toml")), recipe(name)).unwrap();
    }
    let reviews = place.join("reviews");
    fs::create_dir(&reviews).unwrap();
    fs::write(reviews.join("train.tsv"), texts(80)).unwrap();
    fs::write(reviews.join("test.tsv"), texts(30)).unwrap();
}

/// A folder with the recipes and teachers that were trained on the CPU.
pub(crate) fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fill(place.path());
    let two_epochs = ["train.epochs=2".to_owned()];
    for (name, out) in [("train", "teacher"), ("text-teacher", "text-teacher")] {
        run(place.path(), name, &two_epochs, out, DeviceName::Cpu);
    }
    place
}

/// Runs a recipe of `place` on `device` into its folder `out`.
pub(crate) fn run(place: &Path, name: &str, set: &[String], out: &str, device: DeviceName) {
    // Paths of a recipe are those of the working directory, which all tests of this process share.
    let mut recipe = recipe(name);
    for folder in ["teacher", "text-teacher", "reviews"] {
        let there = place.join(folder).display().to_string();
        recipe = recipe.replace(&format!("= \"{folder}\""), &format!("= \"{there}\""));
    }
    let machine = Machine::default().with_device(Some(device));
    let run = methods()
        .read(name, &recipe, set)
        .and_then(|recipe| recipe.prepare(&machine));
    let run = run.unwrap_or_else(|error| panic!("{name} on {device}: {error}"));
    let folder = run.begin(&place.join(out)).unwrap();
    run.run(&folder, &AtomicBool::new(false), &mut ())
        .unwrap_or_else(|error| panic!("{name} on {device}: {error}"));
}

/// Compares what two runs have logged, and the networks that they have left.
pub(crate) fn compare(
    losses: &mut Compared,
    weights: &mut Compared,
    what: &str,
    [found, expected]: [&Path; 2],
) {
    let logs = [found, expected].map(|run| EpochLog::read_all(run).unwrap());
    let counts = logs.each_ref().map(Vec::len);
    assert_eq!(counts[0], counts[1], "{what}: epochs");
    for (found, expected) in logs[0].iter().zip(&logs[1]) {
        let what = format!("{what} {}", found.phase);
        assert_eq!((&found.phase, found.step), (&expected.phase, expected.step));
        let found = [Some(&found.train), found.evaluation.as_ref()];
        let expected = [Some(&expected.train), expected.evaluation.as_ref()];
        for (found, expected) in found
            .into_iter()
            .flatten()
            .zip(expected.into_iter().flatten())
        {
            assert!(found.keys().eq(expected.keys()), "{what}: metrics");
            for (name, expected) in expected {
                losses.number(format!("{what} {name}"), found[name], *expected);
            }
        }
    }
    let [found, expected] = [found, expected].map(networks);
    weights.tensors(what, &found, &expected);
}

/// All tensors of the tensor files of a run, by file and name.
fn networks(run: &Path) -> Tensors {
    let files = testing::tensor_files(run).unwrap();
    let named = files.into_keys().flat_map(|file| {
        let tensors = read_tensors(&run.join(&file)).unwrap();
        let under = move |(name, data)| (format!("{file} {name}"), data);
        tensors.into_iter().map(under)
    });
    named.collect()
}
