"""Data-free distillation in kd and in PyTorch: the same numbers first, then time and peak memory side by side.

    python3 benches/pytorch/datafree.py             (PyTorch 2.15, numpy, safetensors; Linux)

It builds kd's side, the example `datafree_case`, as `distill_step.py` does; `--kd` names one that is there.
Three things are measured:

`generator`   A step of RDSKD's generator: noise, generator, LeNet-5 (or a wide ResNet) as the frozen teacher, the one-hot loss and
              the batch's entropy under their exponential penalty, the diversity of the two halves, backward through both, Adam. Each
              side does it twice: plainly, with the map doubled and then convolved, and folded, with doubling and convolution as one.
`bank`        A bank of images: noise, generator, bytes, what the teacher says of the bytes, in blocks of 128, written to a file.
`student`     A step of LeNet-5-half: images and logits from that bank, KL divergence at temperature 10, backward, Adam. PyTorch
              also does it `as published`: each batch of images is made by the generator and shown to the teacher in the step.

For the steps, kd first writes weights, noise or order, the losses of some steps, the gradient of the first and the weights after the
last; PyTorch, with networks written out here, does the same steps, and nothing is timed if they differ beyond TOLERANCES, or if in
the first case one of the mistakes in FAULTS is not seen. Of the bank the first two blocks are compared. Then both sides run in processes of their own
that take turns, `--rounds` times. A process is of `--warm-up` steps and so many more as fit into `--seconds`, three at least and `--steps`
at most. The median of all timed steps counts, and the largest peak memory (VmHWM). A process during which others kept more than a tenth of
a core busy is done again, up to `--attempts` times; `--disturbed` takes the machine as it is. The table is written anew whenever
something is added to it, so that a run that is stopped leaves what it has.

PyTorch runs as it comes: eager, float32, no `torch.compile`. In the steps both sides draw their noise within the time.
"""

import argparse
import datetime
import json
import math
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

from distill_step import ROOT, add_priority, build, command_line, machine, memory, quiet_words, run, run_quietly, run_watched, versions

HERE = pathlib.Path(__file__).resolve()
# Cases of `examples/datafree_case.rs`, and what each is in words.
CASES = {
    "narrow": "widths 32 and 16, 1x32x32, LeNet-5",
    "paper": "widths 128 and 64, 1x32x32, LeNet-5",
    "narrow_rgb": "widths 32 and 16, 3x32x32, WRN-16-1",
}
WORKS = ["generator", "bank", "student"]
# Who does it: the side's process, what it is told, and its name in tables.
GENERATOR_SIDES = {
    "kd_plain": ("kd", ["--plain"], "kd, plain"),
    "kd_folded": ("kd", [], "kd, folded"),
    "torch_plain": ("torch", ["--way", "plain"], "PyTorch, plain"),
    "torch_folded": ("torch", ["--way", "folded"], "PyTorch, folded"),
}
STUDENT_SIDES = {
    "kd": ("kd", [], "kd, bank"),
    "torch": ("torch", ["--way", "bank"], "PyTorch, bank"),
    "published": ("torch", ["--way", "published"], "PyTorch, as published"),
}
# Images that a bank makes together, and the steps of an epoch of the generator, at the second of which losses are remembered.
BLOCK, EPOCH = 128, 120
# The length of the published student phase in kd: epochs, images, batch.
PHASE = (20, 50_000, 512)
LEAST = 3
# The largest difference allowed, as a share: for losses of the term, for tensors of the Euclidean norm. Of the millions of inputs of ReLUs
# and poolings some lie so near to their edge that rounding decides: noise that differs by 1e-7 of itself moves PyTorch's own gradient by
# up to 6e-4. Adam's first step is the rate times the sign of the gradient, whatever its size, and the next steps begin from there.
TOLERANCES = {
    "first losses": 1e-4,  # each term of the first step
    "losses": 1e-2,  # each term of each step
    "gradient": 1e-2,  # all gradients of the first step as one vector
    "changes": 0.2,  # how all weights changed
    "statistics": 1e-3,  # the running means or variances of one norm
}
# Of the bank's bytes, how many may differ, by one level each; and the teacher's logits.
BANK_TOLERANCES = {"bytes": 1e-3, "logits": 1e-3}
# Mistakes that the check must see, each made on purpose on PyTorch's side.
FAULTS = {
    "generator": [
        "no penalty",
        "losses remembered at the first step",
        "the usual epsilon in all norms",
        "the diversity of logits",
        "neighbours in the place of halves",
        "Adam with a first beta of 0.5",
    ],
    "student": ["no temperature squared", "bytes in the place of normalised images"],
}


