"""Recomputes golden.safetensors of a weights folder in numpy float64, from the files alone.

An implementation of the format that shares no code with the trainers' (common.py): a slip in one of the two shows.
`python weights/train/check.py weights/gmm40-mlp ...` prints the largest relative difference of each output.
"""

import json
import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file

TOLERANCE = 1e-6


def activation(name):
    return {
        "silu": lambda z: z / (1 + np.exp(-z)),
        "gelu": lambda z: 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
        "tanh": np.tanh,
        "relu": lambda z: np.where(z > 0, z, 0),
    }[name]


def alpha_sigma(schedule, t):
    kind = schedule["kind"]
    if kind == "ve":
        return 1.0, np.exp((1 - t) * np.log(schedule["sigma_min"]) + t * np.log(schedule["sigma_max"]))
    if kind == "edm":
        return 1.0, t
    raise ValueError(f"no shipped folder uses the schedule {kind}")


def evaluate_one(c, w, x, t, label):
    """(F, D) of a single input."""
    act = activation(c["activation"])
    scaled, u = x, None
    if c["class"] == "mlp":
        assert c["preconditioning"]["kind"] == "edm" and c["prediction"] == "x0"
        alpha, sigma = alpha_sigma(c["schedule"], t)
        s, sd, y = sigma / alpha, c["preconditioning"]["sigma_data"], x / alpha
        scaled = y / np.hypot(s, sd)
        tau = np.log(s) / 4 if c["time"]["feature"] == "log_snr" else t
        half = c["time"]["dim"] // 2
        if c["time"]["embedding"] == "fourier":
            phase = 2 * np.pi * w["time.freqs"] * tau
        else:
            phase = c["time"]["scale"] * tau * c["time"]["max_period"] ** (-np.arange(half) / half)
        e = np.r_[np.cos(phase), np.sin(phase)]
        u = w["time.2.weight"] @ act(w["time.0.weight"] @ e + w["time.0.bias"]) + w["time.2.bias"]
        if c["classes"] is not None:
            u = u + w["class.weight"][label]
        u = act(u)
    a = act(w["in.weight"] @ scaled + w["in.bias"])
    for l in range(c["layers"]):
        z = w[f"layers.{l}.weight"] @ a + w[f"layers.{l}.bias"]
        if u is not None:
            z += w[f"layers.{l}.cond.weight"] @ u
        if c["norm"] == "layer":
            z = (z - np.mean(z)) / np.sqrt(np.var(z) + 1e-5) * w[f"layers.{l}.norm.weight"] + w[f"layers.{l}.norm.bias"]
        a = act(z) + (a if c["skip"] else 0)
    f = w["out.weight"] @ a + w["out.bias"]
    if c["class"] != "mlp":
        return f, None
    return f, (sd**2 * y) / (s**2 + sd**2) + (s * sd / np.hypot(s, sd)) * f


def particles_one(c, w, x, t):
    """(F, D) of a configuration of particles, pair by pair."""
    act, n, hidden = activation(c["activation"]), c["atoms"], c["hidden"]
    sigma = alpha_sigma(c["schedule"], t)[1]
    linear = lambda name, v: w[f"{name}.weight"] @ v + w[f"{name}.bias"]
    sd = c["preconditioning"]["sigma_data"]
    x = x.reshape(n, c["space"])
    y = x / np.hypot(sigma, sd)
    angle = 2 * np.pi * w["time.freqs"] * np.log(sigma)
    e = act(linear("time.2", act(linear("time.0", np.r_[np.sin(angle), np.cos(angle)]))))
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    u = {p: np.log(1 + np.sum((y[p[0]] - y[p[1]]) ** 2)) for p in pairs}
    r = {p: np.exp(-w["radial.sharpness"] * (u[p] - w["radial.centres"]) ** 2) for p in pairs}
    h, m = np.zeros((n, hidden)), {}
    for l in range(c["layers"] + 1):
        for i, j in pairs:
            z = linear(f"pairs.{l}.radial", r[i, j]) + linear(f"pairs.{l}.time", e)
            if l > 0:
                z += linear(f"pairs.{l}.atoms", h[i]) + linear(f"pairs.{l}.atoms", h[j])
            m[i, j] = act(linear(f"pairs.{l}.mix", act(z)))
        if l == c["layers"]:
            break
        new = []
        for k in range(n):
            g = linear(f"atoms.{l}.sum", sum(m[p] for p in pairs if k in p))
            if l > 0:
                g = g + linear(f"atoms.{l}.keep", h[k])
            new.append(h[k] + linear(f"atoms.{l}.out", act(g)))
        h = np.array(new)
    f = np.zeros_like(y)
    for i, j in pairs:
        push = linear("out", m[i, j])[0] * (y[i] - y[j])
        f[i] += push
        f[j] -= push
    return f.ravel(), ((sd**2 * x) / (sigma**2 + sd**2) + (sigma * sd / np.hypot(sigma, sd)) * f).ravel()


def check(folder):
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    weights = {k: v.astype(np.float64) for k, v in load_file(folder / "model.safetensors").items()}
    golden = load_file(folder / "golden.safetensors")
    n = len(golden["x"])
    t = golden["t"].astype(np.float64) if "t" in golden else [None] * n
    label = golden["class"] if "class" in golden else [None] * n
    x = golden["x"].astype(np.float64)
    if config.get("_class_name") == "EGNN":
        rows = [particles_one(config, weights, x[i], t[i]) for i in range(n)]
    else:
        rows = [evaluate_one(config, weights, x[i], t[i], label[i]) for i in range(n)]
    good = True
    for k, name in enumerate(["output", "denoised"]):
        if name not in golden:
            continue
        ours, theirs = np.array([r[k] for r in rows]), golden[name].astype(np.float64)
        # Relative to the size of the row: one coordinate of an output may be zero by chance.
        worst = (np.abs(ours - theirs).max(1) / np.abs(theirs).max(1)).max()
        good &= bool(worst < TOLERANCE)
        print(f"{folder.name}: {name} {theirs.shape}, largest relative difference {worst:.2e}")
    parameters = sum(v.size for v in weights.values())
    print(f"{folder.name}: {parameters} parameters, {'ok' if good else 'FAILED'}")
    return good


if __name__ == "__main__":
    sys.exit(0 if all([check(f) for f in sys.argv[1:]]) else 1)
