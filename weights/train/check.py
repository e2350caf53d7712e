"""Recomputes golden.safetensors of a weights folder in numpy float64, from the files alone.

An implementation of the format that shares no code with the trainers' (common.py, conv_classifier.py): a slip in one of
the two shows. Gradients are checked by central differences. `python weights/train/check.py weights/gmm40-mlp ...` prints
the largest relative difference of each output. Folders of diffusers are checked by mnist_check.py.
"""

import json
import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file

TOLERANCE = 1e-6
STEP = 1e-5  # of central differences: off by about its square


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
    if kind == "vp-cosine":
        angle = lambda t: np.pi / 2 * (t + schedule["c"]) / (1 + schedule["c"])
        alpha = np.cos(angle(t)) / np.cos(angle(0.0))
        return alpha, np.sqrt(1 - alpha**2)
    if kind == "vp-linear":
        alpha = np.exp(-(schedule["b0"] * t + (schedule["b1"] - schedule["b0"]) * t**2 / 2) / 2)
        return alpha, np.sqrt(1 - alpha**2)
    raise ValueError(f"no shipped folder uses the schedule {kind}")


def network(c, w, shown, tau, label):
    """F of a single input as the network is shown it, at the feature tau of its time."""
    act, u = activation(c["activation"]), None
    if c["class"] == "mlp":
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
    a = act(w["in.weight"] @ shown + w["in.bias"])
    for l in range(c["layers"]):
        z = w[f"layers.{l}.weight"] @ a + w[f"layers.{l}.bias"]
        if u is not None:
            z += w[f"layers.{l}.cond.weight"] @ u
        if c["norm"] == "layer":
            z = (z - np.mean(z)) / np.sqrt(np.var(z) + 1e-5) * w[f"layers.{l}.norm.weight"] + w[f"layers.{l}.norm.bias"]
        a = act(z) + (a if c["skip"] else 0)
    return w["out.weight"] @ a + w["out.bias"]


def evaluate_one(c, w, x, t, label):
    """(F, D) of a single input; D is None for classifiers and where the noise is predicted."""
    if c["class"] != "mlp":
        return network(c, w, x, None, label), None
    alpha, sigma = alpha_sigma(c["schedule"], t)
    s = sigma / alpha
    tau = np.log(s) / 4 if c["time"]["feature"] == "log_snr" else t
    if "preconditioning" not in c:
        return network(c, w, x, tau, label), None
    assert c["preconditioning"]["kind"] == "edm" and c["prediction"] == "x0"
    sd, y = c["preconditioning"]["sigma_data"], x / alpha
    f = network(c, w, y / np.hypot(s, sd), tau, label)
    return f, (sd**2 * y) / (s**2 + sd**2) + (s * sd / np.hypot(s, sd)) * f


ENERGY = {
    "energy-square": lambda x, f: f @ f / 2,
    "energy-residual": lambda x, f: (f - x) @ (f - x),
    "energy-dot": lambda x, f: x @ f,
}


def slope(of):
    """How of(step) changes at the step 0."""
    return (of(STEP) - of(-STEP)) / (2 * STEP)


def slopes(f, x, s, v, energy=None):
    """What a golden file has of how f(x, s) changes, by differences: along v, with ln(s), and the trace."""
    found = {"jvp": slope(lambda h: f(x + h * v, s)), "rate": slope(lambda h: f(x, s * np.exp(h)))}
    if energy is not None:
        return found | {"energy_rate": slope(lambda h: energy(x, f(x, s * np.exp(h))))}
    return found | {"divergence": sum(slope(lambda h: f(x + h * e, s) @ e) for e in np.eye(len(x)))}


def energy_and_score(c, w, x, t, label):
    """(E, score) where the noise is predicted, the gradient of an energy by differences; E is None without one."""
    _, sigma = alpha_sigma(c["schedule"], t)
    kind = c["parameterisation"]
    if kind == "direct":
        return None, -evaluate_one(c, w, x, t, label)[0] / sigma

    energy = lambda x: ENERGY[kind](x, evaluate_one(c, w, x, t, label)[0])
    return energy(x), -np.array([slope(lambda h: energy(x + h * e)) for e in np.eye(len(x))]) / sigma


