//! kd's side of the comparison of cutting channels with Torch-Pruning; `pytorch/surgery.py` runs it.
//!
//! ```text
//! surgery --write FOLDER
//!     weights, images and logits of the whole network, and of the cut one
//! surgery [--rounds 5]
//!     the time of each part, several times over; peak memory
//! ```
//!
//! `--network` names another network than `resnet50`, `--size` another height and width than 224, `--share`
//! another share of the multiply-accumulates than 0.5. The second prints one JSON object. Memory is that of
//! the first round: `before_kib` without a network, `network_kib` with it, `peaks_kib` at most in each part.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use kd_compact::{
    Budget, CostModel, Graph, Groups, Policy, Size, Surgery, Widths, cut_spec, l1_scores,
};
use kd_core::{Names, StagedNetwork as _, Tensors, export, import_owned, write_tensors};
use kd_models::{Network, NetworkSpec};
use serde_json::json;

/// As the command has it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Classes of the network.
const CLASSES: usize = 1000;
/// The parts that are timed, in order.
const PARTS: [&str; 6] = ["recording", "groups", "scores", "choice", "cut", "network"];

struct Arguments {
    spec: NetworkSpec,
    share: f64,
    rounds: usize,
    write: Option<PathBuf>,
}

impl Arguments {
    fn read() -> Result<Self> {
        let (mut network, mut size, mut share) = ("resnet50".to_owned(), 224, 0.5);
        let (mut rounds, mut write) = (5, None);
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
            match word.as_str() {
                "--network" => network = value()?,
                "--size" => size = value()?.parse()?,
                "--share" => share = value()?.parse()?,
                "--rounds" => rounds = value()?.parse()?,
                "--write" => write = Some(PathBuf::from(value()?)),
                _ => return Err(format!("unknown argument `{word}`").into()),
            }
        }
        Ok(Self {
            spec: NetworkSpec::new(network, CLASSES, [3, size, size]),
            share,
            rounds,
            write,
        })
    }
}

/// What is left of a network, and how long each part of the way took.
struct Done {
    network: Network,
    size: [Size; 2],
    laps: Vec<Lap>,
}

/// The end of a part: its moment, and the peak of the memory in it.
type Lap = (Instant, Option<u64>);

/// Ends a part.
fn lap(laps: &mut Vec<Lap>) {
    laps.push((Instant::now(), memory("VmHWM")));
    // The peak is counted anew, where the system lets it.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Everything from a network to a smaller one, by the mean size of its weights.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count that a float holds"
)]
fn cut(network: &Network, spec: &NetworkSpec, share: f64) -> Result<Done> {
    let mut laps = Vec::new();
    lap(&mut laps);
    let graph = Graph::recorded(network, spec.input)?;
    lap(&mut laps);
    let groups = Groups::of(&graph)?;
    let model = CostModel::of(&graph, &groups);
    lap(&mut laps);
    let tensors = export(network, Names::PyTorch);
    let scores = l1_scores(&graph, &groups, &tensors);
    lap(&mut laps);
    let whole = model.size(&kd_compact::Alive::all(&groups));
    let budget = Budget::whole(Size {
        macs: (share * whole.macs as f64) as u64,
        parameters: u64::MAX,
    });
    let alive = budget.choose(&model, &groups, &scores)?;
    lap(&mut laps);
    let surgery = Surgery {
        graph: &graph,
        groups: &groups,
    };
    let left = surgery.cut(&tensors, &alive, Policy::FoldOrZero)?;
    drop(tensors);
    lap(&mut laps);
    let spec = cut_spec(spec, &Widths::of(&graph, &groups, &alive))?;
    let blank = Network::blank(&spec, &Device::flex())?;
    let network = import_owned(&blank, left, Names::PyTorch, "the cut")?;
    lap(&mut laps);
    Ok(Done {
        network,
        size: [whole, model.size(&alive)],
        laps,
    })
}

/// Kibibytes that the system counts for this process, where it says so.
fn memory(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn main() -> Result<()> {
    let arguments = Arguments::read()?;
    let device = Device::flex();
    device.seed(1);
    // A small one first: threads are there, and the code is read.
    let small = NetworkSpec::new("resnet8", CLASSES, [3, 32, 32]);
    cut(
        &Network::build(&small, 1, &device)?,
        &small,
        arguments.share,
    )?;
    let before = memory("VmRSS");
    let network = Network::build(&arguments.spec, 1, &device)?;
    if let Some(folder) = &arguments.write {
        return write(&network, &arguments, folder);
    }
    let held = memory("VmRSS");
    let mut rounds = Vec::new();
    let (mut peaks, mut size) = (Vec::new(), [Size::default(); 2]);
    for round in 0..arguments.rounds.max(1) {
        let done = cut(&network, &arguments.spec, arguments.share)?;
        let parts = done.laps.array_windows();
        let parts = parts.map(|[start, end]| 1e3 * (end.0 - start.0).as_secs_f64());
        rounds.push(parts.collect::<Vec<f64>>());
        if round == 0 {
            peaks = done.laps[1..].iter().map(|(_, peak)| *peak).collect();
            size = done.size;
        }
    }
    let answer = json!({
        "parts": PARTS,
        "ms": rounds,
        "macs": size.map(|size| size.macs),
        "parameters": size.map(|size| size.parameters),
        "weights_kib": 4 * size[0].parameters / 1024,
        "before_kib": before,
        "network_kib": held,
        "peaks_kib": peaks,
        "peak_kib": peaks.iter().max(),
    });
    writeln!(std::io::stdout(), "{answer}")?;
    Ok(())
}

/// Writes both networks, images, and what they say of these.
fn write(network: &Network, arguments: &Arguments, folder: &Path) -> Result<()> {
    let done = cut(network, &arguments.spec, arguments.share)?;
    let [channels, height, width] = arguments.spec.input;
    let shape = [2, channels, height, width];
    let images = Tensor::<4>::random(shape, Distribution::Default, &Device::flex());
    let logits = |network: &Network| network.forward(&images).into_data();
    let said = Tensors::from([
        ("images".to_owned(), images.to_data()),
        ("whole".to_owned(), logits(network)),
        ("cut".to_owned(), logits(&done.network)),
    ]);
    write_tensors(&folder.join("said.safetensors"), &said)?;
    let whole = export(network, Names::PyTorch);
    write_tensors(&folder.join("whole.safetensors"), &whole)?;
    let cut = export(&done.network, Names::PyTorch);
    write_tensors(&folder.join("cut.safetensors"), &cut)?;
    Ok(())
}
