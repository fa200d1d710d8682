"""A whole run of stagewise distillation in kd and in PyTorch: seconds by stage, side by side.

    python3 benches/pytorch/stagewise.py --data DIR                (PyTorch 2.15, numpy; Linux): PyTorch alone
    python3 benches/pytorch/stagewise.py --data DIR --kd EXAMPLE   kd and PyTorch in turn, and a table

DIR holds CIFAR-10 in its binary form (`data_batch_1.bin` and so on) or Fashion-MNIST (`train-images-idx3-ubyte`, packed or not),
or has a folder `cifar-10-batches-bin` or `fashion-mnist` that does. Images of 28x28 get a border of two zeros on each side.

What runs: a ResNet with a stem of a 7x7 convolution of stride 2 and a max pool, four layers of basic blocks of widths 16, 32, 64,
128, the maximum and the mean of each channel, and two linear layers; 3, 4, 6, 3 blocks in the teacher, one in each layer of the
student. In turn the stem and the layers of the student learn the teacher's map at the same place by mean squared error, then the
head learns the labels by cross-entropy; each for `--epochs` epochs of batches of 64, with an Adam of its own of rate 1e-4.
Nothing is augmented or validated. Seconds do not depend on what the teacher knows, and so its weights are random; its running
statistics are those of the data.

PyTorch does it plainly, as the method's authors do: in every feature stage each batch passes the whole teacher (evaluation mode,
without gradients) and the whole student (training mode), a hook takes both maps, and only the parameters of the stage's block
have gradients. `early exit` stops both networks after the stage's place, which changes no weight that the stage trains. The run
without a teacher is that student with cross-entropy alone, for the epochs of a single stage. PyTorch runs as it comes: eager,
float32, no `torch.compile`.

kd's side is a binary that is called with `--images N --epochs E --data DIR --json` and prints one JSON object,

    {"cached": {"total": s, "stages": {"stem": s, "layer1": s, ..., "head": s}, "preparation": s},
     "uncached": {...}, "no_teacher": {"total": s}}

in seconds; `"input": [channels, height, width]` and `"batches"` (of an epoch), if it prints them, must be those of this script.
A whole run counts as `total`, or as its stages and its preparation (what is computed before the first step) together if that is
more. Both sides take turns in processes of their own, `--rounds` times, and medians count; a process during which others kept
more than a tenth of a core busy is done again, up to `--attempts` times.
"""

import argparse
import datetime
import gzip
import json
import math
import pathlib
import statistics
import sys
import time

from distill_step import ROOT, add_priority, command_line, machine, quiet_words, run_quietly, versions

HERE = pathlib.Path(__file__).resolve()
BATCH = 64
WIDTHS, STRIDES = [16, 32, 64, 128], [1, 2, 2, 2]
BLOCKS = {"student": [1, 1, 1, 1], "teacher": [3, 4, 6, 3]}
STAGES = ["stem", "layer1", "layer2", "layer3", "layer4", "head"]
# Batches that the teacher's running statistics are of.
TEACHER_BATCHES = 40
# Who runs all stages: the process, the key of its answer, and the name in the table.
SIDES = [
    ("torch", "plain", "PyTorch, as the authors do it"),
    ("torch", "early_exit", "PyTorch, early exit"),
    ("kd", "uncached", "kd, uncached"),
    ("kd", "cached", "kd, cached"),
]
# Mean and standard deviation of pixels in [0, 1].
NORMALISATION = {3: ([0.491, 0.482, 0.447], [0.247, 0.243, 0.261]), 1: ([0.286], [0.353])}


# --- PyTorch's side, in a process of its own ---------------------------------------------------------------------------


