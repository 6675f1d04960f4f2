"""Their half of scripts/bench-hardware, and the pairing of both halves.

Each turn simulates one layer with SCALE-Sim (bandwidth mode CALC, no traces) and asks our closed
forms, run as a command, for the same layer; the median of the turns counts.
"""
import argparse
import contextlib
import csv
import io
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from scalesim.scale_sim import scalesim

# Name, side of the padded input, kernel, channels, filters, stride: layers of ResNet-20 and -18.
LAYERS = [
    ("resnet20-s1b1c1", 34, 3, 16, 16, 1),
    ("resnet20-s3b3c2", 10, 3, 64, 64, 1),
    ("resnet18-layer3.1.conv2", 16, 3, 256, 256, 1),
    ("resnet18-layer4.0.downsample", 13, 1, 256, 512, 2),
]
CONFIG = """[general]
run_name = run
[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
[architecture_presets]
ArrayHeight = {size}
ArrayWidth = {size}
IfmapSramSzkB = {kib}
FilterSramSzkB = {kib}
OfmapSramSzkB = {kib}
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Dataflow = {flow}
ReadRequestBuffer = 32
WriteRequestBuffer = 32
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = False
"""


def theirs(layer, flow, args):
    """CPU seconds, and cycles, input reads, weight reads and output writes of the buffers."""
    name, side, kernel, channels, filters, stride = layer
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        (place / "config.cfg").write_text(CONFIG.format(size=args.size, kib=args.kib, flow=flow))
        shape = [name, side, side, kernel, kernel, channels, filters, stride]
        (place / "layers.csv").write_text(
            "Layer,h,w,kh,kw,channels,filters,stride,\n" + ",".join(map(str, shape)) + ",\n"
        )
        (place / "layout.csv").write_text("Layer,\n" + name + ",1" * 20 + ",\n")
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            run = scalesim(
                save_disk_space=True,
                verbose=False,
                config=str(place / "config.cfg"),
                topology=str(place / "layers.csv"),
                layout=str(place / "layout.csv"),
            )
            start = time.process_time()
            run.run_scale(top_path=str(place / "out"))
            seconds = time.process_time() - start

        def report(file):
            with open(place / "out" / "run" / file, newline="") as lines:
                row = list(csv.DictReader(lines, skipinitialspace=True))[0]
            return {key: float(value) for key, value in row.items() if key and value}

        access = report("DETAILED_ACCESS_REPORT.csv")
        counts = [
            report("COMPUTE_REPORT.csv")["Total Cycles"],
            access["SRAM IFMAP Reads"],
            access["SRAM Filter Reads"],
            access["SRAM OFMAP Writes"],
        ]
    return seconds, [int(c) for c in counts]


def ours(layer, flow, args):
    """The same of our model."""
    command = [args.ours, flow, str(args.size), str(args.kib), *map(str, layer[1:])]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(words[0]), [int(word) for word in words[1:]]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", required=True)
    parser.add_argument("--size", type=int, default=32, help="rows and columns of the array")
    parser.add_argument("--kib", type=int, default=256, help="buffer of each operand")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    print(f"{args.size} x {args.size} units, {args.kib} KiB a buffer, medians of {args.repeats}")
    print(f"{'layer':<30} flow {'SCALE-Sim s':>12} {'ours us':>9} {'ratio':>12}  counts")
    differ, ratios = False, []
    for layer in LAYERS:
        for flow in ["os", "ws"]:
            turns = [(theirs(layer, flow, args), ours(layer, flow, args)) for _ in range(args.repeats)]
            slow = statistics.median(t[0][0] for t in turns)
            fast = statistics.median(t[1][0] for t in turns)
            same = all(t[0][1] == t[1][1] for t in turns)
            differ |= not same
            ratios.append(slow / fast)
            words = "equal" if same else f"DIFFER: {turns[0][0][1]} and {turns[0][1][1]}"
            print(f"{layer[0]:<30} {flow:<4} {slow:>12.3f} {fast * 1e6:>9.3f} {slow / fast:>12,.0f}  {words}")
    print(f"geometric mean of the ratios: {statistics.geometric_mean(ratios):,.0f}")
    sys.exit(differ)


if __name__ == "__main__":
    main()
