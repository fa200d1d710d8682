#!/usr/bin/env python3
"""Injected errors and kills: after a resume every file of a run must be that of an undisturbed one.

    scripts/faults.py inject [--kd PATH] [--method train,stagewise,data-free] [--mode error,full,kill] [--every K] [--work DIR]
    scripts/faults.py random [--kd PATH] [--method ...] [--kills N] [--seed S]

`inject` runs a small run once under strace, counts its system calls that write, rename, unlink, sync, truncate and make
folders, by name, and then runs it once for each of them (each K-th with `--every K`) with strace's fault injection at it:
`error` has that one call fail (EIO; ENOSPC for writes), `full` has it and all later ones of its name fail, and `kill` ends the
process with SIGKILL on entering it. The run is then gone on with, `kd resume` or the same command again where nothing was begun,
until it is done. `random` ends runs with SIGKILL at random moments, drawn from a seed, and goes on with each until it is done.

Compared are all files of the run folder: tensors byte for byte, texts without times, paths and the machine's memory. A failure is
what is left over (`.writing-*`, checkpoints that nothing names, temporary files), a run that says it is done and is not whole, an
error without words, and a panic. With `--work` each trial is noted in `DIR/trials.jsonl`, and the same command later tries only
what is not noted yet. Needs strace and Python 3.9.
"""

import argparse
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

CALLS = """write pwrite64 writev pwritev rename renameat renameat2 link linkat symlink symlinkat unlink unlinkat rmdir
fsync fdatasync sync_file_range syncfs truncate ftruncate fallocate copy_file_range sendfile mkdir mkdirat""".split()
MODES = ["error", "full", "kill"]


def injection(call, mode, number):
    """What strace is to do at a call: its first failing, all failing from then on, or the end of the process."""
    if mode == "kill":
        return f"inject={call}:signal=KILL:when={number}"
    error = "ENOSPC" if "write" in call or mode == "full" else "EIO"
    return f"inject={call}:error={error}:when={number}{'+' if mode == 'full' else ''}"


DATA = """
[data]
name = "fashion-mnist-mini"
per_class = 4
held_out = 0.01
"""
TRAIN = """
[train]
epochs = 2
batch_size = 20
checkpoint_every = 1
lr = 0.01
"""
RECIPES = {
    "train": f"""
method = "train"
device = "cpu"
{DATA}
[network]
name = "lenet5-half"
{TRAIN}""",
    "stagewise": f"""
method = "stagewise"
device = "cpu"
{DATA}
[split]
validation = 0.25
[student]
name = "resnet8"
[teacher]
model = "teacher"
[train]
epochs = 1
batch_size = 20
""",
    "data-free": f"""
method = "data-free"
device = "cpu"
[teacher]
model = "teacher"
[student]
name = "lenet5-half"
[synthesis]
synthetic = {{ kind = "generator", generator = {{ noise = 5, widths = [6, 4] }} }}
generator_training = {{ steps = 3, batch_size = 16, checkpoint_every = 1 }}
bank = {{ images = 128 }}
[train]
steps = 3
batch_size = 64
checkpoint_every = 1
""",
}
TEACHER = {"stagewise": "resnet8", "data-free": "lenet5"}

# Times and places, which no two runs share. Hashes of texts with times in them follow them.
CLOCK = [
    (re.compile(rb'"seconds": ?[0-9.e+-]+'), b'"seconds": 0'),
    (re.compile(rb'"peak_memory_bytes": ?[0-9]+'), b'"peak_memory_bytes": 0'),
    (re.compile(rb'"(seal|metrics_sha256)": "[0-9a-f]+"'), b'"hash": ""'),
    (re.compile(rb"\b[0-9.,]+ ?(s|ms|us|min|h|MiB|GiB|MB|GB)\b"), b"TIME"),
    (re.compile(rb"\b[0-9,.]+ (images|samples|steps)? ?(a|per) second"), b"RATE"),
    (re.compile(rb"\| (seconds of work|peak memory of the process) *\|[^|\n]*\|"), b"| |"),
    (re.compile(rb">(seconds of work|peak memory of the process)</th><td[^>]*>[^<]*<"), b"><"),
    (re.compile(rb'"metrics_bytes": [0-9]+'), b'"metrics_bytes": 0'),
]


