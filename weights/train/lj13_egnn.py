"""Trains weights/lj13-egnn: the denoiser of LJ-13 (particles.py) at temperature 2, by egnn.py.

`python weights/train/lj13_egnn.py [--minutes 25] [--resume] [--out weights/lj13-egnn]`
"""

import common
import egnn

CONFIG = {
    "_class_name": "EGNN", "atoms": 13, "space": 3, "hidden": 32, "radial": 20, "layers": 2, "activation": "silu",
    "cond": 32, "time_features": 32,
    "schedule": {"kind": "ve", "sigma_min": 0.002, "sigma_max": 10.0, "t_min": 0.0, "t_max": 1.0},
    "prediction": "x0",
}  # fmt: skip


def train(args):
    args.batch, args.rate = 64, 4e-3
    x, grad = egnn.samples("lj13", args.out, chains=128, burn=15000, keep=400, thin=100)
    sd = round(float(x.std()), 4)
    parts = {"preconditioning": {"kind": "edm", "sigma_data": sd}, "data": {"mean": 0.0, "std": sd}}
    egnn.learn(args, CONFIG | parts, "lj13", x, grad)


if __name__ == "__main__":
    common.run("lj13-egnn", __doc__, 25.0, train)
