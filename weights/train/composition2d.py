"""Trains the networks of weights/composition2d: shapes of the plane whose products, mixtures and negations are sampled
(Du et al. 2023, arXiv 2302.11552), each as a predictor of the noise and as an energy.

    ring     8 Gaussians at radius 0.5, scale 0.075
    bar      21 Gaussians at (0, -1), (0, -0.9), ... (0, 1), scale 0.1
    outer    the square |x| < 0.7
    inner    the square |x| < 0.3

Objective: the squared error of the noise, against E[noise | x], which all of them have in closed form: the same
minimiser as with the noise that was drawn, without its variance.

`python weights/train/composition2d.py ring-energy [--minutes 2] [--resume] [--out weights/composition2d/ring-energy]`
"""

import json
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm

import common
from soap import soap

BATCH, CHUNK, PEAK, SIDE = 512, 50, 3e-3, 1.6
NAME = sys.argv[1] if len(sys.argv) > 1 else ""
SHAPE, _, KIND = NAME.partition("-")

CONFIG = {
    "class": "mlp", "dim": 2, "hidden": 64, "layers": 3, "cond": 32, "activation": "silu", "norm": "none",
    "skip": True,
    "time": {"embedding": "fourier", "dim": 32, "feature": "log_snr", "max_period": 10000.0, "scale": 1000.0},
    "classes": None,
    "schedule": {"kind": "vp-cosine", "c": 0.008, "t_min": 0.005, "t_max": 0.995},
    "prediction": "eps",
    "parameterisation": "energy-residual" if KIND == "energy" else "direct",
}  # fmt: skip

ANGLE = jnp.arange(8) * (2 * math.pi / 8)
GAUSSIANS = {
    "ring": (0.5 * jnp.stack([jnp.cos(ANGLE), jnp.sin(ANGLE)], -1), 0.075),
    "bar": (jnp.stack([jnp.zeros(21), jnp.linspace(-1.0, 1.0, 21)], -1), 0.1),
}
SQUARES = {"outer": 0.7, "inner": 0.3}


def sample(key, n):
    """Points of the shape."""
    k1, k2 = jax.random.split(key)
    if SHAPE in SQUARES:
        return jax.random.uniform(k1, (n, 2), minval=-1.0, maxval=1.0) * SQUARES[SHAPE]
    means, scale = GAUSSIANS[SHAPE]
    return means[jax.random.randint(k1, (n,), 0, len(means))] + scale * jax.random.normal(k2, (n, 2))


def exact(x, alpha, sigma):
    """E[noise | x] of x = alpha x0 + sigma noise, x [B, 2], alpha and sigma [B]."""
    alpha, sigma = alpha[:, None], sigma[:, None]
    if SHAPE in SQUARES:
        # x0 given x is a Gaussian cut to the side of the square, noise = (x - alpha x0)/sigma one cut to [low, high].
        low, high = ((x + side * alpha * SQUARES[SHAPE]) / sigma for side in (-1.0, 1.0))
        # The tail on the side of the nearer end, where differences of probabilities do not cancel.
        flip = low > 0
        a, b = jnp.where(flip, -high, low), jnp.where(flip, -low, high)
        log_mass = norm.logcdf(b) + jnp.log1p(-jnp.exp(jnp.minimum(norm.logcdf(a) - norm.logcdf(b), -1e-7)))
        mean = jnp.exp(norm.logpdf(a) - log_mass) - jnp.exp(norm.logpdf(b) - log_mass)
        return jnp.where(flip, -mean, mean)
    means, scale = GAUSSIANS[SHAPE]
    var = (alpha * scale) ** 2 + sigma**2
    gap = x[:, None, :] - alpha[:, :, None] * means
    logit = -(gap**2).sum(-1) / (2.0 * var)
    r = jnp.exp(logit - logsumexp(logit, axis=1, keepdims=True))
    return sigma / var * (r[:, :, None] * gap).sum(1)


