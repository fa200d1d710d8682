//! `kd doctor`: what this build has, what the machine offers, which data sets are there.

use std::num::NonZero;

use kd_core::{
    Contents, CountedWork, DataRoots, DatasetInfo, DeviceName, Split, meminfo, tell_counted,
};
use kd_recipe::with_causes;
use serde::Serialize;

use crate::args::DoctorOptions;
use crate::output;

/// All that is looked at.
#[derive(Debug, Serialize)]
struct Findings {
    version: &'static str,
    target: String,
    optimised: bool,
    backends: Vec<&'static str>,
    onnx: bool,
    devices: Vec<Device>,
    cores: Option<usize>,
    instructions: &'static str,
    memory_bytes: Option<u64>,
    available_memory_bytes: Option<u64>,
    data_folders: Vec<Folder>,
    data: Vec<Data>,
}

#[derive(Debug, Serialize)]
struct Device {
    name: String,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Folder {
    path: String,
    from: &'static str,
    there: bool,
}

#[derive(Debug, Serialize)]
struct Data {
    name: &'static str,
    state: &'static str,
    /// How its files compare with the published ones, where they were read and are whole.
    contents: Option<&'static str>,
    problem: Option<String>,
}

pub(super) fn run(options: &DoctorOptions) {
    let roots = DataRoots::from_env().with_explicit(options.place.data_dir.clone());
    let findings = Findings {
        version: env!("CARGO_PKG_VERSION"),
        target: format!("{} on {}", std::env::consts::ARCH, std::env::consts::OS),
        optimised: !cfg!(debug_assertions),
        backends: backends(),
        onnx: cfg!(feature = "onnx"),
        devices: devices(),
        cores: std::thread::available_parallelism().ok().map(NonZero::get),
        instructions: kd_kernels::instruction_set(),
        memory_bytes: meminfo("MemTotal:"),
        available_memory_bytes: meminfo("MemAvailable:"),
        data_folders: folders(&roots),
        data: sets(&roots, options.read),
    };
    if options.json {
        output::json(&findings);
    } else {
        show(&findings);
    }
}

/// The backends of this build, as features name them.
fn backends() -> Vec<&'static str> {
    let all = [
        ("flex", cfg!(feature = "flex")),
        ("cuda", cfg!(feature = "cuda")),
        ("wgpu", cfg!(feature = "wgpu")),
    ];
    let built_in = all.into_iter().filter(|(_, built_in)| *built_in);
    built_in.map(|(name, _)| name).collect()
}

fn devices() -> Vec<Device> {
    [DeviceName::Cpu, DeviceName::Cuda(0), DeviceName::Wgpu]
        .into_iter()
        .map(|name| Device {
            name: name.to_string(),
            problem: name.open().err().map(|error| with_causes(&error)),
        })
        .collect()
}

fn folders(roots: &DataRoots) -> Vec<Folder> {
    [
        ("--data-dir", &roots.explicit),
        ("KD_DATA", &roots.env),
        ("the cache folder", &roots.cache),
    ]
    .into_iter()
    .filter_map(|(from, path)| {
        let path = path.as_ref()?;
        Some(Folder {
            path: path.display().to_string(),
            from,
            there: path.is_dir(),
        })
    })
    .collect()
}

/// All data sets, which takes its time where they are read.
fn sets(roots: &DataRoots, read: bool) -> Vec<Data> {
    let all = DatasetInfo::all();
    let look = |(done, info): (usize, &DatasetInfo)| {
        tell_counted(CountedWork {
            what: "looking at the data sets",
            unit: "data sets",
            done: done as u64,
            total: all.len() as u64,
        });
        data(info, roots, read)
    };
    all.iter().enumerate().map(look).collect()
}

/// Whether a data set is there, and if asked for, whether its files can be read, have their published sizes,
/// and the published bytes.
fn data(info: &DatasetInfo, roots: &DataRoots, read: bool) -> Data {
    let splits = [Split::Train, Split::Validation, Split::Test];
    let splits = splits.into_iter().filter(|split| info.samples(*split) > 0);
    let found = |state, error: Option<kd_core::Error>| Data {
        name: info.name,
        state,
        contents: None,
        problem: error.map(|error| with_causes(&error)),
    };
    if info.embedded {
        return found("built in", None);
    }
    let mut missing = splits.clone();
    if let Some(error) = missing.find_map(|split| info.locate(split, roots).err()) {
        return found("missing", Some(error));
    }
    if !read {
        return found("there", None);
    }
    let mut bad = splits.clone();
    if let Some(error) = bad.find_map(|split| info.load(split, roots).err()) {
        return found("not whole", Some(error));
    }
    let compared = splits.map(|split| info.compare_files(split, roots));
    match compared.collect::<kd_core::Result<Vec<_>>>() {
        Ok(compared) => whole(info.name, &compared),
        Err(error) => found("not whole", Some(error)),
    }
}

/// A data set that has all its samples.
fn whole(name: &'static str, compared: &[Contents]) -> Data {
    let mut contents = "as published";
    let mut problem = None;
    for split in compared {
        match split {
            Contents::AsPublished => {}
            Contents::Other(file) => {
                contents = "other";
                problem = Some(format!(
                    "it has as many samples as the published one, and `{}` has other bytes: another \
                     encoding, other samples, or an error on the way",
                    file.display()
                ));
                break;
            }
            _ => contents = "not known",
        }
    }
    Data {
        name,
        state: "whole",
        contents: Some(contents),
        problem,
    }
}

fn show(findings: &Findings) {
    let backends = findings.backends.join(", ");
    let build = match (findings.optimised, backends.as_str()) {
        (_, "") => "no backend; build with one of the features flex, cuda, wgpu".to_owned(),
        (true, backends) => format!("optimised, with {backends}"),
        (false, backends) => {
            format!("with checks inside, with {backends}; `--release` is faster")
        }
    };
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "not known".to_owned(), output::bytes);
    let rows = vec![
        ("kd", format!("{}, {}", findings.version, findings.target)),
        ("build", build),
        (
            "onnx",
            if findings.onnx {
                "yes"
            } else {
                "not in this build"
            }
            .to_owned(),
        ),
        (
            "cores",
            findings
                .cores
                .map_or_else(|| "not known".to_owned(), |cores| cores.to_string()),
        ),
        ("instructions", findings.instructions.to_owned()),
        (
            "memory",
            format!(
                "{}, {} free",
                bytes(findings.memory_bytes),
                bytes(findings.available_memory_bytes)
            ),
        ),
    ];
    output::list(13, &rows);
    output::line("\ndevices");
    for device in &findings.devices {
        let state = device.problem.as_deref().unwrap_or("ready");
        output::line(&format!("  {:<13} {state}", device.name));
    }
    output::line("\nfolders of data sets, in the order in which they are searched");
    for folder in &findings.data_folders {
        let there = if folder.there { "" } else { ", is not there" };
        output::line(&format!("  {} ({}{there})", folder.path, folder.from));
    }
    output::line("\ndata sets");
    for data in &findings.data {
        let state = match data.contents {
            Some("as published") => "whole, byte for byte as published (SHA-256)",
            Some(_) => "whole by its counts",
            None => data.state,
        };
        let problem = data.problem.as_ref();
        let problem = problem
            .map(|problem| format!(": {problem}"))
            .unwrap_or_default();
        output::line(&format!("  {:<18} {state}{problem}", data.name));
    }
}
