"""Classifiers of images, the network of the folders whose config.json says `"_class_name": "ConvClassifier"`:

    blocks   3x3 convolution (zeros around, stride 1 or 2), group norm if any, the nonlinearity
    out      the mean of every channel over the pixels, then a linear map to the logits

One that is conditioned on noise reads alpha x0 + sigma noise with alpha^2 + sigma^2 = 1 and the time s = sigma/alpha:
v = act(time.linear e(s)) with e = sin, then cos, of 2 pi f ln s; every block adds a linear map of v to its channels before
its norm.
"""

import json

import torch
from safetensors.torch import load_file, save_file
from torch import nn

import mnist
import torch_run

ACT = {"silu": nn.functional.silu, "relu": torch.relu, "tanh": torch.tanh}


class Block(nn.Module):
    def __init__(self, channels, block, config):
        super().__init__()
        out, groups, time = block["out_channels"], config["norm_num_groups"], config["time"]
        self.conv = nn.Conv2d(channels, out, 3, block["stride"], 1)
        self.norm = nn.GroupNorm(groups, out, eps=config["norm_eps"]) if groups else None
        self.time = nn.Linear(time["hidden"], out) if time else None

    def forward(self, x, v):
        x = self.conv(x)
        if self.time is not None:
            x = x + self.time(v)[:, :, None, None]
        return x if self.norm is None else self.norm(x)


class Time(nn.Module):
    def __init__(self, features, hidden):
        super().__init__()
        self.register_buffer("frequencies", torch.logspace(-1.7, -0.2, features // 2))
        self.linear = nn.Linear(features, hidden)

    def forward(self, s):
        angle = 2 * torch.pi * self.frequencies * s.log()[:, None]
        return self.linear(torch.cat([angle.sin(), angle.cos()], dim=-1))


class ConvClassifier(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, self.act = config, ACT[config["activation"]]
        self.time = Time(**config["time"]) if config["time"] else None
        channels = [config["in_channels"]] + [b["out_channels"] for b in config["blocks"]]
        self.blocks = nn.ModuleList(Block(c, b, config) for c, b in zip(channels, config["blocks"]))
        self.out = nn.Linear(channels[-1], config["classes"])

    def forward(self, x, s=None):
        v = self.act(self.time(s)) if self.time is not None else None
        for block in self.blocks:
            x = self.act(block(x, v))
        return self.out(x.mean((2, 3)))


def config(blocks, activation, groups, time=None):
    """`blocks`: (channels, stride) of each."""
    return {
        "_class_name": "ConvClassifier", "in_channels": 1, "sample_size": mnist.PIXELS, "classes": mnist.CLASSES,
        "activation": activation, "norm_num_groups": groups, "norm_eps": 1e-5,
        "blocks": [{"out_channels": c, "stride": s} for c, s in blocks], "time": time,
    }  # fmt: skip


def warped(x, draw):
    """Every image turned by up to 12 degrees, 0.85 to 1.15 times as large, sheared a little, moved by up to two pixels."""
    near = lambda most: most * (2 * torch.rand(len(x), generator=draw) - 1)
    turn, size, shear = near(0.21), 1 / (1 + near(0.15)), near(0.15)
    to = torch.zeros(len(x), 2, 3)
    to[:, 0, 0], to[:, 0, 1] = size * turn.cos(), size * (shear - turn.sin())
    to[:, 1, 0], to[:, 1, 1] = size * turn.sin(), size * turn.cos()
    to[:, :, 2] = torch.stack([near(2 / 14), near(2 / 14)], dim=-1)
    grid = nn.functional.affine_grid(to, list(x.shape), align_corners=False)
    return nn.functional.grid_sample(x + 1, grid, align_corners=False) - 1


def noised(x, s, draw):
    """alpha x + sigma noise at s = sigma/alpha."""
    s = s.view(-1, 1, 1, 1)
    return (x + s * torch.randn(x.shape, generator=draw)) / (1 + s * s).sqrt()


def accuracy(net, x, label, s=None):
    with torch.no_grad():
        times = None if s is None else torch.full((len(x),), s)
        return (net(x, times).argmax(-1) == label).double().mean().item()


def save(folder, net, x, s=None, seed=3):
    """Writes config.json, model.safetensors and golden.safetensors: outputs, and the gradient of <cotangent, output>, of
    the float32 weights computed in float64."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(net.config, indent=2) + "\n")
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, folder / "model.safetensors")
    cotangent = torch.randn(len(x), net.config["classes"], generator=torch.Generator().manual_seed(seed))
    golden = {"sample": x.contiguous(), "cotangent": cotangent} | ({} if s is None else {"timestep": s})
    output, vjp = evaluate(folder, golden)
    save_file(golden | {"output": output.float(), "vjp": vjp.float()}, folder / "golden.safetensors")
    torch_run.readable(folder)


def evaluate(folder, asked):
    """(output, vjp) in float64 of a folder at the points of its golden file."""
    net = ConvClassifier(json.loads((folder / "config.json").read_text()))
    net.load_state_dict(load_file(folder / "model.safetensors"))
    net.double()
    x = asked["sample"].double().requires_grad_()
    s = asked["timestep"].double() if "timestep" in asked else None
    output = net(x, s)
    (vjp,) = torch.autograd.grad(output, x, asked["cotangent"].double())
    return output.detach(), vjp
