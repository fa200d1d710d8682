"""A class of four students in kd and in PyTorch: the same numbers first, then time and peak memory of a step, and the head.

    python3 benches/pytorch/class_step.py              (PyTorch 2.15, numpy, safetensors; Linux)

It builds kd's side, the example `class_step`, in the release profile and over the whole workspace, so that all is as in the
command `kd`; `--kd PATH` takes one that is there. Teacher and students are those of recipes/bench-class.toml: 256 units, four
students of 64, about 30,000 parameters in all, batches of 128, Adam, images of noise.

1. kd writes the weights, the images, the teacher's dense vectors, the order of each student, the losses of some steps and the
   weights after them. PyTorch, whose networks and loss are written out here and in no other way connected, does the same
   steps with the teacher live and with the vectors that kd has kept. Mistakes made on purpose must be refused.
2. A step of all four students is timed in processes of their own that alternate: kd with vectors kept, PyTorch with the teacher
   live and with vectors kept; and one student of kd alone, for the memory.
3. The head is tuned for ten epochs on 60,000 kept features.

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
TOLERANCES = {
    "teacher": 1e-5,  # the dense vectors of all samples, as one vector
    "losses": 1e-5,  # each loss, as a share of itself
    "weights": 1e-5,  # all weights as one vector, after the last step
    # How all weights changed. Adam's first steps have one size whatever the gradient is, so that rounding turns those of weights
    # whose gradient is next to nothing.
    "changes": 1e-3,
}
# Mistakes that the check must see, each made on purpose on PyTorch's side.
FAULTS = [
    "the chunk of another student",
    "one order for all students",
    "the sum over units in place of the mean",
    "the dense vector before its ReLU",
    "a ReLU at the end of a student",
    "plain gradient descent",
    "weight decay",
]
SIDES = {
    "kd_kept": "kd, four students, vectors kept",
    "torch_live": "PyTorch, four students, teacher live",
    "torch_kept": "PyTorch, four students, vectors kept",
    "kd_live": "kd, four students, teacher live",
    "kd_one": "kd, one student alone, vectors kept",
}


# --- PyTorch's side, in a process of its own ---------------------------------------------------------------------------


def child(folder, mode, threads, warm_up, steps, live, fault):
    import torch
    import torch.nn.functional as F
    from safetensors.torch import load_file
    from torch import nn

    torch.set_num_threads(threads)
    resting = common.memory("VmRSS")
    setup = json.loads((folder / "setup.json").read_text())
    adam, count = setup["optimizer"], setup["students"]
    length = setup["features"] // count

    class Plain(nn.Module):
        """Mean pooling by 2, blocks of convolutions each with a max pooling, hidden layers, one linear layer."""

        def __init__(self, tensors, padding):
            super().__init__()
            shape = lambda name: tensors[f"{name}.weight"].shape
            names = {name.rsplit(".", 1)[0] for name in tensors}
            size = lambda prefix: 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in names if name.startswith(prefix))
            conv = lambda name: nn.Conv2d(shape(name)[1], shape(name)[0], 3, padding=padding)
            linear = lambda name: nn.Linear(shape(name)[1], shape(name)[0])
            blocks = [[conv(f"blocks.{b}.{c}") for c in range(size(f"blocks.{b}."))] for b in range(size("blocks."))]
            self.blocks = nn.ModuleList(nn.ModuleList(block) for block in blocks)
            self.hidden = nn.ModuleList(linear(f"hidden.{h}") for h in range(size("hidden.")))
            self.fc = linear("fc")
            self.load_state_dict(tensors)

        def dense(self, x, before_relu=False):
            x = F.avg_pool2d(x, 2)
            for block in self.blocks:
                for conv in block:
                    x = F.relu(conv(x))
                x = F.max_pool2d(x, 2)
            x = x.flatten(1)
            for hidden in self.hidden:
                before = hidden(x)
                x = F.relu(before)
            return before if before_relu else x

        def forward(self, x):
            x = self.fc(self.dense(x))
            return F.relu(x) if fault == "a ReLU at the end of a student" else x

    def of_student(tensors, student):
        prefix = f"{student}."
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    before, after = load_file(folder / "before.safetensors"), load_file(folder / "after.safetensors")
    teacher = Plain(load_file(folder / "teacher.safetensors"), 0).eval().requires_grad_(False)
    students = [Plain(of_student(before, student), 1) for student in range(count)]
    data = load_file(folder / "data.safetensors")
    images, orders, dense = data["images"], data["orders"], data["dense"]
    mean, std = setup["mean"][0], setup["std"][0]

    def optimizer(student):
        if fault == "plain gradient descent":
            return torch.optim.SGD(student.parameters(), lr=setup["lr"])
        decay = 0.01 if fault == "weight decay" else adam["weight_decay"]
        betas = (adam["beta1"], adam["beta2"])
        return torch.optim.Adam(student.parameters(), lr=setup["lr"], betas=betas, eps=adam["epsilon"], weight_decay=decay)

    optimizers = [optimizer(student) for student in students]

    def inputs(rows):
        return (images[rows].float().div_(255) - mean) / std

    def vectors(x):
        with torch.no_grad():
            return teacher.dense(x, fault == "the dense vector before its ReLU")

    def step(at):
        losses = []
        for number, (student, optimizer) in enumerate(zip(students, optimizers)):
            order = orders[0 if fault == "one order for all students" else number]
            rows = order[at % len(order)]
            x = inputs(rows)
            target = vectors(x) if live else dense[rows]
            chunk = (number + 1) % count if fault == "the chunk of another student" else number
            squares = (student(x) - target[:, chunk * length : (chunk + 1) * length]).square()
            loss = squares.sum(1).mean() if fault == "the sum over units in place of the mean" else squares.mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    def check():
        """The largest differences from kd, each as a share of what it is measured by."""
        worst = dict.fromkeys(TOLERANCES, 0.0)

        def compare(what, found, expected):
            share = float((found - expected).norm() / expected.norm())
            worst[what] = max(worst[what], share if math.isfinite(share) else math.inf)

        made = torch.cat([vectors(inputs(rows)) for rows in torch.arange(len(images)).split(setup["batch_size"])])
        compare("teacher", made.double(), dense.double())
        for at, losses in enumerate(setup["losses"]):
            for ours, kd in zip(step(at), losses):
                compare("losses", torch.tensor([ours]).double(), torch.tensor([kd]).double())
        ends, changes = [], []
        for number, student in enumerate(students):
            old, kd = of_student(before, number), of_student(after, number)
            for name, value in student.state_dict().items():
                ends.append((value.double().flatten(), kd[name].double().flatten()))
                changes.append(tuple(end - old[name].double().flatten() for end in ends[-1]))
        for what, pairs in (("weights", ends), ("changes", changes)):
            compare(what, *(torch.cat(side) for side in zip(*pairs)))
        return {"steps": len(setup["losses"]), "worst": worst}

    def times():
        milliseconds = []
        for at in range(warm_up + steps):
            start = time.perf_counter()
            losses = step(at)
            milliseconds.append((time.perf_counter() - start) * 1e3)
        return {"step_ms": milliseconds[warm_up:], "last_losses": losses}

    answer = {"check": check, "time": times}[mode]()
    answer.update(resting_kib=resting, peak_kib=common.memory("VmHWM"), torch=torch.__version__)
    print(json.dumps(answer))


# --- The comparison ------------------------------------------------------------------------------------------------------


def torch_command(options, folder, mode, live, *more):
    command = [sys.executable, HERE, "--child", folder, "--mode", mode, "--threads", options.threads]
    return [*command, "--warm-up", options.warm_up, "--steps", options.steps, *(["--live"] if live else []), *more]


def check(kd, options, folder):
    common.run([kd, "--write", folder, "--steps", options.check_steps], options.threads)

    def beyond(checked):
        return [what for what, worst in checked["worst"].items() if worst > TOLERANCES[what]]

    checked = {}
    for live in (False, True):
        found = common.run(torch_command(options, folder, "check", live), options.threads)
        words = "teacher live" if live else "vectors kept"
        shares = ", ".join(f"{what} {worst:.1e}" for what, worst in found["worst"].items())
        print(f"{words}: differences after {found['steps']} steps: {shares}", flush=True)
        if beyond(found):
            sys.exit(f"{words}: beyond the tolerance: {', '.join(beyond(found))}; nothing was timed")
        checked[words] = found
    for fault in FAULTS:
        seen = beyond(common.run(torch_command(options, folder, "check", True, "--fault", fault), options.threads))
        if not seen:
            sys.exit(f"the check does not see a mistake made on purpose: {fault}")
        print(f"the check sees {fault}: {', '.join(seen)}", flush=True)
    return checked


def measure(kd, options, folder):
    timed = ["--warm-up", options.warm_up, "--steps", options.steps]
    commands = {
        "kd_kept": [kd, *timed],
        "torch_live": torch_command(options, folder, "time", True),
        "torch_kept": torch_command(options, folder, "time", False),
        "kd_live": [kd, "--live", *timed],
        "kd_one": [kd, "--students", 1, *timed],
    }
    found = {side: [] for side in SIDES}
    for turn in range(options.rounds):
        for side, command in commands.items():
            answer = common.run_quietly(command, options)
            if not all(map(math.isfinite, answer["last_losses"])):
                sys.exit(f"{side}: the losses are {answer['last_losses']} at the end; such a step is not what should be timed")
            found[side].append(answer)
            middle = statistics.median(answer["step_ms"])
            print(f"round {turn}, {side}: {middle:.1f} ms, {answer['peak_kib'] / 1024:.0f} MiB", flush=True)
    return found


def report(checks, steps, head, options):
    middle = {side: statistics.median(step for answer in steps[side] for step in answer["step_ms"]) for side in SIDES}
    peak = {side: max(answer["peak_kib"] for answer in steps[side]) / 1024 for side in SIDES}
    others = [answer["others"] for answers in steps.values() for answer in answers]
    lines = [
        "# A class of four students: one step in kd and in PyTorch on a CPU",
        "",
        f"- date: {datetime.date.today()}",
        f"- machine: {common.machine()}",
        f"- versions: {common.versions(next(iter(checks.values()))['torch'])}",
        f"- threads: {options.threads} on each side (`RAYON_NUM_THREADS`, `torch.set_num_threads`)",
        f"- build: {options.build}",
        f"- command: `{common.command_line('class_step.py')}`",
        common.quiet_words(others, options),
        "",
        "The teacher and the four students of `recipes/bench-class.toml`, about 30,000 parameters in all, batches of 128 images of noise,",
        "Adam; one step is one of each student, each in an order of its own. " + f"{options.rounds} processes a side, in turn, each",
        f"{options.warm_up} steps of warm-up and {options.steps} timed ones.",
        "",
        "## Both compute the same",
        "",
        "The difference from the same weights: the teacher's vectors, each loss, after the last step all weights and how they changed.",
        "Refused, made on purpose: " + "; ".join(FAULTS) + ".",
        "",
        "| PyTorch with | steps | " + " | ".join(TOLERANCES) + " |",
        "|---|---:|" + "---:|" * len(TOLERANCES),
    ]
    for words, checked in checks.items():
        shares = " | ".join(f"{checked['worst'][what]:.1e}" for what in TOLERANCES)
        lines.append(f"| {words} | {checked['steps']} | {shares} |")
    lines += [
        "| allowed | | " + " | ".join(f"{value:.0e}" for value in TOLERANCES.values()) + " |",
        "",
        "## Time of a step, peak memory",
        "",
        "Median of all timed steps, in milliseconds; in brackets the lowest and the highest median of a process. Peak memory of the",
        "process (VmHWM) in MiB.",
        "",
        "| what is trained | ms | of PyTorch, teacher live | of PyTorch, vectors kept | MiB |",
        "|---|---:|---:|---:|---:|",
    ]
    for side, name in SIDES.items():
        medians = [statistics.median(answer["step_ms"]) for answer in steps[side]]
        shares = [f"{middle[side] / middle[other]:.2f}" for other in ("torch_live", "torch_kept")]
        shares = ["", ""] if side == "kd_one" else shares
        time = f"{middle[side]:.1f} ({min(medians):.1f} to {max(medians):.1f})"
        lines.append("| " + " | ".join([name, time, *shares, f"{peak[side]:.0f}"]) + " |")
    kept, one, torch = peak["kd_kept"], peak["kd_one"], peak["torch_live"]
    lines += [
        "",
        f"Peak memory of kd's four students: {kept / torch:.2f} of PyTorch's with its teacher live, {kept / one:.2f} of one student alone.",
        "",
        "## The head",
        "",
        f"{head['epochs']} epochs on {head['samples']:,} kept features of {head['features']} units: {head['seconds']:.1f} s, without",
        "evaluations.",
    ]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check-steps", type=int, default=3, help="steps after which both must agree")
    parser.add_argument("--head-samples", type=int, default=60_000, help="features that the head is tuned on")
    parser.add_argument("--build", default="release, the allocator and Burn's features as in the command", help="how `--kd` was built")
    common.add_options(parser, warm_up=5, steps=30)
    parser.add_argument("--live", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--fault", choices=FAULTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        times = (options.threads, options.warm_up, options.steps)
        return child(options.child, options.mode, *times, options.live, options.fault)
    kd = options.kd or common.build("class_step")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        checks = check(kd, options, folder)
        if options.check_only:
            return None
        steps = measure(kd, options, folder)
    head = common.run_quietly([kd, "--head", options.head_samples], options)
    out = options.out or ROOT / "benches/results" / f"{datetime.date.today()}-cpu-class.md"
    out.write_text(report(checks, steps, head, options))
    print(f"written to {out}")


if __name__ == "__main__":
    main()
