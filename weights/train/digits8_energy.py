"""Trains weights/digits8-energy: a class-conditional energy of noisy 8x8 digits, with a null class for guidance.

The network f is an energy E = |f(x) - x|^2 whose gradient predicts the noise (Du et al. 2023, arXiv 2302.11552), so the
log-density at each level is known but for a constant: -E/sigma. Objective: the squared error of the noise, whose
gradient goes through the gradient of E. The label is replaced by the null class with probability 0.15 (Ho & Salimans
2022, arXiv 2207.12598).

`python weights/train/digits8_energy.py [--minutes 5] [--resume] [--out weights/digits8-energy]`
"""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

import common
import digits8

BATCH, CHUNK, PEAK, DECAY, NULL, DROP_CLASS = 256, 50, 1.5e-3, 0.1, 10, 0.15

(x_train, c_train), (x_held, c_held) = digits8.split(seed=0)

CONFIG = {
    "class": "mlp", "dim": 64, "hidden": 192, "layers": 4, "cond": 64, "activation": "silu", "norm": "none",
    "skip": True,
    "time": {"embedding": "fourier", "dim": 32, "feature": "log_snr", "max_period": 10000.0, "scale": 1000.0},
    "classes": 10,
    "schedule": {"kind": "vp-linear", "b0": 0.1, "b1": 20.0, "t_min": 0.003, "t_max": 0.8},
    "prediction": "eps",
    "parameterisation": "energy-residual",
    "data": {"mean": float(x_train.mean(dtype=np.float64)), "std": float(x_train.std(dtype=np.float64))},
}  # fmt: skip

ENDS = [float(s / a) for a, s in (common.alpha_sigma(CONFIG["schedule"], CONFIG["schedule"][k]) for k in ("t_min", "t_max"))]


def levels(key, n):
    """sigma/alpha by EDM's log-normal law, centred where digits take shape; one in five uniform in its logarithm."""
    k1, k2, k3 = jax.random.split(key, 3)
    low, high = (math.log(end) for end in ENDS)
    body = jnp.clip(-0.7 + 1.2 * jax.random.normal(k1, (n,)), low, high)
    wide = jax.random.uniform(k2, (n,), minval=low, maxval=high)
    return jnp.exp(jnp.where(jax.random.bernoulli(k3, 0.2, (n,)), wide, body))


def loss(p, x0, label, level, noise):
    """The squared error of the noise."""
    alpha = 1.0 / jnp.sqrt(1.0 + level**2)
    x = alpha[:, None] * (x0 + level[:, None] * noise)
    return ((common.noise(CONFIG, p, x, level, label) - noise) ** 2).mean()


def train(args):
    mask = lambda p: {k: v.ndim == 2 for k, v in p.items()}
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.inject_hyperparams(optax.adamw, static_args=("mask",))(
            learning_rate=PEAK, b2=0.99, weight_decay=DECAY, mask=mask
        ),
    )
    p = common.init(CONFIG, jax.random.key(0))
    state, average = optimiser.init(p), p
    images, labels = jnp.asarray(x_train), jnp.asarray(c_train)

    @jax.jit
    def chunk(p, state, average, key, rate):
        def step(carry, key):
            p, state, average = carry
            state[1].hyperparams["learning_rate"] = rate
            k = jax.random.split(key, 5)
            row = jax.random.randint(k[0], (BATCH,), 0, len(images))
            x0 = images[row] + jax.random.uniform(k[1], (BATCH, 64), minval=-1 / 16, maxval=1 / 16)
            label = jnp.where(jax.random.bernoulli(k[2], DROP_CLASS, (BATCH,)), NULL, labels[row])
            noise = jax.random.normal(k[3], (BATCH, 64))
            value, grad = jax.value_and_grad(loss)(p, x0, label, levels(k[4], BATCH), noise)
            update, state = optimiser.update(grad, state, p)
            p = optax.apply_updates(p, update)
            return (p, state, common.ema(average, p, 0.998)), value

        carry, values = jax.lax.scan(step, (p, state, average), jax.random.split(key, CHUNK))
        return *carry, values.mean()

    # The held-out loss always sees the same noise.
    held = jnp.tile(jnp.asarray(x_held), (6, 1))
    held_label = jnp.concatenate([jnp.tile(jnp.asarray(c_held), 5), jnp.full(len(x_held), NULL)])
    k1, k2 = jax.random.split(jax.random.key(1))
    held_level, held_noise = levels(k1, len(held)), jax.random.normal(k2, held.shape)
    held_loss = jax.jit(lambda p: loss(p, held, held_label, held_level, held_noise))

    budget, best = common.Budget(args), (math.inf, 0, average)
    p, state, average, best = budget.resume((p, state, average, best))
    while (done := budget.progress()) < 1.0:
        rate = PEAK * min(1.0, (budget.done + 1) / 500) * (0.5 + 0.5 * math.cos(math.pi * done))
        key = jax.random.fold_in(jax.random.key(2), budget.done)
        p, state, average, value = jax.block_until_ready(chunk(p, state, average, key, rate))
        budget.done += CHUNK
        if budget.done % 500 == 0 or budget.progress() >= 1.0:
            score = float(held_loss(average))
            best = min(best, (score, budget.done, average), key=lambda b: b[0])
            line = f"{budget.elapsed():5.1f} min, step {budget.done}, loss {value:.4f}, held out {score:.4f}"
            print(line, flush=True)
        budget.keep((p, state, average, best))

    score, at, average = best
    # Golden inputs: held-out digits at times over the whole range, every class and the null one.
    t = np.linspace(CONFIG["schedule"]["t_min"], CONFIG["schedule"]["t_max"], 64)
    alpha, sigma = (np.asarray(c)[:, None] for c in common.alpha_sigma(CONFIG["schedule"], jnp.asarray(t)))
    x = alpha * x_held[:64] + sigma * np.random.default_rng(3).standard_normal((64, 64))
    common.save(args.out, CONFIG, average, x, t, np.arange(64) % 11)
    print(json.dumps({"steps": budget.done, "minutes": budget.elapsed(), "held-out loss": score, "at step": at}))


if __name__ == "__main__":
    common.run("digits8-energy", __doc__, 5.0, train)
