"""Their half of scripts/bench-training, and the pairing of both halves.

A training step (forward, cross entropy, backward, SGD with momentum) of ResNet-20 for CIFAR-10 in
PyTorch, plain and with LSQ at W4A4, in both memory layouts, in turn with ours, which runs as a
command. Random images: speed alone.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class Fake(torch.autograd.Function):
    """Uniform quantization with a learned step; its backward pass written out to save memory."""

    @staticmethod
    def forward(ctx, x, step, low, high, rate):
        scaled = x / step
        codes = scaled.clamp(low, high).round()
        ctx.save_for_backward(scaled, codes)
        ctx.ends = (low, high, rate)
        return codes * step

    @staticmethod
    def backward(ctx, gradient):
        scaled, codes = ctx.saved_tensors
        low, high, rate = ctx.ends
        inside = (scaled >= low) & (scaled <= high)
        to_step = (gradient * torch.where(inside, codes - scaled, codes)).sum() * rate
        return gradient * inside, to_step, None, None, None


class Layer(nn.Module):
    """A conv or fully connected layer, quantized if widths are given."""

    def __init__(self, layer, bits=None, signed=False):
        super().__init__()
        self.layer, self.bits, self.signed = layer, bits, signed
        if bits:
            self.weight_step = nn.Parameter(torch.tensor(0.05))
            self.input_step = nn.Parameter(torch.tensor(0.2))

    def forward(self, x):
        if not self.bits:
            return self.layer(x)
        half = 2 ** (self.bits - 1)
        low, high = (-half, half - 1) if self.signed else (0, 2**self.bits - 1)
        x = Fake.apply(x, self.input_step, low, high, (x[0].numel() * high) ** -0.5)
        w = self.layer.weight
        w = Fake.apply(w, self.weight_step, -half, half - 1, (w.numel() * (half - 1)) ** -0.5)
        if isinstance(self.layer, nn.Linear):
            return F.linear(x, w, self.layer.bias)
        return F.conv2d(x, w, None, self.layer.stride, self.layer.padding)


class Block(nn.Module):
    """Two convolutions and a shortcut without parameters."""

    def __init__(self, inputs, outputs, stride, bits):
        super().__init__()
        self.one = Layer(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), bits)
        self.two = Layer(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), bits)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(2))
        self.more = (outputs - inputs) // 2
        self.stride = stride

    def forward(self, x):
        y = F.relu(self.norms[0](self.one(x)))
        y = self.norms[1](self.two(y))
        if self.more:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more, self.more))
        return F.relu(x + y)


class ResNet20(nn.Module):
    """He et al. 2016, section 4.2, n = 3."""

    def __init__(self, bits=None):
        super().__init__()
        edge = 8 if bits else None
        self.stem = Layer(nn.Conv2d(3, 16, 3, 1, 1, bias=False), edge, signed=True)
        self.norm = nn.BatchNorm2d(16)
        plan = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
        self.blocks = nn.Sequential(*[Block(*shape, bits) for shape in plan])
        self.head = Layer(nn.Linear(64, 10), edge)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        return self.head(self.blocks(x).mean((2, 3)))


def theirs(kind, layout, batch, steps):
    """Images per second of each step, and the memory above the process without it, in MiB."""
    torch.manual_seed(0)
    net = ResNet20(4 if kind == "lsq" else None).train()
    images, labels = torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,))
    if layout == "channels_last":
        net, images = net.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for _ in range(steps + 2):
        begun = time.perf_counter()
        loss = F.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - begun)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return batch / statistics.median(times[2:]), peak


def run(command, threads):
    """The JSON line of a command."""
    env = dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    return json.loads(subprocess.run(command, check=True, env=env, stdout=subprocess.PIPE).stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, help="ResNet-20 as an ONNX file")
    parser.add_argument("--ours", required=True, help="the example train_speed")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10, help="steps per turn")
    parser.add_argument("--turns", type=int, default=5, help="turns of each side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--theirs", nargs=2, metavar=("KIND", "LAYOUT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.theirs:
        speed, peak = theirs(*asked.theirs, asked.batch, asked.steps)
        print(json.dumps({"images_per_s": speed, "peak_mib": peak}))
        return
    rows = {}
    for _ in range(asked.turns):
        for kind in ("fp32", "lsq"):
            command = [asked.ours, asked.model, kind, str(asked.batch), str(asked.steps)]
            rows.setdefault((kind, "ours"), []).append(run(command, asked.threads))
            for layout in ("nchw", "channels_last"):
                command = [sys.executable, *sys.argv, "--theirs", kind, layout]
                rows.setdefault((kind, layout), []).append(run(command, asked.threads))
    print(f"ResNet-20, batch {asked.batch}, {asked.threads} threads, {asked.turns} turns of {asked.steps} steps each: median images/s (quartiles), peak MiB above the loaded process")
    medians = {}
    for (kind, side), found in rows.items():
        speeds = sorted(f["images_per_s"] for f in found)
        quartiles = statistics.quantiles(speeds, n=4) if len(speeds) > 1 else [speeds[0]] * 3
        medians[kind, side] = statistics.median(speeds)
        peak = statistics.median(f["peak_mib"] for f in found)
        print(f"  {kind:5} {side:14} {medians[kind, side]:7.0f} ({quartiles[0]:.0f} to {quartiles[2]:.0f})  {peak:6.0f} MiB")
    for kind in ("fp32", "lsq"):
        best = max(medians[kind, layout] for layout in ("nchw", "channels_last"))
        print(f"{kind}: ours / their better layout {medians[kind, 'ours'] / best:.2f}")
    print(f"ours, lsq / fp32: {medians['lsq', 'ours'] / medians['fp32', 'ours']:.2f}")


if __name__ == "__main__":
    main()
