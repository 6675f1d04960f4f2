#!/usr/bin/env python3
"""Makes the pictures of pixels.rs and what Pillow makes of them.

    pip install pillow==11.3.0 numpy && python3 make.py

Expected are the arrays of torchvision's loader (Image.open(...).convert("RGB")) and, for some,
of its Resize and CenterCrop: those call Pillow's resize on the sizes that are computed here by
torchvision's rules (shorter side to SIDE, longer side cut; margins rounded half to even).
torchvision itself is not needed.
Pillow 13 takes the vertical pass first for some sizes, which changes values by about one.
"""

import gzip
import pathlib

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).parent
FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
rng = np.random.default_rng(20)


def picture(height, width, channels=3):
    """Waves, noise and a hard-edged block, so that every step of a decoder matters."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    planes = []
    for c in range(channels):
        plane = 128 + 60 * np.sin(x / (3 + c) + c) + 50 * np.cos(y / (5 - c))
        plane += rng.normal(0, 8, (height, width))
        plane[height // 3 : height // 2, width // 4 : width // 2] = [250, 10, 120, 200][c]
        planes.append(np.clip(plane, 0, 255))
    return np.stack(planes, -1).astype(np.uint8)


def pictures():
    odd, even, tall = picture(37, 51), picture(32, 48), picture(70, 29)
    for chroma, name in [(0, "444"), (1, "422"), (2, "420")]:
        jpeg = dict(quality=85, subsampling=chroma)
        yield f"{name}.jpg", Image.fromarray(odd), jpeg
        yield f"{name}-progressive.jpg", Image.fromarray(odd), dict(jpeg, progressive=True)
    yield "even.jpg", Image.fromarray(even), dict(quality=40, subsampling=2)
    yield "tall.JPEG", Image.fromarray(tall), dict(format="JPEG", quality=95, subsampling=2)
    yield "restarts.jpeg", Image.fromarray(odd), dict(quality=75, restart_marker_blocks=2)
    yield "grey.jpg", Image.fromarray(odd).convert("L"), dict(quality=85)
    yield "inks.jpg", Image.fromarray(picture(19, 23, 4), mode="CMYK"), dict(quality=90)
    yield "rgb.png", Image.fromarray(odd[:19, :23]), {}
    yield "alpha.png", Image.fromarray(picture(9, 11, 4), mode="RGBA"), {}
    yield "palette.png", Image.fromarray(odd[:20, :20]).quantize(11), {}
    yield "grey.png", Image.fromarray(odd[:9, :11]).convert("L"), {}
    yield "grey-alpha.png", Image.fromarray(odd[:9, :11]).convert("LA"), {}
    yield "one-bit.png", Image.fromarray(odd[:9, :11]).convert("1"), {}
    see_through = Image.fromarray(odd[:9, :11]).convert("L")
    yield "grey-key.png", see_through, dict(transparency=int(np.asarray(see_through)[0, 0]))
    yield "named-png.jpg", Image.fromarray(odd[:9, :11]), dict(format="PNG")


def fitted(image, side, name, crop):
    """torchvision's Resize(side, name) and CenterCrop(crop)."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    if short != side:
        cut = int(side * long / short)
        image = image.resize((side, cut) if width <= height else (cut, side), FILTERS[name])
    width, height = image.size
    top, left = round((height - crop) / 2.0), round((width - crop) / 2.0)
    return image.crop((left, top, left + crop, top + crop))


def png16(path):
    """16 bits a value, which Pillow reads and does not write."""
    import struct
    import zlib

    values = (picture(7, 9).astype(np.uint32) * 257 + rng.integers(0, 200, (7, 9, 3))) % 65536
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunk = lambda kind, data: (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    )
    head = struct.pack(">IIBBBBB", 9, 7, 16, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def main():
    names = []
    for name, image, options in pictures():
        image.save(HERE / name, **options)
        names.append(name)
    png16(HERE / "sixteen.png")
    names.append("sixteen.png")
    cases, arrays = [], []
    for name in names:
        image = Image.open(HERE / name).convert("RGB")
        cases.append(f"{name} whole 0 0 {image.height} {image.width}")
        arrays.append(np.asarray(image))
    for name, side, how, crop in [
        ("444.jpg", 24, "bilinear", 21),
        ("420.jpg", 24, "bilinear", 24),
        ("tall.JPEG", 16, "bicubic", 13),
        ("even.jpg", 40, "bilinear", 33),
        ("422.jpg", 37, "bilinear", 32),
        ("rgb.png", 8, "bicubic", 8),
        ("420-progressive.jpg", 7, "bilinear", 6),
        ("grey.jpg", 30, "bicubic", 28),
    ]:
        image = fitted(Image.open(HERE / name).convert("RGB"), side, how, crop)
        cases.append(f"{name} {how} {side} {crop} {crop} {crop}")
        arrays.append(np.asarray(image))
    (HERE / "cases.txt").write_text("\n".join(cases) + "\n")
    raw = b"".join(array.tobytes() for array in arrays)
    (HERE / "expected.gz").write_bytes(gzip.compress(raw, mtime=0))


main()
