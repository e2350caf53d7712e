"""The equivariant network of the particle systems, its training and its files.

Pairs p = (i, j), i < j, in the order (0, 1), (0, 2), ..., carry vectors, atoms too; all maps are the same for all of
them, and a pair is told of its atoms by a sum. So a permutation of atoms permutes what is computed, and as it starts from
distances and ends in vectors x_i - x_j times numbers, rotations, reflections and translations pass through (Satorras et
al. 2021, arXiv 2102.09844, is the idea; this one moves atoms once, at the end). With e(rho) the embedded noise:

    r_p = exp(-sharpness_k (ln(1 + |x_i - x_j|^2) - centre_k)^2)
    m_p = act(W act(A r_p + T e + B (h_i + h_j)) + ..)       no h in the first layer
    h_i = h_i + O act(I sum of m_p over the pairs of i + K h_i)
    F_i = sum over j of w_p (x_i - x_j),  w_p = out m_p of a last layer of pairs

The target of the regression is F's for a score, of which two unbiased estimates are mixed: denoising, -eps/sigma, which
is good where the noise is large, and the data's own score -dE/dx / T, known as the energy is (target score matching, De
Bortoli et al. 2024, arXiv 2402.08667), which is good where it is small.
"""

import json
import math
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
from safetensors.numpy import save_file

import common
import particles
from budget import readable
from soap import soap

CHUNK = 25


def pair_list(atoms):
    return np.triu_indices(atoms, 1)


def incidence(atoms):
    """[pairs, atoms]: 1 where the atom is one of the pair."""
    i, j = pair_list(atoms)
    return (np.eye(atoms)[i] + np.eye(atoms)[j]).astype(np.float32)


