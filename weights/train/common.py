"""What the training scripts share: the network of the weights folders in plain jax, and the writer.

The denoisers use the preconditioning of EDM (Karras et al. 2022, arXiv 2206.00364): with noise level s and
data scale sd, D(x) = sd^2/(s^2+sd^2) x + s sd/sqrt(s^2+sd^2) F(x/sqrt(s^2+sd^2), ln(s)/4). Networks without it
read x = alpha x0 + sigma noise as it is and predict the noise: by their output f, or by the gradient of an energy made of
f (Du et al. 2023, arXiv 2302.11552), the key `parameterisation`.

Parameters are one flat dictionary whose keys are the tensor names of model.safetensors, so that saving is
a copy. "Noise level" is s = sigma/alpha, the same as sigma(t) where alpha = 1.
"""

import json
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

import budget
from budget import WEIGHTS, readable

ACT = {"silu": jax.nn.silu, "gelu": jax.nn.gelu, "tanh": jnp.tanh, "relu": jax.nn.relu}


def init(config, key, input_scale=1.0):
    """Fresh parameters. `input_scale` is the norm of the rows of in.weight (times sqrt(dim)): a large one gives
    the first layer narrow features, spread over the inputs by random biases, as low-dimensional data with fine
    structure needs; with 1.0 it is the usual fan-in rule and zero biases."""
    dim, hidden, layers = config["dim"], config["hidden"], config["layers"]
    keys = iter(jax.random.split(key, 16 + 4 * layers))

    def linear(out, inp, scale=1.0):
        return scale * jax.random.normal(next(keys), (out, inp)) / math.sqrt(inp)

    p = {"in.weight": linear(hidden, dim, input_scale), "in.bias": jnp.zeros(hidden)}
    if input_scale != 1.0:
        p["in.bias"] = jax.random.uniform(next(keys), (hidden,), minval=-1.5, maxval=1.5) * input_scale
    for l in range(layers):
        p[f"layers.{l}.weight"] = linear(hidden, hidden)
        p[f"layers.{l}.bias"] = jnp.zeros(hidden)
        if config["norm"] == "layer":
            p[f"layers.{l}.norm.weight"] = jnp.ones(hidden)
            p[f"layers.{l}.norm.bias"] = jnp.zeros(hidden)
    # A zero output layer starts the denoiser at its best linear guess (and the classifier at chance).
    outputs = config["outputs"] if config["class"] == "classifier" else dim
    p["out.weight"] = jnp.zeros((outputs, hidden))
    p["out.bias"] = jnp.zeros(outputs)
    if config["class"] == "classifier":
        return p
    cond, emb = config["cond"], config["time"]["dim"]
    for l in range(layers):
        p[f"layers.{l}.cond.weight"] = linear(hidden, cond)
    p["time.0.weight"], p["time.0.bias"] = linear(cond, emb, 1.4), jnp.zeros(cond)
    p["time.2.weight"], p["time.2.bias"] = linear(cond, cond, 1.4), jnp.zeros(cond)
    # ln(s)/4 spans about two units: frequencies up to two or three resolve it without wiggles between levels.
    p["time.freqs"] = jnp.geomspace(0.05, 3.0, emb // 2)
    if config["classes"] is not None:
        p["class.weight"] = jax.random.normal(next(keys), (config["classes"] + 1, cond))
    return p


def forward(config, p, x, level=None, label=None, dropout=None):
    """F of the folder for a batch: x [B, D] already scaled by c_in, level [B] the noise level, label [B] i32.
    `dropout` = (key, rate) drops hidden units, in training only."""
    act = ACT[config["activation"]]
    u = None
    if config["class"] == "mlp":
        angle = 2.0 * math.pi * (jnp.log(level) / 4.0)[:, None] * p["time.freqs"][None, :]
        e = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)
        u = act(e @ p["time.0.weight"].T + p["time.0.bias"]) @ p["time.2.weight"].T + p["time.2.bias"]
        if config["classes"] is not None:
            u = u + p["class.weight"][label]
        u = act(u)
    a = act(x @ p["in.weight"].T + p["in.bias"])
    for l in range(config["layers"]):
        z = a @ p[f"layers.{l}.weight"].T + p[f"layers.{l}.bias"]
        if u is not None:
            z = z + u @ p[f"layers.{l}.cond.weight"].T
        if config["norm"] == "layer":
            z = z - z.mean(-1, keepdims=True)
            z = z / jnp.sqrt((z * z).mean(-1, keepdims=True) + 1e-5)
            z = z * p[f"layers.{l}.norm.weight"] + p[f"layers.{l}.norm.bias"]
        z = act(z)
        if dropout is not None:
            keep = jax.random.bernoulli(jax.random.fold_in(dropout[0], l), 1.0 - dropout[1], z.shape)
            z = jnp.where(keep, z / (1.0 - dropout[1]), 0.0)
        a = z + a if config["skip"] else z
    return a @ p["out.weight"].T + p["out.bias"]


