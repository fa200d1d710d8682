//! Values of options: classes of masks, parts of names.

use kd_core::{MaskClass, MaskValue, ValuedClass};

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
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err("write the file's part, `=`, and the network's, as in `fc.1.=linear.`".into()),
    }
}
