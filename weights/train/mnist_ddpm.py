"""Trains weights/mnist-ddpm: a class-conditional diffusion model of 28x28 digits with a null class for guidance, as a
`UNet2DModel` of diffusers, in the folder layout of its pipelines, weights in half precision.

Objective: the velocity v = alpha noise - sigma x0 (Salimans & Ho 2022, arXiv 2202.00512) on the linear schedule of DDPM
(Ho et al. 2020, arXiv 2006.11239): what the network gets wrong is scaled down by alpha in the noise it stands for, so
that the score is right where almost all is noise, where a predicted noise would have to be exact. Levels are drawn where
digits take shape. The label is replaced by the null class with probability 0.15 (Ho & Salimans 2022, arXiv 2207.12598).

`python weights/train/mnist_ddpm.py [--minutes 60] [--resume] [--out weights/mnist-ddpm]`
"""

import argparse
import json
import math
import pathlib
import time

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import save_file

import mnist
import muon

WEIGHTS = pathlib.Path(__file__).resolve().parent.parent
CHECKPOINT = pathlib.Path(__file__).resolve().parent / "mnist_ddpm.checkpoint"
BATCH, NULL, DROP_CLASS, MUON, ADAM, EMA, SHIFT, SEED = 32, 10, 0.15, 0.02, 2e-3, 0.998, 1, 0

CONFIG = dict(
    sample_size=28, in_channels=1, out_channels=1, block_out_channels=(8, 16, 64), layers_per_block=1,
    down_block_types=("DownBlock2D",) * 3, up_block_types=("UpBlock2D",) * 3, add_attention=True,
    attention_head_dim=None, norm_num_groups=4, num_class_embeds=NULL + 1,
)  # fmt: skip
SCHEDULER = DDPMScheduler(prediction_type="v_prediction", clip_sample=False)  # linear, 1e-4 to 0.02, 1,000 steps
KEPT = SCHEDULER.alphas_cumprod.double()
LEVEL = 0.5 * torch.log((1 - KEPT) / KEPT)  # ln(sigma / alpha) of every training step, rising


def steps(n, draw):
    """Training steps: four in five by a normal law of ln(sigma / alpha), the others evenly in it, for the ends."""
    # One point in each of n equal parts of the law: less noise in the sum.
    even = (torch.arange(n) + torch.rand(n, generator=draw)) / n
    body = 1.25 * math.sqrt(2) * torch.erfinv((2 * even - 1).clamp(-0.9999, 0.9999))
    wide = LEVEL[0] + (LEVEL[-1] - LEVEL[0]) * even
    level = torch.where(torch.rand(n, generator=draw) < 0.2, wide, body)
    return torch.searchsorted(LEVEL, level.double()).clamp(0, len(LEVEL) - 1)


def loss(net, x0, label, step, noise):
    """The mean squared error of v."""
    alpha, sigma = (s.sqrt().float()[step].view(-1, 1, 1, 1) for s in (KEPT, 1 - KEPT))
    v = net(alpha * x0 + sigma * noise, step, class_labels=label, return_dict=False)[0]
    return (v - (alpha * noise - sigma * x0)).square().mean()


def save(folder, average, steps_done, held):
    """Writes the pipeline's folder, and golden values: what the half-precision weights give in double precision."""
    net = UNet2DModel(**CONFIG)
    net.load_state_dict(average)
    DDPMPipeline(net.half(), SCHEDULER).save_pretrained(folder)
    x, _ = mnist.images()
    about = {"null_class": NULL, "data": {"mean": float(x.double().mean()), "std": float(x.double().std())}}
    (folder / "unet" / "feynkac.json").write_text(json.dumps(about, indent=2) + "\n")
    write_golden(folder, *held)
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(0o644)


