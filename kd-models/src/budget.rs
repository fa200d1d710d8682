//! Budgets of parameters or multiply-accumulates, and widths that meet them.

use kd_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::free_widths::FreeWidths;
use crate::spec::NetworkSpec;
use crate::structure::Structure;

/// How far the costs may be from a budget, as a share of it.
pub const BUDGET_TOLERANCE: f64 = 0.03;

/// Scales of all widths that are tried: from 1/64 to 64 in small steps.
const SCALES: i32 = 240;
/// How many of those make a factor of 2.
const SCALES_PER_OCTAVE: i32 = 40;

/// Groups of widths up to which they are always moved one by one, too.
const MOST_MOVED: usize = 6;

/// What a network, or several together, may cost: either parameters or multiply-accumulates for one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Budget {
    /// Learnable parameters: their number, or, up to 1, their share of those of the teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub parameters: Option<f64>,
    /// Multiply-accumulates for one image: their number, or, up to 1, their share of those of the teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub macs: Option<f64>,
}

/// A budget as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wanted {
    /// So many parameters.
    Parameters(u64),
    /// So many multiply-accumulates.
    Macs(u64),
}

impl Wanted {
    /// The number.
    pub fn number(self) -> u64 {
        match self {
            Self::Parameters(number) | Self::Macs(number) => number,
        }
    }

    /// What it is a number of.
    pub fn what(self) -> &'static str {
        match self {
            Self::Parameters(_) => "parameters",
            Self::Macs(_) => "MACs",
        }
    }

    /// Which of parameters and multiply-accumulates it is about.
    pub fn of(self, counts: [u64; 2]) -> u64 {
        match self {
            Self::Parameters(_) => counts[0],
            Self::Macs(_) => counts[1],
        }
    }
}

impl Budget {
    /// So many parameters.
    pub fn parameters(parameters: f64) -> Self {
        Self {
            parameters: Some(parameters),
            macs: None,
        }
    }

    /// So many multiply-accumulates.
    pub fn macs(macs: f64) -> Self {
        Self {
            parameters: None,
            macs: Some(macs),
        }
    }

    /// The budget as a number; `teacher` has the parameters and multiply-accumulates of the teacher, if there
    /// is one.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for neither or both of the two, a number that is not above 0, and a share where
    /// there is no teacher.
    pub fn wanted(&self, teacher: Option<[u64; 2]>) -> Result<Wanted> {
        let wrong = |problem: String| Err(Error::config("budget", problem));
        let (value, is_parameters) = match (self.parameters, self.macs) {
            (Some(value), None) => (value, true),
            (None, Some(value)) => (value, false),
            _ => return wrong("must have either `parameters` or `macs`".into()),
        };
        if !value.is_finite() || value <= 0.0 {
            return wrong(format!("must be finite and above 0, got {value}"));
        }
        let of_teacher =
            teacher.map(|[parameters, macs]| if is_parameters { parameters } else { macs });
        let number = match of_teacher {
            _ if value > 1.0 => value,
            Some(whole) => value * whole as f64,
            None => {
                let problem =
                    format!("is {value}, a share of a teacher, and there is none; give a number");
                return wrong(problem);
            }
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "above 0; a float as large saturates"
        )]
        let number = number.round() as u64;
        Ok(if is_parameters {
            Wanted::Parameters(number)
        } else {
            Wanted::Macs(number)
        })
    }
}

