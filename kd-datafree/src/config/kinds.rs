//! The published settings by name, with those of a recipe laid over them.

use kd_core::{Error, InnerTables, Result, Training, settings_of, settings_over};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::data_free::DataFreeConfig;
use super::joint::Joint;
use super::pooled::Pooled;
use super::two_phases::{Synthetic, TwoPhases};

/// A way of making images, with the settings that were published for it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SynthesisKind {
    /// Its name in recipes.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    make: fn() -> DataFreeConfig,
}

/// The way that is meant where a recipe names none.
#[cfg(feature = "recipe")]
pub(crate) const USUAL_KIND: &str = "rdskd";

/// All ways of making images.
pub const SYNTHESIS_KINDS: [SynthesisKind; 11] = [
    SynthesisKind {
        name: "rdskd",
        about: "a generator, then a student; losses that get worse weigh more (2011.03749)",
        make: || TwoPhases::default().into(),
    },
    SynthesisKind {
        name: "rdskd-joint",
        about: "the same losses, generator and student together, for comparison",
        make: || Joint::rdskd().into(),
    },
    SynthesisKind {
        name: "dafl",
        about: "generator and student together; a weighted sum of losses (1904.01186)",
        make: || Joint::dafl().into(),
    },
    SynthesisKind {
        name: "dfad",
        about: "generator against student, by the difference of logits (1912.11006)",
        make: || Joint::dfad().into(),
    },
    SynthesisKind {
        name: "zskt",
        about: "generator against student, by the divergence of probabilities, with attention (1905.09768)",
        make: || Joint::zskt().into(),
    },
    SynthesisKind {
        name: "deep-inversion",
        about: "pixels found by descent through the teacher, statistics of batch norms (1912.08795)",
        make: || Pooled::deep_inversion().into(),
    },
    SynthesisKind {
        name: "adaptive-deep-inversion",
        about: "the same, where the student differs from the teacher (1912.08795)",
        make: || Pooled::adaptive_inversion().into(),
    },
    SynthesisKind {
        name: "cmi",
        about: "a generator for each batch, images told from all earlier ones (2105.08584)",
        make: || Pooled::cmi().into(),
    },
    SynthesisKind {
        name: "fast",
        about: "a generator that learns to begin well, a few steps for each batch (2112.06253)",
        make: || Pooled::fast().into(),
    },
    SynthesisKind {
        name: "noise",
        about: "standard normal noise in the place of images",
        make: || {
            let config = TwoPhases {
                synthetic: Synthetic::Noise,
                ..TwoPhases::default()
            };
            config.into()
        },
    },
    SynthesisKind {
        name: "images",
        about: "real images of something else",
        make: || {
            let config = TwoPhases {
                synthetic: Synthetic::Images,
                ..TwoPhases::default()
            };
            config.into()
        },
    },
];

#[cfg(feature = "recipe")]
impl SynthesisKind {
    /// The JSON schema of the table `[synthesis]` for this way.
    pub(crate) fn schema(&self) -> Value {
        let merged = InnerTables::Merged;
        let schema = match (self.make)() {
            DataFreeConfig::TwoPhases(usual) => kd_core::settings_schema(&usual, merged),
            DataFreeConfig::Joint(usual) => kd_core::settings_schema(&usual, merged),
            DataFreeConfig::Pooled(usual) => kd_core::settings_schema(&usual, merged),
        };
        let mut schema = schema.unwrap_or_default().to_value();
        if let Some(keys) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            keys.remove(TRAINING);
            let kind = serde_json::json!({ "const": self.name, "description": self.about });
            keys.insert("kind".into(), kind);
        }
        if self.name != USUAL_KIND {
            schema["required"] = serde_json::json!(["kind"]);
        }
        schema["description"] = self.about.into();
        schema
    }
}

impl DataFreeConfig {
    /// The settings of the way `kind`, with those of `synthesis` and of `train` in place of its own.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] for a way that is not known, [`Error::Config`] for a setting that it does not
    /// have or of another type.
    pub fn named(
        kind: &str,
        synthesis: &Map<String, Value>,
        train: &Map<String, Value>,
    ) -> Result<Self> {
        let known = SYNTHESIS_KINDS.iter().find(|known| known.name == kind);
        let known = known.ok_or_else(|| {
            Error::unknown_name(
                "synthesis",
                kind,
                SYNTHESIS_KINDS.iter().map(|known| known.name),
            )
        })?;
        let tables = [synthesis, train];
        Ok(match (known.make)() {
            Self::TwoPhases(usual) => over(&usual, tables, |own| &mut own.training)?.into(),
            Self::Joint(usual) => over(&usual, tables, |own| &mut own.training)?.into(),
            Self::Pooled(usual) => over(&usual, tables, |own| &mut own.training)?.into(),
        })
    }

