"""The loop that the torch trainers share: a run of so many minutes that can go on from its checkpoint (budget.py), and
keeps the exponential moving average of the parameters, the one that is shipped. One thread, fixed seeds.
"""

import torch

import muon
from budget import WEIGHTS, Budget, arguments, readable

SHOWN = 200  # steps between two lines of print


def tensors(net, average, optimisers, draw):
    """All that a checkpoint keeps, as `part/name`."""
    parts = {"net": net.state_dict(), "average": average, "draw": {"state": draw.get_state()}}
    for i, optimiser in enumerate(optimisers):
        parts |= {f"optimiser.{i}.{k}": of for k, of in optimiser.state_dict()["state"].items()}
    return {f"{part}/{name}": v for part, of in parts.items() for name, v in of.items()}


def part(found, name):
    """The tensors `name`/... of a checkpoint."""
    return {k.removeprefix(f"{name}/"): torch.asarray(v, copy=True) for k, v in found.items() if k.startswith(f"{name}/")}


def train(args, net, inner, loss, peaks=(0.02, 2e-3), decay=0.0, ema=0.998, seed=0):
    """Lowers loss(draw), whose random numbers come from the generator `draw`, for args.minutes; `inner` says which
    parameters are Muon's. Leaves the average in `net`; returns (steps, minutes)."""
    torch.set_num_threads(1)
    optimisers = muon.optimisers(net.named_parameters(), inner, *peaks, decay)
    average = {k: v.clone() for k, v in net.state_dict().items()}
    draw, budget, recent = torch.Generator().manual_seed(seed), Budget(args), []
    wanted = {k: tuple(v.shape) for k, v in tensors(net, average, optimisers, draw).items()}
    if (found := budget.load(wanted, ["optimiser."])) is not None:
        net.load_state_dict(part(found, "net"))
        average = part(found, "average")
        draw.set_state(part(found, "draw")["state"])
        for i, optimiser in enumerate(optimisers):
            state = optimiser.state_dict()
            state["state"] = {k: part(found, f"optimiser.{i}.{k}") for k in state["param_groups"][0]["params"]}
            optimiser.load_state_dict(state)
    while (progress := budget.progress()) < 1.0:
        # Full rate for two thirds, then down to nothing: a longer run may resume from before the fall.
        rate = min(1.0, (budget.done + 1) / 100, 3.0 * (1.0 - progress))
        for optimiser, peak in zip(optimisers, peaks):
            optimiser.param_groups[0]["lr"] = rate * peak
            optimiser.zero_grad(set_to_none=True)
        value = loss(draw)
        value.backward()
        for optimiser in optimisers:
            optimiser.step()
        budget.done += 1
        keep = min(ema, budget.done / (budget.done + 10))
        for k, v in net.state_dict().items():
            average[k].lerp_(v, 1.0 - keep)
        recent.append(value.item())
        if budget.done % SHOWN == 0:
            print(f"{budget.elapsed():5.1f} min, step {budget.done}, loss {sum(recent) / len(recent):.4f}", flush=True)
            recent = []
        if budget.due():
            budget.save(tensors(net, average, optimisers, draw))
    net.load_state_dict(average)
    return budget.done, budget.elapsed()
