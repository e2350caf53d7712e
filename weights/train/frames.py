"""Trains weights/frames-chain: the score of a chain of frames that is turned as a whole, by a network that turns with it.

`python weights/train/frames.py [--minutes 60] [--resume] [--out weights/frames-chain]`

The law of a clean chain: frame i has its rotation from IGSO(3) of variance SPREAD about U M_i, and its position from a
normal of variance VARIANCE about U m_i, positions less their centre, and U is a uniform rotation that all share. With
noise of level s (rotations: variance s^2 of a tangent coordinate; positions: s^2 of a coordinate, less their centre) the
variances are t = SPREAD + s^2 and v = VARIANCE + s^2, and the score is the mean of those for known U over what U may be:

    E_U p(|L_i|, t) L_i,  L_i = Log((U M_i)^-1 R_i),  p = (d/dw ln f)/w of IGSO(3)          in the axes of frame i
    E_U (U m_i - x_i)/v                                                                     in the axes of the world

`turned` computes it by a sum over rotations U. The network regresses on it (`exact` does the sum for a batch, over a grid
about U where U is known well). It is shown frames in the axes of each other only, so what it says of a chain turned by U
is what it says of the chain, turned: U need not be drawn. With places E (numbers of a pair by where it stands) and e(s) the embedded noise:

    y_ij = (R_i^T (x_j - x_i), R_i^T R_j, E_ij)
    m_ij = act(W .. act((1 + a) (P y_ij) + b)),     (a, b) = A e
    h_i  = act((1 + c) (Q mean over j of m_ij) + d),  (c, d) = C e;    then h_i = h_i + act(K h_i)
    F_i  = (g_i, R_i k_i),  (g_i, k_i) = O h_i        stands for -s times the score
"""

import json
import math

import common
import jax
import jax.numpy as jnp
import numpy as np
import optax
from budget import readable
from safetensors.numpy import save_file
from soap import soap

CONFIG = {
    "_class_name": "FrameNetwork", "frames": 4, "hidden": 128, "layers": 2, "places": 8, "activation": "silu",
    "cond": 32, "time_features": 32,
    "schedule": {"kind": "ve", "sigma_min": 0.1, "sigma_max": 1.5, "t_min": 0.0, "t_max": 1.0},
    "prediction": "eps",
}  # fmt: skip
SPREAD, VARIANCE = 0.1, 0.05
KNOWN = 0.35  # below this level U is known well
CHUNK, LEVELS, KNOTS, ANGLES = 25, 128, 601, 1025


def compose(a, b):
    (aw, ax, ay, az), (bw, bx, by, bz) = (tuple(np.moveaxis(q, -1, 0)) for q in (a, b))
    return np.stack([
        aw * bw - ax * bx - ay * by - az * bz, aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx, aw * bz + ax * by - ay * bx + az * bw,
    ], -1)  # fmt: skip


def exp(v):
    half = 0.5 * np.linalg.norm(v, axis=-1, keepdims=True)
    return np.concatenate([np.cos(half), 0.5 * np.sinc(half / np.pi) * v], -1)


def rotate(q, v):
    """v + 2 w (u x v) + 2 u x (u x v)."""
    w, u = q[..., :1], q[..., 1:]
    once = jnp.cross(u, v)
    return v + 2.0 * (w * once + jnp.cross(u, once))


def prior():
    """The means: rotations [N, 4] and centred positions [N, 3] on a screw, as they are stored."""
    i = np.arange(CONFIG["frames"])[:, None]
    rotation = exp(i * np.array([[0.2, -0.3, 1.1]]))
    position = np.concatenate([0.8 * np.cos(1.2 * i), 0.8 * np.sin(1.2 * i), 0.5 * i], 1)
    return rotation.astype(np.float32), (position - position.mean(0)).astype(np.float32)


