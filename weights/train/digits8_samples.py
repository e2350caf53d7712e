"""Draws samples of weights/digits8-mlp and lets weights/digits8-classifier read them: a sanity check by eye.

Heun's method of EDM (Karras et al. 2022, arXiv 2206.00364, algorithm 1) with classifier-free guidance
(Ho & Salimans 2022, arXiv 2207.12598), 20 samples of each class.

`python weights/train/digits8_samples.py [montage-prefix]` prints accuracies and writes <prefix>-w1.png, -w2.png.
"""

import json
import struct
import sys
import zlib

import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

import common

STEPS, EACH = 40, 20


def load(name):
    folder = common.WEIGHTS / name
    return json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")


def sample(config, p, label, guidance, seed):
    lo, hi = config["schedule"]["t_min"], config["schedule"]["t_max"]
    grid = np.append(np.linspace(hi ** (1 / 7), lo ** (1 / 7), STEPS) ** 7, 0.0)
    null = np.full_like(label, config["classes"])
    x = config["data"]["mean"] + hi * np.random.default_rng(seed).standard_normal((len(label), config["dim"]))

    def slope(x, t):
        level = jnp.full(len(label), t)
        d = common.denoise(config, p, x, level, label)[1]
        if guidance != 1.0:
            without = common.denoise(config, p, x, level, null)[1]
            d = without + guidance * (d - without)
        return np.asarray(x - d) / t

    for t, u in zip(grid[:-1], grid[1:]):
        first = slope(x, t)
        y = x + (u - t) * first
        x = y if u == 0.0 else x + (u - t) * 0.5 * (first + slope(y, u))
    return x


def png(path, grey):
    rows = b"".join(b"\0" + r.tobytes() for r in grey)
    part = lambda tag, data: struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
    head = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 0)
    data = part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + data)


def montage(x):
    """One row of images a class, each pixel drawn as a 4x4 block, with a grey frame."""
    tiles = np.clip((x.reshape(-1, EACH, 8, 8) + 1.0) * 127.5, 0, 255).astype(np.uint8)
    tiles = np.pad(tiles.repeat(4, 2).repeat(4, 3), ((0, 0), (0, 0), (2, 2), (2, 2)), constant_values=90)
    return np.ascontiguousarray(tiles.transpose(0, 2, 1, 3).reshape(10 * 36, EACH * 36))


if __name__ == "__main__":
    (config, p), (judge, q) = load("digits8-mlp"), load("digits8-classifier")
    label = np.repeat(np.arange(10, dtype=np.int32), EACH)
    for guidance in (1.0, 2.0):
        x = sample(config, p, label, guidance, seed=5)
        read = np.asarray(common.forward(judge, q, jnp.asarray(x, jnp.float32))).argmax(1)
        print(f"guidance {guidance:g}: the classifier agrees on {(read == label).mean():.1%} of {len(label)} samples")
        if len(sys.argv) > 1:
            png(f"{sys.argv[1]}-w{guidance:g}.png", montage(x))
