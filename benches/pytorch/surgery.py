"""Half of a ResNet-50 cut away in kd and by Torch-Pruning: the same network and logits first, then time and memory of each part.

    pip install torch torchvision torch-pruning safetensors
    python3 benches/pytorch/surgery.py                         (PyTorch 2.15, Torch-Pruning 1.6; Linux)

It builds kd's side, the example `surgery`, as `distill_step.py` does; `--kd PATH` takes one that is there. kd writes the weights of a
ResNet-50 for images of 224 by 224 and 1,000 classes, two images and its logits, and the same of what it has cut to half of the
multiply-accumulates by the mean size of the weights. PyTorch, with torchvision's network, loads both strictly and must say the same; two
mistakes made on purpose must be seen.

Then both sides are timed in turn in processes of their own, several times in each. Torch-Pruning's `MagnitudePruner` goes by the L1 norm
of groups over the whole network, the classes left out. It takes a share of the channels and none of the multiply-accumulates: the share
that leaves as many of these as kd's budget is searched beforehand and not timed. `--to-budget` also has it do as its own benchmark does: many
small steps, after each of which the multiply-accumulates are counted, until there are few enough, which takes minutes.
"""

import argparse
import copy
import datetime
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import distill_step as common  # noqa: E402

HERE = pathlib.Path(__file__).resolve()
ROOT = HERE.parents[2]
SHARE = 0.5
# Of the largest logit.
TOLERANCE = 1e-4
FAULTS = ["another stride", "no shifts"]
# Steps of the way to the whole network, as in Torch-Pruning's benchmark.
STEPS = 400
KD_PARTS = {
    "recording": "forward pass recorded",
    "groups": "groups, costs",
    "scores": "weights read out, scores",
    "choice": "channels chosen to the budget",
    "cut": "masked, folded, gathered",
    "network": "smaller network built",
}
TORCH_PARTS = {"graph": "forward pass, dependency graph", "cut": "scores, channels chosen, cut"}


