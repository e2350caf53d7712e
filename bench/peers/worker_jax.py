"""JAX, on the CPU or where PEERS_DEVICE says (cuda). The whole sampling loop is one jit with one scan.

Variants: jax_threefry and jax_rbg, by generator; for `resample` jax_SUM_HOW, where SUM is plain (XLA's cumulative
sum) or blocked, and HOW finds the ancestors by search (searchsorted) or scatter (offspring scattered, running
maximum). `unet` has one, jax.
"""

import math
import os

os.environ.setdefault("JAX_PLATFORMS", os.environ.get("PEERS_DEVICE", "cpu"))  # before jax is imported

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from problem import (
    BETA_ANNEAL,
    SIGMA_FIRST,
    UNET_CLASS,
    UNET_TIME,
    check_ancestors,
    check_gmm,
    check_mlp,
    check_unet,
    gmm_targets,
    mlp_weights,
    some,
    step_constants,
    time_features,
)
from workers import unet_folder
from protocol import operation_of, serve


def blocked_cumsum(w, block=1024):
    """Sum in two levels: on the CPU, XLA's cumulative sum over one long axis is slow and loses bits in f32."""
    n = w.shape[0]
    if n <= block:
        return jnp.cumsum(w)
    within = jnp.cumsum(w.reshape(n // block, block), axis=1)
    totals = within[:, -1]
    if totals.shape[0] > block:
        before = jnp.concatenate([jnp.zeros(1, w.dtype), blocked_cumsum(totals)[:-1]])
    else:
        before = jnp.cumsum(totals) - totals
    return (within + before[:, None]).reshape(n)


def systematic(log_w, u, how):
    """Ancestors, ESS and the log of the sum of the weights."""
    n = log_w.shape[0]
    m = log_w.max()
    w = jnp.exp(log_w - m)
    c = jnp.cumsum(w) if how.startswith("plain") else blocked_cumsum(w)
    s = c[-1]
    ess = s * s / jnp.sum(w * w)
    lse = m + jnp.log(s)
    if how.endswith("search"):
        positions = (jnp.arange(n, dtype=jnp.float32) + u) * (s / n)
        ancestors = jnp.minimum(jnp.searchsorted(c, positions, side="right"), n - 1)
    else:
        ends = jnp.clip(jnp.ceil(c * (n / s) - u).astype(jnp.int32), 0, n)
        first = jnp.concatenate([jnp.zeros(1, jnp.int32), ends[:-1]])  # first slot of each particle
        numbers = jnp.arange(n, dtype=jnp.int32)
        marks = jnp.zeros(n, jnp.int32).at[first].max(numbers, mode="drop", indices_are_sorted=True)
        ancestors = lax.cummax(marks)
    return ancestors, ess, lse


class Call:
    """Runs a compiled function to completion and keeps its result."""

    def __init__(self, function, *arguments):
        self.function, self.arguments, self.result = function, arguments, None

    def __call__(self):
        self.result = jax.block_until_ready(self.function(*self.arguments))


def resample(request, key):
    n, d = request["n"], request["d"]
    how = request["variant"].split("_", 1)[1]
    rng = np.random.default_rng(0)
    log_w = rng.standard_normal(n, np.float32)
    x = jnp.asarray(rng.standard_normal((n, d), np.float32))

    @jax.jit
    def run(log_w, x):
        ancestors, ess, lse = systematic(log_w, 0.37, how)
        return jnp.take(x, ancestors, axis=0, mode="clip"), ancestors, ess, lse

    call = Call(run, jnp.asarray(log_w), x)
    return call, lambda: check_ancestors(log_w, np.asarray(call.result[1]))


def gmm(request, key):
    n, how = request["n"], request.get("how", "blocked_search")
    variances, decreases = map(jnp.asarray, step_constants(request["steps"]))
    averaged, means, beta = gmm_targets(request)
    means = [jnp.asarray(m) for m in means]

    def score(x, mu, v):
        logits = x @ (mu / v).T - (0.5 / v) * (mu * mu).sum(1)
        e = jnp.exp(logits - logits.max(1, keepdims=True))
        return ((e @ mu) / e.sum(1, keepdims=True) - x) / v

    def body(carry, step):
        x, key, log_z = carry
        v, decrease = step
        key, for_noise, for_offset = jax.random.split(key, 3)
        s = score(x, means[0], v)
        c = 0.5 * beta * (beta - 1) * decrease
        if averaged:
            t = score(x, means[1], v)
            log_w = c * ((s - t) ** 2).sum(1)
            s = (1 - beta) * s + beta * t
            b = 1.0
        else:
            log_w = c * (s * s).sum(1)
            b = beta
        x = x + b * decrease * s + jnp.sqrt(decrease) * jax.random.normal(for_noise, x.shape)
        ancestors, _, lse = systematic(log_w, jax.random.uniform(for_offset), how)
        return (x[ancestors], key, log_z + lse - math.log(n)), None

    @jax.jit
    def run(key):
        for_start, key = jax.random.split(key)
        x = jax.random.normal(for_start, (n, 2)) * (SIGMA_FIRST if averaged else SIGMA_FIRST / math.sqrt(beta))
        (x, _, log_z), _ = lax.scan(body, (x, key, 0.0), (variances, decreases))
        return x, log_z

    call = Call(run, key)
    return call, lambda: check_gmm(*call.result)


def mlp(request, key):
    n, d, h, steps = (request[k] for k in ("n", "d", "h", "steps"))
    how = request.get("how", "blocked_search")
    variances, decreases = map(jnp.asarray, step_constants(steps))
    weights, biases, time_weights = mlp_weights(d, h)
    weights = [jnp.asarray(w) for w in weights]
    times = jnp.asarray(time_features(steps)) @ jnp.asarray(time_weights)
    beta = BETA_ANNEAL

    def body(carry, step):
        x, key = carry
        v, decrease, time = step
        # Three keys, as in `gmm`; the offset is fixed here and the third goes unused.
        key, for_noise, _ = jax.random.split(key, 3)
        a = jax.nn.silu((x / jnp.sqrt(v)) @ weights[0] + (biases[0] + time))
        for layer in (1, 2, 3):
            a = jax.nn.silu(a @ weights[layer] + biases[layer])
        s = (a @ weights[4] + biases[4] - x) / v
        log_w = (0.5 * beta * (beta - 1) / d) * decrease * (s * s).sum(1)
        x = x + beta * decrease * s + jnp.sqrt(decrease) * jax.random.normal(for_noise, x.shape)
        ancestors, _, _ = systematic(log_w, 0.37, how)
        return (x[ancestors], key), None

    @jax.jit
    def run(key):
        for_start, key = jax.random.split(key)
        x = jax.random.normal(for_start, (n, d)) * (SIGMA_FIRST / math.sqrt(beta))
        (x, _), _ = lax.scan(body, (x, key), (variances, decreases, times))
        return x

    call = Call(run, key)
    return call, lambda: check_mlp(call.result)


def normals(request, key):
    call = Call(jax.jit(lambda k: jax.random.normal(k, (request["n"],))), key)
    return call, lambda: {"var": float(np.asarray(call.result).var())}


def gemm(request, key):
    n = request["n"]
    a = jax.random.normal(key, (n, n))
    return Call(jax.jit(lambda a, b: a @ b), a, a), lambda: {"flops": 2.0 * n**3}


def unet(request, key):
    """The image network forwards (h = 0), or forwards and back (h = 1)."""
    import unet as network  # this operation alone reads files

    config, tensors = network.load(unet_folder())
    forward, vjp = network.functions(config, tensors)
    n = request["n"]
    size = np.broadcast_to(np.asarray(config["sample_size"]), 2)

    def images(channels):
        return jnp.asarray(some(n * channels * size[0] * size[1]).reshape(n, channels, *size))

    classes = None if config.get("num_class_embeds") is None else jnp.full(n, UNET_CLASS)
    asked = images(config["in_channels"]), jnp.full(n, UNET_TIME), classes
    if request["h"] == 0:
        call = Call(forward, *asked)
        return call, lambda: check_unet(call.result)
    call = Call(vjp, *asked, images(config["out_channels"]))
    return call, lambda: check_unet(*call.result)


OPERATIONS = {"resample": resample, "gmm": gmm, "mlp": mlp, "normals": normals, "gemm": gemm, "unet": unet}


def make(request):
    operation = operation_of(OPERATIONS, request, "JAX")
    generator = "rbg" if "rbg" in request["variant"] else "threefry2x32"
    return operation(request, jax.random.key(1, impl=generator))


if __name__ == "__main__":
    serve(make)
