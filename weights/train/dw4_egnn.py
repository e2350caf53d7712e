"""Trains weights/dw4-egnn: the denoiser of DW-4 (particles.py) at temperature 2, by egnn.py.

`python weights/train/dw4_egnn.py [--minutes 12] [--resume] [--out weights/dw4-egnn]`
"""

import common
import egnn

CONFIG = {
    "_class_name": "EGNN", "atoms": 4, "space": 2, "hidden": 32, "radial": 20, "layers": 2, "activation": "silu",
    "cond": 32, "time_features": 32,
    "schedule": {"kind": "ve", "sigma_min": 0.01, "sigma_max": 20.0, "t_min": 0.0, "t_max": 1.0},
    "prediction": "x0",
}  # fmt: skip


def train(args):
    args.batch, args.rate = 128, 4e-3
    x, grad = egnn.samples("dw4", args.out, chains=1000, burn=3000, keep=100, thin=200)
    sd = round(float(x.std()), 4)
    parts = {"preconditioning": {"kind": "edm", "sigma_data": sd}, "data": {"mean": 0.0, "std": sd}}
    egnn.learn(args, CONFIG | parts, "dw4", x, grad)


if __name__ == "__main__":
    common.run("dw4-egnn", __doc__, 12.0, train)
