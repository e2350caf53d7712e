"""PyTorch, on the CPU or where PEERS_DEVICE says (cuda).

Variants: torch_eager, torch_compile, torch_compile_graph (compiled, in CUDA graphs). With "search" in its name a
variant finds ancestors by searchsorted instead of repeat_interleave.
"""

import math
import os

import torch

from problem import (
    BETA_ANNEAL,
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

DEVICE = os.environ.get("PEERS_DEVICE", "cpu")
torch.set_grad_enabled(False)
if DEVICE != "cpu":
    torch.set_default_device(DEVICE)
    torch.backends.cuda.matmul.allow_tf32 = False


def from_numpy(array):
    tensor = torch.from_numpy(array)
    return tensor if DEVICE == "cpu" else tensor.to(DEVICE)


def weigh(log_w):
    """Cumulative sum of the weights, ESS, and the log of their sum."""
    m = log_w.max()
    w = torch.exp(log_w - m)
    c = torch.cumsum(w, 0, dtype=torch.float64)
    s = c[-1]
    return c, s * s / torch.dot(w, w), m + torch.log(s)


def last_slots(log_w, u):
    """Behind the last slot of each particle; the part of systematic resampling that compiles."""
    n = log_w.shape[0]
    c, ess, lse = weigh(log_w)
    ends = torch.ceil(c * (n / c[-1]) - u).to(torch.int64).clamp_(0, n)
    ends[-1] = n
    return ends, ess, lse


def compiler(variant):
    """What a variant does to the functions that it runs."""
    if "compile" not in variant:
        return lambda function: function
    torch._dynamo.reset()
    mode = "reduce-overhead" if "graph" in variant else None
    return lambda function: torch.compile(function, dynamic=False, mode=mode)


def resampler(request, compiled):
    """A function from log-weights and offset to ancestors, ESS and the log of the sum of the weights."""
    n = request["n"]
    numbers = torch.arange(n)
    positions = torch.arange(n, dtype=torch.float64)

    def search(log_w, u):
        c, ess, lse = weigh(log_w)
        found = torch.searchsorted(c, (positions + u) * (c[-1] / n), right=True)
        return found.clamp_(max=n - 1), ess, lse

    if "search" in request["variant"]:
        return compiled(search)
    compiled_slots = compiled(last_slots)

    def repeat(log_w, u):
        ends, ess, lse = compiled_slots(log_w, u)
        counts = torch.diff(ends, prepend=ends.new_zeros(1))
        return torch.repeat_interleave(numbers, counts, output_size=n), ess, lse

    return repeat


def resample(request, compiled):
    n, d = request["n"], request["d"]
    ancestors_of = resampler(request, compiled)
    log_w = torch.randn(n)
    x = torch.randn(n, d)
    u = torch.tensor(0.37, dtype=torch.float64)
    state = {}

    def call():
        ancestors, state["ess"], state["lse"] = ancestors_of(log_w, u)
        state["ancestors"] = ancestors
        state["y"] = x.index_select(0, ancestors)

    return call, lambda: check_ancestors(log_w.cpu().numpy(), state["ancestors"].cpu().numpy())


def gmm(request, compiled):
    n, steps = request["n"], request["steps"]
    ancestors_of = resampler(request, compiled)
    variances, decreases = map(from_numpy, step_constants(steps))
    averaged, means, beta = gmm_targets(request)
    means = [from_numpy(m) for m in means]
    state = {}

    def score(x, mu, v):
        logits = torch.addmm((-0.5 / v) * (mu * mu).sum(1), x, (mu / v).T)
        return (torch.softmax(logits, 1) @ mu - x) / v

    def step(x, v, decrease):
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
        return x + b * decrease * s + torch.sqrt(decrease) * torch.randn_like(x), log_w

    compiled_step = compiled(step)

    def call():
        x = torch.randn(n, 2) * (SIGMA_FIRST if averaged else SIGMA_FIRST / math.sqrt(beta))
        log_z = torch.zeros((), dtype=torch.float64)
        for i in range(steps):
            x, log_w = compiled_step(x, variances[i], decreases[i])
            ancestors, _, lse = ancestors_of(log_w, torch.rand((), dtype=torch.float64))
            log_z = log_z + lse - math.log(n)
            x = x.index_select(0, ancestors)
        state["x"], state["log_z"] = x, log_z

    return call, lambda: check_gmm(state["x"].cpu().numpy(), float(state["log_z"]))


def mlp(request, compiled):
    n, d, h, steps = (request[k] for k in ("n", "d", "h", "steps"))
    ancestors_of = resampler(request, compiled)
    variances, decreases = map(from_numpy, step_constants(steps))
    weights, biases, time_weights = mlp_weights(d, h)
    weights = [from_numpy(w) for w in weights]
    biases = [from_numpy(b) for b in biases]
    times = from_numpy(time_features(steps) @ time_weights)
    beta = BETA_ANNEAL
    silu = torch.nn.functional.silu
    state = {}

    def step(x, v, decrease, time):
        a = silu(torch.addmm(biases[0] + time, x / torch.sqrt(v), weights[0]))
        for layer in (1, 2, 3):
            a = silu(torch.addmm(biases[layer], a, weights[layer]))
        s = (torch.addmm(biases[4], a, weights[4]) - x) / v
        log_w = (0.5 * beta * (beta - 1) / d) * decrease * (s * s).sum(1)
        return x + beta * decrease * s + torch.sqrt(decrease) * torch.randn_like(x), log_w

    compiled_step = compiled(step)
    u = torch.tensor(0.37, dtype=torch.float64)

    def call():
        x = torch.randn(n, d) * (SIGMA_FIRST / math.sqrt(beta))
        for i in range(steps):
            x, log_w = compiled_step(x, variances[i], decreases[i], times[i])
            ancestors, _, _ = ancestors_of(log_w, u)
            x = x.index_select(0, ancestors)
        state["x"] = x

    return call, lambda: check_mlp(state["x"].cpu().numpy())


def normals(request, compiled):
    out = torch.empty(request["n"])
    return (lambda: out.normal_()), lambda: {"var": float(out.var())}


def gemm(request, compiled):
    n = request["n"]
    a, b, out = torch.randn(n, n), torch.randn(n, n), torch.empty(n, n)
    return (lambda: torch.mm(a, b, out=out)), lambda: {"flops": 2.0 * n**3}


OPERATIONS = {"resample": resample, "gmm": gmm, "mlp": mlp, "normals": normals, "gemm": gemm}


def make(request):
    operation = operation_of(OPERATIONS, request, "PyTorch")
    torch.manual_seed(0)
    call, check = operation(request, compiler(request["variant"]))
    if DEVICE == "cpu":
        return call, check

    def synced():
        call()
        torch.cuda.synchronize()

    return synced, check


if __name__ == "__main__":
    serve(make)