    /// All settings, those of the student's training apart; [`DataFreeConfig::named`] takes them back.
    ///
    /// # Errors
    ///
    /// [`Error::Method`] for a number that cannot be written.
    pub fn tables(&self) -> Result<[Map<String, Value>; 2]> {
        let mut synthesis = match self {
            Self::TwoPhases(config) => settings_of(config),
            Self::Joint(config) => settings_of(config),
            Self::Pooled(config) => settings_of(config),
        }?;
        let train = match synthesis.remove(TRAINING) {
            Some(Value::Object(train)) => train,
            _ => Map::new(),
        };
        Ok([synthesis, train])
    }
}

/// The field of the student's training.
const TRAINING: &str = "training";

/// Settings with those of the table `synthesis` over them, and those of `train` over their `training`.
fn over<C: Serialize + DeserializeOwned>(
    usual: &C,
    [synthesis, train]: [&Map<String, Value>; 2],
    training: impl Fn(&mut C) -> &mut Training,
) -> Result<C> {
    if synthesis.contains_key(TRAINING) {
        let problem = "is the table `[train]` of a recipe; move its settings there";
        return Err(Error::config("synthesis.training", problem));
    }
    let mut made = settings_over(usual, synthesis, "synthesis", InnerTables::Merged)?;
    let training = training(&mut made);
    *training = settings_over(&*training, train, "train", InnerTables::Merged)?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use kd_core::OptimizerConfig;
    use kd_losses::IncrementReference;
    use serde_json::json;

    use super::*;
    use crate::config::Game;
    use crate::objective::GeneratorObjective;

    fn named(kind: &str, synthesis: &Value, train: &Value) -> Result<DataFreeConfig> {
        let table = |value: &Value| value.as_object().cloned().unwrap_or_default();
        DataFreeConfig::named(kind, &table(synthesis), &table(train))
    }

    #[test]
    fn without_settings_each_way_is_the_published_one() {
        for kind in SYNTHESIS_KINDS {
            let made = named(kind.name, &json!({}), &json!({})).unwrap();
            assert_eq!(made, (kind.make)(), "{}", kind.name);
            let [synthesis, train] = made.tables().unwrap();
            assert_eq!(
                DataFreeConfig::named(kind.name, &synthesis, &train).unwrap(),
                made
            );
        }
    }

    #[test]
    fn own_settings_are_put_over_them() {
        let synthesis = json!({
            "synthetic": { "generator": { "widths": [32, 16] }, "objective": { "reference": "none" } },
            "generator_training": { "steps": 7, "batch_size": 64 },
            "bank": { "images": 256 },
        });
        let train = json!({ "epochs": 3, "optimizer": { "kind": "sgd", "momentum": 0.5 } });
        let DataFreeConfig::TwoPhases(made) = named("rdskd", &synthesis, &train).unwrap() else {
            panic!("RDSKD has two phases");
        };
        let Synthetic::Generator {
            generator,
            objective,
        } = made.synthetic
        else {
            panic!("RDSKD has a generator");
        };
        assert_eq!((generator.widths, generator.noise), ([32, 16], 100));
        let plain = GeneratorObjective {
            reference: IncrementReference::None,
            ..GeneratorObjective::rdskd()
        };
        assert_eq!(objective, plain);
        let Training {
            steps,
            epochs,
            batch_size,
            lr,
            ..
        } = made.generator_training;
        assert_eq!((steps, epochs, batch_size, lr), (Some(7), None, 64, 1e-3));
        assert_eq!(made.bank.images, 256);
        assert_eq!(
            (made.training.epochs, made.training.batch_size),
            (Some(3), 512)
        );
        let sgd = OptimizerConfig::Sgd {
            momentum: 0.5,
            weight_decay: 0.0,
            nesterov: false,
        };
        assert_eq!(made.training.optimizer, sgd);

        let game = json!({ "game": { "attention": 0.0 }, "generator_lr": 0.5 });
        let DataFreeConfig::Joint(made) = named("zskt", &game, &json!({})).unwrap() else {
            panic!("ZSKT is one phase");
        };
        assert_eq!(
            (made.game, made.generator_lr),
            (Game::Beliefs { attention: 0.0 }, 0.5)
        );
    }

    #[test]
    fn mistakes_are_said_in_words() {
        let refused = |kind: &str, synthesis: Value| {
            named(kind, &synthesis, &json!({})).unwrap_err().to_string()
        };
        let said = refused("rdskdd", json!({}));
        assert!(said.contains("rdskd"), "{said}");
        let said = refused("rdskd", json!({ "bank": { "image": 3 } }));
        assert_eq!(
            said,
            "`synthesis.bank.image` is not known; did you mean `images`?; known: `images`, `refresh`"
        );
        let said = refused("dfad", json!({ "bank": { "images": 3 } }));
        assert!(
            said.starts_with("`synthesis.bank` is not known; known: `generator`, `game`,"),
            "{said}"
        );
        let said = named("dfad", &json!({}), &json!({ "epocs": 3 })).unwrap_err();
        let said = said.to_string();
        assert!(
            said.starts_with("`train.epocs` is not known; did you mean `epochs`?"),
            "{said}"
        );
        let said = refused("dfad", json!({ "training": {} }));
        assert!(said.contains("`[train]`"), "{said}");
    }
}