def density_and_pull(w, t):
    """(f, p) of IGSO(3) at angles w: the series where t is large, the images of the angle where it is small."""
    w = np.maximum(w, 1e-6)
    if t >= 0.5:
        f, slope, character, bend = 0.0, 0.0, np.ones_like(w), np.zeros_like(w)
        for l in range(0, 20):
            c = (2 * l + 1) * math.exp(-0.5 * l * (l + 1) * t)
            f, slope = f + c * character, slope + c * bend
            character, bend = character + 2 * np.cos((l + 1) * w), bend - 2 * (l + 1) * np.sin((l + 1) * w)
        return f, slope / f / w
    n = np.arange(-3, 4).reshape((7,) + (1,) * w.ndim)
    u = w - 2 * np.pi * n
    e = (1 - 2 * (n % 2)) * np.exp(0.5 * (w * w - u * u) / t)
    total = (u * e).sum(0)
    f = math.sqrt(math.pi) * (t / 2) ** -1.5 * np.exp(t / 8 - w * w / (2 * t)) * total / (2 * np.sin(w / 2))
    near = 1 / 12 + w * w / 720 - 1 / t
    return f, np.where(w < 1e-2, near, (((1 - u * u / t) * e).sum(0) / total - 0.5 / np.tan(w / 2)) / w)