def write_golden(folder, x, label, count=12):
    """Held-out digits at levels over the whole range, every class and the null one."""
    net = UNet2DModel.from_pretrained(folder / "unet", torch_dtype=torch.float64)
    draw = torch.Generator().manual_seed(SEED + 3)
    step = torch.linspace(0, len(KEPT) - 1, count).round().long()
    row = torch.arange(count) * len(x) // count
    alpha, sigma = (s.sqrt()[step].view(-1, 1, 1, 1) for s in (KEPT, 1 - KEPT))
    sample = (alpha * x[row] + sigma * torch.randn(count, 1, 28, 28, generator=draw)).float()
    cotangent = torch.randn(count, 1, 28, 28, generator=draw)
    classes = torch.arange(count) % (NULL + 1)
    point = sample.double().requires_grad_()
    output = net(point, step, class_labels=classes, return_dict=False)[0]
    (vjp,) = torch.autograd.grad(output, point, cotangent.double())
    golden = {"sample": sample, "timestep": step.float(), "class_labels": classes.int(), "cotangent": cotangent}
    save_file({**golden, "output": output.detach().float(), "vjp": vjp.float()}, folder / "golden.safetensors")


def train(args):
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    (x, label), held, _ = mnist.split(SEED)
    net = UNet2DModel(**CONFIG)
    torch.nn.init.zeros_(net.conv_out.weight)
    inner = lambda name, p: p.ndim >= 2 and not name.startswith(("conv_in", "conv_out", "class_embedding"))
    optimisers = muon.optimisers(net.named_parameters(), inner, MUON, ADAM)
    average = {k: v.clone() for k, v in net.state_dict().items()}
    draw, done, before = torch.Generator().manual_seed(SEED), 0, 0.0
    if args.resume:
        saved = torch.load(CHECKPOINT, weights_only=True)
        net.load_state_dict(saved["net"])
        for optimiser, state in zip(optimisers, saved["optimisers"]):
            optimiser.load_state_dict(state)
        average, done, before = saved["average"], saved["done"], saved["minutes"]
        draw.set_state(saved["draw"])
    # The held-out loss always sees the same noise.
    fixed = torch.Generator().manual_seed(SEED + 1)
    held_steps, held_noise = steps(len(held[0]), fixed), torch.randn(held[0].shape, generator=fixed)
    start, recent = time.time(), []
    minutes = lambda: before + (time.time() - start) / 60
    while (progress := minutes() / args.minutes) < 1.0:
        # Full rate for two thirds, then down to nothing: a longer run may resume from before the fall.
        rate = min(1.0, (done + 1) / 100, 3.0 * (1.0 - progress))
        for optimiser, peak in zip(optimisers, (MUON, ADAM)):
            optimiser.param_groups[0]["lr"] = rate * peak
            optimiser.zero_grad(set_to_none=True)
        row = torch.randint(len(x), (BATCH,), generator=draw)
        x0 = mnist.shifted(x[row], SHIFT, draw)
        known = torch.where(torch.rand(BATCH, generator=draw) < DROP_CLASS, NULL, label[row])
        value = loss(net, x0, known, steps(BATCH, draw), torch.randn(x0.shape, generator=draw))
        value.backward()
        for optimiser in optimisers:
            optimiser.step()
        done += 1
        keep = min(EMA, done / (done + 10))
        for k, v in net.state_dict().items():
            average[k].lerp_(v, 1.0 - keep)
        recent.append(value.item())
        if done % 200 == 0:
            print(f"{minutes():5.1f} min, step {done}, loss {sum(recent) / len(recent):.4f}", flush=True)
            recent = []
            state = {"net": net.state_dict(), "average": average, "done": done, "minutes": minutes()}
            state |= {"optimisers": [o.state_dict() for o in optimisers], "draw": draw.get_state()}
            torch.save(state, CHECKPOINT.with_suffix(".new"))
            CHECKPOINT.with_suffix(".new").replace(CHECKPOINT)
    net.load_state_dict(average)
    with torch.no_grad():
        score = loss(net, *held, held_steps, held_noise).item()
    save(args.out, average, done, held)
    print(json.dumps({"steps": done, "minutes": minutes(), "held-out loss": score}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="wall time to train for (default %(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint; its minutes count")
    parser.add_argument("--out", type=pathlib.Path, default=WEIGHTS / "mnist-ddpm", help="folder to write")
    train(parser.parse_args())