def macs(network, image):
    """Multiply-accumulates of convolutions and linear layers, as kd counts them."""
    import torch
    from torch import nn

    found = []

    def count(layer, _, output):
        weight = layer.weight
        places = output[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1
        found.append(weight.numel() * places)

    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return sum(found)


def as_wide_as(network, tensors):
    """Gives every layer the width of its tensors."""
    from torch import nn

    for name, layer in list(network.named_modules()):
        parent = network.get_submodule(name.rpartition(".")[0])
        if isinstance(layer, nn.Conv2d):
            outputs, inputs = tensors[f"{name}.weight"].shape[:2]
            new = nn.Conv2d(inputs, outputs, layer.kernel_size, layer.stride, layer.padding, bias=False)
        elif isinstance(layer, nn.BatchNorm2d):
            new = nn.BatchNorm2d(len(tensors[f"{name}.weight"]))
        elif isinstance(layer, nn.Linear):
            new = nn.Linear(tensors[f"{name}.weight"].shape[1], layer.out_features)
        else:
            continue
        setattr(parent, name.rpartition(".")[2], new)
    return network


def child(folder, options):
    import torch
    import torch_pruning
    import torchvision
    from safetensors.torch import load_file

    torch.set_num_threads(options.threads)
    before = common.memory("VmRSS")

    def fresh(weights="whole.safetensors", widths=None):
        one = torchvision.models.resnet50(weights=None)
        one = one if widths is None else as_wide_as(one, widths)
        counters = {name: value for name, value in one.state_dict().items() if name.endswith("num_batches_tracked")}
        one.load_state_dict({**counters, **load_file(folder / weights)}, strict=True)
        return one.eval()

    network = fresh()
    image = torch.zeros(1, 3, 224, 224)

    def compared():
        said = load_file(folder / "said.safetensors")
        smaller = fresh("cut.safetensors", load_file(folder / "cut.safetensors"))
        if options.fault == "another stride":
            for one in (network, smaller):
                one.layer2[0].conv1.stride, one.layer2[0].conv2.stride = (2, 2), (1, 1)
        if options.fault == "no shifts":
            for one in (network, smaller):
                torch.nn.init.zeros_(one.fc.bias)
        worst = {}
        with torch.no_grad():
            for name, one in (("whole", network), ("cut", smaller)):
                worst[name] = float((one(said["images"]) - said[name]).abs().max() / said[name].abs().max())
        return {"worst": worst, "macs": [macs(network, image), macs(smaller, image)]}

    def pruner(one, share, steps=1):
        importance = torch_pruning.importance.GroupMagnitudeImportance(p=1)
        return torch_pruning.pruner.MagnitudePruner(
            one, image, importance, global_pruning=True, pruning_ratio=share, iterative_steps=steps, ignored_layers=[one.fc]
        )

    def left(share):
        one = copy.deepcopy(network)
        pruner(one, share).step()
        return macs(one, image)

    def searched():
        """The least share of the channels whose loss brings the network to the budget."""
        most, low, high = SHARE * macs(network, image), 0.0, 0.9
        for _ in range(10):
            middle = (low + high) / 2
            low, high = (low, middle) if left(middle) <= most else (middle, high)
        return {"channels": high, "macs": left(high)}

    def times():
        rounds, peak, one = [], None, network
        held = common.memory("VmRSS")
        # The peak is counted from here on.
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        for _ in range(options.rounds):
            start = time.perf_counter()
            way = pruner(one, options.channels)
            middle = time.perf_counter()
            way.step()
            end = time.perf_counter()
            peak = peak or common.memory("VmHWM")
            rounds.append([1e3 * (middle - start), 1e3 * (end - middle)])
            one = fresh()
        weights = sum(4 * parameter.numel() for parameter in one.parameters()) // 1024
        return {"ms": rounds, "before_kib": before, "network_kib": held, "peak_kib": peak, "weights_kib": weights}

    def to_budget():
        most, one = SHARE * macs(network, image), copy.deepcopy(network)
        start = time.perf_counter()
        way = pruner(one, 1.0, STEPS)
        found = None
        while found is None or (found > most and way.current_step < STEPS):
            way.step()
            found = macs(one, image)
        return {"ms": 1e3 * (time.perf_counter() - start), "steps": way.current_step, "macs": found}

    answer = {"check": compared, "search": searched, "time": times, "budget": to_budget}[options.mode]()
    answer.update(torch=torch.__version__, torch_pruning=torch_pruning.__version__)
    print(json.dumps(answer))


def check(kd, folder, options):
    common.run([kd, "--write", folder, "--share", SHARE], options.threads)
    command = [sys.executable, HERE, "--child", folder, "--mode", "check", "--threads", options.threads]
    checked = common.run(command, options.threads)
    print(f"differences of logits: {checked['worst']}", flush=True)
    if not max(checked["worst"].values()) <= TOLERANCE:
        sys.exit("beyond the tolerance; nothing was timed")
    for fault in FAULTS:
        found = common.run([*command, "--fault", fault], options.threads)["worst"]
        if min(found.values()) <= TOLERANCE:
            sys.exit(f"the check does not see a mistake made on purpose: {fault} ({found})")
    return checked


def measure(kd, folder, options):
    def torch_side(mode, *more):
        return [sys.executable, HERE, "--child", folder, "--mode", mode, "--threads", options.threads, "--rounds", options.rounds, *more]

    searched = common.run(torch_side("search"), options.threads)
    print(f"Torch-Pruning has to cut {searched['channels']:.3f} of the channels", flush=True)
    found = {"kd": [], "torch": [], "budget": []}
    os.environ["MIMALLOC_PURGE_DELAY"] = "0"
    found["memory"] = [common.run_quietly([kd, "--rounds", 1, "--share", SHARE], options)]
    del os.environ["MIMALLOC_PURGE_DELAY"]
    for _ in range(options.processes):
        found["kd"].append(common.run_quietly([kd, "--rounds", options.rounds, "--share", SHARE], options))
        found["torch"].append(common.run_quietly(torch_side("time", "--channels", searched["channels"]), options))
        for side in ("kd", "torch"):
            print(f"{side}: {found[side][-1]}", flush=True)
    if options.to_budget:
        found["budget"].append(common.run_quietly(torch_side("budget"), options))
    return searched, found


def parts(answers):
    """The median of every part over all rounds, and of the whole with its lowest and highest."""
    rounds = [row for answer in answers for row in answer["ms"]]
    sums = [sum(row) for row in rounds]
    return [statistics.median(column) for column in zip(*rounds)], (statistics.median(sums), min(sums), max(sums))


def report(checked, searched, found, options):
    whole, cut = checked["macs"]
    others = [answer["others"] for answers in found.values() for answer in answers]
    rows, totals = {}, {}
    for side in ("kd", "torch"):
        rows[side], totals[side] = parts(found[side])
    lines = [
        "# Half of a ResNet-50 cut away: kd and Torch-Pruning on a CPU",
        "",
        f"- date: {datetime.date.today()}",
        f"- machine: {common.machine()}",
        f"- versions: {common.versions(checked['torch'])}; Torch-Pruning {checked['torch_pruning']}",
        f"- threads: {options.threads} on each side",
        f"- kd: {options.build}",
        f"- command: `{common.command_line('surgery.py')}`",
        common.quiet_words(others, options),
        "",
        f"ResNet-50 for images of 224 by 224 and 1,000 classes, random weights, {whole:,} multiply-accumulates; by the mean or the L1 norm of",
        f"weights to half of these: kd leaves {cut:,} ({100 * cut / whole:.1f} %), Torch-Pruning {searched['macs']:,} "
        f"({100 * searched['macs'] / whole:.1f} %) by {searched['channels']:.3f} of",
        f"the channels, a share that was searched beforehand. {options.processes} processes a side, in turn, {options.rounds} rounds in each.",
        "PyTorch, from kd's weights and from what kd has cut, says the same: the logits differ by at most "
        f"{checked['worst']['whole']:.0e} and",
        f"{checked['worst']['cut']:.0e} of the largest. The check was seen to refuse: {', '.join(FAULTS)}.",
        "",
        "| side | part | median, ms |",
        "|---|---|---:|",
    ]
    for side, names in (("kd", KD_PARTS), ("torch", TORCH_PARTS)):
        title = {"kd": "kd", "torch": "Torch-Pruning, once"}[side]
        for name, milliseconds in zip(names.values(), rows[side]):
            lines.append(f"| {title} | {name} | {milliseconds:.1f} |")
        middle, least, most = totals[side]
        lines.append(f"| {title} | **all** (lowest to highest) | **{middle:.0f}** ({least:.0f} to {most:.0f}) |")
    for answer in found["budget"]:
        lines.append(f"| Torch-Pruning, to the budget | {answer['steps']} of {STEPS} steps, counting after each | {answer['ms']:.0f} |")
    lines += [
        "",
        f"kd takes {totals['kd'][0] / totals['torch'][0]:.2f} of the time of Torch-Pruning's single cut, and meets the budget by itself.",
        "",
        "Peak memory (VmHWM) of the first round over what the process held without a network (kd: after it had cut a small one; PyTorch:",
        "after its imports), in multiples of the weights; each side's own network is 1 of it. kd's allocator keeps what was freed for a while;",
        "here it gave it back at once (`MIMALLOC_PURGE_DELAY=0`), in a process of its own.",
        "",
        "| side | weights, MiB | with the network | at most |",
        "|---|---:|---:|---:|",
    ]
    for side, title in (("memory", "kd"), ("torch", "Torch-Pruning, once")):
        answers = found[side]
        weights = answers[0]["weights_kib"]

        def over(field):
            return max((answer[field] - answer["before_kib"]) / weights for answer in answers)

        lines.append(f"| {title} | {weights / 1024:.0f} | {over('network_kib'):.2f} | **{over('peak_kib'):.2f}** |")
    peaks = found["memory"][0]
    by_part = ", ".join(
        f"{(peak - peaks['before_kib']) / peaks['weights_kib']:.2f} ({name})" for peak, name in zip(peaks["peaks_kib"], KD_PARTS.values())
    )
    lines += ["", f"By part, kd: {by_part}."]
    lines += ["", "Goals: at most 2 s, at most Torch-Pruning's time, at most 3 times the weights."]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kd", type=pathlib.Path, help="kd's side, the example `surgery`, built")
    parser.add_argument("--build", default="release", help="how `--kd` was built")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="of each process")
    parser.add_argument("--processes", type=int, default=3, help="of each side")
    parser.add_argument("--attempts", type=int, default=10, help="how often a disturbed process is run in all")
    parser.add_argument("--to-budget", action="store_true", help="also let Torch-Pruning find the budget, in small steps")
    parser.add_argument("--check-only", action="store_true", help="compare the logits and time nothing")
    parser.add_argument("--out", type=pathlib.Path, help="where the table goes (below benches/results)")
    common.add_priority(parser)
    parser.add_argument("--child", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--mode", choices=["check", "search", "time", "budget"], help=argparse.SUPPRESS)
    parser.add_argument("--channels", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--fault", choices=FAULTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child, options)
    kd = options.kd or common.build("surgery")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        checked = check(kd, folder, options)
        if options.check_only:
            return None
        searched, found = measure(kd, folder, options)
    out = options.out or ROOT / "benches/results" / f"{datetime.date.today()}-cpu-surgery.md"
    out.write_text(report(checked, searched, found, options))
    print(f"written to {out}")


if __name__ == "__main__":
    main()
