"""Trains weights/digits8-classifier: which digit an 8x8 image shows.

Independent of digits8-mlp (another split, seed, width and activation), so that it can judge that model's samples.
Plain cross-entropy; inputs get light noise, so that samples that are slightly noisy are still read correctly.

`python weights/train/digits8_classifier.py [--minutes 1.5] [--resume] [--out weights/digits8-classifier]`
"""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

import common
import digits8

BATCH, CHUNK, PEAK, DECAY, NOISE, DROPOUT = 128, 100, 2e-3, 0.05, 0.4, 0.2

(x_train, c_train), (x_held, c_held) = digits8.split(seed=101)

CONFIG = {
    "class": "classifier", "dim": 64, "hidden": 128, "layers": 2, "activation": "gelu", "norm": "layer",
    "skip": True, "outputs": 10,
}  # fmt: skip


def loss(p, key, images, labels):
    k = jax.random.split(key, 4)
    row = jax.random.randint(k[0], (BATCH,), 0, len(images))
    # A noise level for each image, from none to NOISE (the pixels' own spread is about 0.75).
    level = jax.random.uniform(k[1], (BATCH, 1), maxval=NOISE)
    x = images[row] + level * jax.random.normal(k[2], (BATCH, 64))
    logits = common.forward(CONFIG, p, x, dropout=(k[3], DROPOUT))
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels[row]).mean()


def measure(p, noise=0.0):
    """(accuracy, cross-entropy) on the held-out images."""
    x = x_held + noise * np.random.default_rng(9).standard_normal(x_held.shape).astype(np.float32)
    logits = common.forward(CONFIG, p, x)
    nll = optax.softmax_cross_entropy_with_integer_labels(logits, c_held).mean()
    return float((logits.argmax(1) == c_held).mean()), float(nll)


def train(args):
    mask = lambda p: {k: v.ndim == 2 for k, v in p.items()}
    optimiser = optax.inject_hyperparams(optax.adamw, static_args=("mask",))(
        learning_rate=PEAK, weight_decay=DECAY, mask=mask
    )
    p = common.init(CONFIG, jax.random.key(100))
    state, average = optimiser.init(p), p
    images, labels = jnp.asarray(x_train), jnp.asarray(c_train)

    @jax.jit
    def chunk(p, state, average, key, rate):
        def step(carry, key):
            p, state, average = carry
            state.hyperparams["learning_rate"] = rate
            value, grad = jax.value_and_grad(loss)(p, key, images, labels)
            update, state = optimiser.update(grad, state, p)
            p = optax.apply_updates(p, update)
            return (p, state, common.ema(average, p, 0.998)), value

        carry, values = jax.lax.scan(step, (p, state, average), jax.random.split(key, CHUNK))
        return *carry, values.mean()

    budget = common.Budget(args)
    p, state, average = budget.resume((p, state, average))
    while (done := budget.progress()) < 1.0:
        rate = PEAK * (0.5 + 0.5 * math.cos(math.pi * done))
        key = jax.random.fold_in(jax.random.key(102), budget.done)
        p, state, average, value = jax.block_until_ready(chunk(p, state, average, key, rate))
        budget.done += CHUNK
        budget.keep((p, state, average))
        if budget.done % 2000 == 0:
            print(f"{budget.elapsed():5.1f} min, step {budget.done}, loss {value:.4f}, {measure(average)}", flush=True)

    # Golden inputs: held-out digits with noise from none to twice what the training saw.
    x = x_held[:64] + np.linspace(0.0, 0.8, 64)[:, None] * np.random.default_rng(3).standard_normal((64, 64))
    common.save(args.out, CONFIG, average, x)
    (clean, nll), (noisy, _) = measure(average), measure(average, 0.3)
    result = {"steps": budget.done, "minutes": budget.elapsed(), "held-out accuracy": clean, "cross-entropy": nll}
    print(json.dumps(result | {"accuracy at noise 0.3": noisy}))


if __name__ == "__main__":
    common.run("digits8-classifier", __doc__, 1.5, train)
