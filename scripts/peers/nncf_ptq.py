"""NNCF's post-training quantization on its ONNX backend."""

import sys

import nncf
import onnx
import onnxruntime

import contract


def folded(source, target):
    """Has ONNX Runtime fold batch norm into the layers, without which none runs in integers."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = target
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return target


def main():
    job = contract.job()
    if job["spec"]["weights"] != 8 or job["spec"]["activations"] != 8:
        sys.exit(f"expected w8a8, not {job['spec']['bits']}")
    asked = job["params"]
    images = contract.images(job)
    name, size = job["input"]["name"], asked["batch"]
    clock = contract.Clock()
    batches = [images[at : at + size] for at in range(0, len(images), size)]
    model = folded("model.onnx", "folded.onnx") if asked["fold"] else "model.onnx"
    dataset = nncf.Dataset(batches, lambda batch: {name: batch.copy()})
    quantized = nncf.quantize(
        onnx.load(model),
        dataset,
        preset=nncf.QuantizationPreset(asked["preset"]),
        fast_bias_correction=asked["fast_bias_correction"],
        subset_size=len(batches),
    )
    onnx.save(quantized, "artefact.onnx")
    clock.report(f"nncf {nncf.__version__} (ONNX backend)")


if __name__ == "__main__":
    main()
