"""What the peers share: the external contract, seen from a command.

A command starts in a folder with model.onnx, job.json and, where granted, calibration.npy
([images, channels, height, width], float32, preprocessed). It leaves artefact.onnx and report.json.
"""

import json
import resource
import time

import numpy as np


def job():
    """What is asked."""
    with open("job.json", encoding="utf-8") as file:
        return json.load(file)


def images(asked):
    """The granted images, mapped and not read, so that memory is the tool's own."""
    return np.load(asked["calibration"]["file"], mmap_mode="r")


class Clock:
    """Wall and CPU seconds of the work proper, without start and imports."""

    def __init__(self):
        self.wall, self.cpu = time.monotonic(), time.process_time()

    def report(self, tool, notes=()):
        """Writes report.json."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        cost = {
            "wall_s": time.monotonic() - self.wall,
            "cpu_s": time.process_time() - self.cpu,
            "peak_mib": peak,
        }
        with open("report.json", "w", encoding="utf-8") as file:
            json.dump({"schema": 1, "tool": tool, "notes": list(notes), "cost": cost}, file)
