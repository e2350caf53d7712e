"""NumPy, and the resampling of the package `particles`. Variants: numpy, particles."""

import math

import numpy as np

from problem import (
    BETA_ANNEAL,
    K,
    SIGMA_FIRST,
    check_ancestors,
    check_gmm,
    check_mlp,
    gmm_targets,
    mlp_weights,
    step_constants,
    time_features,
)
from protocol import operation_of, serve


def systematic(log_w, u, w):
    """Ancestors, ESS and the log of the sum of the weights; `w` is scratch."""
    n = len(log_w)
    m = log_w.max()
    np.subtract(log_w, m, out=w)
    np.exp(w, out=w)
    c = np.cumsum(w, dtype=np.float64)
    s = c[-1]
    ess = s * s / np.dot(w, w)
    lse = m + np.log(s)
    c *= n / s
    c -= u
    np.ceil(c, out=c)
    ends = c.astype(np.int64)
    ends[-1] = n
    np.clip(ends, 0, n, out=ends)
    return np.repeat(np.arange(n, dtype=np.int32), np.diff(ends, prepend=0)), ess, lse


def resample(request, rng):
    n, d = request["n"], request["d"]
    log_w = rng.standard_normal(n, np.float32)
    x = rng.standard_normal((n, d), np.float32)
    y = np.empty_like(x)
    state = {}

    def check():
        return check_ancestors(log_w, state["ancestors"])

    if request["variant"] == "numpy":
        w = np.empty_like(log_w)
        # In the plane a particle is gathered as one 8-byte word.
        source = x.view(np.float64).reshape(n) if d == 2 else x
        target = y.view(np.float64).reshape(n) if d == 2 else y

        def call():
            ancestors, state["ess"], state["lse"] = systematic(log_w, 0.37, w)
            np.take(source, ancestors, axis=0, out=target, mode="clip")
            state["ancestors"] = ancestors

        return call, check

    import particles.resampling

    def call_particles():
        weights = particles.resampling.Weights(lw=log_w.astype(np.float64))
        state["ess"] = weights.ESS
        ancestors = particles.resampling.systematic(weights.W)
        state["ancestors"] = ancestors
        state["y"] = x[ancestors]

    return call_particles, check


def gmm(request, rng):
    n, steps = request["n"], request["steps"]
    variances, decreases = step_constants(steps)
    averaged, means, beta = gmm_targets(request)
    beta = np.float32(beta)
    w = np.empty(n, np.float32)
    buf = np.empty((n, K), np.float32)
    state = {}

    def score(x, mu, v):
        np.dot(x, (mu / v).T, out=buf)
        np.add(buf, (-0.5 / v * (mu * mu).sum(1)).astype(np.float32), out=buf)
        np.subtract(buf, buf.max(1, keepdims=True), out=buf)
        np.exp(buf, out=buf)
        s = buf.sum(1, keepdims=True)
        return ((buf @ mu) / s - x) / v

    def call():
        first = SIGMA_FIRST if averaged else SIGMA_FIRST / math.sqrt(beta)
        x = rng.standard_normal((n, 2), np.float32) * np.float32(first)
        log_z = 0.0
        for v, decrease in zip(variances, decreases):
            s = score(x, means[0], v)
            z = rng.standard_normal((n, 2), np.float32)
            c = 0.5 * beta * (beta - 1) * decrease
            if averaged:
                t = score(x, means[1], v)
                difference = s - t
                log_w = c * (difference * difference).sum(1)
                s = (1 - beta) * s + beta * t
                b = np.float32(1)
            else:
                log_w = c * (s * s).sum(1)
                b = beta
            x = x + b * decrease * s + np.sqrt(decrease) * z
            ancestors, _, lse = systematic(log_w, rng.random(), w)
            log_z += lse - math.log(n)
            x = x[ancestors]
        state["x"], state["log_z"] = x, log_z

    return call, lambda: check_gmm(state["x"], state["log_z"])


def mlp(request, rng):
    n, d, h, steps = (request[k] for k in ("n", "d", "h", "steps"))
    variances, decreases = step_constants(steps)
    weights, biases, time_weights = mlp_weights(d, h)
    features = time_features(steps)
    beta = np.float32(BETA_ANNEAL)
    w = np.empty(n, np.float32)
    state = {}

    def silu(a):
        return a / (1 + np.exp(-a))

    def call():
        x = rng.standard_normal((n, d), np.float32) * np.float32(SIGMA_FIRST / math.sqrt(beta))
        for v, decrease, feature in zip(variances, decreases, features):
            scaled = x * np.float32(1 / math.sqrt(v))
            a = silu(scaled @ weights[0] + (biases[0] + feature @ time_weights))
            for layer in (1, 2, 3):
                a = silu(a @ weights[layer] + biases[layer])
            s = (a @ weights[4] + biases[4] - x) / v
            log_w = np.float32(0.5 * beta * (beta - 1) / d) * decrease * np.einsum("ij,ij->i", s, s)
            x = x + beta * decrease * s + np.sqrt(decrease) * rng.standard_normal((n, d), np.float32)
            ancestors, _, _ = systematic(log_w, 0.37, w)
            x = x[ancestors]
        state["x"] = x

    return call, lambda: check_mlp(state["x"])


def gemm(request, rng):
    n = request["n"]
    a = rng.standard_normal((n, n), np.float32)
    b = rng.standard_normal((n, n), np.float32)
    out = np.empty_like(a)
    return (lambda: np.dot(a, b, out=out)), lambda: {"flops": 2.0 * n**3}


def normals(request, rng):
    out = np.empty(request["n"], np.float32)
    return (lambda: rng.standard_normal(len(out), np.float32, out=out)), lambda: {"var": float(out.var())}


OPERATIONS = {"resample": resample, "gmm": gmm, "mlp": mlp, "gemm": gemm, "normals": normals}


def make(request):
    operation = operation_of(OPERATIONS, request, "NumPy")
    if request["variant"] == "particles" and operation in (gmm, mlp):
        raise NotImplementedError(f"particles has no {request['op']}")
    return operation(request, np.random.Generator(np.random.SFC64(1)))


if __name__ == "__main__":
    serve(make)
