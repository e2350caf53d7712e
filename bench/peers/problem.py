"""The problems that every peer solves, and the checks of its answers.

VE noise from 30 to 0.01 on a geometric grid. The mixture has 40 equal components of unit variance with means in
[-40, 40]^2, annealed to its square or averaged geometrically with a second one. The network is dense (d, h, h, h,
h, d with SiLU). Every step resamples systematically and gathers.
"""

import math

import numpy as np

K = 40
SIGMA_FIRST, SIGMA_LAST = 30.0, 0.01
BETA_ANNEAL, BETA_GEO = 2.0, 0.5


def sigmas(steps):
    """The noise levels, [steps + 1]."""
    return SIGMA_FIRST * (SIGMA_LAST / SIGMA_FIRST) ** (np.arange(steps + 1) / steps)


def step_constants(steps):
    """Of each step: the variance of a diffused component before it, and the decrease of sigma^2 over it."""
    s = sigmas(steps)
    variances = 1.0 + s[:-1] ** 2
    decreases = s[:-1] ** 2 - s[1:] ** 2
    return variances.astype(np.float32), decreases.astype(np.float32)


def gmm_means(seed):
    """Means of a mixture, [K, 2] in f64. The generator is that of native/maths.hpp, so all share the target."""
    out = []
    for _ in range(2 * K):
        seed = (seed * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
        out.append(80.0 * ((seed >> 33) / 2147483648.0) - 40.0)
    return np.asarray(out, np.float64).reshape(K, 2)


def gmm_targets(request):
    """Whether two mixtures are averaged, their means, and the exponent beta."""
    averaged = request["d"] == 1
    means = [gmm_means(seed).astype(np.float32) for seed in ((1, 2) if averaged else (1,))]
    return averaged, means, BETA_GEO if averaged else BETA_ANNEAL


def mlp_weights(d, h, seed=0):
    """Weights as [in, out], biases, and the matrix that takes the 32 time features to the first hidden layer."""
    rng = np.random.default_rng(seed)
    shapes = [(d, h), (h, h), (h, h), (h, h), (h, d)]
    weights = [(rng.uniform(-1, 1, s) * math.sqrt(3.0 / s[0])).astype(np.float32) for s in shapes]
    biases = [np.full(s[1], 0.01, np.float32) for s in shapes]
    time = (rng.uniform(-1, 1, (32, h)) * math.sqrt(3.0 / 32) * 0.3).astype(np.float32)
    return weights, biases, time


def time_features(steps):
    """Sines and cosines of ln(sigma)/4 before each step, [steps, 32]."""
    frequencies = np.exp(np.linspace(0, math.log(100.0), 16))
    angles = np.log(sigmas(steps)[:-1])[:, None] * 0.25 * frequencies[None, :]
    return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)


def check_ancestors(log_w, ancestors):
    """Systematic resampling must give each particle within one of N W offspring; n_ok: N of them in all."""
    n = len(log_w)
    w = np.exp(log_w.astype(np.float64) - log_w.max())
    w /= w.sum()
    counts = np.bincount(np.asarray(ancestors, np.int64), minlength=n)
    return {
        "max_count_err": round(float(np.abs(counts - n * w).max()), 4),
        "n_ok": bool(counts.sum() == n),
        "ess_frac": round(float(1 / (w * w).sum() / n), 4),
    }


def check_gmm(x, log_z):
    """Mean of |x|^2 and the estimate of the log-evidence."""
    x = np.asarray(x, np.float64)
    return {"mean_r2": round(float((x * x).sum(1).mean()), 2), "logZ": round(float(log_z), 4)}


def check_mlp(x):
    """Mean of the squared coordinates."""
    return {"mean_x2": round(float((np.asarray(x, np.float64) ** 2).mean()), 4)}


# Training step and class at which an image network is asked.
UNET_TIME, UNET_CLASS = 5.0, 3


def some(count):
    """Numbers of unit variance in no order, the same for all peers."""
    return (math.sqrt(3.0) * (2.0 * (np.arange(count) * 0.618033988749895 % 1.0) - 1.0)).astype(np.float32)


def check_unet(output, back=None):
    """Mean squares of what an image network says and, where it was asked, passes back; and their first numbers."""
    found = {"y": output} | ({} if back is None else {"g": back})
    out = {}
    for name, value in found.items():
        value = np.asarray(value, np.float64)
        out[f"mean_{name}2"] = round(float((value * value).mean()), 6)
        out[f"first_{name}"] = round(float(value.ravel()[0]), 5)
    return out
