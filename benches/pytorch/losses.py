"""Every loss of kd-losses in kd and in PyTorch: the same values and gradients first, then the time of each.

    python3 benches/pytorch/losses.py             (PyTorch 2.15, numpy, safetensors; Linux)

It builds the bench `losses` and the example `losses_case` in cargo's dev profile (see `distill_step.py`), and then

1. lets kd write the inputs, the value and the gradients of each loss at each size, computes the same in PyTorch
   (`loss_formulas.py`, `loss_modules.py`) in 64-bit floats, and compares: the value, the gradient of each input that learns and
   that of all trained parameters as one vector. A loss that differs is not timed.
2. times group by group, kd first and then PyTorch, both in processes of their own: kd with criterion, PyTorch with a clock. The
   medians count. A process during which others kept more than a tenth of a core busy is done again, up to `--attempts` times.

PyTorch runs as it comes: eager, float32, as many threads as kd. Forward is without gradients, on both sides; forward and
backward starts with fresh inputs and computes the gradients of all that learns.
"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from distill_step import DISTURBED, ROOT, busy, children, machine, versions, wait_until_idle

HERE = pathlib.Path(__file__).resolve()
# The largest difference allowed, as a share of the value and of the norm of the gradient.
TOLERANCES = {"value": 1e-4, "gradient": 1e-3}
# Losses that are measured together on one side before the other side's turn.
GROUP = 6
SLOW = 2.0  # times as long as PyTorch, and why, as far as it is known:
REASONS = {
    "mgd": "Nearly all of it are 3x3 convolutions in Burn, forward and backward.",
    "kdsvd": "The eigenvectors are computed in 64-bit floats on the host, on one thread.",
}


# --- PyTorch's side, in a process of its own -----------------------------------------------------------------------------


def child(folder, mode, ids, threads, repetitions):
    """Prints one JSON object a line."""
    import torch
    from loss_formulas import DENSE, FEATURES, LOGITS
    from loss_modules import PRIORS, TRAINED, with_draws
    from safetensors.torch import load_file

    torch.set_num_threads(threads)
    torch.manual_seed(0)

    def case(id, dtype):
        """What kd wrote, as `learns`, `given` and the rest, and the formula."""
        name, sizes = id.split("/")
        parts = {"learns": {}, "given": {}, "gradient": {}}
        for key, tensor in load_file(folder / f"{name}.{sizes}.safetensors").items():
            part, _, rest = key.partition(".")
            tensor = tensor.to(dtype) if tensor.is_floating_point() else tensor
            if rest:
                parts[part][rest] = tensor
            else:
                parts[part] = tensor
        trained = any(key.startswith("weight.") for key in parts["given"])
        formulas = TRAINED if trained else {**LOGITS, **FEATURES, **DENSE, **PRIORS}
        return parts, formulas[name]

    def parameters(given):
        return {key: value for key, value in given.items() if key.startswith("weight.") and ".running_" not in key}

    def with_gradients(formula, learns, given):
        learns = {key: value.detach().requires_grad_() for key, value in learns.items()}
        leaves = {**learns, **parameters(given)}
        value = formula(learns, given)
        gradients = torch.autograd.grad(value.sum(), list(leaves.values()), allow_unused=True)
        given.pop("afterwards", lambda: None)()
        return value, dict(zip(leaves, gradients))

    def check(id):
        parts, formula = case(id, torch.float64)
        with_draws(id.split("/")[0], parts["learns"], parts["given"])
        for parameter in parameters(parts["given"]).values():
            parameter.requires_grad_()
        value, ours = with_gradients(formula, parts["learns"], parts["given"])
        expected = parts["gradient"]
        share = lambda found, right: float((found - right).norm() / right.norm().clamp_min(1e-30))
        zeros = lambda key: torch.zeros_like(expected[key])
        pairs = {key: (expected[key], zeros(key) if slope is None else slope) for key, slope in ours.items()}
        together = [pairs.pop(key) for key in list(pairs) if key.startswith("weight.")]
        if together:
            pairs["weights"] = [torch.cat([one.flatten() for one in side]) for side in zip(*together)]
        shares = [share(*pair) for pair in pairs.values()]
        return {"value": share(parts["value"], value.detach().reshape(1)), "gradient": max(shares)}

    def times(call):
        """Milliseconds of each call, at least `repetitions`, and half a second long."""
        for _ in range(3):
            call()
        start = last = time.perf_counter()
        taken = []
        while len(taken) < repetitions or (last - start < 0.5 and len(taken) < 10_000):
            call()
            now = time.perf_counter()
            taken.append((now - last) * 1e3)
            last = now
        return statistics.median(taken)

    @torch.no_grad()
    def without_gradients(formula, parts):
        formula(parts["learns"], parts["given"])
        parts["given"].pop("afterwards", lambda: None)()

    def timed(id):
        parts, formula = case(id, torch.float32)
        forward = times(lambda: without_gradients(formula, parts))
        parts, formula = case(id, torch.float32)
        for parameter in parameters(parts["given"]).values():
            parameter.requires_grad_()
        return {"forward": forward, "forward_backward": times(lambda: with_gradients(formula, parts["learns"], parts["given"]))}

    for id in ids:
        answer = {"check": check, "time": timed}[mode](id)
        print(json.dumps({"id": id, "torch": torch.__version__, **answer}), flush=True)


# --- The comparison ------------------------------------------------------------------------------------------------------


def build(*words):
    """Builds with cargo and gives the path of the executable."""
    command = ["cargo", *words, "--message-format=json-render-diagnostics"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [message["executable"] for message in map(json.loads, lines) if message.get("executable")][-1]


def run(command, options):
    """Runs one side in a process of its own and gives what it printed."""
    number = str(options.threads)
    names = ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, number), "CRITERION_HOME": str(criterion_folder())}
    done = subprocess.run([str(word) for word in command], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"`{command[0]}` failed with {done.returncode}")
    return done.stdout


def run_quietly(command, options):
    """As `run`, but again if others disturbed it; gives how many cores the others kept busy, too."""
    for attempt in range(options.attempts):
        wait_until_idle()
        start, all_before, own_before = time.perf_counter(), busy(), children()
        printed = run(command, options)
        others = busy() - all_before - (children() - own_before)
        others = max(0.0, others / (time.perf_counter() - start))
        if others <= DISTURBED:
            break
        print(f"others kept {others:.1f} cores busy during a process (attempt {attempt + 1})", flush=True)
    return printed, others


def criterion_folder():
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "criterion"


def medians(since):
    """Milliseconds of each id of criterion that was measured after `since`."""
    found = {}
    for path in criterion_folder().rglob("new/estimates.json"):
        if path.stat().st_mtime >= since:
            id = json.loads((path.parent / "benchmark.json").read_text())["full_id"]
            found[id] = json.loads(path.read_text())["median"]["point_estimate"] / 1e6
    return found


def torch_side(folder, mode, ids, options):
    words = ["--repetitions", options.repetitions, "--threads", options.threads, "--ids", *ids]
    return [sys.executable, HERE, "--child", folder, "--mode", mode, *words]


def lines_of(printed):
    return {line["id"]: line for line in map(json.loads, printed.splitlines())}


def check(ids, kd, folder, options):
    """The differences of each, and which may be timed."""
    run([kd, "--write", folder, *dict.fromkeys(id.split("/")[0] for id in ids)], options)
    checked = lines_of(run(torch_side(folder, "check", ids, options), options))
    beyond = []
    for id, line in checked.items():
        wrong = [what for what, most in TOLERANCES.items() if not line[what] <= most]
        verdict = f"DIFFERS in {' and '.join(wrong)}, not timed" if wrong else "the same"
        print(f"{id}: value {line['value']:.1e}, gradient {line['gradient']:.1e}: {verdict}", flush=True)
        beyond += [id] if wrong else []
    return checked, beyond


def measure(ids, bench, folder, options):
    """The milliseconds of both sides by id, and how busy others kept the machine."""
    names = list(dict.fromkeys(id.split("/")[0] for id in ids))
    times, disturbance = {}, []
    for start in range(0, len(names), GROUP):
        group = names[start : start + GROUP]
        of_group = [id for id in ids if id.split("/")[0] in group]
        since = time.time() - 1
        _, others = run_quietly([bench, "--bench", "--noplot", "--quiet", f"^({'|'.join(group)})/"], options)
        kd = medians(since)
        printed, torch_others = run_quietly(torch_side(folder, "time", of_group, options), options)
        torch = lines_of(printed)
        disturbance += [others, torch_others]
        for id in of_group:
            name, sizes = id.split("/")
            times[id] = {what: (kd[f"{name}/{what}/{sizes}"], torch[id][what]) for what in ("forward_backward", "forward")}
            (a, b), (c, d) = times[id].values()
            print(f"{id}: kd {a:.3f} ms, PyTorch {b:.3f} ms, ratio {a / b:.2f}; forward {c / d:.2f}", flush=True)
    return times, disturbance


def report(times, checked, beyond, disturbance, families, options):
    words = " ".join(["python3 benches/pytorch/losses.py", *sys.argv[1:]])
    torch_version = next(iter(checked.values()))["torch"]
    worst = {what: max(line[what] for id, line in checked.items() if id not in beyond) for what in TOLERANCES}
    ratios = {id: sides["forward_backward"][0] / sides["forward_backward"][1] for id, sides in times.items()}
    slow = sorted((id for id in ratios if ratios[id] > SLOW), key=lambda id: -ratios[id])
    readable = lambda ms: f"{ms * 1e3:.0f} µs" if ms < 1 else f"{ms:.2f} ms"
    lines = [
        "# Losses in kd and in PyTorch on a CPU",
        "",
        f"- date: {datetime.date.today()}",
        f"- machine: {machine()}",
        f"- versions: {versions(torch_version)}, criterion 0.7",
        f"- threads: {options.threads} on each side (`RAYON_NUM_THREADS`, `torch.set_num_threads`)",
        "- build: cargo's dev profile (dependencies at opt-level 3, kd's crates at 2)",
        f"- command: `{words}`",
        f"- others on the machine kept {statistics.median(disturbance):.2f} cores busy during the median process,"
        f" {max(disturbance):.2f} during the worst (a process with more than {DISTURBED} was done again, at most"
        f" {options.attempts} times in all)",
        "",
        "Medians. Forward and backward is the value with the gradients of the student's inputs and of all trained parameters;",
        f"forward is the value alone. A ratio is kd's time over PyTorch's; the median of all is"
        f" **{statistics.median(ratios.values()):.2f}**, and kd is the faster one in {sum(r < 1 for r in ratios.values())} of"
        f" {len(ratios)}. `b64_c100` is 64 samples of 100 classes, `b64_16x32x32_to_64` 64 samples of 16 channels of 32x32 with a",
        "teacher of 64 channels, `b64_256` 64 embeddings of 256 numbers.",
        "",
        f"Both compute the same: before the timing, values differ by {worst['value']:.1e} at most as a share of the value, gradients by"
        f" {worst['gradient']:.1e} of their norm ({TOLERANCES['value']:.0e} and {TOLERANCES['gradient']:.0e} are allowed), from",
        "PyTorch in 64-bit floats.",
        *[f"**`{id}` differs by more and is not timed.**" for id in beyond],
        "",
        "| loss | size | kd, forward and backward | PyTorch | ratio | ratio, forward |",
        "|---|---|---:|---:|---:|---:|",
    ]
    family = None
    for id, sides in times.items():
        name, sizes = id.split("/")
        lines += [f"| **{families[id]}** | | | | | |"] if families[id] != family else []
        family = families[id]
        (kd, torch), (a, b) = sides["forward_backward"], sides["forward"]
        lines.append(f"| `{name}` | `{sizes}` | {readable(kd)} | {readable(torch)} | **{kd / torch:.2f}** | {a / b:.2f} |")
    lines += ["", f"## Slower than PyTorch by more than {SLOW:.0f}", ""]
    for id in slow:
        lines.append(f"- `{id}`: {ratios[id]:.2f}. {REASONS.get(id.split('/')[0], 'Why is not known yet.')}")
    return "\n".join(lines + ([] if slow else ["None."])) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check-only", action="store_true", help="compare values and gradients, time nothing")
    parser.add_argument("--only", action="append", metavar="NAME", help="this loss; may be given more than once")
    parser.add_argument("--out", type=pathlib.Path, help="the report (benches/results/DATE-cpu-losses.md)")
    parser.add_argument("--threads", type=int, default=2, help="on each side (2)")
    parser.add_argument("--repetitions", type=int, default=20, help="of PyTorch, at least (20)")
    parser.add_argument("--attempts", type=int, default=3, help="at a process that others disturb (3)")
    for word, kind in (("--child", {"type": pathlib.Path}), ("--mode", {}), ("--ids", {"nargs": "*"})):
        parser.add_argument(word, help=argparse.SUPPRESS, **kind)
    options = parser.parse_args()
    if options.child:
        return child(options.child, options.mode, options.ids, options.threads, options.repetitions)
    kd = build("build", "--workspace", "--example", "losses_case")
    listed = json.loads(run([kd, "--list"], options))
    if unknown := set(options.only or []) - {one["name"] for one in listed}:
        sys.exit(f"no such loss: {', '.join(sorted(unknown))}")
    chosen = [one for one in listed if not options.only or one["name"] in options.only]
    families = {f"{one['name']}/{one['sizes']}": one["family"] for one in chosen}
    with tempfile.TemporaryDirectory() as folder:
        checked, beyond = check(list(families), kd, pathlib.Path(folder), options)
        if options.check_only:
            sys.exit(f"different: {', '.join(beyond)}" if beyond else 0)
        bench = build("bench", "--workspace", "--profile", "dev", "--bench", "losses", "--no-run")
        ids = [id for id in families if id not in beyond] or sys.exit("nothing may be timed")
        times, disturbance = measure(ids, bench, pathlib.Path(folder), options)
    out = options.out or ROOT / "benches/results" / f"{datetime.date.today()}-cpu-losses.md"
    out.write_text(report(times, checked, beyond, disturbance, families, options))
    print(f"written: {out}", flush=True)


if __name__ == "__main__":
    main()
