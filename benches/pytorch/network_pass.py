"""Single networks in kd and in PyTorch: the same numbers first, then inference, a step of training, and how time grows.

    python3 benches/pytorch/network_pass.py             (PyTorch 2.15, numpy, safetensors; Linux)

It builds kd's side, the example `network_pass`, as `distill_step.py` does. For each network kd writes initial weights, images,
the logits of the frozen network and the network after a step of training with cross-entropy; PyTorch, whose networks are
those of `networks.py`, does the same in 64-bit floats, and both are compared; the step only of networks whose steps are timed.
A wrong normalisation and wrong labels must be refused.
Then both sides are timed in turn, in processes of their own.

kd's frozen network has its batch norms folded, as kd holds a teacher and a model that it evaluates; PyTorch runs as it comes:
`eval()`, `no_grad()`, eager, float32, default memory format. `--growth` adds the tables of how time grows.
"""

import argparse
import datetime
import json
import math
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import distill_step as common  # noqa: E402

HERE = pathlib.Path(__file__).resolve()
ROOT = HERE.parents[2]
# Frozen networks and their batches.
FROZEN = [("resnet20", 64), ("resnet32x4", 64)]
FROZEN += [(name, batch) for name in ("resnet20", "resnet34-cifar", "vgg8", "mobilenetv2") for batch in (1, 256)]
TRAINED = [("mobilenetv2", 64)]
# Those whose steps are timed.
STEPS_CHECKED = ["mobilenetv2", "resnet8"]
NETWORKS = ["resnet20", "resnet32x4", "resnet34-cifar", "vgg8", "mobilenetv2"]
# As a share of the largest logit, or of the Euclidean norm of all weights' changes.
TOLERANCES = {"logits": 1e-4, "changes": 2e-2}
FAULTS = {"another normalisation": "logits", "wrong labels": "changes"}


