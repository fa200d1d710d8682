#!/usr/bin/env python3
"""Compares an ONNX file of `kd export` with kd's own logits, by onnxruntime.

    kd export --model FOLDER --format onnx --out model.onnx --sample sample.safetensors
    python3 scripts/check-onnx.py model.onnx sample.safetensors         (pip install onnx onnxruntime safetensors numpy)

Ends with 1 if the model is not valid, or a logit differs by more than 1e-4 of the largest.
"""

import sys

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

TOLERANCE = 1e-4


def main(model_path: str, sample_path: str) -> int:
    model = onnx.load(model_path)
    onnx.checker.check_model(model, full_check=True)
    sample = load_file(sample_path)
    images, expected = sample["images"], sample["logits"]
    session = onnxruntime.InferenceSession(model_path, providers=["CPUExecutionProvider"])
    size = session.get_inputs()[0].shape[0]
    # A graph for batches of any size must take other sizes than those it was traced with.
    counts = [len(images)] if isinstance(size, int) else sorted({1, 2, 5, len(images)} & set(range(1, len(images) + 1)))
    worst = 0.0
    for count in counts:
        (logits,) = session.run(["logits"], {"images": images[:count]})
        worst = max(worst, float(np.abs(logits - expected[:count]).max() / np.abs(expected).max()))
    good = worst <= TOLERANCE
    nodes = len(model.graph.node)
    print(f"{model_path}: batch {size}, {nodes} nodes, batches of {counts}: largest difference {worst:.1e} {'ok' if good else 'TOO LARGE'}")
    return 0 if good else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