def levels(key, n):
    """Even in ln(sigma/alpha) over the schedule's range."""
    low, high = (jnp.asarray(CONFIG["schedule"][k]) for k in ("t_min", "t_max"))
    ends = [jnp.log(s / a) for a, s in (common.alpha_sigma(CONFIG["schedule"], t) for t in (low, high))]
    level = jnp.exp(ends[0] + (ends[1] - ends[0]) * jax.random.uniform(key, (n,)))
    return 1.0 / jnp.sqrt(1.0 + level**2), level / jnp.sqrt(1.0 + level**2)


def batch(key, n):
    """Points: two in three of the shape, the others of a square of side 3.2 around it, where another shape may lead."""
    k = jax.random.split(key, 5)
    alpha, sigma = levels(k[0], n)
    box = jax.random.uniform(k[1], (n, 2), minval=-SIDE, maxval=SIDE)
    x0 = jnp.where(jax.random.bernoulli(k[2], 1 / 3, (n, 1)), box, sample(k[3], n))
    return alpha[:, None] * x0 + sigma[:, None] * jax.random.normal(k[4], (n, 2)), alpha, sigma


def loss(p, key):
    x, alpha, sigma = batch(key, BATCH)
    want = exact(x, alpha, sigma)
    found = common.noise(CONFIG, p, x, sigma / alpha)
    # Far from a shape the noise is as large as the way back to it in units of sigma: there only its relative error counts.
    return (((found - want) ** 2).sum(1) / (1.0 + 0.5 * (want**2).sum(1))).mean()


def errors(p, n=20000):
    """E |s_net - s|^2 / E |s|^2 over the diffused shape at some levels."""
    out = {}
    for level in (0.02, 0.1, 0.3, 1.0, 5.0):
        alpha = jnp.full(n, 1.0 / math.sqrt(1.0 + level**2))
        sigma = level * alpha
        k1, k2 = jax.random.split(jax.random.key(7))
        x = alpha[:, None] * sample(k1, n) + sigma[:, None] * jax.random.normal(k2, (n, 2))
        want = exact(x, alpha, sigma)
        out[level] = float(((common.noise(CONFIG, p, x, sigma / alpha) - want) ** 2).sum() / (want**2).sum())
    return out


def train(args):
    optimiser = optax.inject_hyperparams(soap)(learning_rate=PEAK)
    p = common.init(CONFIG, jax.random.key(0), input_scale=2.0)
    state, average = optimiser.init(p), p

    @jax.jit
    def chunk(p, state, average, key, rate):
        def step(carry, key):
            p, state, average = carry
            state.hyperparams["learning_rate"] = rate
            value, grad = jax.value_and_grad(loss)(p, key)
            update, state = optimiser.update(grad, state, p)
            p = optax.apply_updates(p, update)
            return (p, state, common.ema(average, p, 0.998)), value

        carry, values = jax.lax.scan(step, (p, state, average), jax.random.split(key, CHUNK))
        return *carry, values.mean()

    budget, shown = common.Budget(args), -1.0
    p, state, average = budget.resume((p, state, average))
    while (done := budget.progress()) < 1.0:
        rate = PEAK * min(1.0, (budget.done + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * done))
        key = jax.random.fold_in(jax.random.key(2), budget.done)
        p, state, average, value = jax.block_until_ready(chunk(p, state, average, key, rate))
        budget.done += CHUNK
        budget.keep((p, state, average))
        if done > shown + 0.2:
            shown = done
            print(f"{budget.elapsed():5.1f} min, step {budget.done}, loss {value:.2e}", flush=True)

    t = np.linspace(CONFIG["schedule"]["t_min"], CONFIG["schedule"]["t_max"], 64)
    alpha, sigma = (np.asarray(c)[:, None] for c in common.alpha_sigma(CONFIG["schedule"], jnp.asarray(t)))
    x = alpha * sample(jax.random.key(3), 64) + sigma * jax.random.normal(jax.random.key(4), (64, 2))
    common.save(args.out, CONFIG, average, x, t)
    print(json.dumps({"steps": budget.done, "minutes": budget.elapsed(), "relative score error": errors(average, 100000)}))


if __name__ == "__main__":
    if SHAPE not in GAUSSIANS | SQUARES or KIND not in ("score", "energy"):
        sys.exit(f"found {NAME!r}, wanted ring, bar, outer or inner, then -score or -energy")
    del sys.argv[1]
    common.run(f"composition2d/{NAME}", __doc__, 2.0, train)
