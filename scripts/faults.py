#!/usr/bin/env python3
"""Injected errors and kills: after a resume every file of a run must be that of an undisturbed one.

    scripts/faults.py inject [--kd PATH] [--method train,stagewise,data-free] [--every K] [--only write,rename,...]
    scripts/faults.py kill   [--kd PATH] [--method ...] [--kills N] [--seed S]

`inject` runs a small run once under strace, counts its system calls that write, rename, unlink and sync, and then runs it
once for each of them (each K-th with `--every K`) with that one call failing (EIO; ENOSPC for writes), by strace's fault
injection. The run is then gone on with, `kd resume` or the same command again where nothing was begun, until it is done.
`kill` ends runs with SIGKILL at random moments, drawn from a seed, and goes on with each until it is done.

Compared are all files of the run folder: tensors byte for byte, texts without times, paths and the machine's memory. What is left
over (`.writing-*`, checkpoints that nothing names) is a failure, and so is a message without words. Needs strace and Python 3.9.
"""

import argparse
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

CALLS = {
    "write": ["write", "pwrite64", "writev"],
    "rename": ["rename", "renameat", "renameat2"],
    "unlink": ["unlink", "unlinkat", "rmdir"],
    "sync": ["fsync", "fdatasync", "sync_file_range"],
    "truncate": ["ftruncate"],
    "mkdir": ["mkdir", "mkdirat"],
}
ERRORS = {"write": "ENOSPC"}

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
    (re.compile(rb'"metrics_bytes": [0-9]+'), b'"metrics_bytes": 0'),
]


def normalised(path, folder):
    data = path.read_bytes()
    if path.suffix in {".json", ".jsonl", ".md", ".toml", ".html", ".txt"}:
        data = data.replace(str(folder).encode(), b"RUN").replace(folder.name.encode(), b"RUN")
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
            lines = zip(expected[name].split(b"\n"), found[name].split(b"\n"))
            first = next(((one, other) for one, other in lines if one != other), (b"", b""))
            problems.append(f"other bytes in {name}: {first[0][:100]} became {first[1][:100]}")
    return problems


class Work:
    def __init__(self, kd, place, method):
        self.kd, self.place, self.method = kd, place, method
        self.recipe = place / f"{method}.toml"
        self.recipe.write_text(RECIPES[method])
        self.environment = {**os.environ, "RAYON_NUM_THREADS": "1"}

    def call(self, arguments, before=()):
        command = [*before, self.kd, *arguments, "--threads", "1"]
        return subprocess.run(command, cwd=self.place, env=self.environment, capture_output=True, text=True, timeout=600)

    def verb(self):
        return "train" if self.method == "train" else "distill"

    def begin(self, folder):
        return [self.verb(), self.recipe.name, "--out", folder.name]

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

    def finish(self, folder):
        """Goes on until the run is done; gives the messages of what did not end well."""
        for _ in range(5):
            begun = (folder / "recipe.toml").is_file()
            arguments = ["resume", folder.name] if begun else self.begin(folder)
            done = self.call(arguments)
            if done.returncode == 0:
                return None
        return f"cannot be gone on with: exit code {done.returncode}: {done.stderr.strip()}"

    def whole(self):
        folder = self.place / f"{self.method}-whole"
        began = time.monotonic()
        done = self.call(self.begin(folder))
        if done.returncode:
            sys.exit(f"{self.method}: {done.stderr}")
        return files(folder), time.monotonic() - began

    def count(self, calls):
        """How many of these system calls a run makes."""
        folder, log = self.place / "counted", self.place / "strace.log"
        done = self.call(self.begin(folder), ["strace", "-f", "-qq", "-o", str(log), "-e", "trace=" + ",".join(calls)])
        if done.returncode:
            sys.exit(f"strace: {done.stderr}")
        shutil.rmtree(folder)
        lines = log.read_text(errors="replace").splitlines()
        return sum(1 for line in lines if any(re.match(rf"\d+ +{call}\(", line) for call in calls))


def inject(work, every, only):
    work.teacher()
    expected, _ = work.whole()
    tried, bad, codes = 0, [], {}
    for kind, calls in CALLS.items():
        if only and kind not in only:
            continue
        calls = [call for call in calls if available(call)]
        count = work.count(calls)
        print(f"{work.method}: {count} calls of {kind}", flush=True)
        for number in range(1, count + 1, every):
            folder = work.place / f"{work.method}-{kind}-{number}"
            error = ERRORS.get(kind, "EIO")
            # strace counts the calls of each name apart; one kind is injected by its name in turn.
            injected = ",".join(calls)
            before = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={injected}"]
            before += ["-e", f"inject={injected}:error={error}:when={number}"]
            done = work.call(work.begin(folder), before)
            codes[done.returncode] = codes.get(done.returncode, 0) + 1
            tried += 1
            said = done.stderr + done.stdout
            problems = []
            if "panicked" in said or done.returncode not in {0, 1, 2, 3}:
                problems.append(f"exit code {done.returncode}: {said.strip()[-300:]}")
            problem = work.finish(folder)
            problems += [problem] if problem else differences(expected, folder)
            if problems:
                bad.append(f"{kind} {number}: {'; '.join(problems)}")
                print(f"  {bad[-1]}", flush=True)
            else:
                shutil.rmtree(folder)
    print(f"{work.method}: {tried} errors injected, exit codes {codes}, {len(bad)} runs did not end as an undisturbed one")
    return bad


def available(call):
    done = subprocess.run(["strace", "-e", f"trace={call}", "true"], capture_output=True)
    return done.returncode == 0


def kill(work, kills, seed):
    work.teacher()
    expected, seconds = work.whole()
    draws, done, run, bad = random.Random(seed), 0, 0, []
    folder = None
    while done < kills:
        if folder is None:
            run += 1
            folder = work.place / f"{work.method}-killed-{run}"
        begun = (folder / "recipe.toml").is_file()
        arguments = ["resume", folder.name] if begun else work.begin(folder)
        process = subprocess.Popen(
            [work.kd, *arguments, "--threads", "1"],
            cwd=work.place, env=work.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        try:
            process.wait(timeout=draws.uniform(0, 1.2 * seconds))
            said = process.stderr.read().decode()
            problems = differences(expected, folder) if process.returncode == 0 else [said.strip()]
            if problems:
                bad.append(f"run {run}: {'; '.join(problems)}")
                print(f"  {bad[-1]}", flush=True)
            else:
                shutil.rmtree(folder)
            folder = None
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            done += 1
    if folder is not None:
        problem = work.finish(folder)
        bad += [problem] if problem else differences(expected, folder)
    print(f"{work.method}: {done} kills in {run} runs, {len(bad)} did not end as an undisturbed one: {bad}")
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["inject", "kill"])
    parser.add_argument("--kd", default="target/debug/kd")
    parser.add_argument("--method", default=",".join(RECIPES))
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kd = str(pathlib.Path(options.kd).resolve())
    methods = options.method.split(",")
    bad = []
    with tempfile.TemporaryDirectory() as place:
        for method in methods:
            work = Work(kd, pathlib.Path(place), method)
            if options.what == "inject":
                bad += inject(work, options.every, options.only.split(",") if options.only else [])
            else:
                bad += kill(work, -(-options.kills // len(methods)), options.seed)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