def precondition(config, level):
    """(c_skip, c_out, c_in) of EDM for noise levels of any shape."""
    sd = config["preconditioning"]["sigma_data"]
    total = level * level + sd * sd
    return sd * sd / total, level * sd / jnp.sqrt(total), 1.0 / jnp.sqrt(total)


def denoise(config, p, x, level, label=None, dropout=None):
    """(F, D): the raw network and the denoiser E[x0 | x] it stands for."""
    c_skip, c_out, c_in = (c[:, None] for c in precondition(config, level))
    f = forward(config, p, c_in * x, level, label, dropout)
    return f, c_skip * x + c_out * f


ENERGY = {
    "energy-square": lambda x, f: 0.5 * (f * f).sum(),
    "energy-residual": lambda x, f: ((f - x) ** 2).sum(),
    "energy-dot": lambda x, f: (x * f).sum(),
}


def energy(config, p, x, level, label=None):
    """E of every row of x."""
    of = ENERGY[config["parameterisation"]]

    def one(x, level, label):
        given = None if label is None else label[None]
        return of(x, forward(config, p, x[None], level[None], given)[0])

    return jax.vmap(one, (0, 0, None if label is None else 0))(x, level, label)


def noise(config, p, x, level, label=None):
    """The predicted noise, eps = -sigma score: the output, or the gradient of the energy."""
    if config["parameterisation"] == "direct":
        return forward(config, p, x, level, label)
    return jax.grad(lambda x: energy(config, p, x, level, label).sum())(x)


def alpha_sigma(schedule, t):
    """(alpha, sigma) of the schedules that preserve variance."""
    if schedule["kind"] == "vp-cosine":
        c = schedule["c"]
        alpha = jnp.cos(0.5 * math.pi * (t + c) / (1.0 + c)) / math.cos(0.5 * math.pi * c / (1.0 + c))
        return alpha, jnp.sqrt(1.0 - alpha * alpha)
    assert schedule["kind"] == "vp-linear"
    log_alpha = -0.5 * (schedule["b0"] * t + 0.5 * (schedule["b1"] - schedule["b0"]) * t * t)
    return jnp.exp(log_alpha), jnp.sqrt(-jnp.expm1(2.0 * log_alpha))


def level_of_t(schedule, t):
    """The noise level, sigma/alpha."""
    if schedule["kind"] == "ve":
        return schedule["sigma_min"] * (schedule["sigma_max"] / schedule["sigma_min"]) ** t
    if schedule["kind"] == "edm":
        return t
    alpha, sigma = alpha_sigma(schedule, t)
    return sigma / alpha


def is_energy(config):
    return config["prediction"] == "eps" and config["parameterisation"] != "direct"


def save(folder, config, p, x, t=None, label=None):
    """Writes config.json, model.safetensors and golden.safetensors. The golden outputs are those of the float32
    weights computed in float64, so that a reader in any precision can be held to its own rounding."""
    folder.mkdir(parents=True, exist_ok=True)
    p = {k: np.ascontiguousarray(v, np.float32) for k, v in p.items()}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(p, folder / "model.safetensors")
    golden = {"x": np.ascontiguousarray(x, np.float32)}
    with jax.enable_x64(True):
        wide = {k: jnp.asarray(v, jnp.float64) for k, v in p.items()}
        golden |= {} if t is None else {"t": np.asarray(t, np.float32)}
        golden |= {} if label is None else {"class": np.asarray(label, np.int32)}
        asked = {k: v if k == "class" else wide_of(v) for k, v in golden.items()}
        golden |= outputs(config, wide, **asked) | ({} if t is None else slopes_of(config, wide, **asked))
        golden = {k: np.ascontiguousarray(v, np.int32 if k == "class" else np.float32) for k, v in golden.items()}
    save_file(golden, folder / "golden.safetensors")
    readable(folder)


