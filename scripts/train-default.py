#!/usr/bin/env python3
"""Trains the default model that quantbench carries inside its binary.

Reads the images that the generator of `shapes10` exports, trains a small residual network on
one thread with fixed seeds, evaluates it in FP32 and with weights and activations rounded to
nearest, and writes it as ONNX with batch norm as nodes of its own.

    cargo run --release -p quantbench-datasets --example export_shapes -- target/shapes10
    python scripts/train-default.py target/shapes10 datasets/assets/resnet-shapes10.onnx

Needs PyTorch, NumPy and onnx. The graph is put together node by node, so no exporter is needed.
"""

import argparse
import hashlib
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F

MEAN, STD = 0.5, 0.25  # y = (x / 255 - MEAN) / STD, the same for the three channels
WIDTHS = (16, 32, 64)


class Block(nn.Module):
    """Two 3x3 convs with batch norm and a shortcut, a 1x1 conv where the shape changes."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.down = None
        if stride != 1 or before != after:
            self.down = nn.Conv2d(before, after, 1, stride, 0, bias=False)
            self.down_bn = nn.BatchNorm2d(after)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.down is None else self.down_bn(self.down(x))))


class Network(nn.Module):
    """Conv stem, three stages of residual blocks, global average pool, fully connected."""

    def __init__(self, blocks, classes=10):
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False)
        self.stem_bn = nn.BatchNorm2d(WIDTHS[0])
        stages, before = [], WIDTHS[0]
        for stage, width in enumerate(WIDTHS):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(Block(before, width, stride))
                before = width
        self.blocks = nn.ModuleList(stages)
        self.fc = nn.Linear(before, classes)

    def forward(self, x):
        x = F.relu(self.stem_bn(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return self.fc(x.mean((2, 3)))


def read(path):
    """Images as bytes [N, 3, 32, 32] and labels [N]."""
    records = np.fromfile(path, np.uint8).reshape(-1, 3073)
    images = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy())
    return images, torch.from_numpy(records[:, 0].astype(np.int64))


def preprocess(images):
    return (images.float() / 255 - MEAN) / STD


def augment(images, rng):
    """Shifts of up to three pixels, the eight symmetries of the square, and permuted channels.

    None of them changes the class, and the generator is indifferent to all of them.
    """
    padded = F.pad(images, (3, 3, 3, 3), mode="reflect")
    out = torch.empty_like(images)
    for i, (dy, dx) in enumerate(rng.integers(0, 7, (len(images), 2))):
        out[i] = padded[i, :, dy : dy + 32, dx : dx + 32]
    out = out[:, torch.from_numpy(rng.permutation(3))]
    out = torch.rot90(out, int(rng.integers(4)), (2, 3))
    return out.flip(3) if rng.integers(2) else out


def train(model, images, labels, args):
    rng = np.random.default_rng(args.seed)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=args.lr, momentum=0.9, nesterov=True, weight_decay=args.weight_decay
    )
    steps = args.epochs * (len(images) // args.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.lr, total_steps=steps, pct_start=0.15
    )
    inputs, start = preprocess(images), time.time()
    for epoch in range(args.epochs):
        model.train()
        total, order = 0.0, rng.permutation(len(images))
        for at in range(0, len(order) - args.batch + 1, args.batch):
            batch = torch.from_numpy(order[at : at + args.batch])
            loss = F.cross_entropy(model(augment(inputs[batch], rng)), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        mean = total / (len(order) // args.batch)
        print(f"epoch {epoch + 1}: loss {mean:.4f}, {time.time() - start:.0f} s", flush=True)


@torch.no_grad()
def accuracy(forward, images, labels):
    """Top-1 in percent."""
    correct = 0
    for at in range(0, len(images), 500):
        logits = forward(preprocess(images[at : at + 500]))
        correct += (logits.argmax(1) == labels[at : at + 500]).sum().item()
    return 100 * correct / len(images)


class RoundToNearest:
    """The network with min-max grids: the stem, the FC, its input and the image at 8 bits.

    Weights are signed symmetric per output channel after folding the batch norms; activations
    are affine per tensor at the input of every conv and FC, a residual sum once after its ReLU.
    """

    def __init__(self, model, w_bits, a_bits, calibration):
        self.model, self.w_bits, self.a_bits = model, w_bits, a_bits
        self.ranges, self.observing = {}, True
        with torch.no_grad():
            self(preprocess(calibration))
        self.observing = False

    def weights(self, w, bits):
        top = 2 ** (bits - 1) - 1
        s = w.flatten(1).abs().amax(1) / top
        s = torch.where(s > 0, s, torch.ones_like(s)).view(-1, *[1] * (w.dim() - 1))
        return torch.clamp(torch.round(w / s), -top - 1, top) * s

    def activations(self, name, x, bits):
        if self.observing:
            self.ranges[name] = (min(x.min().item(), 0.0), max(x.max().item(), 0.0))
            return x
        low, high = self.ranges[name]
        s = (high - low) / (2**bits - 1) or 1.0
        z = round(-low / s)
        return (torch.clamp(torch.round(x / s) + z, 0, 2**bits - 1) - z) * s

    def conv(self, conv, bn, x, bits=None):
        gain = bn.weight / torch.sqrt(bn.running_var + bn.eps)
        w = conv.weight * gain.view(-1, 1, 1, 1)
        if not self.observing:
            w = self.weights(w, bits or self.w_bits)
        return F.conv2d(x, w, bn.bias - bn.running_mean * gain, conv.stride, conv.padding)

    def __call__(self, x):
        m = self.model
        x = self.activations("image", x, 8)
        x = F.relu(self.conv(m.stem, m.stem_bn, x, 8))
        x = self.activations("stem", x, self.a_bits)
        for i, block in enumerate(m.blocks):
            y = F.relu(self.conv(block.conv1, block.bn1, x))
            y = self.conv(block.conv2, block.bn2, self.activations(f"{i}.1", y, self.a_bits))
            x = F.relu(y + (x if block.down is None else self.conv(block.down, block.down_bn, x)))
            if i + 1 < len(m.blocks):
                x = self.activations(f"{i}.2", x, self.a_bits)
        x = self.activations("pooled", x.mean((2, 3)), 8)
        return F.linear(x, m.fc.weight if self.observing else self.weights(m.fc.weight, 8), m.fc.bias)


class Graph:
    """Collects nodes and initializers of an ONNX graph."""

    def __init__(self):
        self.nodes, self.initializers = [], []

    def constant(self, name, value):
        array = value.detach().numpy().astype(np.float32)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op, name, inputs, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def conv_bn(self, name, x, conv, bn):
        side, pad = conv.kernel_size[0], conv.padding[0]
        x = self.node(
            "Conv",
            f"{name}.conv",
            [x, self.constant(f"{name}.weight", conv.weight)],
            kernel_shape=[side, side],
            strides=list(conv.stride),
            pads=[pad] * 4,
        )
        parts = {"scale": bn.weight, "bias": bn.bias, "mean": bn.running_mean, "var": bn.running_var}
        inputs = [x] + [self.constant(f"{name}.bn.{k}", v) for k, v in parts.items()]
        return self.node("BatchNormalization", f"{name}.bn", inputs, epsilon=bn.eps)


def to_onnx(model):
    """The network as ONNX, opset 17, with a dynamic batch."""
    g = Graph()
    x = g.node("Relu", "stem.relu", [g.conv_bn("stem", "input", model.stem, model.stem_bn)])
    for i, block in enumerate(model.blocks):
        name = f"block{i}"
        y = g.node("Relu", f"{name}.relu1", [g.conv_bn(f"{name}.1", x, block.conv1, block.bn1)])
        y = g.conv_bn(f"{name}.2", y, block.conv2, block.bn2)
        if block.down is not None:
            x = g.conv_bn(f"{name}.down", x, block.down, block.down_bn)
        x = g.node("Relu", f"{name}.relu2", [g.node("Add", f"{name}.add", [y, x])])
    x = g.node("Flatten", "flatten", [g.node("GlobalAveragePool", "pool", [x])], axis=1)
    fc = [g.constant("fc.weight", model.fc.weight), g.constant("fc.bias", model.fc.bias)]
    g.nodes.append(helper.make_node("Gemm", [x, *fc], ["logits"], name="fc", transB=1))
    graph = helper.make_graph(
        g.nodes,
        "resnet-shapes10",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        g.initializers,
    )
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="quantbench train-default",
    )
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString(deterministic=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("images", type=Path, help="folder with train.bin and test.bin")
    parser.add_argument("model", type=Path, help="ONNX file to write")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--batch", type=int, default=64, help="images per step")
    parser.add_argument("--blocks", type=int, default=1, help="residual blocks per stage")
    parser.add_argument("--lr", type=float, default=0.2, help="peak learning rate")
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    train_images, train_labels = read(args.images / "train.bin")
    test_images, test_labels = read(args.images / "test.bin")
    model = Network(args.blocks)
    train(model, train_images, train_labels, args)
    model.eval()

    print(f"FP32: {accuracy(model, test_images, test_labels):.2f} % of {len(test_images)}")
    calibration = train_images[:1024]
    for bits in (8, 6, 4, 3, 2):
        rounded = RoundToNearest(model, bits, bits, calibration)
        print(f"W{bits}A{bits} min-max: {accuracy(rounded, test_images, test_labels):.2f} %")
    data = to_onnx(model)
    args.model.parent.mkdir(parents=True, exist_ok=True)
    args.model.write_bytes(data)
    print(f"{args.model}: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
