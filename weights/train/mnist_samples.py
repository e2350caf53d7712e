"""Draws digits of every class from weights/mnist-ddpm by ancestral steps (Ho et al. 2020), guided (Ho & Salimans 2022) and
not, has weights/mnist-judge read them, and writes pictures of them.

`python weights/train/mnist_samples.py [--steps 200] [--each 10] [--guidance 1 2] [--folder weights/mnist-ddpm] [--out .]`
"""

import argparse
import json
import pathlib

import torch
from diffusers import DDPMScheduler, UNet2DModel
from PIL import Image
from safetensors.torch import load_file

import conv_classifier
import mnist
import torch_run


def draw(net, scheduler, label, null, guidance, steps, seed=0):
    """Images of the classes `label`, without clipping what is predicted: a score that was clipped is no score."""
    generator = torch.Generator().manual_seed(seed)
    kept = scheduler.alphas_cumprod.double()
    at = torch.linspace(len(kept) - 1, 0, steps).round().long()
    x = torch.randn(len(label), 1, mnist.PIXELS, mnist.PIXELS, generator=generator)
    for i, t in enumerate(at):
        alpha, sigma = kept[t].sqrt().item(), (1 - kept[t]).sqrt().item()
        v = net(x, t, class_labels=label, return_dict=False)[0]
        if guidance != 1.0:
            v = torch.lerp(net(x, t, class_labels=null, return_dict=False)[0], v, guidance)
        x0, noise = alpha * x - sigma * v, sigma * x + alpha * v
        if i + 1 == steps:
            return x0
        to = kept[at[i + 1]].item()
        spread = ((1 - to) / (1 - kept[t]) * (1 - kept[t] / to)).sqrt().item()
        x = to**0.5 * x0 + (1 - to - spread**2) ** 0.5 * noise
        x = x + spread * torch.randn(x.shape, generator=generator)


def picture(x, columns, file):
    grey = ((x.clamp(-1, 1) + 1) * 127.5).round().byte().reshape(-1, columns, mnist.PIXELS, mnist.PIXELS)
    Image.fromarray(grey.permute(0, 2, 1, 3).reshape(-1, columns * mnist.PIXELS).numpy()).save(file)


def judge(folder=torch_run.WEIGHTS / "mnist-judge"):
    net = conv_classifier.ConvClassifier(json.loads((folder / "config.json").read_text()))
    net.load_state_dict(load_file(folder / "model.safetensors"))
    return net


def main(args):
    torch.set_num_threads(1)
    net = UNet2DModel.from_pretrained(args.folder / "unet", torch_dtype=torch.float32, low_cpu_mem_usage=False)
    if args.checkpoint:
        net.load_state_dict(torch_run.part(load_file(args.checkpoint), "average"))
    scheduler = DDPMScheduler.from_pretrained(args.folder / "scheduler")
    null = torch.full((10 * args.each,), net.config.num_class_embeds - 1)
    label = torch.arange(10).repeat(args.each)
    for guidance in args.guidance:
        with torch.no_grad():
            x = draw(net, scheduler, label, null, guidance, args.steps)
            read = judge()(x).argmax(-1)
        picture(x, 10, args.out / f"mnist-{guidance:g}.png")
        by_class = [(read == label)[label == c].double().mean().item() for c in range(10)]
        report = {"guidance": guidance, "accepted": (read == label).double().mean().item(), "by class": by_class}
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--each", type=int, default=10, help="images of each class")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0])
    parser.add_argument("--folder", type=pathlib.Path, default=torch_run.WEIGHTS / "mnist-ddpm")
    parser.add_argument("--checkpoint", type=pathlib.Path, help="take the averaged weights of an unfinished run")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("."), help="folder for the pictures")
    main(parser.parse_args())
