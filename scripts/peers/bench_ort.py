"""One static quantization by onnxruntime.quantization, for scripts/bench-calibration.

    bench_ort.py prepare MODEL.onnx PREPARED.onnx
    bench_ort.py quantize PREPARED.onnx IMAGES.npy METHOD THREADS OUT.onnx

METHOD is MinMax, Entropy or Percentile; everything else is theirs by default but for weights per
channel and the batch of 64 images.  The last line printed is JSON: wall and CPU seconds of
calibrating and quantizing (imports, reading of images and their preparation of the model are not
in it) and the peak of resident memory above what the process held just before, in MiB.
"""

import json
import os
import resource
import sys
import time


def resident(key):
    """VmRSS or VmHWM in MiB; the peak since the start of the process where there is no /proc."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith(key))
    except OSError:
        unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def reset_peak():
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as refs:
            refs.write("5")
    except OSError:
        pass  # The peak since the start of the process stands in.


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def quantize(model, images, method, threads, out):
    # Their sessions take as many threads as the process may use cores.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    import numpy
    from onnxruntime import quantization

    images = numpy.ascontiguousarray(numpy.load(images))
    import onnxruntime

    name = onnxruntime.InferenceSession(model).get_inputs()[0].name

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.batches = (images[i : i + 64] for i in range(0, len(images), 64))

        def get_next(self):
            batch = next(self.batches, None)
            return None if batch is None else {name: batch}

    reset_peak()
    idle, wall, before = resident("VmRSS:"), time.perf_counter(), cpu()
    quantization.quantize_static(
        model,
        out,
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        calibrate_method=quantization.CalibrationMethod[method],
    )
    cost = {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": cpu() - before,
        "peak_mib": resident("VmHWM:") - idle,
    }
    print(json.dumps(cost))


def prepare(model, out):
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(model, out)


if __name__ == "__main__":
    {"prepare": prepare, "quantize": quantize}[sys.argv[1]](*sys.argv[2:])