/// The widths nearest to a budget: those of `template` times a common factor, each then moved a little; of a
/// template with many widths, as a U-Net, they are moved only if the budget is not met otherwise.
///
/// `counts` gives parameters and multiply-accumulates of what is built with a template, as several networks
/// of different heads; none where it cannot be built.
///
/// ```
/// use kd_models::{Budget, ChunkCnnConfig, fit_widths};
///
/// let wanted = Budget::parameters(30_000.0).wanted(None)?;
/// let of_one = |widths: &ChunkCnnConfig| widths.counts([1, 28, 28], 10);
/// let fitted = fit_widths(&ChunkCnnConfig::template(), wanted, of_one)?;
/// let [parameters, _] = of_one(&fitted).unwrap_or_default();
/// assert!(parameters.abs_diff(30_000) < 900);
/// # Ok::<(), kd_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Config`] if no widths come within 3 % of the budget: it says what the nearest ones cost.
pub fn fit_widths<W: FreeWidths>(
    template: &W,
    wanted: Wanted,
    counts: impl Fn(&W) -> Option<[u64; 2]>,
) -> Result<W> {
    let groups = Groups::of(template);
    let off = |widths: &[usize]| {
        let found = wanted.of(counts(&groups.config(template, widths))?);
        let number = wanted.number().max(1) as f64;
        Some((found as f64 / number - 1.0).abs())
    };
    let mut scaled: Vec<Vec<usize>> = Vec::new();
    for scale in -SCALES..=SCALES {
        let factor = (f64::from(scale) / f64::from(SCALES_PER_OCTAVE)).exp2();
        let widths = groups.scaled(factor);
        if scaled.last() != Some(&widths) {
            scaled.push(widths);
        }
    }
    // Near the budget alone is it worth while to move single widths.
    scaled.retain(|widths| off(widths).is_some_and(|off| off < 0.5));
    let nearest = |best: Option<(f64, Vec<usize>)>, widths: Vec<usize>| match off(&widths) {
        Some(off) if best.as_ref().is_none_or(|(least, _)| off < *least) => Some((off, widths)),
        _ => best,
    };
    let mut best = None;
    if groups.0.len() > MOST_MOVED {
        // Many widths meet nearly any budget in proportion, and moved one by one they would lose it.
        best = scaled.iter().cloned().fold(best, &nearest);
    }
    if best.as_ref().is_none_or(|(off, _)| *off > BUDGET_TOLERANCE) {
        let moved = scaled.iter().flat_map(|widths| groups.moved(widths));
        best = moved.fold(best, nearest);
    }
    match best {
        Some((off, widths)) if off <= BUDGET_TOLERANCE => Ok(groups.config(template, &widths)),
        nearest => Err(unmet(template, wanted, &counts, &groups, nearest)),
    }
}

/// The network of `spec` with the widths nearest to a budget, called after them; see [`fit_widths`]. `counts`
/// is given structures of the family of `spec`; those of one network are [`Structure::counts`].
///
/// # Errors
///
/// As [`fit_widths`], and [`Error::Config`] for a network whose widths are not free.
pub fn fit_network(
    spec: &NetworkSpec,
    wanted: Wanted,
    counts: impl Fn(&Structure) -> Option<[u64; 2]>,
) -> Result<NetworkSpec> {
    let structure = match spec.structure()? {
        Structure::ChunkCnn(template) => fitted(&template, wanted, Structure::ChunkCnn, counts)?,
        Structure::TextCnn(template) => fitted(&template, wanted, Structure::TextCnn, counts)?,
        Structure::UNet(template) => fitted(&template, wanted, Structure::UNet, counts)?,
        _ => {
            let problem = format!(
                "is for a network with free widths, and `{}` has its own; use `chunk-cnn` or a `structure` \
                 of that family, one of `text-cnn` for texts, or one of `skd-unet` for masks",
                spec.name
            );
            return Err(Error::config("budget", problem));
        }
    };
    let widths = structure
        .free_widths()
        .into_iter()
        .flat_map(|(blocks, hidden)| {
            let convolutions = blocks.into_iter().flatten();
            convolutions.chain(hidden).map(|width| width.to_string())
        });
    let name = format!("{}-{}", spec.name, widths.collect::<Vec<_>>().join("-"));
    Ok(NetworkSpec::with_structure(
        name,
        structure,
        spec.classes,
        spec.input,
    ))
}

fn fitted<W: FreeWidths>(
    template: &W,
    wanted: Wanted,
    structure: impl Fn(W) -> Structure,
    counts: impl Fn(&Structure) -> Option<[u64; 2]>,
) -> Result<Structure> {
    let fitted = fit_widths(template, wanted, |widths| {
        counts(&structure(widths.clone()))
    })?;
    Ok(structure(fitted))
}

