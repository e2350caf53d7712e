"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/): momentum whose matrices are brought to
singular values of about one, by five Newton-Schulz steps. Convolutions count as matrices [out, in * taps]; all else
(biases, norms, embeddings, the first and the last layer) gets AdamW. In short runs it is worth more than its cost.
"""

import torch


def orthogonal(g):
    """U V' of g = U S V', roughly: the quintic's singular values end within 0.7 to 1.2."""
    x = g / (g.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(5):
        s = x @ x.T
        x = 3.4445 * x + (-4.775 * s + 2.0315 * s @ s) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """For the weights of layers between the first and the last."""

    def __init__(self, params, lr=0.02, momentum=0.95, decay=0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("momentum", torch.zeros_like(p))
                m.lerp_(p.grad, 1.0 - group["momentum"])
                g = p.grad.lerp(m, group["momentum"]).reshape(len(p), -1)
                u = orthogonal(g) * max(1.0, g.shape[0] / g.shape[1]) ** 0.5
                p.mul_(1.0 - group["lr"] * group["decay"]).add_(u.reshape(p.shape), alpha=-group["lr"])


def optimisers(named, middle, muon=0.02, adam=2e-3, decay=0.0):
    """[Muon, AdamW] for (name, parameter) pairs; `middle(name, parameter)` says which are Muon's."""
    named = list(named)
    mine = [p for n, p in named if middle(n, p)]
    rest = [p for n, p in named if not middle(n, p)]
    return [Muon(mine, muon, decay=decay), torch.optim.AdamW(rest, adam, betas=(0.9, 0.99), weight_decay=0.0)]
