"""The time of a network's answer before and after channels were cut, in kd and in ONNX Runtime, beside the share of its multiply-accumulates.

    python3 benches/pytorch/cut_latency.py --kd KD --whole FOLDER --cut FOLDER      (onnxruntime, numpy; Linux)

`KD` is the command, built; the folders are models, or runs that have one. Both models are counted by `kd models`, and exported to ONNX,
whose outputs for a batch must be those for each image alone. Then kd (`kd models FOLDER --latency`) and ONNX Runtime, both models, are
timed in turn in processes of their own: one image, and 64 at once, from images in memory to logits in memory.
"""

import argparse
import datetime
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import distill_step as common  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
BATCHES = [1, 64]
MODELS = ["whole", "cut"]
SIDES = ["kd", "ONNX Runtime"]


def child(path, options):
    """Times ONNX Runtime on one exported model and prints the medians by batch."""
    import numpy
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    put_in = session.get_inputs()[0]
    images = numpy.random.default_rng(0).random((max(BATCHES), *put_in.shape[1:]), dtype=numpy.float32)

    def answer(batch):
        return session.run(None, {put_in.name: batch})[0]

    alone = numpy.concatenate([answer(images[index : index + 1]) for index in range(8)])
    off = float(numpy.abs(answer(images)[:8] - alone).max() / numpy.abs(alone).max())
    if not off < 1e-4:
        sys.exit(f"ONNX Runtime gives other logits for a batch than for its images alone, by {off:.1e}")
    medians = {}
    for size in BATCHES:
        batch, times = images[:size], []
        end = time.perf_counter() + options.seconds
        while len(times) < 13 or time.perf_counter() < end:
            start = time.perf_counter()
            answer(batch)
            times.append(time.perf_counter() - start)
        medians[size] = 1e3 * statistics.median(times[3:])
    print(json.dumps({"version": onnxruntime.__version__, "ms": medians, "off": off}))


def counted(kd, folder):
    line = subprocess.run([kd, "models", folder, "--json"], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
    return json.loads(line)


def export(kd, folder, path):
    command = [kd, "export", "--model", folder, "--format", "onnx", "--out", path, "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def measure(options, folder):
    """The medians of every round in milliseconds, by side, model and batch; and what others did meanwhile."""
    times = {(side, model, size): [] for side in SIDES for model in MODELS for size in BATCHES}
    others, version, off = [], None, 0.0
    for _ in range(options.rounds):
        for model in MODELS:
            command = [options.kd, "models", getattr(options, model), "--latency", "--threads", options.threads, "--json", "--quiet"]
            found = common.run_quietly(command, options)
            for row in found["latency"]:
                times["kd", model, row["batch"]].append(1e3 * row["median_seconds"])
            words = ["--child", folder / f"{model}.onnx", "--threads", options.threads, "--seconds", options.seconds]
            answer = common.run_quietly([sys.executable, __file__, *words], options)
            for size in BATCHES:
                times["ONNX Runtime", model, size].append(answer["ms"][str(size)])
            others += [found["others"], answer["others"]]
            version, off = answer["version"], max(off, answer["off"])
    return times, others, version, off


def report(options, counts, times, others, version, off):
    whole, cut = (counts[model] for model in MODELS)
    share = {name: cut[name] / whole[name] for name in ("macs", "params")}
    lines = [
        "# A network before and after the cut: the time of an answer on a CPU",
        "",
        f"- date: {datetime.date.today()}",
        f"- machine: {common.machine()}",
        f"- versions: {common.versions('none').split(';')[0]}; ONNX Runtime {version}",
        f"- threads: {options.threads} on each side",
        f"- kd: {options.build}",
        "- command: `python3 benches/pytorch/cut_latency.py --kd PATH --whole FOLDER --cut FOLDER --build BUILD"
        f"{' --priority' if common.has_priority() else ''}`",
        common.quiet_words(others, options),
        "",
        f"`{whole['name']}`, {whole['macs']:,} multiply-accumulates and {whole['params']:,} parameters, cut to {cut['macs']:,} "
        f"({100 * share['macs']:.1f} %) and {cut['params']:,} ({100 * share['params']:.1f} %). {options.rounds} processes a side and model, "
        "in turn; the median of their medians, in brackets the lowest and the highest. From images in memory to logits in memory.",
        f"ONNX Runtime's logits for a batch differ from those for each image alone by at most {off:.0e} of the largest.",
        "",
        "| | batch | before, ms | after, ms | after / before | share of multiply-accumulates |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for side in SIDES:
        for size in BATCHES:
            cells, middle = [], []
            for model in MODELS:
                found = times[side, model, size]
                middle.append(statistics.median(found))
                cells.append(f"{middle[-1]:.2f} ({min(found):.2f} to {max(found):.2f})")
            ratio = middle[1] / middle[0]
            lines.append(f"| {side} | {size} | {cells[0]} | {cells[1]} | **{ratio:.2f}** | {share['macs']:.2f} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kd", help="the command, built")
    parser.add_argument("--whole", help="the model before the cut, or its run")
    parser.add_argument("--cut", help="the model after it")
    parser.add_argument("--build", default="release", help="how `--kd` was built")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each batch of ONNX Runtime")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side and model")
    parser.add_argument("--attempts", type=int, default=10, help="how often a disturbed process is run in all")
    parser.add_argument("--out", type=pathlib.Path, help="where the table goes (below benches/results)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    common.add_priority(parser)
    options = parser.parse_args()
    if options.child:
        return child(options.child, options)
    if not (options.kd and options.whole and options.cut):
        parser.error("--kd, --whole and --cut must be given")
    counts = {model: counted(options.kd, getattr(options, model)) for model in MODELS}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for model in MODELS:
            export(options.kd, getattr(options, model), folder / f"{model}.onnx")
        measured = measure(options, folder)
    out = options.out or ROOT / "benches/results" / f"{datetime.date.today()}-cpu-cut.md"
    out.write_text(report(options, counts, *measured))
    print(f"written to {out}")


if __name__ == "__main__":
    main()
