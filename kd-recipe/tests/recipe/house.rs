//! The rules of the house: which crate knows which, widths of lines, circles of imports, headers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// The longest line of Rust, in columns.
const WIDTH: usize = 110;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The members of the workspace by name, with their manifests. Folders that git does not know are none.
fn members() -> BTreeMap<String, Table> {
    let entries = fs::read_dir(root()).unwrap();
    let folders = entries.map(|entry| entry.unwrap().path());
    let named = folders.filter_map(|folder| {
        let name = folder.file_name()?.to_str()?.to_owned();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).ok()?;
        let ours =
            (name.starts_with("kd-") || name == "benches") && folder.join("README.md").exists();
        ours.then(|| (name, manifest.parse().unwrap()))
    });
    named.collect()
}

/// The names in `[dependencies]`, or another such table.
fn dependencies<'a>(manifest: &'a Table, table: &str) -> BTreeSet<&'a str> {
    let names = manifest.get(table).and_then(Value::as_table);
    names
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect()
}

/// The crates with a recipe of their own.
fn method_crates(members: &BTreeMap<String, Table>) -> BTreeSet<&str> {
    let has_recipe = |manifest: &Table| {
        let features = manifest.get("features").and_then(Value::as_table);
        features.is_some_and(|features| features.contains_key("recipe"))
    };
    let with_recipe = members.iter().filter(|(_, manifest)| has_recipe(manifest));
    with_recipe.map(|(name, _)| name.as_str()).collect()
}

#[test]
fn the_framework_knows_no_method_and_no_method_another() {
    let members = members();
    let methods = method_crates(&members);
    for own in [
        "kd-offline",
        "kd-stagewise",
        "kd-datafree",
        "kd-online",
        "kd-teacherclass",
        "kd-compact",
    ] {
        assert!(
            methods.contains(own),
            "{own} has no feature `recipe`: {methods:?}"
        );
    }
    for name in &methods {
        let manifest = &members[*name];
        for other in dependencies(manifest, "dependencies") {
            let unknown = !methods.contains(other) && other != "kd-cli";
            assert!(unknown, "{name} depends on {other}");
        }
        // Without its recipe a method crate is small.
        let of_recipe = &manifest["dependencies"]["kd-recipe"];
        assert_eq!(
            of_recipe.get("optional"),
            Some(&Value::Boolean(true)),
            "{name}"
        );
        let usual = manifest["features"]
            .get("default")
            .and_then(Value::as_array);
        assert!(
            usual.is_none_or(Vec::is_empty),
            "{name} has default features"
        );
    }
    for below in [
        "kd-recipe",
        "kd-models",
        "kd-report",
        "kd-core",
        "kd-losses",
        "kd-kernels",
    ] {
        for other in dependencies(&members[below], "dependencies") {
            assert!(!methods.contains(other), "{below} depends on {other}");
        }
    }
}

#[test]
fn there_is_one_door_to_the_framework_and_it_is_public() {
    let members = members();
    // A feature or a hidden item could be a door for kd's own methods alone.
    assert!(members["kd-recipe"].get("features").is_none());
    for (path, text) in rust_files(&root().join("kd-recipe/src")) {
        assert!(!text.contains("doc(hidden)"), "{}", path.display());
    }
    // A method from outside holds a teacher and makes a run of its recipe with the framework alone.
    let outside = fs::read_to_string(root().join("examples/own-method/Cargo.toml")).unwrap();
    let outside: Table = outside.parse().unwrap();
    let known = dependencies(&outside, "dependencies");
    assert!(known.contains("kd-recipe"), "{known:?}");
    for method in method_crates(&members) {
        assert!(!known.contains(method), "own-method depends on {method}");
    }
}

/// All Rust files below a folder with their texts, build outputs and what git does not know left out.
fn rust_files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !matches!(name, "target" | ".git") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn no_line_of_rust_is_too_long() {
    let mut long = Vec::new();
    for (path, text) in rust_files(&root()) {
        for (number, line) in (1..).zip(text.lines()) {
            let width = line.chars().count();
            if width > WIDTH {
                long.push(format!("{}:{number}: {width} columns", path.display()));
            }
        }
    }
    assert!(
        long.is_empty(),
        "wrap at {WIDTH} columns:\n{}",
        long.join("\n")
    );
}

