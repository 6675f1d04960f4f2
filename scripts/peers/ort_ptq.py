"""onnxruntime.quantization, static, Q/DQ format: ort_ptq.py minmax|entropy|percentile."""

import sys

import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

import contract

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


class Batches(CalibrationDataReader):
    """The images, `size` at a time."""

    def __init__(self, name, images, size):
        self.name, self.images, self.size, self.at = name, images, size, 0

    def get_next(self):
        batch = self.images[self.at : self.at + self.size]
        self.at += self.size
        return {self.name: batch.copy()} if len(batch) else None


def main():
    job = contract.job()
    if job["spec"]["weights"] != 8 or job["spec"]["activations"] != 8:
        sys.exit(f"expected w8a8, not {job['spec']['bits']}")
    asked = job["params"]
    options = {}
    if "percentile" in asked:
        options["CalibPercentile"] = asked["percentile"]
    clock = contract.Clock()
    model = "model.onnx"
    if asked["pre_process"]:
        model = "prepared.onnx"
        quant_pre_process("model.onnx", model)
    quantize_static(
        model,
        "artefact.onnx",
        Batches(job["input"]["name"], contract.images(job), asked["batch"]),
        quant_format=QuantFormat.QDQ,
        per_channel=asked["per_channel"],
        reduce_range=asked["reduce_range"],
        activation_type=QuantType.QInt8 if asked["signed"] else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=METHODS[sys.argv[1]],
        extra_options=options,
    )
    clock.report(f"onnxruntime.quantization {onnxruntime.__version__}")


if __name__ == "__main__":
    main()
