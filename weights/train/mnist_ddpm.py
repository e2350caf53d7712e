"""Trains weights/mnist-ddpm: a class-conditional diffusion model of 28x28 digits with a null class for guidance, as a
`UNet2DModel` of diffusers, in the folder layout of its pipelines, weights in half precision.

Objective: the velocity v = alpha noise - sigma x0 (Salimans & Ho 2022, arXiv 2202.00512) on the linear schedule of DDPM
(Ho et al. 2020, arXiv 2006.11239): what the network gets wrong is scaled down by alpha in the noise it stands for, so
that the score is right where almost all is noise, where a predicted noise would have to be exact. Levels are drawn where
digits take shape. The label is replaced by the null class with probability 0.15 (Ho & Salimans 2022, arXiv 2207.12598).

`python weights/train/mnist_ddpm.py [--minutes 60] [--resume] [--out weights/mnist-ddpm]`
"""

import json
import math

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import save_file

import mnist
import mnist_check
import torch_run

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


def save(folder, net):
    """Writes the pipeline's folder in half precision."""
    DDPMPipeline(net.half(), SCHEDULER).save_pretrained(folder)
    x, _ = mnist.images()
    about = {"null_class": NULL, "data": {"mean": x.double().mean().item(), "std": x.double().std().item()}}
    (folder / "unet" / "feynkac.json").write_text(json.dumps(about, indent=2) + "\n")


def write_golden(folder, x, count=11):
    """What the half-precision weights give in double precision of test digits, at steps over the whole range, of every
    class and the null one."""
    draw = torch.Generator().manual_seed(SEED + 3)
    step = torch.linspace(0, len(KEPT) - 1, count).round().long()
    alpha, sigma = (s.sqrt()[step].view(-1, 1, 1, 1) for s in (KEPT, 1 - KEPT))
    row = torch.arange(count) * len(x) // count
    sample = (alpha * x[row] + sigma * torch.randn(count, 1, 28, 28, generator=draw)).float()
    golden = {"sample": sample, "cotangent": torch.randn(sample.shape, generator=draw)}
    golden |= {"timestep": step.float(), "class_labels": torch.arange(count, dtype=torch.int32)}
    output, vjp = mnist_check.evaluate(mnist_check.double(folder), golden)
    save_file(golden | {"output": output.float(), "vjp": vjp.float()}, folder / "golden.safetensors")
    torch_run.readable(folder)


def main(args):
    torch.manual_seed(SEED)
    (x, label), held, test = mnist.split(SEED)
    net = UNet2DModel(**CONFIG)
    torch.nn.init.zeros_(net.conv_out.weight)
    inner = lambda name, p: p.ndim >= 2 and not name.startswith(("conv_in", "conv_out", "class_embedding"))

    def batch_loss(draw):
        row = torch.randint(len(x), (BATCH,), generator=draw)
        x0 = mnist.shifted(x[row], SHIFT, draw)
        known = torch.where(torch.rand(BATCH, generator=draw) < DROP_CLASS, NULL, label[row])
        return loss(net, x0, known, steps(BATCH, draw), torch.randn(x0.shape, generator=draw))

    done, minutes = torch_run.train(args, net, inner, batch_loss, (MUON, ADAM), ema=EMA, seed=SEED)
    fixed = torch.Generator().manual_seed(SEED + 1)
    with torch.no_grad():
        held_steps = steps(len(held[0]), fixed)[torch.randperm(len(held[0]), generator=fixed)]
        score = loss(net, *held, held_steps, torch.randn(held[0].shape, generator=fixed)).item()
    save(args.out, net)
    write_golden(args.out, test[0])
    print(json.dumps({"steps": done, "minutes": minutes, "held-out loss": score}))


if __name__ == "__main__":
    main(torch_run.arguments("mnist-ddpm", __doc__, 60.0).parse_args())