def child(folder, mode, options):
    import networks
    import torch
    import torch.nn.functional as F
    from safetensors.torch import load_file

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    resting = common.memory("VmRSS")
    setup = json.loads((folder / "setup.json").read_text())
    network = networks.make(options.network or setup["network"], [3, options.size, options.size], setup["classes"], options.width)
    if options.fault == "another normalisation":
        setup["normalisation"]["std"] = [0.26] * 3
    normalise = networks.normalise(setup["normalisation"], 3)
    usual = {key: setup[key] for key in ("lr", "momentum", "weight_decay")}
    optimizer = torch.optim.SGD(network.parameters(), **usual)
    number = torch.float64 if mode == "check" else torch.float32

    def frozen(images):
        with torch.no_grad():
            return network(normalise(images.to(number).div_(255)))

    def step(images, labels):
        loss = F.cross_entropy(network(normalise(images.to(number).div_(255))), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def check():
        before, after = load_file(folder / "before.safetensors"), load_file(folder / "after.safetensors")
        missing, unexpected = network.load_state_dict(before, strict=False)
        missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        if missing or unexpected:
            sys.exit(f"kd's file lacks {missing} and has {unexpected} too many")
        data = load_file(folder / "data.safetensors")
        network.eval().to(number)
        found = frozen(data["images"][: len(data["logits"])])
        off = float((found - data["logits"]).abs().max() / data["logits"].abs().max())
        if not options.train:
            return {"worst": {"logits": off}}
        network.train()
        for rows in data["order"]:
            labels = data["labels"][rows]
            step(data["images"][rows], labels.roll(1) if options.fault == "wrong labels" else labels)
        named = [(name, parameter.detach()) for name, parameter in network.named_parameters()]
        ours = torch.cat([(value - before[name]).flatten() for name, value in named])
        kd = torch.cat([(after[name] - before[name]).double().flatten() for name, _ in named])
        return {"worst": {"logits": off, "changes": float((ours - kd).norm() / ours.norm())}}

    def times():
        images = torch.randint(0, 256, (options.batch, 3, options.size, options.size), dtype=torch.uint8)
        labels = torch.randint(0, setup["classes"], (options.batch,))
        network.train(options.train)
        work = (lambda: step(images, labels)) if options.train else (lambda: frozen(images))
        for _ in range(options.warm_up):
            work()
        milliseconds, begin = [], time.perf_counter()
        while len(milliseconds) < 5 or time.perf_counter() - begin < options.seconds:
            start = time.perf_counter()
            work()
            milliseconds.append((time.perf_counter() - start) * 1e3)
        return {"step_ms": milliseconds}

    answer = check() if mode == "check" else times()
    answer.update(resting_kib=resting, peak_kib=common.memory("VmHWM"), torch=torch.__version__)
    print(json.dumps(answer))


def check(kd, name, folder, options):
    folder.mkdir()
    common.run([kd, "--network", name, "--write", folder], options.threads)
    command = [sys.executable, HERE, "--child", folder, "--mode", "check", "--threads", options.threads]
    command += ["--train"] if name in STEPS_CHECKED else []
    checked = common.run(command, options.threads)
    worst = checked["worst"]
    print(f"{name}: differences: {worst}", flush=True)
    for what in worst:
        if not worst[what] <= TOLERANCES[what]:
            sys.exit(f"{name}: beyond the tolerance: {what}; nothing was timed")
    for fault, what in FAULTS.items():
        if what not in worst:
            continue
        found = common.run([*command, "--fault", fault], options.threads)["worst"][what]
        if found <= TOLERANCES[what]:
            sys.exit(f"{name}: the check does not see a mistake made on purpose: {fault} ({found:.1e})")
    return checked


class Measured:
    """Times and peaks of both sides, by what was asked for."""

    def __init__(self, kd, folders, options):
        self.kd, self.folders, self.options = kd, folders, options
        self.answers = []

    def both(self, name, batch, train=False, size=32, width=None, threads=None, seconds=None, rounds=None):
        threads = threads or self.options.threads
        seconds = seconds or self.options.seconds
        more = ["--batch", batch, "--size", size, "--warm-up", self.options.warm_up, "--seconds", seconds]
        more += ["--train"] if train else []
        more += ["--width", width] if width else []
        folder = self.folders.get(name) or next(iter(self.folders.values()))
        torch = [sys.executable, HERE, "--child", folder, "--mode", "time", "--threads", threads, "--network", name, *more]
        sides = {"kd": [self.kd, "--network", name, *more], "torch": torch}
        found = {side: [] for side in sides}
        for _ in range(rounds or self.options.rounds):
            for side, command in sides.items():
                found[side].append(common.run_quietly(command, argparse.Namespace(**{**vars(self.options), "threads": threads})))
        self.answers += [answer for side in found.values() for answer in side]
        row = {side: statistics.median(ms for answer in answers for ms in answer["step_ms"]) for side, answers in found.items()}
        row.update({f"{side}_peak": max(answer["peak_kib"] for answer in answers) / 1024 for side, answers in found.items()})
        what = "training" if train else "frozen"
        print(f"{name}, {what}, batch {batch}, {size}x{size}, width {width}, {threads} threads: {row}", flush=True)
        return row


def exponent(sizes, times):
    """The slope of a line through the logarithms."""
    xs, ys = [math.log(size) for size in sizes], [math.log(value) for value in times]
    x, y = statistics.mean(xs), statistics.mean(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys)) / sum((a - x) ** 2 for a in xs)


def growth(measured):
    """How a step of training grows."""
    quick = {"train": True, "seconds": 1.0, "rounds": 1}
    sweeps = {
        "batch": ("resnet8", [1, 4, 16, 64, 256, 512], lambda n: measured.both("resnet8", n, **quick)),
        "side of the images": ("resnet8", [4, 8, 16, 32, 64], lambda n: measured.both("resnet8", 64, size=n, **quick)),
        "channels of the first group, of the last four times as many": (
            "resnet8",
            [8, 16, 32, 64],
            lambda n: measured.both("resnet8", 64, width=n, **quick),
        ),
        "threads": ("resnet8", [1, 2], lambda n: measured.both("resnet8", 64, threads=n, **quick)),
        "threads, width 64": ("resnet8", [1, 2], lambda n: measured.both("resnet8", 64, width=64, threads=n, **quick)),
    }
    tables = []
    for what, (name, sizes, run) in sweeps.items():
        rows = [run(size) for size in sizes]
        fit = {side: exponent(sizes, [row[side] for row in rows]) for side in ("kd", "torch")}
        tables.append((what, name, sizes, rows, fit))
    return tables


def shown(difference):
    return "not asked" if difference is None else f"{difference:.1e}"


