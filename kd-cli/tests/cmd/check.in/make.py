#!/usr/bin/env python3
"""Makes the model folders of the transcript of `kd check`. Run it here:

    python3 make.py PATH/TO/kd

It needs nothing but Python. `kd` trains LeNet-5 with half the widths for three epochs on the data that it brings along;
the three folders are that network, each with one thing wrong:

    wrong-normalisation  `config.json` has the constants for pixels from 0 to 255
    wrong-weights        `config.json` says LeNet-5 with all its widths
    seven-classes        the last three of the ten classes are cut off, in `config.json` and in the weights
"""

import json
import pathlib
import struct
import subprocess
import sys
import tempfile

RECIPE = """
method = "train"
[data]
name = "fashion-mnist-mini"
[network]
name = "lenet5-half"
[train]
epochs = 3
batch_size = 32
lr = 0.003
optimizer = { kind = "adam" }
"""


def read(path):
    """The tensors of a safetensors file: name, type, shape, bytes."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    head, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    return {name: (of["dtype"], of["shape"], body[slice(*of["data_offsets"])]) for name, of in head.items()}


def write(path, tensors):
    head, body = {}, b""
    for name, (dtype, shape, data) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    head = json.dumps(head).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(struct.pack("<Q", len(head)) + head + body)


def first_rows(tensor, rows):
    dtype, shape, data = tensor
    return dtype, [rows] + shape[1:], data[: len(data) // shape[0] * rows]


def main():
    here = pathlib.Path(__file__).parent
    with tempfile.TemporaryDirectory() as place:
        recipe = pathlib.Path(place) / "recipe.toml"
        recipe.write_text(RECIPE)
        run = pathlib.Path(place) / "run"
        subprocess.run([sys.argv[1], "train", recipe, "--out", run], check=True)
        config = json.loads((run / "model/config.json").read_text())
        tensors = read(run / "model/model.safetensors")

    def folder(name, config, tensors):
        (here / name).mkdir(exist_ok=True)
        (here / name / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        write(here / name / "model.safetensors", tensors)

    scaled = {key: [255 * value for value in values] for key, values in config["normalisation"].items()}
    folder("wrong-normalisation", {**config, "normalisation": scaled}, tensors)
    folder("wrong-weights", {**config, "network": {**config["network"], "name": "lenet5"}}, tensors)
    last = max(int(name.split(".")[0].removeprefix("fc")) for name in tensors if name.startswith("fc"))
    cut = {name: first_rows(of, 7) if name.startswith(f"fc{last}.") else of for name, of in tensors.items()}
    seven = {**config, "network": {**config["network"], "classes": 7}, "class_names": config["class_names"][:7]}
    del seven["provenance"]["accuracy"]
    folder("seven-classes", seven, cut)


if __name__ == "__main__":
    main()
