//! The normalisation of student and teachers, compared with that of the data.

use kd_core::{Finding, Normalisation, Topic};

use super::teachers;
use super::words::short_number;
use super::{Diagnosis, TeacherFacts};

impl Diagnosis {
    /// Compares the normalisations of the networks' inputs; those that take no images have none.
    pub(super) fn compare_normalisations(&mut self) {
        let before = self.findings.len();
        let (Some(student), Some(measured), Some(constants)) = (
            &self.student_normalisation,
            &self.data.measured,
            &self.constants,
        ) else {
            return;
        };
        if let Some(text) = unusual(student, measured) {
            self.findings
                .push(Finding::warning(Topic::Normalisation, text));
        } else if !teachers::alike(student, constants) {
            let text = "the student's normalisation is not that of the data set; it is trained with it, so \
                        that this is no mistake as long as it is kept";
            self.findings
                .push(Finding::note(Topic::Normalisation, text));
        }
        let other = |facts: &&TeacherFacts| {
            let own = facts.normalisation.as_ref();
            own.is_some_and(|own| !teachers::alike(own, constants))
        };
        let names: Vec<String> = self
            .teachers
            .iter()
            .filter(other)
            .map(|facts| facts.name.clone())
            .collect();
        for name in names {
            let text = format!(
                "{name} has another normalisation than the data set; right if it was trained so; others are \
                 tried on held-out samples"
            );
            self.findings
                .push(Finding::note(Topic::Normalisation, text));
        }
        if self.findings.len() == before {
            let who = if self.teachers.is_empty() {
                "the student is"
            } else {
                "student and teachers are"
            };
            let text = format!("{who} shown the pixels as is usual for the data set");
            self.findings.push(Finding::ok(Topic::Normalisation, text));
        }
    }
}

/// A text about the student's input, if it is far from mean 0 and deviation 1.
fn unusual(own: &Normalisation, measured: &Normalisation) -> Option<String> {
    let channels = own
        .mean
        .iter()
        .zip(&own.std)
        .zip(measured.mean.iter().zip(&measured.std));
    for (channel, ((mean, std), (data_mean, data_std))) in channels.enumerate() {
        let (centre, spread) = ((data_mean - mean) / std, data_std / std);
        if centre.abs() > 5.0 || !(0.05..=20.0).contains(&spread) {
            return Some(format!(
                "the student's normalisation (mean {}, std {}) turns channel {channel} of the images into \
                 values of mean {} and standard deviation {}, far from 0 and 1; the constants are for pixels \
                 from 0 to 1, not to 255",
                short_number(*mean),
                short_number(*std),
                short_number(centre),
                short_number(spread)
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_for_bytes_are_unusual() {
        let norm = |mean: f64, std: f64| Normalisation::new(vec![mean], vec![std]).unwrap();
        let measured = norm(0.286, 0.353);
        assert_eq!(unusual(&norm(0.286, 0.353), &measured), None);
        assert_eq!(unusual(&norm(0.5, 0.5), &measured), None);
        assert_eq!(unusual(&norm(0.0, 1.0), &measured), None);
        let text = unusual(&norm(72.9, 90.0), &measured).unwrap();
        assert!(
            text.contains("standard deviation 0.0039, far from 0 and 1"),
            "{text}"
        );
        assert!(unusual(&norm(0.0, 1.0 / 255.0), &measured).is_some());
    }
}