def report(checks, frozen, trained, tables, measured, options):
    others = [answer["others"] for answer in measured.answers]
    head = "| kd, ms | PyTorch, ms | ratio | kd, MiB | PyTorch, MiB | ratio |"

    def cells(row):
        memory = f"{row['kd_peak']:.0f} | {row['torch_peak']:.0f} | {row['kd_peak'] / row['torch_peak']:.2f}"
        return f"{row['kd']:.2f} | {row['torch']:.2f} | **{row['kd'] / row['torch']:.2f}** | {memory}"

    lines = [
        "# Single networks: kd and PyTorch on a CPU",
        "",
        f"- date: {datetime.date.today()}",
        f"- machine: {common.machine()}",
        f"- versions: {common.versions(next(iter(checks.values()))['torch'])}",
        f"- threads: {options.threads} on each side, where nothing else is said",
        "- build: release, the allocator and Burn's features as in the command",
        f"- command: `{common.command_line('network_pass.py')}`",
        common.quiet_words(others, options),
        "",
        f"Images of 3x32x32, bytes in memory; medians over {options.rounds} processes a side in turn, each of {options.seconds:.0f} seconds.",
        "Peak memory is the process's (VmHWM).",
        "",
        "Both sides were first seen to compute the same (largest difference of a logit as a share of the largest; change of all weights in",
        f"a step of training); refused, made on purpose: {', '.join(FAULTS)}.",
        "",
        "| network | " + " | ".join(TOLERANCES) + " |",
        "|---|" + "---:|" * len(TOLERANCES),
    ]
    for name, checked in checks.items():
        lines.append(f"| `{name}` | " + " | ".join(shown(checked["worst"].get(what)) for what in TOLERANCES) + " |")
    lines.append("| allowed | " + " | ".join(f"{value:.0e}" for value in TOLERANCES.values()) + " |")
    for title, rows in (("A pass of a frozen network", frozen), ("A step of training", trained)):
        lines += ["", f"## {title}", "", f"| network | batch {head}", "|---|---:|" + "---:|" * 6]
        lines += [f"| `{name}` | {batch} | {cells(row)} |" for (name, batch), row in rows.items()]
    if tables:
        lines += [
            "",
            "## How a step of training grows",
            "",
            "`resnet8` at batch 64 and 32x32 where nothing else is said, one process each. The exponent is the slope between the logarithms:",
            "1 is in proportion; work grows with the square of side and channels.",
        ]
    for what, name, sizes, rows, fit in tables:
        lines += ["", f"| `{name}`, {what} | " + " | ".join(map(str, sizes)) + " | exponent |", "|---|" + "---:|" * (len(sizes) + 1)]
        for side, called in (("kd", "kd, ms"), ("torch", "PyTorch, ms")):
            lines.append(f"| {called} | " + " | ".join(f"{row[side]:.2f}" for row in rows) + f" | {fit[side]:.2f} |")
        lines.append("| ratio | " + " | ".join(f"{row['kd'] / row['torch']:.2f}" for row in rows) + " | |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_options(parser, warm_up=2, steps=0)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each timed process")
    parser.add_argument("--only", nargs="+", default=NETWORKS, choices=NETWORKS, help="these networks alone")
    parser.add_argument("--growth", action="store_true", help="also how time grows with batch, image, depth and threads")
    parser.add_argument("--fault", choices=FAULTS, help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, default=32, help=argparse.SUPPRESS)
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--width", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--network", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child, options.mode, options)
    kd = options.kd or common.build("network_pass")
    with tempfile.TemporaryDirectory() as root:
        folders = {name: pathlib.Path(root) / name for name in [*options.only, *(["resnet8"] if options.growth else [])]}
        checks = {name: check(kd, name, folder, options) for name, folder in folders.items()}
        if options.check_only:
            return None
        measured = Measured(kd, folders, options)
        frozen = {key: measured.both(*key) for key in FROZEN if key[0] in folders}
        trained = {key: measured.both(*key, train=True) for key in TRAINED if key[0] in folders}
        tables = growth(measured) if options.growth else []
    out = options.out or ROOT / "benches/results" / f"{datetime.date.today()}-cpu-networks.md"
    out.write_text(report(checks, frozen, trained, tables, measured, options))
    print(f"written to {out}")


if __name__ == "__main__":
    main()