def normalised(path, folder):
    data = path.read_bytes()
    if path.suffix in {".json", ".jsonl", ".md", ".toml", ".html", ".txt"}:
        data = data.replace(str(folder).encode(), b"RUN")
        for pattern, by in CLOCK:
            data = pattern.sub(by, data)
        # A bar of times, or a table that is as wide as its numbers.
        data = re.sub(rb"[ -]+", b" ", data)
    return data


def files(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        inside = str(path.relative_to(folder))
        # TensorBoard's events hold the time of day; the lock holds nothing.
        if path.is_file() and "tfevents" not in inside and inside != "run.lock":
            found[inside] = normalised(path, folder)
    return found


def differences(expected, folder):
    found = files(folder)
    problems = [f"missing {name}" for name in expected if name not in found]
    problems += [f"left over {name}" for name in found if name not in expected]
    for name in expected:
        if name in found and found[name] != expected[name]:
            one, other = expected[name], found[name]
            at = len(os.path.commonprefix([one, other]))
            around = slice(max(at - 40, 0), at + 40)
            problems.append(f"other bytes in {name}: {one[around]} became {other[around]}")
    return problems


class Work:
    def __init__(self, kd, place, method):
        self.kd, self.place, self.method = kd, place, method
        self.recipe = place / f"{method}.toml"
        self.recipe.write_text(RECIPES[method])
        self.temporary = place / "temporary"
        self.temporary.mkdir(exist_ok=True)
        self.environment = {**os.environ, "RAYON_NUM_THREADS": "1", "TMPDIR": str(self.temporary)}
        self.folder = place / "run"
        self.teacher()
        self.expected, self.seconds = self.whole()
        self.beside = self.listing()

    def listing(self):
        """The files beside the run folders, among which nothing may be left."""
        return sorted(path.name for folder in (self.place, self.temporary) for path in folder.iterdir())

    def call(self, arguments, before=()):
        command = [*before, self.kd, *arguments, "--threads", "1"]
        return subprocess.run(
            command, cwd=self.place, env=self.environment, capture_output=True, text=True, errors="replace", timeout=600
        )

    def begin(self):
        verb = "train" if self.method == "train" else "distill"
        return [verb, self.recipe.name, "--out", self.folder.name]

    def go_on(self):
        begun = (self.folder / "recipe.toml").is_file()
        return ["resume", self.folder.name] if begun else self.begin()

    def clear(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def teacher(self):
        network = TEACHER.get(self.method)
        if network is None:
            return
        shutil.rmtree(self.place / "teacher", ignore_errors=True)
        recipe = self.place / "teacher.toml"
        recipe.write_text(RECIPES["train"].replace("lenet5-half", network))
        done = self.call(["train", recipe.name, "--out", "teacher"])
        if done.returncode:
            sys.exit(f"the teacher of {self.method}: {done.stderr}")

    def whole(self):
        self.clear()
        began = time.monotonic()
        done = self.call(self.begin())
        if done.returncode:
            sys.exit(f"{self.method}: {done.stderr}")
        found, seconds = files(self.folder), time.monotonic() - began
        self.clear()
        return found, seconds

    def problems(self):
        """What is wrong with a run that says it is done."""
        left = [name for name in self.listing() if name not in [*self.beside, self.folder.name]]
        return differences(self.expected, self.folder) + [f"left over {name}" for name in left]

    def finish(self):
        """Goes on until the run is done; gives what is wrong with it then."""
        for _ in range(5):
            done = self.call(self.go_on())
            if done.returncode == 0:
                return self.problems()
        return [f"cannot be gone on with: exit code {done.returncode}: {done.stderr.strip()}"]

    def count(self):
        """How often a run makes each of the system calls."""
        log = self.temporary / "strace.log"
        calls = ",".join("?" + call for call in CALLS)
        done = self.call(self.begin(), ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={calls}"])
        if done.returncode:
            sys.exit(f"strace: {done.stderr}")
        lines = [line.split(maxsplit=1) for line in log.read_text(errors="replace").splitlines()]
        log.unlink()
        self.clear()
        # strace counts the calls of each thread apart.
        made = [(thread, call.split("(")[0]) for thread, call in lines if "(" in call]
        if len({thread for thread, call in made if call in CALLS}) != 1:
            sys.exit("several threads write; their calls cannot be numbered")
        return {call: sum(1 for _, other in made if other == call) for call in CALLS}

    def trial(self, call, mode, number):
        """One run with one injection, gone on with; its exit code and what is wrong."""
        before = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", injection(call, mode, number)]
        done = self.call(self.begin(), before)
        said = (done.stderr + done.stdout).strip()
        problems = []
        if "panicked" in said or done.returncode not in ({-9, 137} if mode == "kill" else {0, 1, 2, 3}):
            problems.append(f"exit code {done.returncode}: {said[-300:]}")
        # A run is done without its report, where it says so.
        if done.returncode == 0 and "the report was not written" not in said:
            problems += [f"said to be done: {problem}" for problem in self.problems()]
        elif not said and mode == "error" and call != "write":
            problems.append(f"exit code {done.returncode} without a word")
        problems += self.finish()
        if problems:
            kept = self.place.parent / "failed" / f"{self.method}-{mode}-{call}-{number}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.move(self.folder, kept)
        self.clear()
        return done.returncode, problems


def noted(work, kd):
    """The trials that this program has had before."""
    digest = hashlib.sha256(pathlib.Path(kd).read_bytes()).hexdigest()
    lines = work.read_text().splitlines() if work.is_file() else []
    trials = [json.loads(line) for line in lines if line.endswith("}")]
    return digest, {tuple(t["trial"]): t for t in trials if t["kd"] == digest}


def inject(work, options, log):
    digest, before = noted(log, work.kd)
    counts = work.count()
    print(f"{work.method}: {work.seconds:.2f} s a run; " + ", ".join(f"{n} {c}" for c, n in counts.items() if n), flush=True)
    codes, bad, tried = {}, [], 0
    for mode in options.mode.split(","):
        for call, count in counts.items():
            for number in range(1, count + 1, options.every):
                key = (work.method, mode, call, number)
                if key not in before:
                    code, problems = work.trial(call, mode, number)
                    before[key] = {"trial": key, "kd": digest, "code": code, "problems": problems}
                    with log.open("a") as file:
                        file.write(json.dumps(before[key]) + "\n")
                found = before[key]
                codes[found["code"]] = codes.get(found["code"], 0) + 1
                tried += 1
                if found["problems"]:
                    bad.append(f"{mode} at {call} {number}: {'; '.join(found['problems'])}")
                    print(f"  {bad[-1]}", flush=True)
    print(f"{work.method}: {tried} injections, exit codes {codes}; {len(bad)} runs did not end as an undisturbed one", flush=True)
    return bad


def kill_at_random(work, kills, seed):
    draws, done, runs, bad = random.Random(seed), 0, 1, []
    while done < kills:
        process = subprocess.Popen(
            [work.kd, *work.go_on(), "--threads", "1"],
            cwd=work.place, env=work.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        try:
            _, said = process.communicate(timeout=draws.uniform(0, 1.2 * work.seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            done += 1
            continue
        problems = [said.decode()] if process.returncode else work.problems()
        bad += [f"run {runs}: {problem}" for problem in problems]
        runs += 1
        work.clear()
    bad += work.finish()
    work.clear()
    print(f"{work.method}: {done} kills in {runs} runs; deviations: {len(bad)} {bad or ''}", flush=True)
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["inject", "random"])
    parser.add_argument("--kd", default="target/debug/kd")
    parser.add_argument("--method", default=",".join(RECIPES))
    parser.add_argument("--mode", default=",".join(MODES))
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--work", default="")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kd = str(pathlib.Path(options.kd).resolve())
    methods = options.method.split(",")
    bad = []
    with tempfile.TemporaryDirectory() as aside:
        for method in methods:
            place = pathlib.Path(options.work or aside).resolve() / method
            place.mkdir(parents=True, exist_ok=True)
            work = Work(kd, place, method)
            if options.what == "inject":
                bad += inject(work, options, place.parent / "trials.jsonl")
            else:
                bad += kill_at_random(work, -(-options.kills // len(methods)), options.seed)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