def rotations(n):
    """Rotations [K, 4] and shares [K] that integrate products of degree below n over all rotations."""
    nodes, shares = np.polynomial.legendre.leggauss(n // 2)
    a, c = np.meshgrid(2 * np.pi * np.arange(n) / n, 2 * np.pi * np.arange(n) / n, indexing="ij")
    about = lambda angle, axis: exp(angle[..., None] * np.eye(3)[axis])
    turns = [compose(compose(about(a, 2), exp(math.acos(b) * np.eye(3)[1])), about(c, 2)) for b in nodes]
    return np.concatenate([q.reshape(-1, 4) for q in turns]), np.repeat(shares / (2 * n * n), n * n)


def turned(x, s, n=48):
    """The score [N, 6] of one chain x [N, 7] at level s."""
    means, places = (a.astype(np.float64) for a in prior())
    x = x.astype(np.float64)
    q, at = x[:, :4] / np.linalg.norm(x[:, :4], axis=1, keepdims=True), x[:, 4:] - x[:, 4:].mean(0)
    t, v = SPREAD + s * s, VARIANCE + s * s
    turns, shares = rotations(n)
    back = means * [1, -1, -1, -1] / np.linalg.norm(means, axis=1, keepdims=True)
    away = compose(compose(back[None], (turns * [1, -1, -1, -1])[:, None]), q[None])
    away = away * np.where(away[..., :1] < 0, -1, 1)
    sine = np.linalg.norm(away[..., 1:], axis=-1)
    w = 2 * np.arctan2(sine, away[..., 0])
    f, p = density_and_pull(w, t)
    logs = away[..., 1:] * (w / np.maximum(sine, 1e-12))[..., None]
    pull = (np.asarray(rotate(turns[:, None], places[None])) - at[None]) / v
    exponent = np.log(np.maximum(f, 1e-300)).sum(1) - 0.5 * v * (pull**2).sum((1, 2))
    share = shares * np.exp(exponent - exponent.max())
    each = np.concatenate([p[..., None] * logs, pull], -1)
    return np.tensordot(share / share.sum(), each, 1)


def tables():
    """Of every level: the angle w by a standard normal, and by cos(w/2) ln f and p w/sin(w/2); then the mean square of p w
    of one axis."""
    sigma = np.geomspace(CONFIG["schedule"]["sigma_min"], CONFIG["schedule"]["sigma_max"], LEVELS)
    below = 0.5 * (1.0 + np.vectorize(math.erf)(np.linspace(-5.0, 5.0, KNOTS) / math.sqrt(2)))
    fine, half = np.linspace(0.0, np.pi, 20001), np.arccos(np.linspace(0.0, 1.0 - 1e-9, ANGLES))
    angles, logs, pulls, sizes = [], [], [], []
    for t in SPREAD + sigma**2:
        f, p = density_and_pull(fine, t)
        mass = f * (1 - np.cos(fine))
        law = np.concatenate([[0.0], np.cumsum(0.5 * (mass[1:] + mass[:-1]))])
        angles.append(np.interp(below, law / law[-1], fine))
        sizes.append(((p * fine) ** 2 * mass).sum() / mass.sum() / 3)
        f, p = density_and_pull(2.0 * half, t)
        logs.append(np.log(np.maximum(f, 1e-300)))
        pulls.append(2.0 * p * half / np.sin(half))
    return tuple(jnp.asarray(a, jnp.float32) for a in (sigma, angles, logs, pulls, sizes))


def about():
    """A grid of tangent vectors, [-1, 1]^3, for levels below KNOWN; and rotations with shares for the others."""
    line = np.linspace(-1.0, 1.0, 11)
    box = np.stack(np.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)
    return tuple(jnp.asarray(a, jnp.float32) for a in (box, *rotations(20)))


def near(box, s):
    """Rotations and shares of a grid about 1 at level s, as far as the law of one frame reaches."""
    v = 2.5 * jnp.sqrt(SPREAD + s * s) * box
    half = 0.5 * jnp.sqrt((v * v).sum(-1, keepdims=True) + 1e-20)
    over = jnp.sin(half) / half
    return jnp.concatenate([jnp.cos(half), 0.5 * over * v], -1), over[:, 0] ** 2


def look(table, at):
    low = jnp.clip(at.astype(jnp.int32), 0, table.shape[-1] - 2)
    share = at - low
    return (1.0 - share) * table[low] + share * table[low + 1]


def times(a, b):
    """The product of quaternions."""
    w = a[..., :1] * b[..., :1] - (a[..., 1:] * b[..., 1:]).sum(-1, keepdims=True)
    return jnp.concatenate([w, a[..., :1] * b[..., 1:] + b[..., :1] * a[..., 1:] + jnp.cross(a[..., 1:], b[..., 1:])], -1)


def exact(x, s, logs, pulls, turns, shares):
    """The scores [B, N, 6] of chains x [B, N, 7] of one level s, by rotations and their shares."""
    rotation, position = (jnp.asarray(a) for a in prior())
    v = VARIANCE + s * s
    mean = times(turns[:, None], rotation[None])
    there = rotate(jnp.broadcast_to(turns[:, None], turns.shape[:1] + (len(position), 4)), position[None])
    cosine = jnp.einsum("bnq,knq->bnk", x[..., :4], mean)
    at = jnp.minimum(jnp.abs(cosine), 1.0) * (ANGLES - 1)
    exponent = look(logs, at).sum(1) + jnp.einsum("bna,kna->bk", x[..., 4:], there) / v
    share = shares * jnp.exp(exponent - exponent.max(1, keepdims=True))
    share = share / share.sum(1, keepdims=True)
    pull = jnp.where(cosine < 0.0, -1.0, 1.0) * look(pulls, at) * share[:, None]
    towards = times(jnp.einsum("bnk,knq->bnq", pull, mean) * jnp.array([1.0, -1.0, -1.0, -1.0]), x[..., :4])
    gap = jnp.einsum("bk,kna->bna", share, there) - x[..., 4:]
    return jnp.concatenate([towards[..., 1:], gap / v], -1)


def init(key):
    hidden, cond, emb, places = (CONFIG[k] for k in ("hidden", "cond", "time_features", "places"))
    keys, p = iter(jax.random.split(key, 64)), {}

    def linear(name, out, inp, scale=1.4):
        p[f"{name}.weight"] = scale * jax.random.normal(next(keys), (out, inp)) / math.sqrt(inp)
        p[f"{name}.bias"] = jnp.zeros(out)

    p["time.freqs"] = jnp.geomspace(0.0125, 0.5, emb // 2)
    linear("time.0", cond, emb)
    linear("time.2", cond, cond)
    p["places"] = jax.random.normal(next(keys), (places, CONFIG["frames"], CONFIG["frames"]))
    for part, inp in (("pairs", 12 + places), ("frames", hidden)):
        linear(f"{part}.time", 2 * hidden, cond, 0.3)
        for l in range(CONFIG["layers"]):
            linear(f"{part}.{l}", hidden, inp if l == 0 else hidden)
    linear("out", 6, hidden, 0.1)
    return {k: jnp.asarray(v, jnp.float32) for k, v in p.items()}


def forward(p, x, level):
    """F [B, N, 6] of chains x [B, N, 7] at levels [B]."""
    act, hidden = common.ACT[CONFIG["activation"]], CONFIG["hidden"]
    apply = lambda name, v: v @ p[f"{name}.weight"].T + p[f"{name}.bias"]
    angle = 2.0 * math.pi * jnp.log(level)[:, None] * p["time.freqs"][None]
    e = act(apply("time.2", act(apply("time.0", jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)))))

    def modulated(part, v):
        by = apply(f"{part}.time", e).reshape((len(e),) + (1,) * (v.ndim - 2) + (2 * hidden,))
        return act((1.0 + by[..., :hidden]) * apply(f"{part}.0", v) + by[..., hidden:])

    q, at = x[..., :4], x[..., 4:]
    axes = rotate(q[..., None, :], jnp.eye(3, dtype=x.dtype))
    gaps = at[:, None] - at[:, :, None]
    seen = jnp.concatenate([gaps[..., None, :], jnp.broadcast_to(axes[:, None], gaps.shape[:3] + (3, 3))], -2)
    own = (q * jnp.array([1.0, -1.0, -1.0, -1.0], x.dtype))[:, :, None, None]
    y = rotate(jnp.broadcast_to(own, seen.shape[:-1] + (4,)), seen).reshape(gaps.shape[:3] + (12,))
    places = jnp.broadcast_to(jnp.moveaxis(p["places"], 0, -1), gaps.shape[:3] + (CONFIG["places"],))
    m = modulated("pairs", jnp.concatenate([y, places], -1))
    for l in range(1, CONFIG["layers"]):
        m = act(apply(f"pairs.{l}", m))
    h = modulated("frames", m.mean(2))
    for l in range(1, CONFIG["layers"]):
        h = h + act(apply(f"frames.{l}", h))
    out = apply("out", h)
    return jnp.concatenate([out[..., :3], rotate(q, out[..., 3:])], -1)


def drawn(key, row, count, of):
    """`count` chains [B, N, 7] of level number `row` with U = 1, and the level."""
    sigma, angles, _, _, _ = of
    rotation, position = (jnp.asarray(a) for a in prior())
    k, n = jax.random.split(key, 3), len(rotation)
    axis = jax.random.normal(k[0], (count, n, 3))
    axis = axis / jnp.linalg.norm(axis, axis=-1, keepdims=True)
    z = jnp.clip(jax.random.normal(k[1], (count, n)), -4.99, 4.99)
    half = 0.5 * look(angles[row], (z + 5.0) * ((KNOTS - 1) / 10.0))[..., None]
    q = times(rotation[None], jnp.concatenate([jnp.cos(half), jnp.sin(half) * axis], -1))
    noise = jax.random.normal(k[2], (count, n, 3))
    noise = noise - noise.mean(1, keepdims=True)
    at = position[None] + jnp.sqrt(VARIANCE + sigma[row] ** 2) * noise
    return jnp.concatenate([q, at], -1), sigma[row]


def batch(key, groups, each, of, grids):
    """Chains, their levels, their scores, and one over the mean squares of the scores' numbers: of `groups` levels below
    KNOWN, and as many above."""
    sigma, _, logs, pulls, sizes = of
    box, turns, shares = grids
    border = int((np.asarray(sigma) < KNOWN).sum())

    def one(key, low, high, grid):
        pick, draw = jax.random.split(key)
        row = jax.random.randint(pick, (), low, high)
        x, s = drawn(draw, row, each, of)
        score = exact(x, s, logs[row], pulls[row], *grid(s))
        over = jnp.repeat(jnp.stack([1.0 / sizes[row], VARIANCE + s * s]), 3)
        return x, jnp.full(each, s), score, jnp.broadcast_to(over, score.shape)

    keys = jax.random.split(key, 2 * groups)
    known = jax.lax.map(lambda key: one(key, 0, border, lambda s: near(box, s)), keys[:groups])
    other = jax.lax.map(lambda key: one(key, border, LEVELS, lambda s: (turns, shares)), keys[groups:])
    return tuple(jnp.concatenate([a, b]).reshape((-1,) + a.shape[2:]) for a, b in zip(known, other))


def loss(p, x, s, score, over):
    """The squared error of the score over its mean square for known U, of rotations and of positions."""
    return ((forward(p, x, s) / s[:, None, None] + score) ** 2 * over).mean()


def judge(p, of, count):
    """E |s_net - s|^2 / E |s|^2 against `turned`, of rotations and positions, at some levels."""
    found = {}
    for s in (0.1, 0.3, 0.6, 1.0, 1.5):
        row = int(jnp.abs(of[0] - s).argmin())
        s = float(of[0][row])
        x, _ = drawn(jax.random.key(11), row, count, of)
        said = -np.asarray(forward(p, x, jnp.full(count, s))) / s
        wanted = np.stack([turned(np.asarray(one), s) for one in x])
        part = lambda a, k: (a[..., k] ** 2).sum()
        found[f"{s:.2f}"] = [float(part(said - wanted, k) / part(wanted, k)) for k in (slice(0, 3), slice(3, 6))]
    return found


def save(folder, p, of):
    """The folder, with golden values in float64 of the float32 weights: of turned and moved chains."""
    folder.mkdir(parents=True, exist_ok=True)
    p = {k: np.ascontiguousarray(v, np.float32) for k, v in p.items()}
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    save_file(p, folder / "model.safetensors")
    rotation, position = prior()
    law = {"rotation": rotation, "position": position}
    law |= {"spread": np.float32([SPREAD]), "variance": np.float32([VARIANCE])}
    save_file(law, folder / "reference.safetensors")
    rows = np.linspace(0, LEVELS - 1, 32).astype(int)
    x, s = (jnp.stack(a) for a in zip(*(drawn(jax.random.key(row), row, 1, of) for row in rows)))
    x = x[:, 0]
    draw = np.random.default_rng(4)
    turn = draw.normal(size=(32, 1, 4))
    turn /= np.linalg.norm(turn, axis=-1, keepdims=True)
    x = np.asarray(x, np.float64)
    moved = np.asarray(rotate(turn, x[..., 4:])) + draw.normal(size=(32, 1, 3))
    x = np.concatenate([compose(np.broadcast_to(turn, x[..., :4].shape), x[..., :4]), moved], -1).astype(np.float32)
    low, high = (math.log(CONFIG["schedule"][k]) for k in ("sigma_min", "sigma_max"))
    t = np.clip((np.log(np.asarray(s, np.float64)) - low) / (high - low), 0.0, 1.0).astype(np.float32)
    with jax.enable_x64(True):
        wide = {k: jnp.asarray(v, jnp.float64) for k, v in p.items()}
        xw, level = jnp.asarray(x, jnp.float64), common.level_of_t(CONFIG["schedule"], jnp.asarray(t, jnp.float64))
        u = draw.normal(size=(32, CONFIG["frames"], 6)).astype(np.float32)
        back = jax.grad(lambda x: (jnp.asarray(u, jnp.float64) * forward(wide, x, level)).sum())(xw)
        score = np.stack([turned(one, float(s)) for one, s in zip(x, level)])
        golden = {"output": forward(wide, xw, level), "vjp": back, "score": score, "x": x, "t": t, "cotangent": u}
    flat = lambda a: np.ascontiguousarray(np.asarray(a, np.float32).reshape(len(t), -1))
    save_file({k: v if k == "t" else flat(v) for k, v in golden.items()}, folder / "golden.safetensors")
    readable(folder)


def train(args):
    of, grids, rate = tables(), about(), 3e-3
    optimiser = optax.inject_hyperparams(soap)(learning_rate=rate)

    @jax.jit
    def chunk(p, state, average, key, rate):
        def step(carry, key):
            p, state, average = carry
            state.hyperparams["learning_rate"] = rate
            value, slope = jax.value_and_grad(loss)(p, *batch(key, 8, 16, of, grids))
            update, state = optimiser.update(slope, state, p)
            p = optax.apply_updates(p, update)
            return (p, state, common.ema(average, p, 0.998)), value

        carry, values = jax.lax.scan(step, (p, state, average), jax.random.split(key, CHUNK))
        return *carry, values.mean()

    held = jax.jit(lambda: batch(jax.random.key(5), 32, 16, of, grids))()
    budget, shown = common.Budget(args), -1.0
    p = init(jax.random.key(0))
    p, state, average = budget.resume((p, optimiser.init(p), p))
    print(f"{sum(v.size for v in p.values())} parameters", flush=True)
    while (done := budget.progress()) < 1.0:
        slow = rate * min(1.0, (budget.done + 1) / 300) * (0.5 + 0.5 * math.cos(math.pi * done))
        key = jax.random.fold_in(jax.random.key(2), budget.done)
        p, state, average, value = jax.block_until_ready(chunk(p, state, average, key, slow))
        budget.done += CHUNK
        budget.keep((p, state, average))
        if done > shown + 0.05:
            shown = done
            held_out = jax.jit(loss)(average, *held)
            print(f"{budget.elapsed():5.1f} min, step {budget.done}, loss {value:.5f}, held out {held_out:.5f}", flush=True)
    minutes = budget.elapsed()
    save(args.out, average, of)
    final = {"relative error of rotations, positions": judge(average, of, 60)}
    print(json.dumps({"steps": budget.done, "minutes": minutes} | final))


if __name__ == "__main__":
    common.run("frames-chain", __doc__, 60.0, train)
