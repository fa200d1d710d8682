//! The checksums of published files, to tell the data set that everybody has from one that was changed.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::data::info::DatasetInfo;
use crate::data::roots::DataRoots;
use crate::data::split::Split;
use crate::data::stream::Stream;
use crate::error::Result;
use crate::network::tensors::hex;

/// How the files of a data set compare with the published ones.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Contents {
    /// Every byte is the published one, or the data set is part of this crate.
    AsPublished,
    /// This file has other bytes: a part of the data, another encoding, or an error on the way.
    Other(PathBuf),
    /// No checksum of such files is known.
    NotKnown,
}

/// Data set, file and SHA-256 of the bytes in it, unpacked where it is gzipped.
///
/// Those of MNIST and Fashion-MNIST are of what lies in their publishers' archives, which have the MD5 that
/// Fashion-MNIST's page and torchvision state; those of CIFAR-10 of the files in `cifar-10-binary.tar.gz`.
const CHECKSUMS: &[[&str; 3]] = &[
    [
        "mnist",
        "train-images-idx3-ubyte",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ],
    [
        "mnist",
        "train-labels-idx1-ubyte",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ],
    [
        "mnist",
        "t10k-images-idx3-ubyte",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ],
    [
        "mnist",
        "t10k-labels-idx1-ubyte",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ],
    [
        "fashion-mnist",
        "train-images-idx3-ubyte",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ],
    [
        "fashion-mnist",
        "train-labels-idx1-ubyte",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ],
    [
        "fashion-mnist",
        "t10k-images-idx3-ubyte",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ],
    [
        "fashion-mnist",
        "t10k-labels-idx1-ubyte",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ],
    [
        "cifar10",
        "data_batch_1.bin",
        "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    ],
    [
        "cifar10",
        "data_batch_2.bin",
        "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    ],
    [
        "cifar10",
        "data_batch_3.bin",
        "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    ],
    [
        "cifar10",
        "data_batch_4.bin",
        "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    ],
    [
        "cifar10",
        "data_batch_5.bin",
        "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    ],
    [
        "cifar10",
        "test_batch.bin",
        "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    ],
];

impl DatasetInfo {
    /// Compares the files of one split, in the first of `roots` that has them all, with the published ones by
    /// their checksums. Whether they are whole is said by [`DatasetInfo::load`], which counts.
    ///
    /// # Errors
    ///
    /// As [`DatasetInfo::locate`], and if a file cannot be read or unpacked.
    pub fn compare_files(&self, split: Split, roots: &DataRoots) -> Result<Contents> {
        if self.embedded {
            return Ok(Contents::AsPublished);
        }
        for file in self.locate(split, roots)? {
            let Some(published) = checksum(self.name, &file) else {
                return Ok(Contents::NotKnown);
            };
            if content_hash(&file)? != published {
                return Ok(Contents::Other(file));
            }
        }
        Ok(Contents::AsPublished)
    }
}

/// The checksum of a file by the names that it is found under.
fn checksum(name: &str, file: &Path) -> Option<&'static str> {
    let file = file.file_name()?.to_str()?.replace(".idx", "-idx");
    let file = file.strip_suffix(".gz").unwrap_or(&file);
    let known = CHECKSUMS.iter();
    let mut known = known.filter(|[set, published, _]| *set == name && *published == file);
    known.next().map(|[.., checksum]| *checksum)
}

fn content_hash(file: &Path) -> Result<String> {
    /// The bytes that are held at once.
    const BLOCK: u64 = 1 << 20;
    let mut stream = Stream::open(file)?;
    let mut hasher = Sha256::new();
    loop {
        let bytes = stream.up_to(BLOCK)?;
        if bytes.is_empty() {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_published_file_is_known_and_no_other() {
        let of = |name: &str, file: &str| checksum(name, Path::new(file)).is_some();
        for file in [
            "raw/t10k-images-idx3-ubyte",
            "t10k-images.idx3-ubyte",
            "t10k-images-idx3-ubyte.gz",
        ] {
            assert!(of("mnist", file), "{file}");
        }
        assert!(of("cifar10", "data_batch_3.bin"));
        // The Python version has other bytes.
        assert!(!of("cifar10", "data_batch_3") && !of("cifar100", "train.bin"));
    }

    #[test]
    fn the_bytes_of_a_packed_file_are_those_inside() {
        use std::io::Write;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.gz");
        let file = std::fs::File::create(&path).unwrap();
        let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        packed.write_all(b"abc").unwrap();
        packed.finish().unwrap();
        // The example of FIPS 180.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(content_hash(&path).unwrap(), abc);
    }
}
