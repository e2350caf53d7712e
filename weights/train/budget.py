"""What the training scripts share of a run, in jax or torch: its command line, how long it is, and the checkpoint from
which one that was cut short goes on.

A checkpoint is one safetensors file of all that the next step needs, with the step and the minutes so far, which count. It
lies beside the folder to be written (beside the scripts if that is a shipped one), and about every minute a new one takes
its place in one move, so that there is always a whole one.
"""

import argparse
import os
import pathlib
import sys
import time

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).resolve().parent
WEIGHTS = HERE.parent


def arguments(name, doc, minutes):
    """The command line of every script, which writes args.out."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=minutes, help="wall time to train for (default %(default)s)")
    parser.add_argument("--steps", type=int, default=None, help="train for exactly this many steps instead")
    parser.add_argument("--out", type=pathlib.Path, default=WEIGHTS / name, help="folder to write")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint, whose steps and minutes count")
    parser.set_defaults(name=name)
    return parser


def readable(folder):
    """Some writers leave files readable by their owner only."""
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(0o644)


class Budget:
    """Progress in [0, 1] by steps, or by wall time: a slow or shared machine then ends its learning-rate decay
    too. --steps makes a run repeatable (all random numbers have fixed seeds); --minutes only its length."""

    def __init__(self, args):
        self.minutes, self.steps, self.done, self.start = args.minutes, args.steps, 0, time.time()
        self.name, self.resumed, self.saved = args.name, args.resume, self.start
        out = args.out.resolve()
        self.file = (HERE if out.is_relative_to(WEIGHTS) else out.parent) / f"{out.name}.checkpoint"

    def elapsed(self):
        return (time.time() - self.start) / 60.0

    def progress(self):
        return self.done / self.steps if self.steps else self.elapsed() / self.minutes

    def load(self, wanted, later=()):
        """The checkpoint's tensors, or None without --resume. They must have the shapes {name: shape} `wanted`, but for
        those that begin with `later`, which a run only has after its first step."""
        if not self.resumed:
            return None
        if not self.file.exists():
            sys.exit(f"{self.file}: no checkpoint to resume from; a run starts anew without --resume")
        with safe_open(self.file, "numpy") as file:
            about, found = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
        if about["name"] != self.name:
            sys.exit(f"{self.file}: found a checkpoint of {about['name']}, wanted one of {self.name}")
        shapes = {name: v.shape for name, v in found.items() if not name.startswith(tuple(later))}
        for name in sorted(shapes.keys() | wanted.keys()):
            one, other = (str(of.get(name, "none")) for of in (shapes, wanted))
            if one != other:
                sys.exit(f"{self.file}: a checkpoint of another network: found {name} of shape {one}, wanted {other}")
        self.done, self.start = int(about["step"]), self.start - 60.0 * float(about["minutes"])
        print(f"goes on from step {self.done}, {self.elapsed():.1f} minutes", flush=True)
        return found

    def due(self):
        """Whether it is time for a checkpoint: every minute, more often in a run of less than ten, and at the end."""
        return time.time() - self.saved > 6.0 * min(10.0, self.minutes) or self.progress() >= 1.0

    def save(self, tensors):
        self.file.parent.mkdir(parents=True, exist_ok=True)
        about = {"name": self.name, "step": str(self.done), "minutes": str(self.elapsed())}
        tensors = {name: np.asarray(v, order="C") for name, v in tensors.items()}
        save_file(tensors, self.file.with_suffix(".new"), about)
        os.replace(self.file.with_suffix(".new"), self.file)
        self.saved = time.time()
