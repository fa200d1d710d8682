//! `kd methods`.

use serde_json::json;

use crate::method::Methods;
use crate::output::{self, Side::Left};

pub(super) fn run(methods: &Methods, as_json: bool) {
    if as_json {
        let objects: Vec<_> = methods
            .all()
            .iter()
            .map(|method| json!({ "name": method.name, "command": method.verb, "description": method.about }))
            .collect();
        output::json(&json!({ "methods": objects }));
        return;
    }
    let rows: Vec<Vec<String>> = methods
        .all()
        .iter()
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
