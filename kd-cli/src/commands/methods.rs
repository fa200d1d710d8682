//! `kd methods`.

use kd_recipe::Methods;
use kd_report::Align::Left;
use serde_json::json;

use crate::output;

pub(super) fn run(methods: &Methods, as_json: bool) {
    let all = methods.all().iter();
    if as_json {
        let objects: Vec<_> = all
            .map(|method| {
                json!({ "name": method.name, "command": method.verb, "description": method.about })
            })
            .collect();
        output::json(&json!({ "methods": objects }));
        return;
    }
    let rows: Vec<Vec<String>> = all
        .map(|method| {
            vec![
                method.name.to_owned(),
                format!("kd {}", method.verb.name()),
                method.about.to_owned(),
            ]
        })
        .collect();
    let head = [("method", Left), ("command", Left), ("what it is", Left)];
    output::table(&head, &rows);
}
