//! Values of options: classes of masks, parts of names, sizes, devices, numbers in a range.

use clap::ValueEnum;
use clap::builder::{RangedI64ValueParser, RangedU64ValueParser};
use kd_core::{DeviceName, MaskClass, MaskValue, Split, ValuedClass};
use kd_models::WeightFit;

/// A class of masks with its value.
pub(super) fn mask_class(text: &str) -> Result<MaskClass, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("write name and value, as in `road=128`")?;
    Ok(MaskClass::Valued(ValuedClass {
        name: name.to_owned(),
        value: mask_value(value)?,
    }))
}

/// What the pixels of a class have: a number, or a colour.
pub(super) fn mask_value(text: &str) -> Result<MaskValue, String> {
    if text.starts_with('#') {
        return Ok(MaskValue::Colour(text.to_owned()));
    }
    let number = text
        .parse()
        .map_err(|_| "a value is a number to 255, or a colour as `#804080`")?;
    Ok(MaskValue::Number(number))
}

/// A part of names and what stands in its place.
pub(super) fn rename(text: &str) -> Result<(String, String), String> {
    // A pattern may hold the sign itself.
    let end = text
        .strip_prefix('/')
        .and_then(|rest| rest.find("/=").map(|end| end + 2));
    let parts = match end {
        Some(end) => Some((&text[..end], &text[end + 1..])),
        None => text.split_once('='),
    };
    match parts {
        Some((from, to)) if !from.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err("write the file's part, `=`, and the network's, as in `fc.1.=linear.`".into()),
    }
}

/// Weights that a network is measured with must at least be there.
pub(super) fn fit(name: &str) -> Result<WeightFit, String> {
    match name {
        "exact" => Ok(WeightFit::Exact),
        "superset" => Ok(WeightFit::Superset),
        _ => Err("known: exact, superset".into()),
    }
}

/// Channels, height and width.
pub(super) fn input(text: &str) -> Result<[usize; 3], String> {
    let sizes: Result<Vec<usize>, _> = text.split(',').map(|size| size.trim().parse()).collect();
    sizes
        .ok()
        .and_then(|sizes| sizes.try_into().ok())
        .ok_or_else(|| "three counts are needed, as in 3,32,32".into())
}

/// A seed that a recipe can hold, whose integers have a sign.
pub(super) fn seed() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(..=i64::MAX.unsigned_abs())
}

/// A number of processes.
pub(super) fn jobs() -> RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..)
}

pub(super) fn device(name: &str) -> Result<DeviceName, String> {
    name.parse()
        .map_err(|error: kd_core::Error| error.to_string())
}

/// The parts of a data set by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    Train,
    /// The samples by which an epoch or a setting is chosen
    #[value(alias = "validation")]
    Val,
    Test,
}

pub(super) fn split(name: &str) -> Result<Split, String> {
    match Part::from_str(name, true) {
        Ok(Part::Train) => Ok(Split::Train),
        Ok(Part::Val) => Ok(Split::Validation),
        Ok(Part::Test) => Ok(Split::Test),
        Err(_) => Err("known: train, val, test".into()),
    }
}