#[test]
fn a_header_names_a_thing() {
    const RIDDLES: [&str; 7] = ["What", "Who", "Whose", "Where", "How", "Why", "Which"];
    let mut wrong = Vec::new();
    for (path, text) in rust_files(&root()) {
        let first = text
            .lines()
            .find(|line| !line.is_empty())
            .unwrap_or_default();
        let header = first.strip_prefix("//! ");
        let word = header.and_then(|header| header.split(|c: char| !c.is_alphanumeric()).next());
        if word.is_some_and(|word| RIDDLES.contains(&word)) {
            wrong.push(format!("{}: {first}", path.display()));
        }
        let is_documented = header.is_some() || first.starts_with("#![doc = include_str!");
        if !is_documented && path.components().any(|part| part.as_os_str() == "src") {
            wrong.push(format!("{}: has no header", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_imports_in_a_circle() {
    for name in ["kd-core", "kd-recipe", "kd-cli"] {
        let imports = imports(&root().join(name).join("src"));
        assert!(
            imports.values().any(|seen| !seen.is_empty()),
            "{name} has no imports"
        );
        let circle = circle(&imports);
        assert!(circle.is_empty(), "{name}: {}", circle.join(" -> "));
    }
}

#[test]
fn a_circle_is_found_where_there_is_one() {
    let graph = |arrows: &[(&str, &str)]| {
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in arrows {
            graph.entry((*to).into()).or_default();
            graph
                .entry((*from).into())
                .or_default()
                .insert((*to).into());
        }
        graph
    };
    assert!(circle(&graph(&[("a", "b"), ("a", "c"), ("b", "c")])).is_empty());
    let found = circle(&graph(&[("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")]));
    assert_eq!(found, ["b", "c", "d", "b"]);
}

/// For each file of a crate, the files of the crate that it names something of: by `crate::` or `super::`,
/// outside of its tests. What is taken from the root of the crate counts as taken from `lib`, which in turn
/// takes from all that it hands on.
fn imports(src: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let files = rust_files(src);
    let module = |path: &Path| {
        let inside = path.strip_prefix(src).unwrap().with_extension("");
        let parts: Vec<_> = inside.iter().map(|part| part.to_str().unwrap()).collect();
        let parts = match parts.as_slice() {
            ["lib" | "main"] => &[][..],
            [before @ .., "mod"] => before,
            all => all,
        };
        parts.join("::")
    };
    let known: BTreeSet<String> = files.iter().map(|(path, _)| module(path)).collect();
    let mut imports = BTreeMap::new();
    for (path, text) in &files {
        if path.ends_with("main.rs") {
            continue;
        }
        let own = module(path);
        let code = text.split("\n#[cfg(test)]\nmod").next().unwrap_or_default();
        let code = code.split("\n#[cfg(all(test").next().unwrap_or_default();
        let paths = named_paths(code, &own);
        let named = paths.iter().map(|path| {
            let ends = (0..=path.len())
                .rev()
                .map(|length| path[..length].join("::"));
            let mut ends = ends.filter(|module| known.contains(module));
            ends.next().unwrap_or_default()
        });
        imports.insert(own.clone(), named.filter(|other| *other != own).collect());
    }
    imports
}

/// The paths that begin with `crate::` or `super::`, or that a file hands on with `pub use`, from the root of
/// the crate on.
fn named_paths(code: &str, own: &str) -> Vec<Vec<String>> {
    let own: Vec<String> = own
        .split("::")
        .filter(|part| !part.is_empty())
        .map(Into::into)
        .collect();
    let code: Vec<&str> = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let mut paths = Vec::new();
    for (begin, base) in [("crate::", 0), ("super::", own.len().saturating_sub(1))] {
        for (at, _) in code.match_indices(begin) {
            let before = code[..at].chars().next_back();
            // `pub(in crate::a)` imports nothing.
            let is_visibility = code[..at].ends_with("(in ");
            if is_visibility || before.is_some_and(|c| c.is_alphanumeric() || "_:".contains(c)) {
                continue;
            }
            expand(&code[at + begin.len()..], own[..base].to_vec(), &mut paths);
        }
    }
    for (at, _) in code.match_indices("\npub use ") {
        let rest = &code[at + "\npub use ".len()..];
        if !rest.starts_with("crate::") && !rest.starts_with("super::") {
            expand(rest, own.clone(), &mut paths);
        }
    }
    paths
}

/// Adds the paths of `a::{b, c::d}` below `base`, and gives what comes after them.
fn expand<'a>(text: &'a str, base: Vec<String>, paths: &mut Vec<Vec<String>>) -> &'a str {
    let mut text = text.trim_start();
    let mut path = base;
    loop {
        if let Some(inner) = text.strip_prefix('{') {
            let mut rest = inner;
            loop {
                rest = rest.trim_start().trim_start_matches(',').trim_start();
                match rest.strip_prefix('}') {
                    Some(rest) => return rest,
                    None if rest.is_empty() => return rest,
                    None => rest = expand(rest, path.clone(), paths),
                }
            }
        }
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        if word.is_empty() {
            // Something that is no path: passed over to the next one.
            let mut rest = rest.chars();
            rest.next();
            return rest.as_str();
        }
        if word != "self" {
            path.push(word.to_owned());
        }
        let Some(inner) = rest.strip_prefix("::") else {
            paths.push(path);
            return rest;
        };
        text = inner;
    }
}

/// One circle of a graph, its first file repeated at the end; empty if there is none.
fn circle(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    fn visit(
        at: &str,
        graph: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(begin) = way.iter().position(|file| file == at) {
            let mut circle = way[begin..].to_vec();
            circle.push(at.to_owned());
            return Some(circle);
        }
        if !done.insert(at.to_owned()) {
            return None;
        }
        way.push(at.to_owned());
        for next in graph.get(at).into_iter().flatten() {
            if let Some(circle) = visit(next, graph, way, done) {
                return Some(circle);
            }
        }
        way.pop();
        None
    }
    let mut done = BTreeSet::new();
    let mut circles = graph
        .keys()
        .filter_map(|file| visit(file, graph, &mut Vec::new(), &mut done));
    circles.next().unwrap_or_default()
}
