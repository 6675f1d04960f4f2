"""Runs both sides of scripts/bench-calibration in turn and prints the comparison."""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

TARGET = os.environ.get("CARGO_TARGET_DIR", "target")
OURS = os.path.join(TARGET, "release", "examples", "bench_calibration")
QUANTBENCH = os.path.join(TARGET, "release", "quantbench")
THEIRS = [sys.executable, os.path.join("scripts", "peers", "bench_ort.py")]


def run(words, **more):
    done = subprocess.run(words, capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        sys.exit(f"bench-calibration: {' '.join(words)}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def cost(words, **more):
    """The last line of output: wall and CPU seconds, peak of memory above idle in MiB."""
    return json.loads(run(words, **more).strip().splitlines()[-1])


def quartiles(values):
    if len(values) == 1:
        return values * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def spread(values, digits):
    low, middle, high = quartiles(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def accuracy(path, model, dataset):
    words = [QUANTBENCH, "eval", "--model", path, "--dataset", dataset, "--preprocess-of", model]
    return re.search(r"(\d+\.\d+) %", run(words)).group(1)


def dataset_of(model):
    with open(os.path.join("configs", "models", f"{model}.yaml"), encoding="utf-8") as card:
        return next(line.split()[1] for line in card if line.startswith("dataset:"))


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench-calibration")
    parser.add_argument("--model", default="resnet20-cifar10")
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--pairs", default="minmax=MinMax,mse=Entropy,mse=Percentile")
    parser.add_argument("--keep")
    parser.add_argument("--no-eval", action="store_true")
    given = parser.parse_args()
    given.pairs = [tuple(pair.split("=")) for pair in given.pairs.split(",")]
    if any(len(pair) != 2 for pair in given.pairs):
        parser.error("--pairs wants ours=theirs, comma-separated")
    if min(given.images, given.threads, given.repeats) < 1:
        parser.error("--images, --threads and --repeats want 1 or more")
    return given


def main():
    given = arguments()
    with tempfile.TemporaryDirectory() as folder:
        compare(given, given.keep or folder)


def compare(given, folder):
    os.makedirs(folder, exist_ok=True)
    file = lambda name: os.path.join(folder, name)
    threads = dict(os.environ, RAYON_NUM_THREADS=str(given.threads))
    run([OURS, "export", given.model, str(given.images), file("images.npy"), file("fp32.onnx")])
    run([*THEIRS, "prepare", file("fp32.onnx"), file("prepared.onnx")])
    print(
        f"{given.model}, W8A8, weights per channel, {given.images} images, {given.threads} threads,"
        f" {given.repeats} runs of each side in turn: median (quartiles)"
    )
    everything = []
    for mine, other in given.pairs:
        ours_out, theirs_out = file(f"ours-{mine}.onnx"), file(f"theirs-{other}.onnx")
        sides = {
            "ours": lambda: cost(
                [OURS, "quantize", given.model, mine, "w8a8", str(given.images)]
                + [str(given.threads), ours_out],
                env=threads,
            ),
            "theirs": lambda: cost(
                [*THEIRS, "quantize", file("prepared.onnx"), file("images.npy"), other]
                + [str(given.threads), theirs_out]
            ),
        }
        seen = {"ours": [], "theirs": []}
        for turn in range(given.repeats):
            # The order alternates, so that drift of the machine favours neither side.
            for side in list(sides) if turn % 2 == 0 else list(sides)[::-1]:
                seen[side].append(sides[side]())
        print(f"\n{mine} (ours) beside {other} (theirs)")
        for side, runs in seen.items():
            cpu = spread([r["cpu_s"] for r in runs], 2)
            wall = spread([r["wall_s"] for r in runs], 2)
            peak = max(r["peak_mib"] for r in runs)
            print(f"  {side:<7}{cpu} CPU s   {wall} s   peak {peak:.0f} MiB")
        ratios = [a["cpu_s"] / b["cpu_s"] for a, b in zip(seen["ours"], seen["theirs"])]
        print(f"  ours / theirs, CPU: {spread(ratios, 3)}")
        result = {"ours": mine, "theirs": other, "runs": seen}
        if not given.no_eval:
            dataset = dataset_of(given.model)
            for side, path in (("ours", ours_out), ("theirs", theirs_out)):
                result[f"top1_{side}"] = accuracy(path, given.model, dataset)
            print(f"  top-1: ours {result['top1_ours']} %, theirs {result['top1_theirs']} %")
        everything.append(result)
    if given.keep:
        with open(file("calibration.json"), "w", encoding="utf-8") as out:
            json.dump(everything, out, indent=2)


if __name__ == "__main__":
    main()
