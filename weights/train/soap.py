"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, arXiv 2409.11321), for flat
dictionaries of small matrices and vectors.

Exact regression targets leave curvature, not noise, as what limits the fit; this is the optimiser's cheap answer.
"""

import jax
import jax.numpy as jnp
import optax


def soap(learning_rate, b1=0.95, b2=0.97, eps=1e-8, every=10):
    """The basis of every matrix is renewed by one QR power iteration each `every` steps; vectors get Adam."""

    def init(p):
        zeros = {k: jnp.zeros_like(v) for k, v in p.items()}
        sides = {k: tuple(jnp.zeros((n, n)) for n in v.shape) for k, v in p.items() if v.ndim == 2}
        basis = {k: tuple(jnp.eye(n) for n in v.shape) for k, v in p.items() if v.ndim == 2}
        return {"count": jnp.zeros((), jnp.int32), "m": zeros, "v": zeros, "sides": sides, "basis": basis}

    def update(grad, state, params=None):
        count = state["count"] + 1
        sides, basis, m, v, step = {}, {}, {}, {}, {}
        for k, g in grad.items():
            m[k] = b1 * state["m"][k] + (1 - b1) * g
            g2, m2 = g, m[k]
            if g.ndim == 2:
                left, right = state["sides"][k]
                sides[k] = (b2 * left + (1 - b2) * g @ g.T, b2 * right + (1 - b2) * g.T @ g)
                ql, qr = basis[k] = state["basis"][k]
                g2, m2 = ql.T @ g @ qr, ql.T @ m2 @ qr
            v[k] = b2 * state["v"][k] + (1 - b2) * g2 * g2
            u = (m2 / (1 - b1**count)) / (jnp.sqrt(v[k] / (1 - b2**count)) + eps)
            step[k] = -learning_rate * (ql @ u @ qr.T if g.ndim == 2 else u)

        def renew(basis):
            return {k: tuple(jnp.linalg.qr(s @ q)[0] for s, q in zip(sides[k], basis[k])) for k in basis}

        # Often in the first steps, when the basis is still far from settled.
        basis = jax.lax.cond((count % every == 0) | (count < 20), renew, lambda b: b, basis)
        return step, {"count": count, "m": m, "v": v, "sides": sides, "basis": basis}

    return optax.GradientTransformation(init, update)
