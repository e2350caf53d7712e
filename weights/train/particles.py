"""Systems of identical particles: energies with their slopes, and samples by parallel-tempered MALA.

DW-4: four particles in the plane, a pair at distance r with 0.9 (r - 4)^4 - 4 (r - 4)^2.
LJ-13: thirteen in space, a pair with 2 (r^-12 - 2 r^-6), below r = 0.65 the second-order expansion there, and half of the
squared distances from the centre of mass. Translation does not change the energies: configurations are mean-free, which
leaves (atoms - 1) space degrees of freedom.

Parallel tempering: chains at a ladder of temperatures move by MALA (Roberts and Tweedie 1996), with step sizes that the
burn-in settles, and neighbours swap by Metropolis (Geyer 1991). Arrays are [atoms, space, temperatures, chains]: with
chains last the compiler fills its vectors, which is fifty times as fast here as atoms last.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

CUT, WANTED, SWAP_EVERY = 0.65, 0.574, 5


def centred(x):
    return x - x.mean(0, keepdims=True)


def pairs(of_squares, x):
    """(E, dE/dx) of configurations x [n, s, ...], where `of_squares` gives a pair's energy and its slope by r^2."""
    n, rest = x.shape[0], x.ndim - 2
    other = (1.0 - jnp.eye(n)).reshape((n, n) + (1,) * rest)
    gaps = [x[:, None, k] - x[None, :, k] for k in range(x.shape[1])]
    energy, slope = of_squares(sum(g * g for g in gaps) + (1.0 - other))
    grad = jnp.stack([(2.0 * slope * other * g).sum(1) for g in gaps], 1)
    return 0.5 * (energy * other).sum((0, 1)), grad


def double_well(squares):
    r = jnp.sqrt(squares)
    y = r - 4.0
    return 0.9 * y**4 - 4.0 * y**2, (3.6 * y**3 - 8.0 * y) / (2.0 * r)


def lennard_jones(squares):
    far = jnp.maximum(squares, CUT * CUT)
    i6 = 1.0 / far**3
    energy, slope = 2.0 * (i6 * i6 - 2.0 * i6), 12.0 * (i6 - i6 * i6) / far
    c6 = CUT**-6
    value, first, second = 2.0 * (c6 * c6 - 2.0 * c6), 24.0 * (c6 - c6 * c6) / CUT, 2.0 * (156.0 * c6 - 84.0) * c6 / CUT**2
    r = jnp.sqrt(squares)
    inside, y = squares < CUT * CUT, r - CUT
    energy = jnp.where(inside, value + first * y + 0.5 * second * y * y, energy)
    return energy, jnp.where(inside, (first + second * y) / (2.0 * r), slope)


def dw4(x):
    return pairs(double_well, x)


def lj13(x):
    energy, grad = pairs(lennard_jones, x)
    own = centred(x)
    return energy + 0.5 * (own**2).sum((0, 1)), grad + own


# (energy, atoms, space, temperatures, first step size); networks learn the temperature 2.
SYSTEMS = {
    "dw4": (dw4, 4, 2, (1.0, 1.25, 1.6, 2.0, 2.6), 3e-2),
    "lj13": (lj13, 13, 3, (0.8, 1.0, 1.25, 1.5, 2.0, 2.6), 1e-3),
}
LEARNT = 2.0


def icosahedron():
    """A centre and twelve corners at distance 1: [13, 3]."""
    g = (1.0 + math.sqrt(5.0)) / 2.0
    corners = [(0.0, a, b * g) for a in (-1, 1) for b in (-1, 1)]
    corners = [c[k:] + c[:k] for c in corners for k in range(3)]
    return np.array([(0.0, 0.0, 0.0), *(np.array(corners) / math.hypot(1.0, g))])


def relaxed(energy, x, rate, steps=2000):
    """Downhill to the nearest minimum."""
    return centred(jax.lax.fori_loop(0, steps, lambda _, x: x - rate * energy(x)[1], jnp.asarray(x, jnp.float32)))


def starts(name, chains, seed):
    """Where chains start: DW-4 downhill from random places, LJ-13 at its minimum, an icosahedron, shaken a little."""
    energy, atoms, space, temperatures, _ = SYSTEMS[name]
    noise = centred(jax.random.normal(jax.random.key(seed), (atoms, space, len(temperatures), chains)))
    if name == "dw4":
        return relaxed(energy, 1.5 * noise, 2e-4)
    return relaxed(energy, icosahedron(), 1e-3)[:, :, None, None] + 0.02 * noise


