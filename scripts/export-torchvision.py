#!/usr/bin/env python3
"""Export torchvision's ImageNet classifiers to ONNX, with a model card for each.

    pip install torch torchvision onnx        (in an environment of your own)
    scripts/export-torchvision.py --models $QUANTBENCH_DATA/models --cards configs/models \
        resnet18 resnet50 mobilenet-v2

Opset 17, dynamic batch, batch norms as they are and not folded into convolutions. The hash of the
file depends on the versions of torch and onnx, so the card is written here and not shipped.
A file appears only if ONNX's checker takes it and its logits of two random images are those of torch
(by onnxruntime if that is installed, else by ONNX's slow reference).
--untrained exports random weights, to try the way without a download; its card states no accuracy.
"""
import argparse
import hashlib
import pathlib
import sys

# Name, constructor, weights and the top-1 accuracy that torchvision's documentation states for them.
MODELS = {
    "resnet18": ("resnet18", "ResNet18_Weights.IMAGENET1K_V1", 69.758),
    "resnet50": ("resnet50", "ResNet50_Weights.IMAGENET1K_V1", 76.130),
    "mobilenet-v2": ("mobilenet_v2", "MobileNet_V2_Weights.IMAGENET1K_V1", 71.878),
}

CARD = """# Written by scripts/export-torchvision.py.
name: {name}-imagenet
summary: {title} of torchvision, weights {weights}, for ImageNet.
file: {name}-imagenet.onnx
sha256: {sha256}
dataset: imagenet
preprocess:
  name: torchvision-224
  version: 1
  resize: 256
  interpolation: bilinear
  center_crop: 224
  divide: 255
  mean: [0.485, 0.456, 0.406]
  std: [0.229, 0.224, 0.225]
{accuracy}source: https://docs.pytorch.org/vision/stable/models.html (torchvision {version})
licence: BSD-3-Clause (torchvision); the weights were trained on ImageNet, whose terms apply
"""


def outputs(file, images):
    """What a program other than torch makes of an ONNX file."""
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        return ReferenceEvaluator(str(file)).run(None, {"image": images})[0]
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]


def check(file, model):
    """Ends the program if the file is not the model."""
    import onnx
    import torch

    onnx.checker.check_model(str(file), full_check=True)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = model(images).numpy()
    found = outputs(file, images.numpy())
    error = abs(found - wanted).max() / abs(wanted).max() if found.shape == wanted.shape else float("inf")
    if not error < 1e-3:
        file.unlink()
        sys.exit(
            f"export-torchvision.py: {file.stem}: logits of the exported file differ from torch's by "
            f"{error:.3g} of the largest, expected less than 0.001; nothing was kept. Try another version of torch"
        )
    return error


def export(name, folder, cards, untrained):
    import torch
    import torchvision

    constructor, weights, top1 = MODELS[name]
    model = getattr(torchvision.models, constructor)(weights=None if untrained else weights.split(".")[1])
    model.eval()
    file = folder / f"{name}-imagenet.onnx"
    part = file.with_suffix(".part")
    torch.onnx.export(
        model,
        (torch.zeros(1, 3, 224, 224),),
        str(part),
        opset_version=17,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
        training=torch.onnx.TrainingMode.PRESERVE,  # in eval mode the exporter folds batch norms
        do_constant_folding=False,
        dynamo=False,
    )
    error = check(part, model)
    part.rename(file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    accuracy = "" if untrained else f"fp32_top1: {top1}\n# JPEG decoders differ by a grey level here and there.\ngate_tolerance: 0.1\n"
    text = CARD.format(
        name=name,
        title=constructor,
        weights="none, random" if untrained else weights,
        sha256=sha256,
        accuracy=accuracy,
        version=torchvision.__version__,
    )
    (cards / f"{name}-imagenet.yaml").write_text(text)
    print(f"{file}  sha256 {sha256}  logits within {error:.1e} of torch's")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", required=True, type=pathlib.Path, help="folder for the ONNX files")
    parser.add_argument("--cards", required=True, type=pathlib.Path, help="folder for the model cards")
    parser.add_argument("--untrained", action="store_true", help="random weights")
    parser.add_argument("names", nargs="+", choices=sorted(MODELS), metavar="NAME")
    asked = parser.parse_args()
    try:
        import onnx  # noqa: F401
        import torch  # noqa: F401
        import torchvision  # noqa: F401
    except ImportError as error:
        sys.exit(f"export-torchvision.py: {error}; pip install torch torchvision onnx")
    asked.models.mkdir(parents=True, exist_ok=True)
    for name in asked.names:
        export(name, asked.models, asked.cards, asked.untrained)


main()
