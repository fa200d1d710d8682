"""One step of students that teach each other, in kd and in PyTorch: the same numbers first, then time and peak memory.

    python3 benches/pytorch/online_step.py              (PyTorch 2.15, numpy, safetensors; Linux)

It builds kd's side, the example `online_step`, in the release profile and over the whole workspace, so that all is as in the
command `kd`; `--kd PATH` takes one that is there. The network is `crd-resnet32`, four branches that share everything up to
`layer2`, batch 64, 100 classes.

1. For each method PyTorch is compared with, kd writes initial weights under PyTorch's names, the data, the order of the
   samples, the students after one step and after a few, and the losses. PyTorch, whose networks and losses are written out
   here and in no other way connected, does the same steps; losses, the gradient of the first step, weights, their changes
   and running statistics are compared (see TOLERANCES). Mistakes made on purpose must be refused.
2. The steps are timed in processes of their own that alternate: kd's cases and PyTorch's, round by round.
3. Evaluations, all measures beside the accuracy of each branch alone, in turn in one process.

`--priority` runs each process by `chrt -r 10`, so that what else the machine does cannot take the cores.
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
# kd's cases, and what they are called in the results.
CASES = {
    "single": "one network alone",
    "apart": "four networks apart",
    "independent": "branches, cross-entropy alone",
    "one": "ONE",
    "one_diversified": "ONE and CD",
    "gate": "OKDMDE, gate (FFM-G)",
    "gate_diversified": "OKDMDE, gate (FFM-G), CD",
    "per_peer_diversified": "OKDMDE, attention a peer (FFM-A), CD",
}
# Those that PyTorch does, too.
COMPARED = ["one", "gate_diversified", "per_peer_diversified"]
MAIN = "gate_diversified"
TOLERANCES = {
    "losses": 1e-5,  # each term of each step, as a share of the total
    # All parameters as one vector. In so deep a network each input of a ReLU that rounding puts on the other side of 0 is
    # felt: PyTorch's own gradient of the first step differs by 0.3 % between 32 and 64 bits, as much as kd's does from it.
    "gradient": 1e-2,
    "weights": 5e-5,  # all weights as one vector, after the last step
    "changes": 2e-2,  # how all weights changed
    "one layer": 1e-1,  # how those of the worst layer changed
    "statistics": 1e-4,  # the running means or variances of one norm
}
# Mistakes that the check must see, each made on purpose on PyTorch's side, and the cases that could have them.
FAULTS = {
    "no weight decay": COMPARED,
    "Nesterov's momentum": COMPARED,
    "losses averaged over the branches": COMPARED,
    "no temperature squared": COMPARED,
    "the gradient of the trunk divided by the branches": COMPARED,
    "the target not a constant": ["one", "gate_diversified"],
    "the target a constant": ["per_peer_diversified"],
    "no loss of the ensemble": ["one", "gate_diversified"],
    "no diversification": ["gate_diversified", "per_peer_diversified"],
    "the fusion leaves out a branch": ["gate_diversified", "per_peer_diversified"],
}
COLUMNS = {"kd_ms": "kd", "torch_ms": "PyTorch"}


# --- PyTorch's side, in a process of its own ---------------------------------------------------------------------------


def child(folder, mode, threads, warm_up, steps, fault):
    import torch
    import torch.nn.functional as F
    from safetensors.torch import load_file
    from torch import nn

    torch.set_num_threads(threads)
    resting = common.memory("VmRSS")
    setup = json.loads((folder / "setup.json").read_text())
    online = setup["online"]
    per_peer = online.get("attention") == "per-peer"
    fused = online["kind"] == "okdmde"
    t = online["temperature"]

    class Block(nn.Module):
        def __init__(self, before, width, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            if stride != 1 or before != width:
                project = nn.Conv2d(before, width, 1, stride, bias=False)
                self.downsample = nn.Sequential(project, nn.BatchNorm2d(width))
            else:
                self.downsample = nn.Identity()

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            return F.relu(y + self.downsample(x))

    def group(before, width, stride):
        return nn.Sequential(Block(before, width, stride), *(Block(width, width, 1) for _ in range(4)))

    class Branched(nn.Module):
        """CRD's ResNet-32 with several last groups and heads."""

        def __init__(self, count, classes):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(16)
            self.layer1 = group(16, 16, 1)
            self.layer2 = group(16, 32, 2)
            self.layer3 = nn.ModuleList(group(32, 64, 2) for _ in range(count))
            self.fc = nn.ModuleList(nn.Linear(64, classes) for _ in range(count))

        def forward(self, x):
            trunk = self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x)))))
            below = trunk
            if fault == "the gradient of the trunk divided by the branches":
                below = trunk.detach() + (trunk - trunk.detach()) / len(self.fc)
            maps = [layer3(below) for layer3 in self.layer3]
            dense = [map.mean((2, 3)) for map in maps]
            return trunk, maps, dense, [fc(h) for fc, h in zip(self.fc, dense)]

    class Fusion(nn.Module):
        def __init__(self, count):
            super().__init__()
            self.conv = nn.Conv2d(count * 64, 64, 1, bias=False)
            self.norm = nn.BatchNorm2d(64)

        def forward(self, maps):
            if fault == "the fusion leaves out a branch":
                maps = [*maps[:-1], torch.zeros_like(maps[-1])]
            return F.relu(self.norm(self.conv(torch.cat(maps, 1)))).mean((2, 3))

    class TrunkGate(nn.Module):
        def __init__(self, count):
            super().__init__()
            self.fc = nn.Linear(32, count)
            self.norm = nn.BatchNorm1d(count)

        def forward(self, trunk, maps, dense):
            return F.relu(self.norm(self.fc(trunk.mean((2, 3))))).softmax(1)

    class FusionGate(nn.Module):
        def __init__(self, count):
            super().__init__()
            self.fusion = Fusion(count)
            self.fc1 = nn.Linear(64, 8)
            self.fc2 = nn.Linear(8, count)

        def forward(self, trunk, maps, dense):
            return self.fc2(F.relu(self.fc1(self.fusion(maps)))).softmax(1)

    class PeerAttention(nn.Module):
        def __init__(self, count):
            super().__init__()
            self.fusion = Fusion(count)
            self.query = nn.Linear(128, 8, bias=False)
            self.key = nn.Linear(128, 8, bias=False)

        def forward(self, trunk, maps, dense):
            u = self.fusion(maps)
            h = torch.stack([torch.cat((own, u), 1) for own in dense], 1)
            return (self.query(h) @ self.key(h).transpose(1, 2)).softmax(2)

    count = online["branches"]
    students = Branched(count, setup["classes"])
    combiner = (PeerAttention if per_peer else FusionGate if fused else TrunkGate)(count)

    def ours(name):
        """The name here of a tensor of kd's result; none for the copies of what is shared."""
        part, name = name.split("/", 1)
        if part == "ensemble":
            return f"combiner.{name}"
        branch = int(part.removeprefix("branch-"))
        for own in ("layer3.", "fc."):
            if name.startswith(own):
                return f"students.{own}{branch}.{name.removeprefix(own)}"
        return f"students.{name}" if branch == 0 else None

    def read(file):
        named = ((ours(name), tensor) for name, tensor in load_file(folder / file).items())
        return {name: tensor for name, tensor in named if name}

    whole = nn.ModuleDict({"students": students, "combiner": combiner})
    missing, unexpected = whole.load_state_dict(read("before.safetensors"), strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        sys.exit(f"kd's file lacks {missing} and has {unexpected} too many")

    mean, std = (setup["normalisation"][field] for field in ("mean", "std"))
    scale = torch.tensor([1 / s for s in std]).view(1, -1, 1, 1)
    shift = torch.tensor([-m / s for m, s in zip(mean, std)]).view(1, -1, 1, 1)
    data = load_file(folder / "data.safetensors")
    images, labels, order = data["images"], data["labels"], data["order"]
    whole.train()
    optimizer = torch.optim.SGD(
        whole.parameters(),
        lr=setup["lr"],
        momentum=setup["momentum"],
        nesterov=fault == "Nesterov's momentum",
        weight_decay=0.0 if fault == "no weight decay" else setup["weight_decay"],
    )

    def kl(target, logits):
        p, log_q = F.softmax(target / t, 1), F.log_softmax(logits / t, 1)
        # By hand where gradients reach the target: `kl_div` gives none to it.
        loss = (p * (F.log_softmax(target / t, 1) - log_q)).sum(1).mean() if per_peer else F.kl_div(log_q, p, reduction="batchmean")
        return loss * (1 if fault == "no temperature squared" else t * t)

    def diversification():
        weights = [fc.weight for fc in students.fc]
        pairs = [(a, b) for i, a in enumerate(weights) for b in weights[i + 1 :]]
        return torch.stack([F.cosine_similarity(a, b, dim=1, eps=1e-6).abs().mean() for a, b in pairs]).mean()

    def step(at, look=lambda: None):
        rows = order[at % len(order)]
        pixels = images[rows].float().div_(255)
        targets = labels[rows]
        trunk, maps, dense, logits = students(pixels * scale + shift)
        hard = sum(F.cross_entropy(z, targets) for z in logits)
        weights = combiner(trunk, maps, dense)
        stacked = torch.stack(logits, 1)
        terms = {"cross_entropy": hard}
        if per_peer:
            made = weights @ stacked
            made = [target.detach() if fault == "the target a constant" else target for target in made.unbind(1)]
        else:
            ensemble = (weights.unsqueeze(2) * stacked).sum(1)
            terms["ensemble_cross_entropy"] = F.cross_entropy(ensemble, targets)
            made = [ensemble if fault == "the target not a constant" else ensemble.detach()] * count
        terms["kd"] = sum(kl(target, z) for target, z in zip(made, logits))
        total = sum(terms.values())
        if fault == "losses averaged over the branches":
            total = total - (1 - 1 / count) * (terms["cross_entropy"] + terms["kd"])
        if fault == "no loss of the ensemble":
            total = total - terms["ensemble_cross_entropy"]
        if "diversification" in online:
            terms["diversification"] = diversification()
            if fault != "no diversification":
                total = total + online["diversification"]["weight"] * terms["diversification"]
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        look()
        optimizer.step()
        return {**terms, "total": total}

    def check():
        """The largest differences from kd, each as a share of what it is measured by."""
        counts = {}
        for name, module in whole.named_modules():
            if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
                hook = lambda _, inputs, __, name=name: counts.update({name: inputs[0].numel() // inputs[0].shape[1]})
                module.register_forward_hook(hook)
        before = {name: value.double() for name, value in whole.state_dict().items()}
        worst = dict.fromkeys(TOLERANCES, 0.0)

        def compare(what, found, expected, scale=None):
            share = float((found - expected).norm() / (expected if scale is None else scale).norm())
            worst[what] = max(worst[what], share if math.isfinite(share) else math.inf)

        def compare_gradients():
            first, decay = read("first.safetensors"), setup["weight_decay"]
            named = [(name, parameter) for name, parameter in whole.named_parameters()]
            kd = [(before[name] - first[name].double()) / setup["lr"] - decay * before[name] for name, _ in named]
            ours = [(torch.zeros_like(p) if p.grad is None else p.grad).double() for _, p in named]
            compare("gradient", *(torch.cat([tensor.flatten() for tensor in side]) for side in (kd, ours)))

        for at, kd in enumerate(setup["losses"]):
            ours = step(at, compare_gradients if at == 0 else lambda: None)
            ours = {name: value.detach().double() for name, value in ours.items()}
            if ours.keys() != kd.keys():
                sys.exit(f"kd's losses are {sorted(kd)}, PyTorch's {sorted(ours)}")
            for name, value in ours.items():
                compare("losses", torch.tensor(kd[name]).double(), value, ours["total"])
        done = len(setup["losses"])
        after, ends, changes = read("after.safetensors"), [], []
        for name, value in whole.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            layer, field = name.rsplit(".", 1)
            kd, value, old = (tensor.double().flatten() for tensor in (after[name], value, before[name]))
            if field.startswith("running"):
                if field == "running_var":
                    n, kept = counts[layer], 0.9**done * old
                    value = kept + (value - kept) * (n - 1) / n
                compare("statistics", kd, value)
            else:
                compare("one layer", kd - old, value - old)
                ends.append((kd, value))
                changes.append((kd - old, value - old))
        for what, pairs in (("weights", ends), ("changes", changes)):
            compare(what, *(torch.cat(side) for side in zip(*pairs)))
        return {"steps": done, "worst": worst}

    def times():
        milliseconds = []
        for at in range(warm_up + steps):
            start = time.perf_counter()
            losses = step(at)
            milliseconds.append((time.perf_counter() - start) * 1e3)
        return {"step_ms": milliseconds[warm_up:], "last_loss": losses["total"].item()}

    answer = {"check": check, "time": times}[mode]()
    answer.update(resting_kib=resting, peak_kib=common.memory("VmHWM"), torch=torch.__version__)
    print(json.dumps(answer))


# --- The comparison ------------------------------------------------------------------------------------------------------


def torch_command(options, folder, mode, steps=0):
    command = [sys.executable, HERE, "--child", folder, "--mode", mode]
    return command + ["--threads", options.threads, "--warm-up", options.warm_up, "--steps", steps]


def kd_command(options, kd, case, *more):
    return [kd, "--case", case, *more]


def check(case, kd, options, folder):
    common.run(kd_command(options, kd, case, "--write", folder, "--steps", options.check_steps), options.threads)

    def beyond(checked):
        return [what for what, worst in checked["worst"].items() if worst > TOLERANCES[what]]

    checked = common.run(torch_command(options, folder, "check"), options.threads)
    shares = ", ".join(f"{what} {worst:.1e}" for what, worst in checked["worst"].items())
    print(f"{case}: differences after {checked['steps']} steps: {shares}", flush=True)
    if beyond(checked):
        sys.exit(f"{case}: beyond the tolerance: {', '.join(beyond(checked))}; nothing was timed")
    for fault in (fault for fault, cases in FAULTS.items() if case in cases):
        seen = beyond(common.run(torch_command(options, folder, "check") + ["--fault", fault], options.threads))
        if not seen:
            sys.exit(f"{case}: the check does not see a mistake made on purpose: {fault}")
        print(f"{case}: the check sees {fault}: {', '.join(seen)}", flush=True)
    return checked


def measure(kd, options, folders):
    found = {}
    steps = ["--warm-up", options.warm_up, "--steps", options.steps]
    for turn in range(options.rounds):
        for case in CASES:
            sides = {"kd": kd_command(options, kd, case, *steps)}
            if case in folders:
                sides["torch"] = torch_command(options, folders[case], "time", options.steps)
            for side, command in sides.items():
                answer = common.run_quietly(command, options)
                if not math.isfinite(answer["last_loss"]):
                    sys.exit(f"{case}: the loss is {answer['last_loss']} at the end; such a step is not what should be timed")
                found.setdefault((case, side), []).append(answer)
                middle = statistics.median(answer["step_ms"])
                print(f"round {turn}, {case}, {side}: {middle:.1f} ms, {answer['peak_kib'] / 1024:.0f} MiB", flush=True)
    return found


def evaluate(kd, options):
    found = {}
    for case in ("independent", "one", MAIN, "per_peer_diversified"):
        found[case] = common.run_quietly(kd_command(options, kd, case, "--evaluate"), options)
        print(f"evaluation, {case}: {evaluation_row(found[case])}", flush=True)
    return found


def evaluation_row(answer):
    measured, alone = (statistics.median(answer[what]) for what in ("measured_ms", "branches_ms"))
    return f"{measured:.0f} | {alone:.0f} | {measured / alone:.3f}"


def report(checks, steps, evaluations, options):
    def middle(key):
        return statistics.median(step for answer in steps[key] for step in answer["step_ms"])

    def cell(key):
        if key not in steps:
            return ""
        medians = [statistics.median(answer["step_ms"]) for answer in steps[key]]
        return f"{middle(key):.1f} ({min(medians):.1f} to {max(medians):.1f})"

    def peak(key):
        return max(answer["peak_kib"] for answer in steps[key]) / 1024

    others = [answer["others"] for answers in steps.values() for answer in answers]
    lines = [
        "# Students that teach each other: one step in kd and in PyTorch on a CPU",
        "",
        f"- date: {datetime.date.today()}",
        f"- machine: {common.machine()}",
        f"- versions: {common.versions(next(iter(checks.values()))['torch'])}",
        f"- threads: {options.threads} on each side (`RAYON_NUM_THREADS`, `torch.set_num_threads`)",
        "- build: release, the allocator and Burn's features as in the command",
        f"- command: `{common.command_line('online_step.py')}`",
        common.quiet_words(others, options),
        "",
        "`crd-resnet32`, four branches that share everything up to `layer2`, 100 classes, batch 64, SGD with momentum 0.9 and weight",
        "decay 5e-4, data resident and not augmented, temperature 3, the divergences at their full weight.",
        f"{options.rounds} processes a side, in turn, each {options.warm_up} steps of warm-up and {options.steps} timed ones.",
        "",
        "## Both compute the same",
        "",
        "The difference from the same weights: each loss, as a share of the total; the gradient of the first step; after the last step",
        "all weights, how they changed, how those of the worst layer changed, the worst running statistics.",
        "Refused, made on purpose: " + "; ".join(FAULTS) + ".",
        "",
        "| method | steps | " + " | ".join(TOLERANCES) + " |",
        "|---|---:|" + "---:|" * len(TOLERANCES),
    ]
    for case, checked in checks.items():
        shares = " | ".join(f"{checked['worst'][what]:.1e}" for what in TOLERANCES)
        lines.append(f"| {CASES[case]} | {checked['steps']} | {shares} |")
    apart, one = middle(("apart", "kd")), middle(("one", "kd"))
    lines += [
        "| allowed | | " + " | ".join(f"{value:.0e}" for value in TOLERANCES.values()) + " |",
        "",
        "## Time of a step, peak memory",
        "",
        "Median of all timed steps, in milliseconds; in brackets the lowest and the highest median of a process. Peak memory of the",
        "process (VmHWM) in MiB.",
        "",
        "| what is trained | kd, ms | PyTorch, ms | kd / PyTorch | of four networks apart | of ONE | kd, MiB | PyTorch, MiB | kd / PyTorch |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for case, name in CASES.items():
        kd, torch = (case, "kd"), (case, "torch")
        both = torch in steps
        time_ratio = f"**{middle(kd) / middle(torch):.2f}**" if both else ""
        memory = [f"{peak(torch):.0f}", f"**{peak(kd) / peak(torch):.2f}**"] if both else ["", ""]
        cells = [name, cell(kd), cell(torch), time_ratio, f"{middle(kd) / apart:.2f}", f"{middle(kd) / one:.3f}"]
        lines.append("| " + " | ".join([*cells, f"{peak(kd):.0f}", *memory]) + " |")
    lines += [
        "",
        "## An evaluation",
        "",
        "2,048 held-out images in batches of 64, in milliseconds: as the runner does it, with all measures of students and ensembles;",
        "and the accuracy of each branch alone. Medians of five, in turn in one process.",
        "",
        "| what was trained | all measures | branches alone | ratio |",
        "|---|---:|---:|---:|",
    ]
    lines += [f"| {CASES[case]} | {evaluation_row(answer)} |" for case, answer in evaluations.items()]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check-steps", type=int, default=3, help="steps after which both must agree")
    common.add_options(parser, warm_up=5, steps=30)
    parser.add_argument("--fault", choices=FAULTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child, options.mode, options.threads, options.warm_up, options.steps, options.fault)
    kd = options.kd or common.build("online_step")
    with tempfile.TemporaryDirectory() as root:
        folders, checks = {}, {}
        for case in COMPARED:
            folders[case] = pathlib.Path(root) / case
            folders[case].mkdir()
            checks[case] = check(case, kd, options, folders[case])
        if options.check_only:
            return None
        steps = measure(kd, options, folders)
        evaluations = evaluate(kd, options)
    out = options.out or ROOT / "benches/results" / f"{datetime.date.today()}-cpu-online.md"
    out.write_text(report(checks, steps, evaluations, options))
    print(f"written to {out}")


if __name__ == "__main__":
    main()
