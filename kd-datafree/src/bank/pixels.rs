//! The images of a bank as pixels, and their measures.

use kd_core::{Dataset, Error, Normalisation, Result, Split};

use super::images::{Bank, NAME};
use super::source::BLOCK;
use crate::measures::BankMeasures;

impl Bank {
    /// The images as pixels that can be shown, from 0 to 255, each with the teacher's class as its label: the
    /// input of the teacher with `teacher`, its normalisation, undone, rounded, and cut to the range of a
    /// pixel.
    ///
    /// A network that has the teacher's normalisation takes these as it takes real images: they are a data
    /// set for any method. Values beyond a pixel's range are lost, so that the teacher's output for them may
    /// differ from that in the bank.
    ///
    /// # Errors
    ///
    /// As [`Normalisation::check`], and [`Error::Shape`] if `teacher` is of another number of channels.
    pub fn pixels(&self, teacher: &Normalisation) -> Result<Dataset> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rounded, and from 0 to 255"
        )]
        let pixel = |value: f64| value.round().clamp(0.0, 255.0) as u8;
        let values = self.pixel_values(teacher)?;
        let tables: Vec<[u8; 256]> = values.iter().map(|values| values.map(pixel)).collect();
        let shape = self.dataset.shape();
        let plane = shape.height * shape.width;
        let planes = self.dataset.images().chunks_exact(plane);
        let images = planes
            .zip(tables.iter().cycle())
            .flat_map(|(plane, table)| plane.iter().map(|&byte| table[usize::from(byte)]))
            .collect();
        let labels = self.dataset.labels().to_vec();
        Dataset::new(
            NAME,
            Split::Train,
            shape,
            self.dataset.classes(),
            images,
            labels,
        )
    }

    /// The share of the values of all pixels that [`Bank::pixels`] cuts, as they are beyond the range of a
    /// pixel.
    ///
    /// # Errors
    ///
    /// As [`Bank::pixels`].
    pub fn cut_share(&self, teacher: &Normalisation) -> Result<f64> {
        let is_cut = |value: f64| !(-0.5..=255.5).contains(&value);
        let values = self.pixel_values(teacher)?;
        let tables: Vec<[bool; 256]> = values.iter().map(|values| values.map(is_cut)).collect();
        let shape = self.dataset.shape();
        let planes = self
            .dataset
            .images()
            .chunks_exact(shape.height * shape.width);
        let cut: usize = planes
            .zip(tables.iter().cycle())
            .map(|(plane, table)| plane.iter().filter(|&&byte| table[usize::from(byte)]))
            .map(Iterator::count)
            .sum();
        Ok(cut as f64 / self.dataset.images().len() as f64)
    }

    /// The value of each byte as a pixel, in each channel: 0 to 255 and beyond.
    fn pixel_values(&self, teacher: &Normalisation) -> Result<Vec<[f64; 256]>> {
        teacher.check()?;
        let channels = self.dataset.shape().channels;
        if teacher.mean.len() != channels {
            return Err(Error::Shape {
                what: "the teacher's normalisation".into(),
                expected: format!("{channels} channels, as the synthetic images have"),
                found: teacher.mean.len().to_string(),
                remedy: "give that of the teacher that the images were made for".into(),
            });
        }
        let [low, high] = &self.range;
        let scales = teacher.mean.iter().zip(&teacher.std);
        let tables = low.iter().zip(high).zip(scales);
        let table = |((low, high), (mean, std)): ((&f64, &f64), (&f64, &f64))| {
            let mut byte = -1.0;
            [0.0; 256].map(|_: f64| {
                byte += 1.0;
                255.0 * ((low + byte / 255.0 * (high - low)) * std + mean)
            })
        };
        Ok(tables.map(table).collect())
    }

    /// The worth of the images, as far as it can be told from them and the teacher's logits.
    pub fn measures(&self) -> BankMeasures {
        let (shape, classes) = (self.dataset.shape(), self.dataset.classes());
        let mut measures = BankMeasures::new(classes);
        let [low, high] = &self.range;
        let plane = shape.height * shape.width;
        let images = self.dataset.images().chunks(BLOCK * shape.bytes());
        for (images, logits) in images.zip(self.logits.chunks(BLOCK * classes)) {
            let mut taken = Vec::with_capacity(images.len());
            let ranges = low.iter().zip(high).cycle();
            for (plane, (low, high)) in images.chunks_exact(plane).zip(ranges) {
                #[expect(clippy::cast_possible_truncation, reason = "as a teacher takes it")]
                let value = |&byte: &u8| (low + f64::from(byte) / 255.0 * (high - low)) as f32;
                taken.extend(plane.iter().map(value));
            }
            measures.add_plain(&taken, logits);
        }
        measures
    }
}

#[cfg(test)]
mod tests {
    use super::super::images::tests::bank;
    use super::*;

    #[test]
    fn pixels_are_what_the_teacher_takes_without_its_normalisation() {
        let teacher = Normalisation::new(vec![0.5, 0.25], vec![0.5, 0.1]).unwrap();
        let pixels = bank().pixels(&teacher).unwrap();
        // Of the first channel the bytes themselves; of the second 255 * (byte / 255 + 0.25), in part beyond
        // the range of a pixel.
        assert_eq!(pixels.images(), [0, 128, 255, 67, /**/ 10, 20, 94, 104]);
        assert_eq!(pixels.labels(), [1, 0]);
        // One of eight is beyond.
        let cut = bank().cut_share(&teacher).unwrap();
        assert!((cut - 0.125).abs() < 1e-12, "{cut}");
        // Rounded to the nearest: 1.2 * byte - 153 of the first, 0.4 * byte of the second.
        let teacher = Normalisation::new(vec![0.0, 0.0], vec![0.6, 0.04]).unwrap();
        let pixels = bank().pixels(&teacher).unwrap();
        assert_eq!(pixels.images(), [0, 1, 102, 1, /**/ 0, 0, 12, 16]);
        let grey = Normalisation::identity(1);
        assert_eq!(
            bank().pixels(&grey).unwrap_err().to_string(),
            "the teacher's normalisation: expected 2 channels, as the synthetic images have, got 1; \
             give that of the teacher that the images were made for"
        );
    }

    #[test]
    fn a_bank_says_what_it_is_worth() {
        let measures = bank().measures();
        assert_eq!(measures.histogram(), [1, 1]);
        let sure = |apart: f64| 1.0 / (1.0 + (-apart).exp());
        let expected = f64::midpoint(sure(1.0), sure(7.0));
        assert!((measures.metrics()["confidence"] - expected).abs() < 1e-9);
    }
}
