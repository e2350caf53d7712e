"""Shows that diffusers itself loads weights/mnist-ddpm, as a pipeline and as a network, and gives its golden values.

In double precision with the angles of the time in double precision too: to 1e-6 of the largest number. As it comes, in
single precision: to 1e-3 (diffusers takes those angles in single precision, which costs 6e-5 at step 999 alone).

`python weights/train/mnist_check.py [weights/mnist-ddpm]`
"""

import pathlib
import sys

import torch
from diffusers import DDPMPipeline, UNet2DModel
from safetensors.torch import load_file

import torch_run


class Angles(torch.nn.Module):
    """Positional features as diffusers defines them, in double precision."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def forward(self, step):
        half = self.count // 2
        frequency = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = step.double()[:, None] * frequency
        return torch.cat([angle.cos(), angle.sin()], dim=-1)


def double(folder):
    """The network in double precision throughout; the weights are those of the file, widened."""
    net = UNet2DModel.from_pretrained(folder / "unet", torch_dtype=torch.float64, low_cpu_mem_usage=False)
    assert net.config.flip_sin_to_cos and net.config.freq_shift == 0
    net.time_proj = Angles(net.config.block_out_channels[0])
    return net


def evaluate(net, golden):
    """(output, vjp) at the points of a golden file, in the network's precision."""
    x = golden["sample"].to(net.dtype).requires_grad_()
    output = net(x, golden["timestep"], class_labels=golden["class_labels"].long(), return_dict=False)[0]
    (vjp,) = torch.autograd.grad(output, x, golden["cotangent"].to(net.dtype))
    return output.detach(), vjp


def main(folder):
    golden = load_file(folder / "golden.safetensors")
    pipeline = DDPMPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
    single = pipeline.unet.float()
    kept = pipeline.scheduler.alphas_cumprod
    print(f"{sum(p.numel() for p in single.parameters())} parameters, {len(kept)} training steps, "
          f"{pipeline.scheduler.config.prediction_type}")
    good = True
    for name, net, tolerance in (("double", double(folder), 1e-6), ("single", single, 1e-3)):
        for what, found in zip(("output", "vjp"), evaluate(net, golden)):
            worst = ((found - golden[what]).abs().max() / golden[what].abs().max()).item()
            good &= worst < tolerance
            print(f"{name} precision: {what} {tuple(found.shape)}, largest relative difference {worst:.1e}")
    print("ok" if good else "FAILED")
    return good


if __name__ == "__main__":
    sys.exit(0 if main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else torch_run.WEIGHTS / "mnist-ddpm") else 1)
