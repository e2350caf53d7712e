"""Trains weights/digits8-mlp: a class-conditional denoiser of the 8x8 digits, with a null class for guidance.

Objective: denoising with the preconditioning and the loss weight of EDM (Karras et al. 2022, arXiv 2206.00364).
The label is replaced by the null class with probability 0.15, so that one network is both the conditional and
the unconditional model of classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598).

`python weights/train/digits8_mlp.py [--minutes 5] [--resume] [--out weights/digits8-mlp]`
"""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

import common
import digits8

BATCH, CHUNK, PEAK, DECAY, NULL, DROP_CLASS, DROPOUT = 256, 100, 1e-3, 0.1, 10, 0.15, 0.1

(x_train, c_train), (x_held, c_held) = digits8.split(seed=0)
mean, std = float(x_train.mean(dtype=np.float64)), float(x_train.std(dtype=np.float64))

CONFIG = {
    "class": "mlp", "dim": 64, "hidden": 320, "layers": 4, "cond": 96, "activation": "silu", "norm": "none",
    "skip": True,
    "time": {"embedding": "fourier", "dim": 32, "feature": "log_snr", "max_period": 10000.0, "scale": 1000.0},
    "classes": 10,
    "schedule": {"kind": "edm", "t_min": 0.02, "t_max": 20.0},
    "prediction": "x0",
    "preconditioning": {"kind": "edm", "sigma_data": std},
    "data": {"mean": mean, "std": std},
}  # fmt: skip


def levels(key, n):
    """EDM's log-normal law, centred on the levels where digits take shape; one in five uniform in ln(level), for
    the ends of the range."""
    k1, k2, k3 = jax.random.split(key, 3)
    low, high = math.log(CONFIG["schedule"]["t_min"]), math.log(CONFIG["schedule"]["t_max"])
    body = jnp.clip(-0.7 + 1.2 * jax.random.normal(k1, (n,)), low, high)
    wide = jax.random.uniform(k2, (n,), minval=low, maxval=high)
    return jnp.exp(jnp.where(jax.random.bernoulli(k3, 0.2, (n,)), wide, body))


def loss(p, x0, label, level, noise, dropout=None):
    """EDM's loss: the squared error of F, whose target has unit variance at every level."""
    c_skip, c_out, _ = (c[:, None] for c in common.precondition(CONFIG, level))
    x = x0 + level[:, None] * noise
    f, _ = common.denoise(CONFIG, p, x, level, label, dropout)
    return ((f - (x0 - c_skip * x) / c_out) ** 2).mean()


def train(args):
    # Weight decay on matrices only; the frequencies of the embedding are left as they are.
    mask = lambda p: {k: v.ndim == 2 for k, v in p.items()}
    optimiser = optax.inject_hyperparams(optax.adamw, static_args=("mask",))(
        learning_rate=PEAK, b2=0.99, weight_decay=DECAY, mask=mask
    )
    p = common.init(CONFIG, jax.random.key(0))
    state, average = optimiser.init(p), p
    images, labels = jnp.asarray(x_train), jnp.asarray(c_train)

    @jax.jit
    def chunk(p, state, average, key, rate):
        def step(carry, key):
            p, state, average = carry
            state.hyperparams["learning_rate"] = rate
            k = jax.random.split(key, 6)
            row = jax.random.randint(k[0], (BATCH,), 0, len(images))
            # Grey levels are whole numbers: noise within one level is the only augmentation that is surely harmless.
            x0 = images[row] + jax.random.uniform(k[1], (BATCH, 64), minval=-1 / 16, maxval=1 / 16)
            label = jnp.where(jax.random.bernoulli(k[2], DROP_CLASS, (BATCH,)), NULL, labels[row])
            noise = jax.random.normal(k[3], (BATCH, 64))
            value, grad = jax.value_and_grad(loss)(p, x0, label, levels(k[4], BATCH), noise, (k[5], DROPOUT))
            update, state = optimiser.update(grad, state, p)
            p = optax.apply_updates(p, update)
            return (p, state, common.ema(average, p, 0.999)), value

        carry, values = jax.lax.scan(step, (p, state, average), jax.random.split(key, CHUNK))
        return *carry, values.mean()

    # The held-out loss always sees the same noise: 10 copies of each image with its label and 2 without.
    held = jnp.tile(jnp.asarray(x_held), (12, 1))
    held_label = jnp.concatenate([jnp.tile(jnp.asarray(c_held), 10), jnp.full(2 * len(x_held), NULL)])
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
        if budget.done % 500 == 0:
            score = float(held_loss(average))
            best = min(best, (score, budget.done, average), key=lambda b: b[0])
            line = f"{budget.elapsed():5.1f} min, step {budget.done}, loss {value:.4f}, held out {score:.4f}"
            print(line, flush=True)
        budget.keep((p, state, average, best))

    score, at, average = best
    # Golden inputs: held-out digits at levels over the whole range, every class and the null one.
    t = np.geomspace(CONFIG["schedule"]["t_min"], CONFIG["schedule"]["t_max"], 64)
    x = x_held[:64] + t[:, None] * np.random.default_rng(3).standard_normal((64, 64))
    common.save(args.out, CONFIG, average, x, t, np.arange(64) % 11)
    print(json.dumps({"steps": budget.done, "minutes": budget.elapsed(), "held-out loss": score, "at step": at}))


if __name__ == "__main__":
    common.run("digits8-mlp", __doc__, 5.0, train)
