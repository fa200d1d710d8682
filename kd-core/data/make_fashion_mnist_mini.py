#!/usr/bin/env python3
"""Makes the data set that ships with kd: make_fashion_mnist_mini.py FULL [DEST]

FULL holds the four original Fashion-MNIST files (train and t10k, images and labels, .gz). DEST is by default the folder
fashion-mnist-mini beside this script. Takes the first 500 images of each class from train and the first 200 of each
class from t10k, in their original order, and prints the sha256 of what it wrote. The IDX bytes (printed as "content")
are the same wherever this runs; the gzip bytes are the same for the same zlib. Needs Python 3 and numpy.
"""

import gzip
import hashlib
import pathlib
import shutil
import struct
import sys

import numpy as np

PER_CLASS = {"train": 500, "t10k": 200}


def read(path: pathlib.Path, header: int) -> np.ndarray:
    """The bytes of a gzipped IDX file after its header."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def write(path: pathlib.Path, content: bytes) -> None:
    packed = gzip.compress(content, compresslevel=9, mtime=0)
    path.write_bytes(packed)
    print(f"{path.name}  {len(packed)} bytes")
    print(f"  gz       {hashlib.sha256(packed).hexdigest()}")
    print(f"  content  {hashlib.sha256(content).hexdigest()}")


def main() -> None:
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    full = pathlib.Path(sys.argv[1])
    beside = pathlib.Path(__file__).resolve().parent / "fashion-mnist-mini"
    dest = pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else beside
    dest.mkdir(parents=True, exist_ok=True)
    for part, per_class in PER_CLASS.items():
        images = read(full / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        labels = read(full / f"{part}-labels-idx1-ubyte.gz", 8)
        kept = np.sort(np.concatenate([np.flatnonzero(labels == c)[:per_class] for c in range(10)]))
        count = len(kept)
        assert count == 10 * per_class
        write(dest / f"{part}-images-idx3-ubyte.gz", struct.pack(">4I", 2051, count, 28, 28) + images[kept].tobytes())
        write(dest / f"{part}-labels-idx1-ubyte.gz", struct.pack(">2I", 2049, count) + labels[kept].tobytes())
    shutil.copyfile(full / "LICENSE", dest / "LICENSE")


main()
