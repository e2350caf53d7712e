"""The loop that the torch trainers share: a run of so many minutes that can go on from a checkpoint, and keeps the
exponential moving average of the parameters, the one that is shipped. One thread, fixed seeds.
"""

import argparse
import pathlib
import time

import torch

import muon

HERE = pathlib.Path(__file__).resolve().parent
WEIGHTS = HERE.parent
EVERY = 200


def arguments(doc, name, minutes):
    """The command line of every such script."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=minutes, help="wall time to train for (default %(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint, whose minutes count, or else from the folder's weights")
    parser.add_argument("--out", type=pathlib.Path, default=WEIGHTS / name, help="folder to write")
    return parser


def train(name, args, net, shipped, inner, loss, peaks=(0.02, 2e-3), decay=0.0, ema=0.998, seed=0):
    """Lowers loss(draw), whose random numbers come from the generator `draw`, for args.minutes; `inner` says which
    parameters are Muon's, and `shipped` gives those of the folder, where there is no checkpoint to resume from. Leaves the
    average in `net`; returns (steps, minutes)."""
    torch.set_num_threads(1)
    file = HERE / f"{name}.checkpoint"
    if args.resume and not file.exists():
        net.load_state_dict({k: v.float() for k, v in shipped().items()})
    optimisers = muon.optimisers(net.named_parameters(), inner, *peaks, decay)
    average = {k: v.clone() for k, v in net.state_dict().items()}
    draw, done, before = torch.Generator().manual_seed(seed), 0, 0.0
    if args.resume and file.exists():
        saved = torch.load(file, weights_only=True)
        net.load_state_dict(saved["net"])
        for optimiser, state in zip(optimisers, saved["optimisers"]):
            optimiser.load_state_dict(state)
        average, done, before = saved["average"], saved["done"], saved["minutes"]
        draw.set_state(saved["draw"])
    start, recent = time.time(), []
    minutes = lambda: before + (time.time() - start) / 60
    while (progress := minutes() / args.minutes) < 1.0:
        # Full rate for two thirds, then down to nothing: a longer run may resume from before the fall.
        rate = min(1.0, (done + 1) / 100, 3.0 * (1.0 - progress))
        for optimiser, peak in zip(optimisers, peaks):
            optimiser.param_groups[0]["lr"] = rate * peak
            optimiser.zero_grad(set_to_none=True)
        value = loss(draw)
        value.backward()
        for optimiser in optimisers:
            optimiser.step()
        done += 1
        keep = min(ema, done / (done + 10))
        for k, v in net.state_dict().items():
            average[k].lerp_(v, 1.0 - keep)
        recent.append(value.item())
        if done % EVERY == 0:
            print(f"{minutes():5.1f} min, step {done}, loss {sum(recent) / len(recent):.4f}", flush=True)
            recent = []
            state = {"net": net.state_dict(), "average": average, "done": done, "minutes": minutes()}
            state |= {"optimisers": [o.state_dict() for o in optimisers], "draw": draw.get_state()}
            torch.save(state, file.with_suffix(".new"))
            file.with_suffix(".new").replace(file)
    net.load_state_dict(average)
    return done, minutes()


def readable(folder):
    """Some writers leave files readable by their owner only."""
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(0o644)
