#!/usr/bin/env python3
"""Weights from kd to PyTorch and from PyTorch to kd: the same names, the same logits.

    python3 scripts/check-pytorch.py [--onnx] [--networks A,B] KD [MODEL_FOLDER ...]    (pip install torch safetensors numpy)

KD is the command, as built. Every model folder is exported and must be taken by `load_state_dict(strict=True)` of the PyTorch
network of its name. Then every network of `kd models`, written out in `kd-models/tests/fixtures/networks`, is initialised in
PyTorch, saved in the present and in the older format, imported, and exported again. Both ways the logits may differ by 1e-4 of
the largest. With --onnx the imported networks are exported as ONNX graphs as well, which `check-onnx.py` compares (pip install
onnx onnxruntime). Ends with 1 where something differs by more.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "kd-models" / "tests" / "fixtures"))

sys.dont_write_bytecode = True
from networks import FULL, MAKE, LeNet  # noqa: E402

TOLERANCE = 1e-4


def build(name, classes, size):
    """The PyTorch network, for other classes and channels than usual, too."""
    if name not in MAKE:
        return None
    if name.startswith("lenet5") and size[1] == 28:
        widths = [6, 16, 120, 84] if name == "lenet5" else [3, 8, 60, 42]
        return LeNet(widths, classes, size[0], widths[2], 2)
    return MAKE[name](classes, size[0])


def kd(*arguments):
    done = subprocess.run([KD, *map(str, arguments), "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"kd {' '.join(map(str, arguments))}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(what, network, sample):
    with torch.no_grad():
        logits = network.eval()(sample["images"])
    worst = float((logits - sample["logits"]).abs().max() / sample["logits"].abs().max())
    good = worst <= TOLERANCE
    print(f"{what}: largest difference {worst:.1e} {'ok' if good else 'TOO LARGE'}", flush=True)
    return good


def exported(folder, work):
    """A model folder, taken by PyTorch."""
    weights, sample = work / "weights.safetensors", work / "sample.safetensors"
    about = kd("export", "--model", folder, "--format", "safetensors", "--out", weights, "--sample", sample)["network"]
    network = build(about["name"], about["classes"], about["input"])
    if network is None:
        sys.exit(f"{folder}: `{about['name']}` is not written out in generate.py")
    network.load_state_dict(load_file(weights), strict=True)
    return compare(f"{folder} ({about['name']}) in PyTorch", network, load_file(sample))


def imported(name, work):
    """A network of PyTorch's, taken by kd."""
    classes, size, _ = FULL[name]
    # The weights are the same for any size; small images take less time.
    size = [size[0], *(min(side, 64) for side in size[1:])]
    torch.manual_seed(0)
    network = build(name, classes, size)
    # Running statistics that are not 0 and 1.
    network.train()(torch.rand(8, *size))
    channels = size[0]
    mean, std = ",".join(["0.4"] * channels), ",".join(["0.3"] * channels)
    shape = ",".join(map(str, size))
    good = True
    for form in ["zip", "legacy"]:
        path, folder, sample = work / f"{name}-{form}.pth", work / f"{name}-{form}", work / "sample.safetensors"
        torch.save({"model": network.state_dict()}, path, _use_new_zipfile_serialization=form == "zip")
        kd("import", path, "--network", name, "--input", shape, "--mean", mean, "--std", std, "--out", folder)
        kd("export", "--model", folder, "--format", "safetensors", "--out", work / "back.safetensors", "--sample", sample)
        back = load_file(work / "back.safetensors")
        state = network.state_dict()
        same = all(torch.equal(state[key], back[key]) for key in state if not key.endswith("num_batches_tracked"))
        if set(state) != set(back) or not same:
            print(f"{name} from PyTorch ({form}): names or numbers changed on the way")
            good = False
        good &= compare(f"{name} from PyTorch ({form})", network, load_file(sample))
        path.unlink()
    # Burn's exporter does not know the operation that shuffles channels.
    if ONNX and not name.startswith("shufflenet"):
        graph = work / f"{name}.onnx"
        sample = work / "onnx.safetensors"
        kd("export", "--model", work / f"{name}-zip", "--format", "onnx", "--out", graph, "--sample", sample)
        done = subprocess.run([sys.executable, HERE / "check-onnx.py", graph, work / "onnx.safetensors"])
        good &= done.returncode == 0
    return good


def main():
    torch.set_num_threads(1)
    good = True
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        for folder in FOLDERS:
            good &= exported(folder, work)
        for name in NETWORKS or [network["name"] for network in kd("models")["networks"]]:
            good &= imported(name, work)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onnx", action="store_true")
    parser.add_argument("--networks", type=lambda names: names.split(","))
    parser.add_argument("kd")
    parser.add_argument("folders", nargs="*")
    given = parser.parse_args()
    ONNX, NETWORKS, KD, FOLDERS = given.onnx, given.networks, given.kd, given.folders
    main()
