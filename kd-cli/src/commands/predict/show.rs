//! Predictions as a table, JSON lines or CSV.

use kd_report::Align::{Left, Right};
use kd_report::percent;
use serde_json::{Map, Value, json};

use super::{Answer, Prediction};
use crate::args::{PredictFormat, PredictOptions};
use crate::output;

/// The likeliest classes that are shown where nothing is said.
const TOP: usize = 3;

/// What was shown so far.
pub(super) struct Shown<'a> {
    format: PredictFormat,
    top: usize,
    names: &'a [String],
    with_teacher: bool,
    /// The rows of a table, which is as wide as its widest.
    rows: Vec<Vec<String>>,
    /// Images whose class is known, and those of them that were recognised.
    labelled: usize,
    right: usize,
    is_begun: bool,
}

impl<'a> Shown<'a> {
    pub(super) fn new(options: &PredictOptions, names: &'a [String], with_teacher: bool) -> Self {
        Self {
            format: options.format,
            top: options.top.map_or(TOP, usize::from).min(names.len()),
            names,
            with_teacher,
            rows: Vec::new(),
            labelled: 0,
            right: 0,
            is_begun: false,
        }
    }

    /// Shows a prediction, or keeps it for the table.
    pub(super) fn add(&mut self, prediction: Prediction) {
        if let Some(label) = prediction.label {
            self.labelled += 1;
            self.right += usize::from(label == prediction.answer.class);
        }
        match self.format {
            PredictFormat::Table => {
                let row = self.row(&prediction);
                self.rows.push(row);
            }
            PredictFormat::Jsonl => output::json(&self.object(&prediction)),
            PredictFormat::Csv => {
                if !self.is_begun {
                    output::line(&self.head().join(","));
                }
                output::line(&self.values(&prediction).join(","));
            }
        }
        self.is_begun = true;
    }

    /// Shows the table.
    pub(super) fn finish(self) {
        if self.format != PredictFormat::Table {
            return;
        }
        let with_label = self.labelled > 0;
        let mut head = vec![("image", Left), ("label", Left), ("answer", Left)];
        head.extend([("probability", Right), ("next", Left), ("teacher", Left)]);
        let is_shown = |column: usize| match column {
            1 => with_label,
            4 => self.top > 1,
            5 => self.with_teacher,
            _ => true,
        };
        let chosen: Vec<usize> = (0..head.len()).filter(|&column| is_shown(column)).collect();
        let head: Vec<_> = chosen.iter().map(|&column| head[column]).collect();
        let row = |row: &Vec<String>| chosen.iter().map(|&column| row[column].clone()).collect();
        let rows: Vec<Vec<String>> = self.rows.iter().map(row).collect();
        output::table(&head, &rows);
        if with_label {
            let share = self.right as f64 / self.labelled as f64;
            output::line(&format!(
                "{} of {} with a label are right, {}",
                self.right,
                self.labelled,
                percent(share)
            ));
        }
    }

    fn row(&self, prediction: &Prediction) -> Vec<String> {
        let name = |class: usize| self.names[class].clone();
        let likely = |(class, share): (usize, f64)| format!("{} {}", name(class), percent(share));
        let answer = &prediction.answer;
        let next = answer.top(self.top).into_iter().skip(1).map(likely);
        let teacher = prediction.teacher.as_ref();
        vec![
            prediction.image.clone(),
            prediction.label.map_or_else(String::new, name),
            name(answer.class),
            percent(answer.probabilities[answer.class]),
            next.collect::<Vec<_>>().join(", "),
            teacher.map_or_else(String::new, |answer| {
                likely((answer.class, answer.probabilities[answer.class]))
            }),
        ]
    }

    fn object(&self, prediction: &Prediction) -> Value {
        let mut object = Map::new();
        object.insert("image".into(), prediction.image.as_str().into());
        if let Some(label) = prediction.label {
            object.insert("label".into(), label.into());
            object.insert("label_name".into(), self.names[label].as_str().into());
        }
        if let Value::Object(answer) = self.said(&prediction.answer) {
            object.extend(answer);
        }
        if let Some(teacher) = &prediction.teacher {
            object.insert("teacher".into(), self.said(teacher));
        }
        Value::Object(object)
    }

    fn said(&self, answer: &Answer) -> Value {
        let top = answer.top(self.top).into_iter().map(|(class, share)| {
            json!({ "class": class, "name": self.names[class], "probability": share })
        });
        json!({
            "answer": answer.class,
            "answer_name": self.names[answer.class],
            "top": top.collect::<Vec<_>>(),
            "probabilities": answer.probabilities,
        })
    }

    fn head(&self) -> Vec<String> {
        let of = |who: &str| {
            let shares = self
                .names
                .iter()
                .map(move |name| quoted(&format!("{who}p {name}")));
            let first = [format!("{who}answer"), format!("{who}probability")];
            first.into_iter().chain(shares).collect::<Vec<_>>()
        };
        let mut head = vec!["image".to_owned(), "label".to_owned()];
        head.extend(of(""));
        if self.with_teacher {
            head.extend(of("teacher "));
        }
        head
    }

    fn values(&self, prediction: &Prediction) -> Vec<String> {
        let name = |class: usize| quoted(&self.names[class]);
        let of = |answer: &Answer| {
            let first = [
                name(answer.class),
                answer.probabilities[answer.class].to_string(),
            ];
            let shares = answer.probabilities.iter().map(f64::to_string);
            first.into_iter().chain(shares).collect::<Vec<_>>()
        };
        let label = prediction.label.map_or_else(String::new, name);
        let mut values = vec![quoted(&prediction.image), label];
        values.extend(of(&prediction.answer));
        values.extend(prediction.teacher.iter().flat_map(of));
        values
    }
}

/// A field of CSV: in quotes where it has what separates fields.
pub(super) fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn fields_that_need_quotes_have_them() {
        assert_eq!(quoted("a b"), "a b");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