@partial(jax.jit, static_argnames=("energy", "count", "adapt"))
def tempered(energy, state, key, temperatures, count, adapt):
    """`count` MALA steps of all chains, with swaps: state (x, E, dE/dx, step sizes). Returns the state, and the shares
    of moves and of swaps that were accepted, by temperature."""
    levels = len(temperatures)
    beta = 1.0 / temperatures[:, None]

    def move(state, key):
        x, e, grad, size = state
        k1, k2 = jax.random.split(key)
        h = size[:, None]
        noise = centred(jax.random.normal(k1, x.shape))
        to = x - h * beta * grad + jnp.sqrt(2.0 * h) * noise
        e_to, grad_to = energy(to)
        back = ((x - to + h * beta * grad_to) ** 2).sum((0, 1)) / (4.0 * h)
        log_ratio = beta * (e - e_to) - back + 0.5 * (noise**2).sum((0, 1))
        accept = jnp.log(jax.random.uniform(k2, e.shape)) < log_ratio
        share = accept.mean(1)
        size = size * jnp.exp(0.05 * (share - WANTED)) if adapt else size
        pick = lambda new, old: jnp.where(accept, new, old)
        return (pick(to, x), pick(e_to, e), pick(grad_to, grad), size), share

    def swap(state, key, odd):
        """Neighbours (0, 1), (2, 3), ..., or (1, 2), (3, 4), ..."""
        x, e, grad, size = state
        low = jnp.arange(levels)
        other = jnp.where((low + odd) % 2 == 0, low + 1, low - 1)
        other = jnp.where((other < 0) | (other >= levels), low, other)
        u = jax.random.uniform(key, e.shape)[jnp.minimum(low, other)]  # both of a pair decide alike
        accept = jnp.log(u) < (beta - beta[other]) * (e - e[other])
        accept &= (other != low)[:, None]
        pick = lambda a: jnp.where(accept, jnp.take(a, other, axis=-2), a)
        return (pick(x), pick(e), pick(grad), size), accept.mean(1)

    def turn(carry, key):
        state, odd = carry
        k1, k2 = jax.random.split(key)
        state, shares = jax.lax.scan(move, state, jax.random.split(k1, SWAP_EVERY))
        state, swaps = swap(state, k2, odd)
        return (state, 1 - odd), (shares.mean(0), swaps)

    keys = jax.random.split(key, max(1, count // SWAP_EVERY))
    (state, _), (shares, swaps) = jax.lax.scan(turn, (state, 0), keys)
    return state, shares.mean(0), swaps.mean(0)


def sample(name, chains, burn, keep, thin, seed):
    """Chains of all temperatures: `burn` steps of burn-in, then `keep` snapshots, `thin` steps apart: x and dE/dx
    [keep, n, s, T, C] and E [keep, T, C]. Prints what tells whether that was enough."""
    energy, _, _, temperatures, size = SYSTEMS[name]
    key, ladder = jax.random.key(seed), jnp.asarray(temperatures)
    x = starts(name, chains, seed)
    state = (x, *energy(x), jnp.full(len(ladder), size))
    state, _, _ = tempered(energy, state, jax.random.fold_in(key, 0), ladder, burn, True)
    kept, shares, swaps = [], [], []
    for k in range(keep):
        state, share, swap = tempered(energy, state, jax.random.fold_in(key, k + 1), ladder, thin, False)
        kept.append([np.asarray(a) for a in state[:3]])
        shares.append(share)
        swaps.append(swap)
    x, e, grad = (np.stack(a) for a in zip(*kept))
    for i, t in enumerate(temperatures):
        own = e[:, i]
        lag = np.corrcoef(own[:-1].ravel(), own[1:].ravel())[0, 1] if keep > 1 else 0.0
        moved, swapped = (np.mean([s[i] for s in a]) for a in (shares, swaps))
        print(
            f"T {t:.2f}: step {state[3][i]:.1e}, accepted {moved:.3f}, swapped {swapped:.3f}, energy {own.mean():.3f} "
            f"+- {own.std():.3f} (halves {own[: keep // 2].mean():.3f}, {own[keep // 2 :].mean():.3f}; lag 1 {lag:.3f})",
            flush=True,
        )
    return x, e, grad
