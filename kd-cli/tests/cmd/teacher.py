#!/usr/bin/env python3
"""Makes teacher.pth of the README's walk with a PyTorch teacher: the weights of a LeNet-5 that kd has trained, saved by PyTorch.

    kd train kd-cli/src/commands/demo/teacher.toml --set train.epochs=12 --out runs/lt
    kd export --model runs/lt --format safetensors --out lt.safetensors
    python3 kd-cli/tests/cmd/teacher.py lt.safetensors

Needs torch 2.15, safetensors and numpy.
"""
import pathlib
import sys

import torch
from safetensors.torch import load_file

torch.save(load_file(sys.argv[1]), pathlib.Path(__file__).parent / "teacher.pth")