/// The error of a budget that no width meets.
fn unmet<W: FreeWidths>(
    template: &W,
    wanted: Wanted,
    counts: &dyn Fn(&W) -> Option<[u64; 2]>,
    groups: &Groups,
    nearest: Option<(f64, Vec<usize>)>,
) -> Error {
    let widths = nearest.map_or_else(|| vec![1; groups.0.len()], |(_, widths)| widths);
    let config = groups.config(template, &widths);
    let (number, what) = (wanted.number(), wanted.what());
    let problem = match counts(&config) {
        Some(found) => format!(
            "of {number} {what} is met by no widths within {:.0} %: the nearest, {}, have {}; give \
             another budget, another template or another number of students",
            100.0 * BUDGET_TOLERANCE,
            config.in_words(),
            wanted.of(found)
        ),
        None => {
            format!("of {number} {what} cannot be met, as the template cannot take the samples")
        }
    };
    Error::config("budget", problem)
}

/// Widths that are moved together: equal neighbours of a block, and each hidden layer.
struct Groups(Vec<(usize, usize)>);

impl Groups {
    /// Each with its width and how many layers have it.
    fn of(template: &impl FreeWidths) -> Self {
        let mut groups: Vec<(usize, usize)> = Vec::new();
        for block in template.blocks() {
            for (index, width) in block.into_iter().enumerate() {
                match groups.last_mut() {
                    Some((last, times)) if index > 0 && *last == width => *times += 1,
                    _ => groups.push((width, 1)),
                }
            }
        }
        groups.extend(template.hidden().into_iter().map(|width| (width, 1)));
        Self(groups)
    }

