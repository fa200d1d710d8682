"""One step of distillation in kd and in PyTorch: the same numbers first, then time and peak memory side by side.

    python3 benches/pytorch/distill_step.py             (PyTorch 2.15, numpy, safetensors; Linux)

It builds kd's side, the example `distill_step`, in the release profile and over the whole workspace, so that Burn has the
features that it has in the command `kd`; the allocator is the command's, too. `CARGO_TARGET_DIR` is respected, `--kd PATH`
takes a build that is there.

For each pair of networks:

1. kd writes the initial weights under PyTorch's names, the data, the order of the samples, and the losses and the student
   after a few steps. PyTorch, with networks written out here and in no other way connected, does the same steps, and both
   results are compared (see TOLERANCES). Nothing is timed if they differ.
2. Each side runs the step many times, in processes of its own that alternate (kd, kd with a teacher cache, PyTorch, kd,
   ...), so that a disturbance hits all. The median of all steps counts, and the largest peak memory (VmHWM) of the processes. A process
   during which others kept more than a tenth of a core busy is done again, whatever it measured, up to `--attempts` times;
   with `--priority` each process runs by `chrt -r 10` instead (as root), and others cannot take its cores.
3. Each side once more with a clock between the parts of the step.

A step, in all: take 64 samples out of the data that lies in memory as bytes, make floats of them, normalise them for the
teacher and again for the student; teacher in evaluation mode without gradients; student; 0.1 cross-entropy + 0.9
KL divergence at temperature 4 times 16; backward; SGD with momentum 0.9 and weight decay 5e-4.
"""

import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve()
ROOT = HERE.parents[2]
PAIRS = ["lenet5_to_lenet5_half", "lenet5_to_lenet5_half_rgb", "resnet20_to_resnet8", "resnet32x4_to_resnet8x4"]
# Who takes the step: kd with its teacher live, kd with what the teacher says read from a cache, PyTorch with its teacher live.
SIDES = {"kd": "kd", "cached": "kd, cached", "torch": "PyTorch"}
# Steps in an epoch of CIFAR's 50,000 images.
EPOCH_STEPS = math.ceil(50_000 / 64)
PARTS = ["loader", "teacher forward", "student forward", "losses", "backward", "optimizer"]
# The largest difference allowed, as a share: for losses of the total loss, for tensors of the Euclidean norm.
TOLERANCES = {
    "losses": 1e-5,  # each term of each step
    "weights": 5e-5,  # all weights as one vector, after the last step
    "changes": 1e-3,  # how all weights changed: sees a wrong momentum or weight decay, which are small beside the weights
    # How the weights of a single layer changed. Of the millions of inputs of ReLUs, a few lie so near 0 that rounding decides
    # on which side; each that differs adds or takes away one term of a layer's gradient, and no more can be asked for.
    "one layer": 1e-2,
    "statistics": 1e-4,  # the running means or variances of one norm
}
# Cores kept busy by others during a timed process, above which it is done again.
DISTURBED = 0.1
# Mistakes that the check must see, each made on purpose on PyTorch's side.
FAULTS = {
    "no weight decay": {"weight_decay": 0.0},
    "Nesterov's momentum": {"nesterov": True},
    "momentum dampened by 0.1": {"dampening": 0.1},
    "no temperature squared": {"kd_weight": 0.9 / 16},
    "the teacher's normalisation for the student": {"student_normalisation": {"mean": [0.5] * 3, "std": [0.25] * 3}},
}


# --- PyTorch's side, in a process of its own ---------------------------------------------------------------------------


