#!/usr/bin/env python3
"""Weights from kd to PyTorch and from PyTorch to kd: the same names, the same logits.

    python3 scripts/check-pytorch.py target/debug/kd [MODEL_FOLDER ...]     (pip install torch safetensors numpy)

Every model folder is exported and must be taken by `load_state_dict(strict=True)` of the PyTorch network of its name. Every
network that is written out in `kd-models/tests/fixtures/generate.py` is initialised in PyTorch, saved in the present and in the
older format, and imported. Both ways the logits may differ by 1e-4 of the largest. Ends with 1 where they differ by more.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "kd-models" / "tests" / "fixtures"))

from generate import LeNet, ResNet  # noqa: E402

TOLERANCE = 1e-4
HE = {"resnet8": 1, "resnet14": 2, "resnet20": 3, "resnet32": 5, "resnet44": 7, "resnet56": 9, "resnet110": 18}
CRD = {"resnet8x4": 1, "resnet32x4": 5}
LENET = {"lenet5": [6, 16, 120, 84], "lenet5-half": [3, 8, 60, 42]}


def build(name, classes, size):
    channels, height, _ = size
    if name in HE:
        return ResNet(HE[name], [16, 16, 32, 64], classes, channels, "linear", False)
    if name in CRD:
        return ResNet(CRD[name], [32, 64, 128, 256], classes, channels, "fc", True)
    if name in LENET:
        widths = LENET[name]
        return LeNet(widths, classes, channels, widths[2], 2 if height == 28 else 0)
    return None


def kd(*arguments):
    done = subprocess.run([sys.argv[1], *map(str, arguments), "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"kd {' '.join(map(str, arguments))}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(what, network, sample):
    with torch.no_grad():
        logits = network.eval()(sample["images"])
    worst = float((logits - sample["logits"]).abs().max() / sample["logits"].abs().max())
    good = worst <= TOLERANCE
    print(f"{what}: largest difference {worst:.1e} {'ok' if good else 'TOO LARGE'}")
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
    classes, size = (100, (3, 32, 32)) if name in CRD else (10, (3, 32, 32))
    torch.manual_seed(0)
    network = build(name, classes, size)
    # Running statistics that are not 0 and 1.
    network.train()(torch.rand(8, *size))
    good = True
    for form in ["zip", "legacy"]:
        path, folder, sample = work / f"{name}-{form}.pth", work / f"{name}-{form}", work / "sample.safetensors"
        torch.save({"model": network.state_dict()}, path, _use_new_zipfile_serialization=form == "zip")
        shape = ",".join(map(str, size))
        kd("import", path, "--network", name, "--input", shape, "--mean", "0.5,0.4,0.3", "--std", "0.2,0.3,0.4", "--out", folder)
        kd("export", "--model", folder, "--format", "safetensors", "--out", work / "back.safetensors", "--sample", sample)
        back = load_file(work / "back.safetensors")
        state = network.state_dict()
        same = all(torch.equal(state[key], back[key]) for key in state if not key.endswith("num_batches_tracked"))
        if set(state) != set(back) or not same:
            print(f"{name} from PyTorch ({form}): names or numbers changed on the way")
            good = False
        good &= compare(f"{name} from PyTorch ({form})", network, load_file(sample))
    return good


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    good = True
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        for folder in sys.argv[2:]:
            good &= exported(folder, work)
        for name in [*LENET, *HE, *CRD]:
            good &= imported(name, work)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