    /// All widths times a factor, at least 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "widths are small and above 0"
    )]
    fn scaled(&self, factor: f64) -> Vec<usize> {
        let scaled =
            |&(width, _): &(usize, usize)| ((width as f64 * factor).round() as usize).max(1);
        self.0.iter().map(scaled).collect()
    }

    /// `widths`, each as it is, one more or one less, and two where it is large, in all combinations.
    fn moved(&self, widths: &[usize]) -> Vec<Vec<usize>> {
        let few = self.0.len() <= 4;
        let mut all = vec![Vec::new()];
        for &width in widths {
            let reach = if few && width >= 8 { 2 } else { 1 };
            let near = width.saturating_sub(reach).max(1)..=width + reach;
            all = near
                .flat_map(|width| {
                    all.iter().map(move |start| {
                        let mut longer: Vec<usize> = start.clone();
                        longer.push(width);
                        longer
                    })
                })
                .collect();
        }
        all
    }

    /// The template with these widths.
    fn config<W: FreeWidths>(&self, template: &W, widths: &[usize]) -> W {
        let groups = self.0.iter().zip(widths);
        let mut each = groups.flat_map(|(&(_, times), &width)| std::iter::repeat_n(width, times));
        let mut config = template.clone();
        for (place, width) in config.free_widths().zip(&mut each) {
            *place = width;
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk_cnn::ChunkCnnConfig;
    use crate::skd_resnet::SkdResNetConfig;
    use crate::text_cnn::TextCnnConfig;
    use crate::unet::UNetConfig;

    const IMAGES: [usize; 3] = [1, 28, 28];

    /// A class of so many students with 256 units in all, and a head of 10 classes.
    fn class(students: usize) -> impl Fn(&ChunkCnnConfig) -> Option<[u64; 2]> {
        move |widths| {
            let [parameters, macs] = widths.counts(IMAGES, 256 / students)?;
            let students = students as u64;
            Some([students * parameters + 2570, students * macs + 2560])
        }
    }

    #[test]
    fn networks_for_text_meet_a_budget_and_keep_their_embedding() {
        let template = TextCnnConfig::student([128, 64], 2, 64);
        let texts = [1000, 1, 500];
        for students in [1, 2, 4, 8] {
            let class = |structure: &Structure| {
                let [parameters, macs] = structure.counts(texts, 256 / students)?;
                Some([
                    students as u64 * parameters + 514,
                    students as u64 * macs + 512,
                ])
            };
            let structure = Structure::TextCnn(template.clone());
            let spec = NetworkSpec::with_structure("reader", structure, 2, texts);
            let wanted = Budget::parameters(178_000.0).wanted(None).unwrap();
            let fitted = fit_network(&spec, wanted, class).unwrap();
            let structure = fitted.structure().unwrap();
            let [parameters, _] = class(&structure).unwrap();
            assert!(
                parameters.abs_diff(178_000) <= 5_340,
                "{students} {fitted:?}"
            );
            let Structure::TextCnn(widths) = structure else {
                panic!("{fitted:?}");
            };
            assert_eq!((widths.embedding, widths.stride), (10, 2));
        }
    }

    #[test]
    fn unets_meet_a_budget_and_keep_their_blocks_and_head() {
        let template = UNetConfig {
            decoder: [32, 16, 16, 8, 8],
            ..UNetConfig::small(SkdResNetConfig::RESNET10).with_head(1)
        };
        let images = [3, 64, 96];
        for students in [1, 2, 4] {
            let class = |structure: &Structure| {
                let [parameters, macs] = structure.counts(images, 16 / students)?;
                Some([students as u64 * parameters, students as u64 * macs])
            };
            let spec = NetworkSpec::with_structure("thin", Structure::UNet(template), 12, images);
            let wanted = Wanted::Parameters(60_000);
            let fitted = fit_network(&spec, wanted, class).unwrap();
            let structure = fitted.structure().unwrap();
            let [parameters, _] = class(&structure).unwrap();
            assert!(
                parameters.abs_diff(60_000) <= 1_800,
                "{students} {fitted:?}"
            );
            let Structure::UNet(widths) = structure else {
                panic!("{fitted:?}");
            };
            assert_eq!((widths.encoder.blocks, widths.head), ([1; 4], 1));
            // In proportion: each width rounds the template's times one factor.
            let ratio = |one: usize, template: usize| one as f64 / template as f64;
            let factor = ratio(widths.encoder.widths[3], template.encoder.widths[3]);
            for (one, of) in widths.decoder.into_iter().zip(template.decoder) {
                assert!((ratio(one, of) - factor).abs() <= 0.6 / 8.0, "{widths:?}");
            }
        }
    }

    #[test]
    fn a_class_of_any_number_of_students_meets_a_budget() {
        for students in [1, 2, 3, 4, 6, 8] {
            for budget in [Budget::parameters(30_000.0), Budget::macs(1_000_000.0)] {
                let wanted = budget.wanted(None).unwrap();
                let fitted =
                    fit_widths(&ChunkCnnConfig::template(), wanted, class(students)).unwrap();
                let found = wanted.of(class(students)(&fitted).unwrap()) as f64;
                let off = found / wanted.number() as f64 - 1.0;
                assert!(
                    off.abs() <= BUDGET_TOLERANCE,
                    "{students} {budget:?} {fitted:?}"
                );
                assert_eq!(fitted.blocks[0][0], fitted.blocks[0][1]);
            }
        }
    }

    #[test]
    fn what_cannot_be_met_is_said_in_words() {
        let wanted = Wanted::Parameters(500);
        let error = fit_widths(&ChunkCnnConfig::template(), wanted, class(4)).unwrap_err();
        let expected = "`budget` of 500 parameters is met by no widths within 3 %: the nearest, blocks [[1, \
                        1], [1]] and hidden [1], have";
        assert!(error.to_string().starts_with(expected), "{error}");
        let refused = |budget: Budget| budget.wanted(None).unwrap_err().to_string();
        let both = Budget {
            parameters: Some(2.0),
            macs: Some(2.0),
        };
        let expected = "`budget` must have either `parameters` or `macs`";
        assert_eq!(
            (refused(Budget::default()), refused(both)),
            (expected.into(), expected.into())
        );
        let expected = "`budget` is 0.5, a share of a teacher, and there is none; give a number";
        assert_eq!(refused(Budget::macs(0.5)), expected);
        assert!(refused(Budget::macs(-1.0)).ends_with("above 0, got -1"));
        let half = Budget::parameters(0.5).wanted(Some([1000, 7])).unwrap();
        assert_eq!(half, Wanted::Parameters(500));
    }
}