def child(folder, mode, threads, warm_up, steps, fault):
    import networks
    import torch
    import torch.nn.functional as F
    from safetensors.torch import load_file
    from torch import nn

    torch.set_num_threads(threads)
    resting = memory("VmRSS")

    setup = {"nesterov": False, "dampening": 0.0, **json.loads((folder / "setup.json").read_text())}
    setup.update(FAULTS.get(fault, {}))

    def network(role):
        made = networks.make(setup[role], setup["input"], setup["classes"])
        missing, unexpected = made.load_state_dict(load_file(folder / f"{role}.safetensors"), strict=False)
        missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        if missing or unexpected:
            sys.exit(f"{role}: kd's file lacks {missing} and has {unexpected} too many")
        return made

    def normalise(role):
        return networks.normalise(setup[f"{role}_normalisation"], setup["input"][0])

    data = load_file(folder / "data.safetensors")
    images, labels, order = data["images"], data["labels"], data["order"]
    teacher, student = network("teacher").eval(), network("student").train()
    for_teacher, for_student = normalise("teacher"), normalise("student")
    optimizer = torch.optim.SGD(
        student.parameters(),
        lr=setup["lr"],
        momentum=setup["momentum"],
        dampening=setup["dampening"],
        nesterov=setup["nesterov"],
        weight_decay=setup["weight_decay"],
    )
    t = setup["temperature"]

    def step(at, lap=lambda: None):
        rows = order[at % len(order)]
        pixels = images[rows].float().div_(255)
        targets = labels[rows]
        lap()
        with torch.no_grad():
            soft = teacher(for_teacher(pixels))
        lap()
        logits = student(for_student(pixels))
        lap()
        hard = F.cross_entropy(logits, targets)
        kd = F.kl_div(F.log_softmax(logits / t, 1), F.softmax(soft / t, 1), reduction="batchmean") * t * t
        total = setup["ce_weight"] * hard + setup["kd_weight"] * kd
        lap()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        lap()
        optimizer.step()
        lap()
        return {"cross_entropy": hard, "kd": kd, "total": total}

    def check():
        """The largest differences from kd, each as a share of what it is measured by."""
        # How many values each norm sees in a channel: PyTorch keeps the variance times n / (n - 1), Burn without.
        counts = {}
        for name, module in student.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                hook = lambda _, inputs, __, name=name: counts.update({name: inputs[0].numel() // inputs[0].shape[1]})
                module.register_forward_hook(hook)
        before = {name: value.clone() for name, value in student.state_dict().items()}
        worst = dict.fromkeys(TOLERANCES, 0.0)

        def compare(what, found, expected, scale=None):
            share = float((found - expected).norm() / (expected if scale is None else scale).norm())
            worst[what] = max(worst[what], share if math.isfinite(share) else math.inf)

        for at, kd in enumerate(setup["losses"]):
            ours = {name: value.detach().double() for name, value in step(at).items()}
            for name, value in ours.items():
                compare("losses", torch.tensor(kd[name]).double(), value, ours["total"])
        done = len(setup["losses"])
        after = load_file(folder / "after.safetensors")
        ends, changes = [], []
        for name, ours in student.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            layer, field = name.rsplit(".", 1)
            kd, ours, old = (tensor.double().flatten() for tensor in (after[name], ours, before[name]))
            if field.startswith("running"):
                if field == "running_var":
                    n, kept = counts[layer], 0.9**done * old
                    ours = kept + (ours - kept) * (n - 1) / n
                compare("statistics", kd, ours)
            else:
                compare("one layer", kd - old, ours - old)
                ends.append((kd, ours))
                changes.append((kd - old, ours - old))
        for what, pairs in (("weights", ends), ("changes", changes)):
            compare(what, *(torch.cat(side) for side in zip(*pairs)))
        return {"steps": done, "worst": worst}

    def times():
        milliseconds = []
        last = time.perf_counter()
        for at in range(warm_up + steps):
            losses = step(at)
            now = time.perf_counter()
            milliseconds.append((now - last) * 1e3)
            last = now
        return {"step_ms": milliseconds[warm_up:], "last_loss": losses["total"].item()}

    def breakdown():
        parts = {part: [] for part in PARTS}
        for at in range(warm_up + steps):
            laps = [time.perf_counter()]
            step(at, lambda: laps.append(time.perf_counter()))
            if at >= warm_up:
                for part, start, end in zip(PARTS, laps, laps[1:]):
                    parts[part].append((end - start) * 1e3)
        return {"parts_ms": parts}

    answer = {"check": check, "time": times, "breakdown": breakdown}[mode]()
    answer.update(resting_kib=resting, peak_kib=memory("VmHWM"), torch=torch.__version__)
    print(json.dumps(answer))


def memory(field):
    """Kibibytes that the system counts for this process."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    return None


# --- The comparison ------------------------------------------------------------------------------------------------------


def build(example="distill_step"):
    """Builds kd's side and gives its path."""
    command = ["cargo", "build", "--release", "--workspace", "--example", example, "--message-format=json-render-diagnostics"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    built = [message["executable"] for message in map(json.loads, lines) if message.get("executable")]
    return pathlib.Path(built[-1])


def has_priority():
    return "--priority" in sys.argv


def run(command, threads):
    """Runs one side in a process of its own and gives what it printed."""
    number = str(threads)
    environment = {**os.environ, "RAYON_NUM_THREADS": number, "OMP_NUM_THREADS": number, "MKL_NUM_THREADS": number}
    command = [*(["chrt", "-r", "10"] if has_priority() else []), *(str(word) for word in command)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=1800)
    if done.returncode != 0:
        sys.exit(f"`{' '.join(command)}` failed with {done.returncode}")
    return json.loads(done.stdout) if done.stdout else None


def busy():
    """Seconds that all cores together have been busy or taken away, since the machine started."""
    user, nice, system, _, _, irq, softirq, steal = map(int, pathlib.Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def wait_until_idle():
    """Waits until the machine has been idle for a second, for a minute at most."""
    for _ in range(60):
        before = busy()
        time.sleep(1)
        if busy() - before <= DISTURBED:
            return


def run_watched(command, threads):
    """As `run`; adds how many cores others kept busy."""
    start, all_before, own_before = time.perf_counter(), busy(), children()
    answer = run(command, threads)
    others = busy() - all_before - (children() - own_before)
    answer["others"] = max(0.0, others / (time.perf_counter() - start))
    return answer


def run_quietly(command, options):
    """As `run_watched`, but on an idle machine, and again if others disturbed it; neither is needed with priority."""
    if has_priority():
        return run_watched(command, options.threads)
    for _ in range(options.attempts):
        wait_until_idle()
        answer = run_watched(command, options.threads)
        if answer["others"] <= DISTURBED:
            break
        print(f"others kept {answer['others']:.1f} cores busy during a process", flush=True)
    return answer


def measure(pair, kd, options, folder):
    """Everything about one pair."""
    run([kd, "--pair", pair, "--write", folder, "--steps", options.check_steps], options.threads)

    def torch_side(mode, steps=0):
        command = [sys.executable, HERE, "--child", folder, "--mode", mode]
        return command + ["--threads", options.threads, "--warm-up", options.warm_up, "--steps", steps]

    def kd_side(steps, *more):
        return [kd, "--pair", pair, "--warm-up", options.warm_up, "--steps", steps, *more]

    def beyond(checked):
        return [what for what, worst in checked["worst"].items() if worst > TOLERANCES[what]]

    checked = run(torch_side("check"), options.threads)
    shares = ", ".join(f"{what} {worst:.1e}" for what, worst in checked["worst"].items())
    print(f"{pair}: differences after {checked['steps']} steps: {shares}", flush=True)
    if beyond(checked):
        sys.exit(f"{pair}: beyond the tolerance: {', '.join(beyond(checked))}; nothing was timed")
    for fault in FAULTS:
        seen = beyond(run(torch_side("check") + ["--fault", fault], options.threads))
        if not seen:
            sys.exit(f"{pair}: the check does not see a fault made on purpose: {fault}")
        print(f"{pair}: the check sees {fault}: {', '.join(seen)}", flush=True)
    if options.check_only:
        return None
    cache = ("--cache", folder / "cache")
    print(f"{pair}: building the cache", flush=True)
    # Not done again if others disturb it: the second time it would be there already.
    wait_until_idle()
    built = run(kd_side(1, *cache), options.threads)
    result = {"pair": pair, "check": checked, "build_seconds": built["build_seconds"], **{side: [] for side in SIDES}}
    for _ in range(options.rounds):
        result["kd"].append(run_quietly(kd_side(options.steps), options))
        result["cached"].append(run_quietly(kd_side(options.steps, *cache), options))
        result["torch"].append(run_quietly(torch_side("time", options.steps), options))
    for process in (process for side in SIDES for process in result[side]):
        if not math.isfinite(process["last_loss"]):
            sys.exit(f"{pair}: the loss is {process['last_loss']} at the end; such a step is not what should be timed")
    result["parts"] = {
        "kd": run_quietly(kd_side(options.steps, "--breakdown"), options),
        "torch": run_quietly(torch_side("breakdown", options.steps), options),
    }
    summary = summarise(result)
    times = ", ".join(f"{name} {summary[f'{side}_ms']:.1f} ms" for side, name in SIDES.items())
    print(f"{pair}: {times}; ratios {summary['time']:.2f} and {summary['cached_time']:.2f}", flush=True)
    return result, summary


def summarise(result):
    def middle(side):
        return statistics.median(step for process in result[side] for step in process["step_ms"])

    def spread(side):
        medians = [statistics.median(process["step_ms"]) for process in result[side]]
        return min(medians), max(medians)

    def mib(side, field):
        return max(process[field] for process in result[side]) / 1024

    summary = {f"{side}_ms": middle(side) for side in SIDES}
    summary.update({f"{side}_spread": spread(side) for side in SIDES})
    for side in SIDES:
        summary[f"{side}_peak"] = mib(side, "peak_kib")
        summary[f"{side}_resting"] = mib(side, "resting_kib")
    summary["time"] = summary["kd_ms"] / summary["torch_ms"]
    summary["memory"] = summary["kd_peak"] / summary["torch_peak"]
    summary["cached_time"] = summary["cached_ms"] / summary["torch_ms"]
    summary["cached_memory"] = summary["cached_peak"] / summary["torch_peak"]
    return summary


def machine():
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    kib = int(pathlib.Path("/proc/meminfo").read_text().split()[1])
    return f"{model}, {os.cpu_count()} cores, {kib / 2**20:.0f} GiB of memory, {platform.system()} {platform.machine()}"


def versions(torch_version):
    rustc = subprocess.run(["rustc", "--version"], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.split()[1]
    lock = (ROOT / "Cargo.lock").read_text()
    burn = lock.split('name = "burn"\nversion = "', 1)[1].split('"', 1)[0]
    kd = lock.split('name = "kd-core"\nversion = "', 1)[1].split('"', 1)[0]
    return f"kd {kd}, Burn {burn} (flex, rayon, simd, x86-v4), rustc {rustc}; PyTorch {torch_version}, Python {platform.python_version()}"


def quiet_words(others, options):
    """A line about what else the machine did."""
    kept = f"kept {statistics.median(others):.2f} cores busy during the median process, {max(others):.2f} during the worst"
    if has_priority():
        return f"- each process by `chrt -r 10`, so that others could not take its cores; on what it left idle they {kept}"
    if getattr(options, "disturbed", False):
        return f"- the machine was taken as it was: others {kept}"
    again = f"a process with more than {DISTURBED} was done again, at most {options.attempts} times in all"
    return f"- others on the machine {kept} ({again})"


def command_line(name):
    """How this run was asked for, without the paths of the machine."""
    words, place = [], None
    for word in sys.argv[1:]:
        if place in ("--kd", "--out", "--data"):
            word = "PATH"
        words.append(word)
        place = word
    return " ".join([f"python3 benches/pytorch/{name}", *words])


def report(measured, options):
    others = [
        process["others"]
        for result, _ in measured
        for process in [*(process for side in SIDES for process in result[side]), *result["parts"].values()]
    ]
    torch_version = measured[0][0]["check"]["torch"]
    lines = [
        "# One distillation step: kd and PyTorch on a CPU",
        "",
        f"- date: {datetime.date.today()}",
        f"- machine: {machine()}",
        f"- versions: {versions(torch_version)}",
        f"- threads: {options.threads} on each side (`RAYON_NUM_THREADS`, `torch.set_num_threads`)",
        "- build: release, the allocator and Burn's features as in the command",
        f"- command: `{command_line('distill_step.py')}`",
        quiet_words(others, options),
        "",
        "Batch 64, 10 classes, teacher live or (kd, cached) its logits read from a cache on disk, 0.1 cross-entropy + 0.9 KD at temperature 4, SGD with momentum 0.9 and weight",
        "decay 5e-4, data resident and not augmented.",
        f"{options.rounds} processes a side, in turn, each {options.warm_up} steps of warm-up and {options.steps} timed ones.",
        "",
        "## Both compute the same",
        "",
        "The difference after the same steps from the same weights, as a share of the total loss or of the Euclidean norm: the",
        "worst loss; all weights together; how all weights changed; how those of the worst layer changed, where the rounding of",
        "a single ReLU's input near 0 shows; the worst norm's running statistics. Burn's running variance is the biased one;",
        "PyTorch's is brought to that before the comparison. The check was seen to refuse each of these mistakes, made on",
        f"purpose: {', '.join(FAULTS)}.",
        "",
        "| pair | steps | " + " | ".join(TOLERANCES) + " |",
        "|---|---:|" + "---:|" * len(TOLERANCES),
    ]
    for result, _ in measured:
        worst = result["check"]["worst"]
        shares = " | ".join(f"{worst[what]:.1e}" if worst[what] else "none" for what in TOLERANCES)
        lines.append(f"| `{result['pair']}` | {result['check']['steps']} | {shares} |")
    allowed = " | ".join(f"{value:.0e}" for value in TOLERANCES.values())
    lines += [
        f"| allowed | | {allowed} |",
        "",
        "## Time of a step",
        "",
        "Median of all timed steps, in milliseconds; in brackets the lowest and the highest median of a process. The last columns",
        "are shares of PyTorch's time, its teacher live.",
        "",
        "| pair | kd | kd, cached | PyTorch | kd / PyTorch | cached / PyTorch |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for result, s in measured:
        sides = " | ".join("{:.1f} ({:.1f} to {:.1f})".format(s[f"{side}_ms"], *s[f"{side}_spread"]) for side in SIDES)
        lines.append(f"| `{result['pair']}` | {sides} | **{s['time']:.2f}** | **{s['cached_time']:.2f}** |")
    lines += [
        "",
        f"An epoch of 50,000 images has {EPOCH_STEPS} such steps. In seconds, and what it takes to build the cache once, as measured on",
        "the data of the steps (2,048 images, one view) and scaled to 50,000:",
        "",
        "| pair | kd | kd, cached | PyTorch | building the cache |",
        "|---|---:|---:|---:|---:|",
    ]
    for result, s in measured:
        sides = " | ".join(f"{s[f'{side}_ms'] * EPOCH_STEPS / 1e3:.0f}" for side in SIDES)
        lines.append(f"| `{result['pair']}` | {sides} | {result['build_seconds'] * 50_000 / 2048:.0f} |")
    lines += [
        "",
        "## Peak memory",
        "",
        "VmHWM of the process in MiB; in brackets what it held before it made a network or read data (for PyTorch: after its",
        "imports).",
        "",
        "| pair | kd | kd, cached | PyTorch | kd / PyTorch | cached / PyTorch |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for result, s in measured:
        sides = " | ".join("{:.0f} ({:.0f})".format(s[f"{side}_peak"], s[f"{side}_resting"]) for side in SIDES)
        lines.append(f"| `{result['pair']}` | {sides} | **{s['memory']:.2f}** | **{s['cached_memory']:.2f}** |")
    lines += [
        "",
        "## Where the time goes",
        "",
        "Median of each part in milliseconds, from one more process a side with a clock between the parts.",
        "",
        "| pair | side | " + " | ".join(PARTS) + " |",
        "|---|---|" + "---:|" * len(PARTS),
    ]
    for result, _ in measured:
        for side, name in (("kd", "kd"), ("torch", "PyTorch")):
            parts = result["parts"][side]["parts_ms"]
            cells = " | ".join(f"{statistics.median(parts[part]):.2f}" for part in PARTS)
            lines.append(f"| `{result['pair']}` | {name} | {cells} |")
    return "\n".join(lines) + "\n"


def add_options(parser, warm_up, steps):
    """Options that the comparisons of steps have in common."""
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warm-up", type=int, default=warm_up, help="steps of each process that are not timed")
    parser.add_argument("--steps", type=int, default=steps, help="timed steps of each process")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side")
    parser.add_argument("--attempts", type=int, default=10, help="how often a disturbed process is run in all")
    add_priority(parser)
    parser.add_argument("--check-only", action="store_true", help="compare the numbers and time nothing")
    parser.add_argument("--kd", type=pathlib.Path, help="kd's side, an example that is built already")
    parser.add_argument("--out", type=pathlib.Path, help="where the table goes (below benches/results)")
    parser.add_argument("--child", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--mode", choices=["check", "time", "breakdown"], help=argparse.SUPPRESS)


def add_priority(parser):
    parser.add_argument("--priority", action="store_true", help="run each process by `chrt -r 10`, before all others")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", nargs="+", default=PAIRS, choices=PAIRS)
    parser.add_argument("--check-steps", type=int, default=3, help="steps after which both must agree")
    add_options(parser, warm_up=5, steps=30)
    parser.add_argument("--fault", choices=FAULTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child, options.mode, options.threads, options.warm_up, options.steps, options.fault)
    kd = options.kd or build()
    measured = []
    for pair in options.pairs:
        with tempfile.TemporaryDirectory() as folder:
            measured.append(measure(pair, kd, options, pathlib.Path(folder)))
    if options.check_only:
        return None
    out = options.out or ROOT / "benches/results" / f"{datetime.date.today()}-cpu-distill-step.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(report(measured, options))
    print(f"written to {out}")


if __name__ == "__main__":
    main()