def convolve(x, weight, bias, stride):
    """3x3 with zeros around, of one image."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    rows, columns = (x.shape[1] - 1) // stride + 1, (x.shape[2] - 1) // stride + 1
    y = np.zeros((len(weight), rows, columns)) + bias[:, None, None]
    for i in range(3):
        for j in range(3):
            seen = padded[:, i : i + stride * rows : stride, j : j + stride * columns : stride]
            y += np.einsum("oc,chw->ohw", weight[:, :, i, j], seen[:, :rows, :columns])
    return y


def logits(c, w, x, s):
    """Of a ConvClassifier, for one image."""
    act, v = activation(c["activation"]), None
    if c["time"] is not None:
        angle = 2 * np.pi * w["time.frequencies"] * np.log(s)
        v = act(w["time.linear.weight"] @ np.r_[np.sin(angle), np.cos(angle)] + w["time.linear.bias"])
    for i, block in enumerate(c["blocks"]):
        name = f"blocks.{i}"
        x = convolve(x, w[f"{name}.conv.weight"], w[f"{name}.conv.bias"], block["stride"])
        if v is not None:
            x = x + (w[f"{name}.time.weight"] @ v + w[f"{name}.time.bias"])[:, None, None]
        if c["norm_num_groups"]:
            groups = x.reshape(c["norm_num_groups"], -1)
            groups = groups - groups.mean(1, keepdims=True)
            groups = groups / np.sqrt((groups**2).mean(1, keepdims=True) + c["norm_eps"])
            x = groups.reshape(x.shape) * w[f"{name}.norm.weight"][:, None, None] + w[f"{name}.norm.bias"][:, None, None]
        x = act(x)
    return w["out.weight"] @ x.mean((1, 2)) + w["out.bias"]


def of_dense(c, w, golden):
    """What the golden file of a dense network should hold."""
    n = len(golden["x"])
    t = golden["t"].astype(np.float64) if "t" in golden else [None] * n
    label = golden["class"] if "class" in golden else [None] * n
    asked = [(golden["x"][i].astype(np.float64), t[i], label[i]) for i in range(n)]
    found = dict(zip(["output", "denoised"], zip(*(evaluate_one(c, w, *a) for a in asked))))
    if c.get("prediction") == "eps":
        found |= dict(zip(["energy", "score"], zip(*(energy_and_score(c, w, *a) for a in asked))))
    if "tangent" in golden:
        assert c["time"]["feature"] == "log_snr"
        energy = ENERGY.get(c.get("parameterisation"))
        level = [sigma / alpha for alpha, sigma in (alpha_sigma(c["schedule"], t) for t in t)]
        of = lambda label: lambda x, s: network(c, w, x, np.log(s) / 4, label)
        found |= columns(slopes(of(label[i]), asked[i][0], level[i], golden["tangent"][i], energy) for i in range(n))
    return found


def columns(rows):
    rows = list(rows)
    return {name: [row[name] for row in rows] for name in rows[0]}


def of_images(c, w, golden):
    """The same of a ConvClassifier; of the gradient only its product with one direction, by differences."""
    x, u = golden["sample"].astype(np.float64), golden["cotangent"].astype(np.float64)
    s = golden["timestep"].astype(np.float64) if "timestep" in golden else [None] * len(x)
    v = np.random.default_rng(0).standard_normal(x.shape)
    output = [logits(c, w, x, s) for x, s in zip(x, s)]
    along = [u @ (logits(c, w, x + STEP * v, s) - logits(c, w, x - STEP * v, s)) / (2 * STEP)
             for x, u, v, s in zip(x, u, v, s)]  # fmt: skip
    golden["vjp along a direction"] = (golden["vjp"] * v).sum((1, 2, 3))
    return {"output": output, "vjp along a direction": along}


def particles_one(c, w, x, t):
    """(F, D) of a configuration of particles."""
    sigma, sd = alpha_sigma(c["schedule"], t)[1], c["preconditioning"]["sigma_data"]
    f = pair_by_pair(c, w, x / np.hypot(sigma, sd), sigma)
    return f, (sd**2 * x) / (sigma**2 + sd**2) + (sigma * sd / np.hypot(sigma, sd)) * f


def pair_by_pair(c, w, y, sigma):
    """F of a configuration as the network is shown it."""
    act, n, hidden = activation(c["activation"]), c["atoms"], c["hidden"]
    linear = lambda name, v: w[f"{name}.weight"] @ v + w[f"{name}.bias"]
    y = y.reshape(n, c["space"])
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
    return f.ravel()


def of_particles(c, w, golden):
    """The same of a network of particles."""
    x, t = golden["x"].astype(np.float64), golden["t"].astype(np.float64)
    found = dict(zip(["output", "denoised"], zip(*(particles_one(c, w, x, t) for x, t in zip(x, t)))))
    of, level = lambda x, s: pair_by_pair(c, w, x, s), [alpha_sigma(c["schedule"], t)[1] for t in t]
    return found | columns(slopes(of, x[i], level[i], golden["tangent"][i]) for i in range(len(x)))


def check(folder):
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    weights = {k: v.astype(np.float64) for k, v in load_file(folder / "model.safetensors").items()}
    golden, good = load_file(folder / "golden.safetensors"), True
    of = {"ConvClassifier": of_images, "EGNN": of_particles}.get(config.get("_class_name"), of_dense)
    for name, ours in of(config, weights, golden).items():
        if name not in golden:
            continue
        ours, theirs = np.array(ours), golden[name].astype(np.float64)
        # Relative to the size of the row, or of a thousandth of the largest of all where a row (nearly) vanishes; of the
        # whole where a row is a number: one may be zero by chance.
        size = np.abs(theirs).max()
        if theirs.ndim > 1:
            size = np.maximum(np.abs(theirs).reshape(len(theirs), -1).max(1, keepdims=True), 1e-3 * size)
        worst = (np.abs(ours - theirs).reshape(len(theirs), -1) / size).max()
        good &= bool(worst < TOLERANCE)
        print(f"{folder.name}: {name} {theirs.shape}, largest relative difference {worst:.2e}")
    parameters = sum(v.size for v in weights.values())
    print(f"{folder.name}: {parameters} parameters, {'ok' if good else 'FAILED'}")
    return good


if __name__ == "__main__":
    sys.exit(0 if all([check(f) for f in sys.argv[1:]]) else 1)