def init(config, key, spread):
    """Fresh parameters; `spread` are values of ln(1 + |c_in (x_i - x_j)|^2) that occur."""
    hidden, radial, cond, emb = config["hidden"], config["radial"], config["cond"], config["time_features"]
    keys = iter(jax.random.split(key, 64))
    p = {}

    def linear(name, out, inp, scale=1.0):
        p[f"{name}.weight"] = scale * jax.random.normal(next(keys), (out, inp)) / math.sqrt(inp)
        p[f"{name}.bias"] = jnp.zeros(out)

    p["time.freqs"] = jnp.geomspace(0.0125, 0.5, emb // 2)
    linear("time.0", cond, emb, 1.4)
    linear("time.2", cond, cond, 1.4)
    # Half of the bumps where distances are, half evenly over what noise makes of them.
    dense = np.quantile(spread, np.linspace(0.001, 0.999, radial - radial // 2))
    centres = np.sort(np.concatenate([dense, np.linspace(0.0, spread.max(), radial // 2)]))
    gaps = np.maximum(np.gradient(centres), 0.06)
    p["radial.centres"], p["radial.sharpness"] = jnp.asarray(centres), jnp.asarray(0.5 / gaps**2)
    for l in range(config["layers"] + 1):
        linear(f"pairs.{l}.radial", hidden, radial, 1.4)
        linear(f"pairs.{l}.time", hidden, cond)
        if l > 0:
            linear(f"pairs.{l}.atoms", hidden, hidden, 0.7)
        linear(f"pairs.{l}.mix", hidden, hidden, 1.4)
        if l < config["layers"]:
            linear(f"atoms.{l}.sum", hidden, hidden, 2.0 / (config["atoms"] - 1))
            if l > 0:
                linear(f"atoms.{l}.keep", hidden, hidden)
            linear(f"atoms.{l}.out", hidden, hidden)
    linear("out", 1, hidden, 0.0)
    return {k: jnp.asarray(v, jnp.float32) for k, v in p.items()}


def forward(config, p, x, level):
    """F of configurations x [n, s, B], already scaled by c_in, at noise levels [B]."""
    act = common.ACT[config["activation"]]
    apply = lambda name, v: jnp.tensordot(p[f"{name}.weight"], v, 1) + p[f"{name}.bias"].reshape(
        (-1,) + (1,) * (v.ndim - 1)
    )
    i, j = pair_list(config["atoms"])
    of_pairs = jnp.asarray(incidence(config["atoms"]), x.dtype)
    angle = 2.0 * math.pi * p["time.freqs"][:, None] * jnp.log(level)[None]
    e = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)])
    e = act(apply("time.2", act(apply("time.0", e))))
    # Differences by a product with a constant matrix: what is gathered differentiates to a slow scatter.
    sides = jnp.asarray(np.eye(config["atoms"])[i] - np.eye(config["atoms"])[j], x.dtype)
    gaps = jnp.einsum("pn,nsb->psb", sides, x)
    u = jnp.log1p((gaps * gaps).sum(1))
    r = jnp.exp(-p["radial.sharpness"][:, None, None] * (u[None] - p["radial.centres"][:, None, None]) ** 2)
    h = None
    for l in range(config["layers"] + 1):
        m = apply(f"pairs.{l}.radial", r) + apply(f"pairs.{l}.time", e)[:, None]
        if l > 0:
            m = m + jnp.einsum("pn,hnb->hpb", of_pairs, apply(f"pairs.{l}.atoms", h))
        m = act(apply(f"pairs.{l}.mix", act(m)))
        if l < config["layers"]:
            g = apply(f"atoms.{l}.sum", jnp.einsum("pn,hpb->hnb", of_pairs, m))
            g = g if l == 0 else g + apply(f"atoms.{l}.keep", h)
            g = apply(f"atoms.{l}.out", act(g))
            h = g if l == 0 else h + g
    w = apply("out", m)[0]
    return jnp.einsum("pn,psb->nsb", sides, w[:, None] * gaps)


def denoise(config, p, x, level):
    """(F, D) of mean-free configurations x [n, s, B]."""
    c_skip, c_out, c_in = common.precondition(config, level)
    f = forward(config, p, c_in * x, level)
    return f, c_skip * x + c_out * f


def slopes_of(config, p, x, t):
    """How F changes at rows x [B, n s], see common.slopes."""
    shape = (len(x), config["atoms"], config["space"])

    def network(x, level):
        return forward(config, p, x.reshape(shape).transpose(1, 2, 0), level).transpose(2, 0, 1).reshape(x.shape)

    return common.slopes(network, x, common.level_of_t(config["schedule"], t))


def save(folder, config, p, x, t):
    """The folder of a network, with golden values of mean-free rows x [B, n s] in float64 of the float32 weights."""
    folder.mkdir(parents=True, exist_ok=True)
    p = {k: np.ascontiguousarray(v, np.float32) for k, v in p.items()}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(p, folder / "model.safetensors")
    golden = {"x": np.ascontiguousarray(x, np.float32), "t": np.asarray(t, np.float32)}
    with jax.enable_x64(True):
        wide = {k: jnp.asarray(v, jnp.float64) for k, v in p.items()}
        asked = {k: common.wide_of(v) for k, v in golden.items()}
        xw = asked["x"].reshape(len(x), config["atoms"], config["space"]).transpose(1, 2, 0)
        level = common.level_of_t(config["schedule"], asked["t"])
        f, d = denoise(config, wide, xw, level)
        # As it is stored.
        u = jax.random.normal(jax.random.key(9), xw.shape, jnp.float32).astype(jnp.float64)
        back = jax.grad(lambda x: (u * forward(config, wide, x, level)).sum())(xw)
        rows = lambda a: np.ascontiguousarray(a.transpose(2, 0, 1).reshape(len(x), -1), np.float32)
        # `vjp`: of F at x itself, unscaled, with the cotangent `u`
        golden |= {"output": rows(f), "denoised": rows(d), "cotangent": rows(u), "vjp": rows(back)}
        golden |= {k: np.ascontiguousarray(v, np.float32) for k, v in slopes_of(config, wide, **asked).items()}
    save_file(golden, folder / "golden.safetensors")
    readable(folder)


def learn(args, config, system, x, grad):
    """Trains on configurations x [n, s, N] with dE/dx, and writes the folder."""
    sd, schedule = config["preconditioning"]["sigma_data"], config["schedule"]
    low, high = math.log(schedule["sigma_min"]), math.log(schedule["sigma_max"])
    score = -grad / particles.LEARNT
    size = float(np.sqrt((score**2).mean()))
    held = x.shape[-1] // 20
    x, score = jnp.asarray(x), jnp.asarray(score)
    scaled = np.asarray(x[..., :500]) / sd
    i, j = pair_list(config["atoms"])
    spread = np.log1p(((scaled[i] - scaled[j]) ** 2).sum(1)).ravel()
    optimiser = optax.inject_hyperparams(soap)(learning_rate=args.rate)

    def batch(key, count, first, last):
        k = jax.random.split(key, 4)
        pick = jax.random.randint(k[0], (count,), first, last)
        # Half of the levels over the whole range, half where the shape of the cluster is decided.
        wide = jax.random.uniform(k[1], (count,), minval=low, maxval=high)
        hard = jax.random.uniform(k[2], (count,), minval=math.log(0.03 * sd), maxval=math.log(3.0 * sd))
        level = jnp.exp(jnp.where(jnp.arange(count) % 2 == 0, wide, hard))
        eps = particles.centred(jax.random.normal(k[3], x.shape[:2] + (count,)))
        own = 1.0 / (1.0 + (size * level) ** 4)
        at, target = x[..., pick], own * score[..., pick] - (1.0 - own) * eps / level
        return at + level * eps, level, target

    def errors(p, key, count, first, last):
        at, level, target = batch(key, count, first, last)
        c_skip, c_out, _ = common.precondition(config, level)
        f, _ = denoise(config, p, at, level)
        want = ((1.0 - c_skip) * at + level**2 * target) / c_out
        # F is about sigma score where sigma is small: errors count relative to that, down to a floor.
        return ((f - want) ** 2).mean((0, 1)) / (jnp.minimum(1.0, (size * level) ** 2) + 0.02**2), level

    def loss(p, key):
        return errors(p, key, args.batch, held, x.shape[-1])[0].mean()

    @jax.jit
    def chunk(p, state, average, key, rate):
        def step(carry, key):
            p, state, average = carry
            state.hyperparams["learning_rate"] = rate
            value, slope = jax.value_and_grad(loss)(p, key)
            update, state = optimiser.update(slope, state, p)
            p = optax.apply_updates(p, update)
            return (p, state, common.ema(average, p, 0.998)), value

        carry, values = jax.lax.scan(step, (p, state, average), jax.random.split(key, CHUNK))
        return *carry, values.mean()

    @jax.jit
    def judge(p):
        """The loss on configurations held out, by ranges of levels."""
        lost, level = errors(p, jax.random.key(5), 4096, 0, held)
        edges = jnp.geomspace(schedule["sigma_min"], schedule["sigma_max"], 6)
        inside = (level[None] >= edges[:-1, None]) & (level[None] < edges[1:, None])
        return (lost * inside).sum(1) / inside.sum(1)

    budget, shown = common.Budget(args), -1.0
    p = init(config, jax.random.key(0), spread)
    p, state, average = budget.resume((p, optimiser.init(p), p))
    print(f"{sum(v.size for v in p.values())} parameters, {x.shape[-1]} configurations, score {size:.2f}", flush=True)
    while (done := budget.progress()) < 1.0:
        rate = args.rate * min(1.0, (budget.done + 1) / 300) * (0.5 + 0.5 * math.cos(math.pi * done))
        key = jax.random.fold_in(jax.random.key(2), budget.done)
        p, state, average, value = jax.block_until_ready(chunk(p, state, average, key, rate))
        budget.done += CHUNK
        budget.keep((p, state, average))
        if done > shown + 0.05:
            shown = done
            held_out = " ".join(f"{v:.4f}" for v in judge(average))
            print(f"{budget.elapsed():5.1f} min, step {budget.done}, loss {value:.4f}, held out {held_out}", flush=True)
    t = np.linspace(0.0, 1.0, 64)
    level = np.exp(low + (high - low) * t)
    eps = np.asarray(particles.centred(jax.random.normal(jax.random.key(3), x.shape[:2] + (64,))))
    rows = (np.asarray(x[..., :64]) + level * eps).transpose(2, 0, 1).reshape(64, -1)
    save(args.out, config, average, rows, t)
    final = {"held out": [float(v) for v in judge(average)]}
    print(json.dumps({"system": system, "steps": budget.done, "minutes": budget.elapsed()} | final))


def samples(name, out, chains, burn, keep, thin):
    """Configurations x and slopes [n, s, N] at the temperature that is learnt. Writes `out`/reference.safetensors with
    what the samplers are judged by, and keeps all in `out`/samples.npz for a run that goes on."""
    kept = out / "samples.npz"
    if not kept.exists():
        out.mkdir(parents=True, exist_ok=True)
        x, e, grad = particles.sample(name, chains, burn, keep, thin, 1)
        _, _, _, temperatures, _ = particles.SYSTEMS[name]
        reference(out, temperatures, x, e)
        at = temperatures.index(particles.LEARNT)
        flat = lambda a: np.moveaxis(a[:, :, :, at], 0, 2).reshape(*a.shape[1:3], -1)
        with kept.with_suffix(".new").open("wb") as file:
            np.savez(file, x=flat(x), grad=flat(grad))
        os.replace(kept.with_suffix(".new"), kept)
    found = np.load(kept)
    return found["x"], found["grad"]


def reference(out, temperatures, x, e, count=2000):
    """At each temperature: `count` evenly spaced quantiles of the energies and of all pair distances, and 32
    configurations with their energies."""
    i, j = pair_list(x.shape[1])
    levels, tensors = (np.arange(count) + 0.5) / count, {}
    for at, temperature in enumerate(temperatures):
        one = x[:, :, :, at]
        r = np.sqrt(((one[:, i] - one[:, j]) ** 2).sum(2))
        tensors |= {
            f"energy.{temperature}": np.quantile(e[:, at].astype(np.float64), levels).astype(np.float32),
            f"distance.{temperature}": np.quantile(r, levels).astype(np.float32),
            f"x.{temperature}": np.ascontiguousarray(one[-1].transpose(2, 0, 1)[:32].reshape(32, -1), np.float32),
            f"x.energy.{temperature}": np.ascontiguousarray(e[-1, at, :32], np.float32),
        }
    save_file(tensors, out / "reference.safetensors")
    readable(out)