def read_images(folder, count):
    """The first training images [N, C, 32, 32] and their labels, as bytes."""
    import numpy as np

    def places(inner):
        return [place for place in (folder, folder / inner) if place.is_dir()]

    def unpacked(place, name):
        for path in (place / name, place / f"{name}.gz"):
            if path.exists():
                data = path.read_bytes()
                return gzip.decompress(data) if path.suffix == ".gz" else data
        return None

    for place in places("cifar-10-batches-bin"):
        files = [unpacked(place, f"data_batch_{at}.bin") for at in range(1, 6)]
        if rows := [np.frombuffer(data, np.uint8).reshape(-1, 1 + 3 * 32 * 32) for data in files if data]:
            rows = np.concatenate(rows)
            images, labels = rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]
            break
    else:
        for place in places("fashion-mnist"):
            pixels, classes = (unpacked(place, f"train-{what}-ubyte") for what in ("images-idx3", "labels-idx1"))
            if pixels and classes:
                height, width = (int.from_bytes(pixels[at : at + 4], "big") for at in (8, 12))
                images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 1, height, width)
                border = [(32 - size) // 2 for size in (height, width)]
                images = np.pad(images, [(0, 0), (0, 0), *((size, size) for size in border)])
                labels = np.frombuffer(classes, np.uint8, offset=8)
                break
        else:
            sys.exit(f"neither CIFAR-10 nor Fashion-MNIST is in {folder}")
    if len(images) < count:
        sys.exit(f"{count} images are asked for, but there are only {len(images)}")
    return images[:count], labels[:count].astype(np.int64)


def child(options):
    import torch
    import torch.nn.functional as F
    from torch import nn

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

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

    class ResNet(nn.Module):
        def __init__(self, blocks, channels):
            super().__init__()
            self.stem = nn.Sequential(
                nn.Conv2d(channels, WIDTHS[0], 7, 2, 3, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()
            )
            self.pool = nn.MaxPool2d(3, 2, 1)
            before = WIDTHS[0]
            for at, (width, stride, count) in enumerate(zip(WIDTHS, STRIDES, blocks), 1):
                first = Block(before, width, stride)
                setattr(self, f"layer{at}", nn.Sequential(first, *[Block(width, width, 1) for _ in range(count - 1)]))
                before = width
            self.head = nn.Sequential(nn.Linear(2 * before, before // 2), nn.ReLU(), nn.Linear(before // 2, 10))
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

        def forward(self, x, last="head"):
            """The logits, or nothing but the hooks' calls if `last` is the name of a layer."""
            x = self.stem(x)
            if last == "stem":
                return None
            x = self.pool(x)
            for name in STAGES[1:5]:
                x = getattr(self, name)(x)
                if last == name:
                    return None
            pooled = torch.cat([F.adaptive_max_pool2d(x, 1), F.adaptive_avg_pool2d(x, 1)], 1).flatten(1)
            return self.head(pooled)

    images, labels = map(torch.tensor, read_images(options.data, options.images))
    channels = images.shape[1]
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in NORMALISATION[channels])
    teacher = ResNet(BLOCKS["teacher"], channels).train()
    shuffles = torch.Generator()

    def batches():
        """One epoch in a new order, without the last batch if it is smaller."""
        order = torch.randperm(len(images), generator=shuffles)
        for start in range(0, len(images) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            yield (images[rows].float().div_(255) - mean) / std, labels[rows]

    def fresh_student():
        """One that is the same in every run, and the same order of batches from here on."""
        torch.manual_seed(1)
        shuffles.manual_seed(2)
        return ResNet(BLOCKS["student"], channels).train()

    def train(student, parameters, loss):
        """The mean loss of the last epoch."""
        for parameter in student.parameters():
            parameter.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
        optimizer = torch.optim.Adam(parameters, lr=1e-4)
        for _ in range(options.epochs):
            losses = []
            for pixels, targets in batches():
                value = loss(pixels, targets)
                optimizer.zero_grad(set_to_none=True)
                value.backward()
                optimizer.step()
                losses.append(value.item())
        return statistics.fmean(losses)

    def stagewise(early_exit):
        student = fresh_student()
        seconds, losses = {}, {}
        start = time.perf_counter()
        for stage in STAGES:
            stage_start = time.perf_counter()
            maps, hooks = {}, []

            def feature_loss(pixels, _):
                last = stage if early_exit else "head"
                with torch.no_grad():
                    teacher(pixels, last)
                student(pixels, last)
                return F.mse_loss(maps["student"], maps["teacher"])

            if stage != "head":
                for role, network in (("teacher", teacher), ("student", student)):
                    keep = lambda _, __, output, role=role: maps.update({role: output})
                    hooks.append(getattr(network, stage).register_forward_hook(keep))
            task_loss = lambda pixels, targets: F.cross_entropy(student(pixels), targets)
            parameters = list(getattr(student, stage).parameters())
            losses[stage] = train(student, parameters, task_loss if stage == "head" else feature_loss)
            for hook in hooks:
                hook.remove()
            seconds[stage] = time.perf_counter() - stage_start
        return {"total": time.perf_counter() - start, "stages": seconds, "losses": losses}

    def no_teacher():
        student = fresh_student()
        task_loss = lambda pixels, targets: F.cross_entropy(student(pixels), targets)
        start = time.perf_counter()
        loss = train(student, list(student.parameters()), task_loss)
        return {"total": time.perf_counter() - start, "losses": {"task": loss}}

    # The teacher's statistics, and a batch of training, because PyTorch imports a good part of itself at the first step of Adam.
    with torch.no_grad():
        for _ in range(TEACHER_BATCHES):
            teacher(next(batches())[0])
    teacher.eval()
    student = fresh_student()
    pixels, targets = next(batches())
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-4)
    F.cross_entropy(student(pixels), targets).backward()
    optimizer.step()

    answer = {"plain": stagewise(False), "early_exit": stagewise(True), "no_teacher": no_teacher()}
    for way, run in answer.items():
        for stage, loss in run["losses"].items():
            if not math.isfinite(loss):
                sys.exit(f"{way}: the loss of {stage} is {loss}; such a run is not what should be timed")
    for stage, loss in answer["plain"]["losses"].items():
        if abs(answer["early_exit"]["losses"][stage] - loss) > 1e-3 * loss:
            sys.exit(f"{stage}: the loss with early exit is {answer['early_exit']['losses'][stage]}, without {loss}")
    answer |= {"input": list(images.shape[1:]), "batches": options.images // BATCH, "torch": torch.__version__}
    print(json.dumps(answer))


# --- The comparison ------------------------------------------------------------------------------------------------------


def whole(run):
    return max(run["total"], sum(run["stages"].values()) + run.get("preparation", 0.0))


def rejected(answer, expected):
    """What is wrong with kd's answer, or nothing."""
    for key in ("input", "batches"):
        if key in answer and answer[key] != expected[key]:
            return f"its {key} is {answer[key]}, and PyTorch's {expected[key]}"
    for way in ("cached", "uncached"):
        if list(answer[way]["stages"]) != STAGES:
            return f"the stages of `{way}` are {', '.join(answer[way]['stages'])}"
    return None


def measure(options):
    """The answers of all processes of each side."""
    inputs = ["--images", options.images, "--epochs", options.epochs, "--data", options.data]
    commands = {"torch": [sys.executable, HERE, "--child", "--threads", options.threads, *inputs]}
    if options.kd:
        commands = {"kd": [options.kd, *inputs, "--json"], **commands}
    answers = {side: [] for side in commands}
    for at in range(options.rounds):
        for side, command in commands.items():
            answers[side].append(run_quietly(command, options))
            ways = [way for process, way, _ in SIDES if process == side]
            totals = ", ".join(f"{way} {whole(answers[side][-1][way]):.1f} s" for way in ways)
            totals += f", no teacher {answers[side][-1]['no_teacher']['total']:.1f} s"
            print(f"round {at + 1}, {side}: {totals}", flush=True)
        if options.kd and (wrong := rejected(answers["kd"][-1], answers["torch"][-1])):
            sys.exit(f"kd's run is another one: {wrong}")
    return answers


def summarise(answers):
    """The medians over the processes, by side and way."""
    table = {}
    for side, way, name in SIDES:
        if side in answers:
            runs = [answer[way] for answer in answers[side]]
            wholes = [whole(run) for run in runs]
            table[side, way] = {
                "name": name,
                "whole": statistics.median(wholes),
                "spread": (min(wholes), max(wholes)),
                "preparation": statistics.median(run.get("preparation", 0.0) for run in runs),
                "stages": {stage: statistics.median(run["stages"][stage] for run in runs) for stage in STAGES},
            }
    alone = {side: statistics.median(a["no_teacher"]["total"] for a in answers[side]) for side in answers}
    return table, alone


def seconds(value):
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def tables(answers):
    """All numbers in Markdown."""
    table, alone = summarise(answers)
    plain = table["torch", "plain"]
    lines = [
        "## A whole run",
        "",
        "Seconds of all six stages with what is prepared before them; in brackets the fastest and the slowest process. The run",
        "without a teacher is the same side's, with the epochs of one stage.",
        "",
        "| | seconds | share of PyTorch's | of one run without a teacher |",
        "|---|---:|---:|---:|",
    ]
    for (side, _), row in table.items():
        low, high = map(seconds, row["spread"])
        share, times = row["whole"] / plain["whole"], row["whole"] / alone[side]
        lines.append(f"| {row['name']} | {seconds(row['whole'])} ({low} to {high}) | **{share:.2f}** | {times:.1f} |")
    for side, name in (("torch", "PyTorch, no teacher"), ("kd", "kd, no teacher")):
        if side in alone:
            lines.append(f"| {name} | {seconds(alone[side])} | {alone[side] / alone['torch']:.2f} of PyTorch's own | |")
    lines += [
        "",
        "## By stage",
        "",
        "Seconds; in brackets the share of what PyTorch takes as the authors do it.",
        "",
        "| | preparation | " + " | ".join(STAGES) + " |",
        "|---|---:|" + "---:|" * len(STAGES),
    ]
    for row in table.values():
        cells = [f"{seconds(s)} ({s / plain['stages'][stage]:.2f})" for stage, s in row["stages"].items()]
        preparation = seconds(row["preparation"]) if row["preparation"] else "none"
        lines.append(f"| {row['name']} | {preparation} | {' | '.join(cells)} |")
    return lines


def report(answers, options):
    others = [answer["others"] for side in answers.values() for answer in side]
    last = answers["torch"][-1]
    channels, height, width = last["input"]
    profile = {
        "debug": "cargo's dev profile (dependencies at opt-level 3, kd's crates at 2)",
        "release": "cargo's release profile",
    }
    build = [words for folder, words in profile.items() if folder in options.kd.parts] or ["not known"]
    lines = [
        "# Stagewise distillation: kd and PyTorch on a CPU",
        "",
        f"- date: {datetime.date.today()}",
        f"- machine: {machine()}",
        f"- versions: {versions(last['torch'])}",
        f"- threads: {options.threads} on each side (`RAYON_NUM_THREADS`, `torch.set_num_threads`)",
        f"- build: {build[0]}",
        f"- command: `{command_line('stagewise.py')}`",
        quiet_words(others, options),
        "",
        f"{options.images} training images of {channels}x{height}x{width}, six stages of {options.epochs} epochs each,"
        f" {last['batches']} batches of {BATCH} an epoch. Widths",
        "16, 32, 64, 128; 3, 4, 6, 3 blocks in the teacher, 1, 1, 1, 1 in the student. Adam at 1e-4, no augmentation, no",
        f"validation. Medians of {options.rounds} processes a side, in turn.",
        "",
        *tables(answers),
    ]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="the folder of CIFAR-10 or Fashion-MNIST")
    parser.add_argument("--kd", type=pathlib.Path, help="kd's side, a binary; without it only PyTorch runs, and nothing is written")
    parser.add_argument("--images", type=int, default=5000, help="training images (5000)")
    parser.add_argument("--epochs", type=int, default=2, help="of each stage (2)")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side (3)")
    parser.add_argument("--threads", type=int, default=2, help="on each side (2)")
    parser.add_argument("--attempts", type=int, default=3, help="at a process that others disturb (3)")
    add_priority(parser)
    parser.add_argument("--out", type=pathlib.Path, help="where the table goes (benches/results/DATE-cpu-stagewise.md)")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.images < BATCH or min(options.epochs, options.rounds) < 1:
        parser.error(f"it takes {BATCH} images, an epoch and a round at least")
    if options.child:
        return child(options)
    if options.kd:
        options.kd = options.kd.resolve()
    answers = measure(options)
    if not options.kd:
        print("\n".join(tables(answers)))
        return None
    out = options.out or ROOT / "benches/results" / f"{datetime.date.today()}-cpu-stagewise.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(report(answers, options))
    print(f"written to {out}")


if __name__ == "__main__":
    main()