def wide_of(x):
    return jnp.asarray(x, jnp.float64)


def outputs(config, p, x, t=None, **of_class):
    """What a network of parameters p says of x, for its golden file."""
    label = of_class.get("class")
    if config["class"] == "classifier":
        return {"output": forward(config, p, x)}
    level = level_of_t(config["schedule"], t)
    if config["prediction"] == "x0":
        f, denoised = denoise(config, p, x, level, label)
        return {"output": f, "denoised": denoised}
    _, sigma = alpha_sigma(config["schedule"], t)
    found = {"output": forward(config, p, x, level, label), "score": -noise(config, p, x, level, label) / sigma[:, None]}
    return found | {"energy": energy(config, p, x, level, label)} if is_energy(config) else found


def slopes_of(config, p, x, t, **of_class):
    """How it changes, for its golden file."""
    label = of_class.get("class")
    network = lambda x, level: forward(config, p, x, level, label)
    of_energy = lambda x, level: energy(config, p, x, level, label)
    return slopes(network, x, level_of_t(config["schedule"], t), of_energy if is_energy(config) else None)


def slopes(network, x, level, energy=None):
    """How `network`(x, level) changes, from rows [B, D] and levels [B] to rows; and `energy`, to [B].

    Of the network itself, at x as it is stored: `jvp`, dF/dx along the signs of `tangent`; `rate`, dF/d(ln level);
    `divergence`, the trace of dF/dx, where F is no energy's; else `energy_rate`, dE/d(ln level)."""
    signs = np.random.default_rng(17).choice([-1.0, 1.0], x.shape)
    along = lambda v: jax.jvp(lambda x: network(x, level), (x,), (jnp.asarray(v, x.dtype),))[1]
    by_log = lambda of: jax.jvp(lambda log: of(x, jnp.exp(log)), (jnp.log(level),), (jnp.ones_like(level),))[1]
    found = {"tangent": signs, "jvp": along(signs), "rate": by_log(network)}
    if energy is not None:
        return found | {"energy_rate": by_log(energy)}
    axes = np.broadcast_to(np.eye(x.shape[1])[:, None], (x.shape[1],) + x.shape)
    return found | {"divergence": sum(along(axis)[:, k] for k, axis in enumerate(axes))}


def ema(average, p, decay):
    """Exponential moving average of the parameters, the one that is shipped."""
    return jax.tree.map(lambda a, b: decay * a + (1.0 - decay) * b, average, p)


class Budget(budget.Budget):
    """With checkpoints of trees: (p, state, average) and what else a loop carries. The random numbers of a step follow
    from its number."""

    def resume(self, tree):
        """What a run begins with: `tree`, or with --resume what its checkpoint has in its place."""
        found = self.load({jax.tree_util.keystr(at): np.shape(v) for at, v in jax.tree.leaves_with_path(tree)})
        if found is None:
            return tree
        like = lambda v, old: jnp.asarray(v) if isinstance(old, jax.Array) else type(old)(v)
        return jax.tree.map_with_path(lambda at, old: like(found[jax.tree_util.keystr(at)], old), tree)

    def keep(self, tree):
        if self.due():
            leaves = jax.tree.leaves_with_path(tree)
            self.save({jax.tree_util.keystr(at): v for at, v in leaves})


def run(name, doc, minutes, train):
    """What every script does: train(args) writes args.out."""
    parser = budget.arguments(name, doc, minutes)
    parser.add_argument("--check", action="store_true", help="check the folder's golden values, do not train")
    args = parser.parse_args()
    if args.check:
        from check import check

        sys.exit(0 if check(args.out) else 1)
    train(args)
