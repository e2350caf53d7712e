"""Draws the 40-mode mixture of weights/gmm40.toml: means uniform in [-40, 40]^2, scale softplus(1), equal weights.

The file is the definition (six decimals); this script only says where it came from.
"""

import numpy as np

from common import WEIGHTS

means = np.random.default_rng(40).uniform(-40.0, 40.0, (40, 2))
lines = [
    "# A mixture of 40 isotropic Gaussians in the plane, the target of gmm40-mlp/.",
    "# Means uniform in [-40, 40]^2 (numpy default_rng(40), six decimals); every scale is softplus(1).",
    "# Written by train/gmm40_target.py.",
    'kind = "mixture"',
    "weights = [" + ", ".join(["0.025"] * 40) + "]",
    "means = [",
    *(f"  [{x:.6f}, {y:.6f}]," for x, y in means),
    "]",
    "scales = [" + ", ".join([repr(1.3132616875182228)] * 40) + "]",
]
(WEIGHTS / "gmm40.toml").write_text("\n".join(lines) + "\n")