# --- PyTorch's side, in a process of its own ---------------------------------------------------------------------------


def child(options):
    import torch
    import torch.nn.functional as F
    from safetensors.torch import load_file, save_file
    from torch import nn

    torch.set_num_threads(options.threads)
    resting = memory("VmRSS")
    folder, fault = options.child, options.fault
    setup = json.loads((folder / "setup.json").read_text())
    channels, height, width = setup["input"]
    folds = options.way == "folded"

    class LeNet(nn.Module):
        def __init__(self, widths):
            super().__init__()
            a, b, c, d = widths
            self.conv1 = nn.Conv2d(channels, a, 5)
            self.conv2 = nn.Conv2d(a, b, 5)
            self.conv3 = nn.Conv2d(b, c, 5)
            self.fc1 = nn.Linear(c, d)
            self.fc2 = nn.Linear(d, setup["classes"])

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), 2)
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = F.relu(self.conv3(x)).flatten(1)
            return self.fc2(F.relu(self.fc1(x)))

    class Preactivation(nn.Module):
        def __init__(self, before, width, stride):
            super().__init__()
            self.bn1 = nn.BatchNorm2d(before)
            self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            if stride != 1 or before != width:
                self.convShortcut = nn.Conv2d(before, width, 1, stride, bias=False)
            else:
                self.convShortcut = None

        def forward(self, x):
            y = F.relu(self.bn1(x))
            short = x if self.convShortcut is None else self.convShortcut(y)
            return self.conv2(F.relu(self.bn2(self.conv1(y)))) + short

    class Wide(nn.Module):
        def __init__(self, depth, widening):
            super().__init__()
            self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
            before = 16
            for group, stride in enumerate([1, 2, 2]):
                width = 16 * widening << group
                rest = [Preactivation(width, width, 1) for _ in range((depth - 4) // 6 - 1)]
                blocks = nn.Module()
                blocks.layer = nn.Sequential(Preactivation(before, width, stride), *rest)
                setattr(self, f"block{group + 1}", blocks)
                before = width
            self.bn1 = nn.BatchNorm2d(before)
            self.fc = nn.Linear(before, setup["classes"])

        def forward(self, x):
            x = self.conv1(x)
            for blocks in (self.block1, self.block2, self.block3):
                x = blocks.layer(x)
            return self.fc(F.relu(self.bn1(x)).mean((2, 3)))

    class Doubling(nn.Conv2d):
        """Twice the size and a 3x3 convolution: plainly, or folded into four 2x2 convolutions of the small map."""

        def forward(self, x):
            if not folds:
                return super().forward(F.interpolate(x, scale_factor=2))

            def pairs(kernel, axis):
                one, two, three = kernel.unbind(axis)
                return torch.stack([one, two + three], axis), torch.stack([one + two, three], axis)

            kernels = [kernel for rows in pairs(self.weight, 2) for kernel in pairs(rows, 3)]
            y = F.conv2d(x, torch.cat(kernels), self.bias.repeat(4), padding=1)
            (count, _, h, w), both = x.shape, (0, 1)
            y = y.view(count, 2, 2, -1, h + 1, w + 1)
            rows = [torch.stack([y[:, r, c, :, r : r + h, c : c + w] for c in both], 4) for r in both]
            return torch.stack(rows, 3).reshape(count, -1, 2 * h, 2 * w)

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            wide, narrow = setup["widths"]
            epsilon = 1e-5 if fault == "the usual epsilon in all norms" else setup["epsilon"]
            self.map = (wide, height // 4, width // 4)
            self.fc = nn.Linear(setup["noise"], math.prod(self.map))
            self.norm0 = nn.BatchNorm2d(wide)
            self.conv1 = Doubling(wide, wide, 3, padding=1)
            self.norm1 = nn.BatchNorm2d(wide, epsilon)
            self.conv2 = Doubling(wide, narrow, 3, padding=1)
            self.norm2 = nn.BatchNorm2d(narrow, epsilon)
            self.conv3 = nn.Conv2d(narrow, channels, 3, padding=1)
            self.standard = nn.BatchNorm2d(channels, affine=False)

        def forward(self, noise):
            x = self.norm0(self.fc(noise).view(-1, *self.map))
            x = F.leaky_relu(self.norm1(self.conv1(x)), 0.2, inplace=True)
            x = F.leaky_relu(self.norm2(self.conv2(x)), 0.2, inplace=True)
            return self.standard(torch.tanh(self.conv3(x)))

    def filled(network, path):
        missing, unexpected = network.load_state_dict(load_file(path), strict=False)
        missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        if missing or unexpected:
            sys.exit(f"{path.stem}: kd's file lacks {missing} and has {unexpected} too many")
        return network

    def the_teacher(place):
        name = setup["teacher"]
        network = LeNet([6, 16, 120, 84]) if name == "lenet5" else Wide(*map(int, name.removeprefix("wrn-").split("-")))
        network = filled(network, place / "teacher.safetensors").eval()
        return network.requires_grad_(False)

    def normal(count):
        return torch.randn(count, setup["noise"])

    def generator_step():
        teacher = the_teacher(folder)
        generator = filled(Generator(), folder / "before.safetensors").train()
        betas = (0.5 if fault == "Adam with a first beta of 0.5" else 0.9, 0.999)
        optimizer = torch.optim.Adam(generator.parameters(), lr=setup["generator_lr"], betas=betas)
        remembered = {}
        remember_at = 0 if fault == "losses remembered at the first step" else 1

        def penalised(name, value, at):
            reference = remembered.get(name, 0.0)
            if at % EPOCH == remember_at:
                remembered[name] = value.detach()
            return value if fault == "no penalty" else torch.exp(value - reference)

        def step(at, noise=None):
            images = generator(normal(options.batch) if noise is None else noise)
            logits = teacher(images)
            beliefs = logits.softmax(1)
            one_hot = F.cross_entropy(logits, logits.argmax(1))
            mean = beliefs.mean(0)
            entropy = (mean * mean.log()).sum()

            def halves(of):
                return (of[0::2], of[1::2]) if fault == "neighbours in the place of halves" else of.chunk(2)

            first, second = halves(images)
            one, other = halves(logits if fault == "the diversity of logits" else beliefs)
            diversity = torch.norm(one - other) / torch.norm(first - second)
            terms = penalised("one_hot", one_hot, at), penalised("batch_entropy", entropy, at), diversity
            total = sum(terms)
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            optimizer.step()
            return {"one_hot": one_hot, "batch_entropy": entropy, "diversity": diversity, "total": total}

        return generator, step

    def student_step(published):
        student = LeNet([3, 8, 60, 42])
        if not published:
            filled(student, folder / "before.safetensors")
        optimizer = torch.optim.Adam(student.parameters(), lr=setup["student_lr"])
        t = setup["temperature"]
        squared = 1 if fault == "no temperature squared" else t * t

        def learn(images, soft):
            soft, own = F.softmax(soft / t, 1), F.log_softmax(student(images) / t, 1)
            total = F.kl_div(own, soft, reduction="batchmean") * squared
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            optimizer.step()
            return {"total": total}

        if published:
            teacher = the_teacher(options.run)
            generator = filled(Generator(), options.run / "generator.safetensors").eval()

            def step(_):
                with torch.no_grad():
                    images = generator(normal(options.batch))
                    soft = teacher(images)
                return learn(images, soft)

            return student, step

        bank = load_file(options.run / "bank.safetensors")
        pixels, logits = bank["images"], bank["logits"]
        low, high = bank["range"].float().view(2, 1, channels, 1, 1)
        scale, shift = (high - low) / 255, low
        if fault == "bytes in the place of normalised images":
            scale, shift = 1 / 255, 0.0

        def step(_, rows=None):
            if rows is None:
                rows = torch.randint(len(pixels), (options.batch,))
            return learn(pixels[rows].float() * scale + shift, logits[rows])

        return student, step

    def burn_gradient(name, tensor):
        """kd keeps moments in a row, under Burn's names and in its layout: a linear weight is [inputs, outputs]."""
        owner, field = name.rsplit(".", 1)
        if owner.startswith("norm"):
            field = {"weight": "gamma", "bias": "beta"}[field]
        flat = tensor.T if owner.startswith("fc") and field == "weight" else tensor
        return f"{owner}.{field}", flat.flatten()

    def check():
        """The largest differences from kd, each as a share of what it is measured by."""
        if options.work == "generator":
            network, step = generator_step()
            inputs = load_file(folder / "noise.safetensors")
            inputs = [inputs[str(at)] for at in range(len(inputs))]
        else:
            network, step = student_step(published=False)
            inputs = load_file(folder / "order.safetensors")["order"]
        # How many values each norm sees in a channel: PyTorch keeps the variance times n / (n - 1), Burn without.
        counts = {}
        for name, module in network.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                hook = lambda _, inputs, __, name=name: counts.update({name: inputs[0].numel() // inputs[0].shape[1]})
                module.register_forward_hook(hook)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        worst = dict.fromkeys(TOLERANCES, 0.0)

        def compare(what, found, expected, scale=None):
            share = float((found - expected).norm() / (expected.norm() if scale is None else scale))
            worst[what] = max(worst[what], share if math.isfinite(share) else math.inf)

        def compare_all(what, pairs):
            compare(what, *(torch.cat([tensor.double().flatten() for tensor in side]) for side in zip(*pairs)))

        # A bias that a norm takes out again changes nothing: its gradient is rounding, of which Adam makes whole steps.
        idle = ("conv1.bias", "conv2.bias") if options.work == "generator" else ()
        moments = {name.split(".", 1)[1]: value for name, value in load_file(folder / "moments.safetensors").items()}
        for at, kd in enumerate(setup["losses"]):
            ours = {name: value.detach().double() for name, value in step(at, inputs[at]).items()}
            for name, value in ours.items():
                for what in ["first losses", "losses"] if at == 0 else ["losses"]:
                    compare(what, torch.tensor(kd[name]).double(), value)
            if at == 0:
                pairs = []
                for name, parameter in network.named_parameters():
                    if name not in idle:
                        name, gradient = burn_gradient(name, parameter.grad)
                        pairs.append((moments[f"{name}#first"] / 0.1, gradient))
                compare_all("gradient", pairs)
        done = len(setup["losses"])
        after = load_file(folder / "after.safetensors")
        changes = []
        for name, ours in network.state_dict().items():
            layer, field = name.rsplit(".", 1)
            if field == "num_batches_tracked" or name in idle:
                continue
            kd, ours, old = (tensor.double().flatten() for tensor in (after[name], ours, before[name]))
            if field == "running_var":
                n, kept = counts[layer], 0.9**done * old
                compare("statistics", kd, kept + (ours - kept) * (n - 1) / n)
            elif field != "running_mean":
                changes.append((kd - old, ours - old))
            elif layer not in ("norm1", "norm2"):  # those follow the idle biases
                compare("statistics", kd, ours, (after[f"{layer}.running_var"].double().sqrt().norm()))
        compare_all("changes", changes)
        return {"steps": done, "worst": worst}

    def times():
        if options.work == "generator":
            _, step = generator_step()
        else:
            _, step = student_step(options.way == "published")
        milliseconds, spent = [], 0.0
        while len(milliseconds) < options.warm_up + options.steps:
            start = time.perf_counter()
            losses = step(len(milliseconds))
            seconds = time.perf_counter() - start
            milliseconds.append(seconds * 1e3)
            done = len(milliseconds) - options.warm_up
            spent += seconds if done > 0 else 0.0
            if done >= LEAST and spent >= options.seconds:
                break
        return {"step_ms": milliseconds[options.warm_up :], "last_loss": losses["total"].item()}

    def bank_parts():
        """What makes a block's images of noise and bytes of images, and what asks the teacher about bytes."""
        teacher = the_teacher(options.run)
        generator = filled(Generator(), options.run / "generator.safetensors").eval()
        standard = generator.standard
        deviation = (standard.running_var.double() + standard.eps).sqrt()
        low, high = ((end - standard.running_mean.double()) / deviation for end in (-1, 1))
        low, high = (end.float().view(1, channels, 1, 1) for end in (low, high))

        def to_bytes(noise):
            images = generator(noise)
            return ((images - low) / (high - low) * 255).clamp(0, 255).round().byte()

        def ask(pixels):
            return teacher(pixels.float() / 255 * (high - low) + low)

        return to_bytes, ask, torch.stack([low.flatten(), high.flatten()]).double()

    @torch.inference_mode()
    def check_bank():
        to_bytes, ask, ends = bank_parts()
        bank = load_file(options.run / "bank.safetensors")
        noise = load_file(options.run / "noise.safetensors")["noise"]
        rows = min(len(noise), len(bank["images"]))
        kd, said = bank["images"][:rows], bank["logits"][:rows]
        ours = torch.cat([to_bytes(block) for block in noise[:rows].split(BLOCK)])
        distance = (kd.int() - ours.int()).abs()
        found = ask(kd)
        if (distance > 1).any() or not torch.allclose(bank["range"], ends, rtol=1e-5):
            share = math.inf
        else:
            share = (distance > 0).double().mean().item()
        logits = ((found - said).norm() / said.norm()).item()
        return {"steps": rows, "worst": {"bytes": share, "logits": logits}}

    @torch.inference_mode()
    def make_bank():
        to_bytes, ask, ends = bank_parts()
        start = time.perf_counter()
        count = math.ceil(options.images / BLOCK) * BLOCK
        images = torch.empty(count, channels, height, width, dtype=torch.uint8)
        logits = torch.empty(count, setup["classes"])
        for first in range(0, count, BLOCK):
            block = slice(first, first + BLOCK)
            images[block] = to_bytes(normal(BLOCK))
            logits[block] = ask(images[block])
        made = time.perf_counter() - start
        path = options.run / "torch-bank.safetensors"
        save_file({"images": images, "logits": logits, "range": ends}, path)
        seconds = time.perf_counter() - start
        answer = {"seconds": seconds, "without_writing": made, "images": count, "bytes": path.stat().st_size}
        path.unlink()
        return answer

    torch.manual_seed(0)
    if options.work == "bank":
        answer = check_bank() if options.mode == "check" else make_bank()
    else:
        answer = check() if options.mode == "check" else times()
    answer.update(resting_kib=resting, peak_kib=memory("VmHWM"), torch=torch.__version__)
    print(json.dumps(answer))


# --- The comparison ------------------------------------------------------------------------------------------------------


class Bench:
    """What is measured, and what has come of it so far."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.kd = options.kd or build("datafree_case")
        self.checks, self.generator, self.bank, self.student, self.others = [], {}, {}, {}, []
        self.torch, self.faults = None, dict(FAULTS)

    def process(self, command):
        """A process that is measured."""
        options = self.options
        answer = run_watched(command, options.threads) if options.disturbed else run_quietly(command, options)
        self.others.append(answer["others"])
        self.torch = answer.get("torch", self.torch)
        if not math.isfinite(answer.get("last_loss", 0.0)):
            sys.exit(f"the loss is {answer['last_loss']} at the end; such a step is not what should be timed")
        return answer

    def steps(self):
        options = self.options
        return ["--warm-up", options.warm_up, "--steps", options.steps, "--seconds", options.seconds]

    def child(self, work, place, batch, *more):
        command = [sys.executable, HERE, "--child", place, "--work", work, "--threads", self.options.threads]
        return [*command, "--batch", batch, *more]

    def case_folder(self, case):
        """A run whose generator is done, and whose bank is to be made."""
        place = self.folder / case / "run"
        if not place.exists():
            run([self.kd, "prepare", "--case", case, "--run", place], self.options.threads)
        return place

    def check(self, work, case, batch, command, tolerances):
        def beyond(checked):
            return [what for what, worst in checked["worst"].items() if worst > tolerances[what]]

        checked = run([*command, "--mode", "check"], self.options.threads)
        shares = ", ".join(f"{what} {worst:.1e}" for what, worst in checked["worst"].items())
        name = f"{work}, {case}" + (f", batch {batch}" if batch else "")
        print(f"{name}: differences: {shares}", flush=True)
        if beyond(checked):
            sys.exit(f"{name}: beyond the tolerance: {', '.join(beyond(checked))}; nothing was timed")
        # The mistakes have to be seen once, in the first case.
        faults = [] if self.options.quick else self.faults.pop(work, [])
        for fault in faults:
            seen = beyond(run([*command, "--mode", "check", "--fault", fault], self.options.threads))
            if not seen:
                sys.exit(f"{name}: the check does not see a fault made on purpose: {fault}")
            print(f"{name}: the check sees {fault}: {', '.join(seen)}", flush=True)
        self.torch = checked["torch"]
        self.checks.append((name, checked))

    def times(self, name, sides, commands):
        result = {side: [] for side in sides}
        for _ in range(self.options.rounds):
            for side in sides:
                result[side].append(self.process(commands[side]))
        words = ", ".join(f"{sides[side][2]} {median_ms(result[side]):.1f} ms" for side in sides)
        print(f"{name}: {words}", flush=True)
        return result

    def measure_generator(self, case, batch):
        place = self.folder / case / f"generator-{batch}"
        place.mkdir(parents=True)
        kd = [self.kd, "generator", "--case", case, "--batch", batch]
        run([*kd, "--write", place, "--steps", self.options.check_steps], self.options.threads)
        self.check("generator", case, batch, self.child("generator", place, batch, "--way", "plain"), TOLERANCES)
        self.check("generator, PyTorch folded", case, batch, self.child("generator", place, batch, "--way", "folded"), TOLERANCES)
        plain = self.folder / case / f"generator-{batch}-plain"
        plain.mkdir()
        run([*kd, "--plain", "--write", plain, "--steps", self.options.check_steps], self.options.threads)
        self.check("generator, kd plain", case, batch, self.child("generator", plain, batch, "--way", "plain"), TOLERANCES)
        if self.options.check_only:
            return
        commands = {
            side: [*kd, *more, *self.steps()]
            if process == "kd"
            else self.child("generator", place, batch, *more, *self.steps())
            for side, (process, more, _) in GENERATOR_SIDES.items()
        }
        self.generator[case, batch] = self.times(f"generator, {case}, batch {batch}", GENERATOR_SIDES, commands)
        shutil.rmtree(place)
        shutil.rmtree(plain)
        self.write()

    def measure_bank(self, case):
        options, place = self.options, self.case_folder(case)
        commands = {
            "kd": [self.kd, "bank", "--case", case, "--run", place, "--images", options.images],
            "torch": self.child("bank", place, BLOCK, "--run", place, "--images", options.images),
        }
        # A short one first, so that nothing long is made in vain.
        run([*commands["kd"][:-1], 2 * BLOCK], options.threads)
        self.check("bank", case, None, commands["torch"], BANK_TOLERANCES)
        if options.check_only:
            return
        result = {side: [] for side in commands}
        for _ in range(options.bank_rounds):
            for side, command in commands.items():
                result[side].append(self.process(command))
        words = ", ".join(f"{side} {middle(answers, 'seconds'):.1f} s" for side, answers in result.items())
        print(f"bank, {case}: {words}", flush=True)
        self.bank[case] = result
        self.write()

    def measure_student(self, case, batch):
        options, run_folder = self.options, self.case_folder(case)
        # It may be one of a few images, of the check of a bank.
        wanted = math.ceil(options.images / BLOCK) * BLOCK
        made = run_folder / "bank.safetensors"
        if not made.exists() or made.stat().st_size < wanted * 1024:
            images = ["--images", options.images]
            run([self.kd, "bank", "--case", case, "--run", run_folder, *images], options.threads)
        place = self.folder / case / f"student-{batch}"
        place.mkdir(parents=True)
        kd = [self.kd, "student", "--case", case, "--run", run_folder, "--batch", batch]
        run([*kd, "--write", place, "--steps", options.check_steps], options.threads)
        torch_side = self.child("student", place, batch, "--run", run_folder)
        self.check("student", case, batch, torch_side, TOLERANCES)
        if options.check_only:
            return
        commands = {
            side: [*(kd if process == "kd" else torch_side), *more, *self.steps()]
            for side, (process, more, _) in STUDENT_SIDES.items()
        }
        self.student[case, batch] = self.times(f"student, {case}, batch {batch}", STUDENT_SIDES, commands)
        shutil.rmtree(place)
        self.write()

    def write(self):
        out = self.options.out
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(report(self))


def median_ms(answers):
    return statistics.median(step for answer in answers for step in answer["step_ms"])


def middle(answers, field):
    return statistics.median(answer[field] for answer in answers)


def spread(answers, digits=1):
    """The median, and the lowest and the highest median of a process."""
    medians = [statistics.median(answer["step_ms"]) for answer in answers]
    return f"{median_ms(answers):.{digits}f} ({min(medians):.{digits}f} to {max(medians):.{digits}f})"


def mib(answers):
    peak, resting = (max(answer[field] for answer in answers) / 1024 for field in ("peak_kib", "resting_kib"))
    return f"{peak:.0f} ({resting:.0f})"


def peak(answers):
    return max(answer["peak_kib"] for answer in answers)


def memory_table(measured, sides):
    names = [name for _, _, name in sides.values()]
    lines = ["| case | batch | " + " | ".join(names) + " |", "|---|---:|" + "---:|" * len(names)]
    for (case, batch), result in measured.items():
        lines.append(f"| `{case}` | {batch} | " + " | ".join(mib(result[side]) for side in sides) + " |")
    return lines


def report(bench):
    options = bench.options
    others = bench.others or [0.0]
    lines = [
        "# Data-free distillation: kd and PyTorch on a CPU",
        "",
        f"- date: {datetime.date.today()}",
        f"- machine: {machine()}",
        f"- versions: {versions(bench.torch)}",
        f"- threads: {options.threads} on each side (`RAYON_NUM_THREADS`, `torch.set_num_threads`)",
        "- build: release, the allocator and Burn's features as in the command",
        f"- command: `{command_line('datafree.py')}`",
        quiet_words(others, options),
        "",
        f"{options.rounds} processes a side, in turn, each {options.warm_up} steps of warm-up and as many timed ones as fit into"
        f" {options.seconds:g} s, {LEAST} to {options.steps}.",
        "Cases: " + "; ".join(f"`{case}`, {about}" for case, about in CASES.items() if case in options.cases) + ".",
        "",
        "## Both compute the same",
        "",
        f"The difference after {options.check_steps} steps from the same weights, as a share: the worst term of the loss at the first step, and"
        " at any;",
        "the gradient of the first step, where the rounding of a single input of a ReLU or a pooling shows; how all weights changed, where",
        "Adam makes a whole step of a gradient that is nearly rounding, so that later losses differ too; the worst norm's running",
        "statistics. Of the bank: bytes that differ, by one level, and the logits of the first 256 images.",
    ]
    if not options.quick:
        faults = ", ".join(fault for all_faults in FAULTS.values() for fault in all_faults)
        lines.append(f"The check was seen to refuse each of these mistakes, made on purpose: {faults}.")
    lines += ["", "| what | " + " | ".join(TOLERANCES) + " |", "|---|" + "---:|" * len(TOLERANCES)]
    for name, checked in bench.checks:
        if not name.startswith("bank"):
            shares = [f"{checked['worst'][what]:.1e}" if checked["worst"][what] else "none" for what in TOLERANCES]
            lines.append(f"| {name} | {' | '.join(shares)} |")
    lines.append("| allowed | " + " | ".join(f"{value:g}" for value in TOLERANCES.values()) + " |")
    if banks := [(name, checked) for name, checked in bench.checks if name.startswith("bank")]:
        lines += ["", "| what | " + " | ".join(BANK_TOLERANCES) + " |", "|---|" + "---:|" * len(BANK_TOLERANCES)]
        for name, checked in banks:
            lines.append(f"| {name} | " + " | ".join(f"{checked['worst'][what]:.1e}" for what in BANK_TOLERANCES) + " |")
        lines.append("| allowed | " + " | ".join(f"{value:g}" for value in BANK_TOLERANCES.values()) + " |")
    if bench.generator:
        lines += [
            "",
            "## A step of the generator",
            "",
            "Median of all timed steps, in milliseconds; in brackets the lowest and the highest median of a process. `plain` doubles the"
            " map and",
            "convolves it, `folded` does both as one, which is kd's default. In kd the plain way is Burn's convolution, the folded one kd's"
            " own.",
            "",
            "| case | batch | kd, plain | kd, folded | PyTorch, plain | PyTorch, folded |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        for (case, batch), result in bench.generator.items():
            digits = 0 if max(median_ms(answers) for answers in result.values()) >= 1000 else 1
            cells = " | ".join(spread(result[side], digits) for side in GENERATOR_SIDES)
            lines.append(f"| `{case}` | {batch} | {cells} |")
        lines += [
            "",
            "The fold's gain is plain over folded of one side; the last columns are kd's time over PyTorch's.",
            "",
            "| case | batch | the fold's gain in kd | in PyTorch | plain / plain | folded / folded | kd, folded / PyTorch, plain |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        for (case, batch), result in bench.generator.items():
            ms = {side: median_ms(answers) for side, answers in result.items()}
            gains = [ms["kd_plain"] / ms["kd_folded"], ms["torch_plain"] / ms["torch_folded"]]
            ratios = [ms["kd_plain"] / ms["torch_plain"], ms["kd_folded"] / ms["torch_folded"]]
            cells = " | ".join(f"{value:.2f}" for value in gains + ratios)
            lines.append(f"| `{case}` | {batch} | {cells} | **{ms['kd_folded'] / ms['torch_plain']:.2f}** |")
        lines += [
            "",
            "Peak memory of the process in MiB; in brackets what it held before it made a network (for PyTorch: after its imports).",
            "",
            *memory_table(bench.generator, GENERATOR_SIDES),
        ]
    if bench.bank:
        lines += [
            "",
            "## A bank",
            "",
            f"Seconds from the first image to the file, medians of {options.bank_rounds} processes; size of the file in MiB; peak memory as"
            " above.",
            "",
            "| case | images | kd, seconds | PyTorch, seconds | kd / PyTorch | file | kd, memory | PyTorch, memory |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for case, result in bench.bank.items():
            kd, torch = (middle(result[side], "seconds") for side in ("kd", "torch"))
            first = result["kd"][0]
            lines.append(
                f"| `{case}` | {first['images']} | {kd:.1f} | {torch:.1f} | **{kd / torch:.2f}** | {first['bytes'] / 2**20:.1f}"
                f" | {mib(result['kd'])} | {mib(result['torch'])} |"
            )
    if bench.student:
        lines += [
            "",
            "## A step of the student",
            "",
            "Median of all timed steps, in milliseconds, as above. `as published`: generator and teacher run in the step, without gradients;",
            "what PyTorch saves by a bank is the step as published over the step from the bank.",
            "",
            "| case | batch | kd, bank | PyTorch, bank | PyTorch, as published | kd / PyTorch | kd / as published | saved in PyTorch |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for (case, batch), result in bench.student.items():
            ms = {side: median_ms(answers) for side, answers in result.items()}
            cells = " | ".join(spread(result[side]) for side in STUDENT_SIDES)
            lines.append(
                f"| `{case}` | {batch} | {cells} | **{ms['kd'] / ms['torch']:.2f}** | **{ms['kd'] / ms['published']:.2f}**"
                f" | {ms['published'] / ms['torch']:.1f} |"
            )
        lines += ["", "Peak memory, as above; with a bank it is that of a process that holds all images.", ""]
        lines += memory_table(bench.student, STUDENT_SIDES)
        epochs, images, batch = PHASE
        steps = epochs * (images // batch)
        rows = []
        for case, result in bench.bank.items():
            if (case, batch) in bench.student and not options.quick:
                ms = {side: median_ms(answers) for side, answers in bench.student[case, batch].items()}
                kd = middle(result["kd"], "seconds") * images / result["kd"][0]["images"] + ms["kd"] * steps / 1e3
                torch = ms["published"] * steps / 1e3
                rows.append(f"| `{case}` | {kd:.0f} | {torch:.0f} | **{kd / torch:.2f}** |")
        if rows:
            lines += [
                "",
                f"A student phase of {epochs} epochs of {images:,} images in batches of {batch}, {steps:,} steps, from these medians, in seconds;"
                " kd's bank is",
                "counted in.",
                "",
                "| case | kd | PyTorch, as published | kd / PyTorch |",
                "|---|---:|---:|---:|",
                *rows,
            ]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=WORKS, default=WORKS, help="what is measured (all)")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--batches", nargs="+", type=int, default=[128, 512], help="of the steps (128 512); colour only the first")
    parser.add_argument("--images", type=int, default=50_000, help="of a bank (50000)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--check-steps", type=int, default=3, help="steps after which both must agree (3)")
    parser.add_argument("--warm-up", type=int, default=2, help="steps of each process that are not timed (2)")
    parser.add_argument("--steps", type=int, default=60, help="timed steps of each process, at most (60)")
    parser.add_argument("--seconds", type=float, default=8.0, help="after which a process ends, when it has done three (8)")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side (3)")
    parser.add_argument("--bank-rounds", type=int, default=1, help="banks of each side (1)")
    parser.add_argument("--attempts", type=int, default=5, help="how often a disturbed process is run in all (5)")
    add_priority(parser)
    parser.add_argument("--disturbed", action="store_true", help="take the machine as it is: wait for nothing, do nothing again")
    parser.add_argument("--quick", action="store_true", help="one short round of the narrow case and a small bank, no faults")
    parser.add_argument("--check-only", action="store_true", help="compare the numbers and time nothing")
    parser.add_argument("--kd", type=pathlib.Path, help="kd's side, a binary that is there; otherwise it is built")
    parser.add_argument("--out", type=pathlib.Path, help="where the table goes (benches/results/DATE-cpu-datafree.md)")
    parser.add_argument("--child", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", choices=WORKS, help=argparse.SUPPRESS)
    parser.add_argument("--mode", choices=["check", "time"], default="time", help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--run", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--fault", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options)
    if options.quick:
        options.cases, options.batches = options.cases[:1], options.batches[:1]
        options.rounds, options.steps, options.seconds, options.images = 1, 5, 2.0, 20 * BLOCK
    if min(options.rounds, options.bank_rounds, options.check_steps, options.images, *options.batches) < 1:
        parser.error("rounds, steps, images and batches must be 1 or more")
    if options.check_steps < 3:
        parser.error("the penalties remember at the second step, so that it takes 3 to see them")
    options.kd = options.kd and options.kd.resolve()
    options.out = options.out or ROOT / "benches/results" / f"{datetime.date.today()}-cpu-datafree.md"
    gray = [case for case in options.cases if case != "narrow_rgb"]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, pathlib.Path(folder))
        if "generator" in options.only:
            for case in options.cases:
                for batch in options.batches if case in gray else options.batches[:1]:
                    bench.measure_generator(case, batch)
        for case in gray:
            if "bank" in options.only:
                bench.measure_bank(case)
            if "student" in options.only:
                for batch in options.batches:
                    bench.measure_student(case, batch)
    if not options.check_only:
        print(f"written to {options.out}")
    return None


if __name__ == "__main__":
    main()
