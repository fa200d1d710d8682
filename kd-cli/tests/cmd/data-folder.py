#!/usr/bin/env python3
"""Makes the images of data-folder.md: circles and squares of many sizes and colours on noise.

    python3 kd-cli/tests/cmd/data-folder.py

Needs numpy 2.4 and Pillow 13.0.
"""
import pathlib
import shutil

import numpy
from PIL import Image, ImageDraw

HERE = pathlib.Path(__file__).parent / "data-folder.in"


def shape(draw: numpy.random.Generator, kind: str) -> Image.Image:
    width, height = (int(side) for side in draw.integers(18, 30, 2))
    ground, colour = (tuple(int(c) for c in draw.integers(low, low + 90, 3)) for low in (0, 160))
    image = Image.new("RGB", (width, height), ground)
    radius = int(draw.integers(5, min(width, height) // 2))
    box = [width // 2 - radius, height // 2 - radius, width // 2 + radius, height // 2 + radius]
    pen = ImageDraw.Draw(image)
    (pen.ellipse if kind == "circle" else pen.rectangle)(box, fill=colour)
    return image


def main() -> None:
    draw = numpy.random.default_rng(0)
    shutil.rmtree(HERE / "shapes", ignore_errors=True)
    shutil.rmtree(HERE / "damaged", ignore_errors=True)
    for split, count in (("train", 8), ("test", 3)):
        for kind in ("circle", "square"):
            folder = HERE / "shapes" / split / kind
            folder.mkdir(parents=True)
            for number in range(count):
                ending = {1: "jpg", 2: "webp"}.get(number, "png")
                shape(draw, kind).save(folder / f"{number}.{ending}")
    (HERE / "shapes/train/circle/notes.txt").write_text("drawn by data-folder.py\n")
    for kind in ("circle", "square"):
        (HERE / "damaged/train" / kind).mkdir(parents=True)
        whole = (HERE / "shapes/train" / kind / "0.png").read_bytes()
        (HERE / "damaged/train" / kind / "0.png").write_bytes(whole if kind == "circle" else whole[:-30])


main()
