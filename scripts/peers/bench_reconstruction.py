"""Their half of scripts/bench-reconstruction, and the pairing of both halves.

The loop of AdaRound, BRECQ and QDrop in PyTorch, on the residual blocks of ResNet-20 with batch norm
folded, in turn with ours, which runs as a command. Weights and inputs are random: speed alone. As in
the code that goes with the papers, quantizers are written in elementary operations and autograd
finds their gradients.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

# Input and output channels, stride, and size of the input of each block.
BLOCKS = [(16, 16, 1, 32)] * 3 + [(16, 32, 2, 32)] + [(32, 32, 1, 16)] * 2 + [(32, 64, 2, 16)] + [(64, 64, 1, 8)] * 2
IMAGES = 256
# Method, widths, and its stages with what each learns: weights, steps of activations. A method of two
# stages spends twice as many iterations on the first, as the configured surveys and the reference do.
CASES = [
    ("adaround", "w4a32", {"weights": (True, False)}),
    ("brecq", "w4a4", {"weights": (True, False), "activations": (False, True)}),
    ("qdrop", "w4a4", {"weights": (True, True)}),
]


class Nearest(torch.autograd.Function):
    """Rounding that passes its gradient on."""

    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Quantizer(nn.Module):
    """Activations at four bits, a share of them left in float."""

    def __init__(self, drop):
        super().__init__()
        self.step, self.drop = nn.Parameter(torch.tensor(0.1)), drop

    def forward(self, x):
        y = Nearest.apply(x / self.step).clamp(0, 15) * self.step
        return torch.where(torch.rand_like(x) < self.drop, x, y) if self.drop else y


class Layer(nn.Module):
    """A convolution whose weights are rounded softly, or are on their grid."""

    def __init__(self, inputs, outputs, stride, soft):
        super().__init__()
        self.weight = torch.randn(outputs, inputs, 3, 3) * (2 / (9 * inputs)) ** 0.5
        self.bias, self.stride, self.soft = torch.zeros(outputs), stride, soft
        low, high = self.weight.amin((1, 2, 3), keepdim=True), self.weight.amax((1, 2, 3), keepdim=True)
        self.step = (high - low) / 15
        self.zero = (-low / self.step).round()
        self.floor = (self.weight / self.step).floor()
        rest = self.weight / self.step - self.floor
        if soft:
            self.up = nn.Parameter(-torch.log(1.2 / (rest + 0.1) - 1))
        self.hard = self.scaled(rest.round())

    def scaled(self, up):
        return ((self.floor + up + self.zero).clamp(0, 15) - self.zero) * self.step

    def height(self):
        return (torch.sigmoid(self.up) * 1.2 - 0.1).clamp(0, 1)

    def forward(self, x):
        weight = self.scaled(self.height()) if self.soft else self.hard
        return F.conv2d(x, weight, self.bias, self.stride, 1)


class Block(nn.Module):
    """A residual block; without steps its activations stay in float."""

    def __init__(self, inputs, outputs, stride, soft, steps, drop):
        super().__init__()
        self.one, self.two = Layer(inputs, outputs, stride, soft), Layer(outputs, outputs, 1, soft)
        quantizer = (lambda: Quantizer(drop)) if steps else nn.Identity
        self.inner, self.outer = quantizer(), quantizer()
        self.more, self.stride = (outputs - inputs) // 2, stride

    def forward(self, x):
        y = self.two(self.inner(F.relu(self.one(x))))
        if self.more:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more, self.more))
        return self.outer(F.relu(x + y))


def pieces(method, weights, steps):
    """Each piece with the shape of its input: blocks, or their layers with what follows them."""
    drop = 0.5 if method == "qdrop" else 0.0
    for inputs, outputs, stride, size in BLOCKS:
        if method != "adaround":
            yield Block(inputs, outputs, stride, weights, steps, drop), (inputs, size, size)
            continue
        yield nn.Sequential(Layer(inputs, outputs, stride, True), nn.ReLU()), (inputs, size, size)
        yield Layer(outputs, outputs, 1, True), (outputs, size // stride, size // stride)


def learn(piece, shape, mixed, layout, batch, iterations):
    """Seconds per iteration, by the clock and of the processor."""
    cached = torch.rand(IMAGES, *shape).contiguous(memory_format=layout)
    float_inputs = torch.rand(IMAGES, *shape).contiguous(memory_format=layout) if mixed else None
    with torch.no_grad():
        target = piece(cached)
    layers = [m for m in piece.modules() if isinstance(m, Layer) and m.soft]
    steps = [m.step for m in piece.modules() if isinstance(m, Quantizer)]
    optimizers = [torch.optim.Adam([l.up for l in layers], lr=1e-3)] if layers else []
    schedule = None
    if steps:
        optimizers.append(torch.optim.Adam(steps, lr=4e-5))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizers[-1], iterations + 4)
    for at in range(iterations + 4):
        if at == 4:
            begun = time.perf_counter(), time.process_time()
        picked = torch.randint(IMAGES, (batch,))
        x = cached[picked]
        if mixed:
            x = torch.where(torch.rand_like(x) < 0.5, x, float_inputs[picked])
        loss = (piece(x) - target[picked]).pow(2).sum(1).mean()
        for layer in layers:
            loss = loss + 0.01 * (1 - (2 * layer.height() - 1).abs().pow(10.0)).sum()
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        if schedule:
            schedule.step()
    ended = time.perf_counter(), time.process_time()
    return [(e - b) / iterations for b, e in zip(begun, ended)]


def theirs(method, layout, batch, iterations):
    """Milliseconds per iteration of each stage, mean over pieces."""
    torch.manual_seed(0)
    layout = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    (stages,) = [stages for name, _, stages in CASES if name == method]
    found = {}
    for stage, (weights, steps) in stages.items():
        all_pieces = pieces(method, weights, steps)
        times = [learn(p, s, method == "qdrop", layout, batch, iterations) for p, s in all_pieces]
        found[f"reconstruction of {stage}"] = [1e3 * statistics.mean(t) for t in zip(*times)]
    return found


def run(command, threads):
    """The JSON line of a command."""
    env = dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    return json.loads(subprocess.run(command, check=True, env=env, stdout=subprocess.PIPE).stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, help="ResNet-20 as an ONNX file")
    parser.add_argument("--ours", required=True, help="the example reconstruct_speed")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=64, help="per piece and turn, theirs")
    parser.add_argument("--turns", type=int, default=5, help="turns of each side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--methods", nargs="+", default=[name for name, _, _ in CASES])
    parser.add_argument("--theirs", nargs=2, metavar=("METHOD", "LAYOUT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.theirs:
        print(json.dumps(theirs(*asked.theirs, asked.batch, asked.iterations)))
        return
    rows = {}
    cases = [case for case in CASES if case[0] in asked.methods]
    for _ in range(asked.turns):
        for method, widths, stages in cases:
            ours = [asked.ours, asked.model, method, widths, str(asked.batch), str(asked.threads)]
            commands = {"ours": ours}
            for layout in ("nchw", "channels_last"):
                commands[layout] = [sys.executable, *sys.argv, "--theirs", method, layout]
            for side, command in commands.items():
                found = run(command, asked.threads)
                if len(found) == 2:
                    first, second = (found[f"reconstruction of {stage}"] for stage in stages)
                    found["both, 2 to 1"] = [(2 * a + b) / 3 for a, b in zip(first, second)]
                for stage, ms in found.items():
                    rows.setdefault((f"{method} {widths}", stage), {}).setdefault(side, []).append(ms)
    print(f"Blocks of ResNet-20, batch {asked.batch}, {asked.threads} threads, {asked.turns} turns: median ms per iteration (quartiles), CPU ms")
    for (method, stage), sides in rows.items():
        medians = {}
        for side, found in sides.items():
            wall, cpu = zip(*found)
            quartiles = statistics.quantiles(wall, n=4) if len(wall) > 1 else wall * 3
            medians[side] = statistics.median(wall), statistics.median(cpu)
            print(f"  {method:14} {stage:30} {side:14} {medians[side][0]:7.2f} ({quartiles[0]:.2f} to {quartiles[2]:.2f}) {medians[side][1]:7.2f}")
        best = [min(m[i] for side, m in medians.items() if side != "ours") for i in range(2)]
        ratios = [b / ours for b, ours in zip(best, medians["ours"])]
        print(f"  {method:14} {stage:30} their better layout / ours {ratios[0]:.2f}, of CPU time {ratios[1]:.2f}")


if __name__ == "__main__":
    main()
