"""Writes how a network changes (common.slopes) into the golden file of a folder that is there, as its trainer would.

`python weights/train/slopes.py weights/gmm40-mlp ...`, of networks of common.py that are shown a time, and of particles.
"""

import json
import pathlib
import sys

import jax
import numpy as np
from safetensors.numpy import load_file, save_file

import common
import egnn
from budget import readable


def write(folder):
    config, golden = json.loads((folder / "config.json").read_text()), load_file(folder / "golden.safetensors")
    of = egnn if config.get("_class_name") == "EGNN" else common
    with jax.enable_x64(True):
        p = {k: common.wide_of(v) for k, v in load_file(folder / "model.safetensors").items()}
        asked = {k: common.wide_of(golden[k]) for k in ("x", "t")}
        asked |= {"class": golden["class"]} if "class" in golden else {}
        found = {k: np.ascontiguousarray(v, np.float32) for k, v in of.slopes_of(config, p, **asked).items()}
    save_file(golden | found, folder / "golden.safetensors")
    readable(folder)


for name in sys.argv[1:]:
    write(pathlib.Path(name))
