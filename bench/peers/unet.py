"""A diffusers UNet2DModel in JAX, from its config.json and safetensors alone.

    python unet.py FOLDER --golden      how far it is, in f64, from the folder's golden.safetensors
    python unet.py FOLDER --write FILE  sample, timestep, class_labels, cotangent, output and vjp for `feynkac eval`
    python unet.py FOLDER --random      fills a folder that has a config.json alone with random weights

Images are [batch, height, width, channels] inside, the layout that XLA is quickest in on a CPU.
"""

import argparse
import json
import pathlib

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax import lax

TYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I32": np.int32, "I64": np.int64}
TYPES["BF16"] = ml_dtypes.bfloat16
# What the parts of an attention were called until 2022.
OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def read(file):
    """The tensors of a safetensors file by name."""
    data = pathlib.Path(file).read_bytes()
    length = int.from_bytes(data[:8], "little")
    body = data[8 + length :]
    out = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            out[name] = np.frombuffer(body[first:last], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return out


def write(file, tensors):
    """A safetensors file of f32 and i32 tensors."""
    header, at = {}, 0
    for name, t in tensors.items():
        kind = {np.dtype(np.float32): "F32", np.dtype(np.int32): "I32"}[t.dtype]
        header[name] = {"dtype": kind, "shape": list(t.shape), "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    body = b"".join(np.ascontiguousarray(t).tobytes() for t in tensors.values())
    pathlib.Path(file).write_bytes(len(text).to_bytes(8, "little") + text + body)


def inside(folder):
    """The folder of the network itself."""
    folder = pathlib.Path(folder)
    return folder / "unet" if (folder / "unet").is_dir() else folder


def load(folder):
    """The configuration, and the tensors of all shards, widened to f32."""
    folder = inside(folder)
    config = json.loads((folder / "config.json").read_text())
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        if file.name != "golden.safetensors":
            tensors |= read(file)
    return config, {name: t.astype(np.float32) for name, t in tensors.items()}


class Tensors:
    """Weights by name, as `forward` asks for them."""

    def __init__(self, tensors, dtype):
        self.tensors = {name: jnp.asarray(t, dtype) for name, t in tensors.items()}

    def get(self, name, shape):
        for new, old in OLD.items():
            if name not in self.tensors:
                name = name.replace(f".{new}.", f".{old}.")
        found = self.tensors[name]
        if found.shape != tuple(shape):
            raise ValueError(f"{name}: found {found.shape}, wanted {tuple(shape)}")
        return found


class Shapes:
    """Notes every name and shape instead; stands in for the weights when a network is only traced."""

    def __init__(self):
        self.seen = {}

    def get(self, name, shape):
        self.seen[name] = tuple(shape)
        return jnp.zeros(shape)


def affine(w, name, shape):
    return w.get(f"{name}.weight", shape), w.get(f"{name}.bias", shape[:1])


def linear(w, name, x, out):
    weight, bias = affine(w, name, (out, x.shape[-1]))
    return x @ weight.T + bias


def conv(w, name, x, out, taps=3, stride=1, pads_before=True):
    weight, bias = affine(w, name, (out, x.shape[-1], taps, taps))
    pad = (int(taps == 3 and pads_before), int(taps == 3))
    kernel = jnp.transpose(weight, (2, 3, 1, 0))
    layouts = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), (pad, pad), dimension_numbers=layouts) + bias


def norm(w, name, x, groups, eps):
    scale, shift = affine(w, name, (x.shape[-1],))
    grouped = x.reshape(*x.shape[:-1], groups, -1)
    axes = (1, 2, 4)
    mean = grouped.mean(axes, keepdims=True)
    centred = grouped - mean
    z = centred * lax.rsqrt((centred * centred).mean(axes, keepdims=True) + eps)
    return z.reshape(x.shape) * scale + shift


def features(w, config, time, channels):
    if config.get("time_embedding_type", "positional") == "fourier":
        frequencies = w.get("time_proj.weight", (channels,))
        angles = 2 * np.pi * jnp.log(time)[:, None] * frequencies[None, :]
        cosines_first = False  # UNet2DModel never hands `flip_sin_to_cos` on to Fourier features
    else:
        half = channels // 2
        power = np.arange(half) / (half - config.get("freq_shift", 0))
        angles = time[:, None] * jnp.asarray(10000.0**-power, time.dtype)[None, :]
        cosines_first = config.get("flip_sin_to_cos", True)
    both = [jnp.cos(angles), jnp.sin(angles)] if cosines_first else [jnp.sin(angles), jnp.cos(angles)]
    return jnp.concatenate(both, 1)


class Unet:
    """The network of a configuration; `w` holds its weights."""

    def __init__(self, config, w):
        self.c, self.w = config, w
        self.groups, self.eps = config.get("norm_num_groups", 32), config.get("norm_eps", 1e-5)
        self.scales = config.get("resnet_time_scale_shift", "default") == "scale_shift"

    def residual(self, name, x, v, out, over=1.0):
        w, y = self.w, norm(self.w, f"{name}.norm1", x, self.groups, self.eps)
        y = conv(w, f"{name}.conv1", jax.nn.silu(y), out)
        t = linear(w, f"{name}.time_emb_proj", v, 2 * out if self.scales else out)[:, None, None, :]
        if not self.scales:
            y = y + t
        y = norm(w, f"{name}.norm2", y, self.groups, self.eps)
        if self.scales:
            y = y * (1 + t[..., :out]) + t[..., out:]
        y = conv(w, f"{name}.conv2", jax.nn.silu(y), out)
        if x.shape[-1] != out:
            x = conv(w, f"{name}.conv_shortcut", x, out, taps=1)
        return (x + y) / over

    def attention(self, name, x, groups, over=1.0):
        w, (batch, height, width, channels) = self.w, x.shape
        y = x.reshape(batch, 1, height * width, channels)
        if groups:
            y = norm(w, f"{name}.group_norm", y, groups, self.eps)
        head = self.c.get("attention_head_dim", 8) or channels
        parts = [linear(w, f"{name}.{p}", y[:, 0], channels) for p in ("to_q", "to_k", "to_v")]
        q, k, v = (p.reshape(batch, -1, channels // head, head) for p in parts)
        looks = jax.nn.softmax(jnp.einsum("baxd,bcxd->bxac", q, k) / np.sqrt(head), axis=-1)
        y = jnp.einsum("bxac,bcxd->baxd", looks, v).reshape(batch, -1, channels)
        return (linear(w, f"{name}.to_out.0", y, channels).reshape(x.shape) + x) / over

    def embedded(self, time, classes):
        c, w, channels = self.c, self.w, self.c["block_out_channels"][0]
        numbers = c.get("time_embedding_dim") or 4 * channels
        v = linear(w, "time_embedding.linear_1", features(w, c, time, channels), numbers)
        v = linear(w, "time_embedding.linear_2", jax.nn.silu(v), numbers)
        if c.get("num_class_embeds") is not None:
            v = v + w.get("class_embedding.weight", (c["num_class_embeds"], numbers))[classes]
        return jax.nn.silu(v)

    def down(self, at, x, v, skips):
        c, name = self.c, f"down_blocks.{at}"
        out = c["block_out_channels"][at]
        for block in range(c.get("layers_per_block", 2)):
            x = self.residual(f"{name}.resnets.{block}", x, v, out)
            if c["down_block_types"][at] == "AttnDownBlock2D":
                x = self.attention(f"{name}.attentions.{block}", x, self.groups)
            skips.append(x)
        if at + 1 < len(c["block_out_channels"]):
            padded = c.get("downsample_padding", 1) == 1
            x = conv(self.w, f"{name}.downsamplers.0.conv", x, out, stride=2, pads_before=padded)
            skips.append(x)
        return x

    def middle(self, x, v):
        c, out, over = self.c, x.shape[-1], self.c.get("mid_block_scale_factor", 1)
        if c.get("mid_block_type", "UNetMidBlock2D") is None:
            return x
        x = self.residual("mid_block.resnets.0", x, v, out, over)
        if c.get("add_attention", True):
            groups = c.get("attn_norm_num_groups")
            if groups is None and not self.scales:
                groups = self.groups
            x = self.attention("mid_block.attentions.0", x, groups, over)
        return self.residual("mid_block.resnets.1", x, v, out, over)

    def up(self, at, x, v, skips):
        c, name = self.c, f"up_blocks.{at}"
        out = c["block_out_channels"][-1 - at]
        for block in range(c.get("layers_per_block", 2) + 1):
            x = jnp.concatenate([x, skips.pop()], -1)
            x = self.residual(f"{name}.resnets.{block}", x, v, out)
            if c["up_block_types"][at] == "AttnUpBlock2D":
                x = self.attention(f"{name}.attentions.{block}", x, self.groups)
        if at + 1 < len(c["block_out_channels"]):
            x = jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)
            x = conv(self.w, f"{name}.upsamplers.0.conv", x, out)
        return x

    def __call__(self, x, time, classes):
        """x [batch, channels, height, width], time [batch], classes [batch] or None."""
        c = self.c
        v = self.embedded(time, classes)
        x = jnp.transpose(x, (0, 2, 3, 1))
        if c.get("center_input_sample", False):
            x = 2 * x - 1
        x = conv(self.w, "conv_in", x, c["block_out_channels"][0])
        skips = [x]
        for at in range(len(c["block_out_channels"])):
            x = self.down(at, x, v, skips)
        x = self.middle(x, v)
        for at in range(len(c["block_out_channels"])):
            x = self.up(at, x, v, skips)
        x = jax.nn.silu(norm(self.w, "conv_norm_out", x, self.groups, self.eps))
        x = jnp.transpose(conv(self.w, "conv_out", x, c["out_channels"]), (0, 3, 1, 2))
        if c.get("time_embedding_type", "positional") == "fourier":
            x = x / time[:, None, None, None]
        return x


def functions(config, tensors, dtype=jnp.float32):
    """forward(x, time, classes), and vjp(x, time, classes, cotangent), the output and the gradient; compiled."""
    unet = Unet(config, Tensors(tensors, dtype))

    @jax.jit
    def vjp(x, time, classes, cotangent):
        output, back = jax.vjp(lambda x: unet(x, time, classes), x)
        return output, back(cotangent)[0]

    return jax.jit(lambda x, time, classes: unet(x, time, classes)), vjp


def states(config, batch, seed=0):
    """Some states, times, classes and cotangents that a network may be asked about."""
    rng = np.random.default_rng(seed)
    size = np.broadcast_to(np.asarray(config["sample_size"]), 2)
    x = rng.standard_normal((batch, config["in_channels"], *size), np.float32)
    cotangent = rng.standard_normal((batch, config["out_channels"], *size), np.float32)
    time = rng.uniform(0.5, 20.0, batch).astype(np.float32)
    classes = config.get("num_class_embeds")
    classes = None if classes is None else rng.integers(0, classes, batch).astype(np.int32)
    return x, time, classes, cotangent


def relative(found, wanted):
    """The largest difference over the largest number wanted."""
    return float(np.abs(np.asarray(found) - wanted).max() / np.abs(wanted).max())


def check(folder):
    """Both directions in f64 beside the golden values of the folder."""
    jax.config.update("jax_enable_x64", True)
    config, tensors = load(folder)
    golden = read(pathlib.Path(folder) / "golden.safetensors")
    _, vjp = functions(config, tensors, jnp.float64)
    x, time, cotangent = (golden[k].astype(np.float64) for k in ("sample", "timestep", "cotangent"))
    output, back = vjp(x, time, golden.get("class_labels"), cotangent)
    faults = relative(output, golden["output"]), relative(back, golden["vjp"])
    print(f"{folder}: output {faults[0]:.1e}, vjp {faults[1]:.1e}")
    return max(faults)


def answers(folder, file, batch):
    """A file of questions, and of answers in f64."""
    jax.config.update("jax_enable_x64", True)
    config, tensors = load(folder)
    x, time, classes, cotangent = states(config, batch)
    _, vjp = functions(config, tensors, jnp.float64)
    output, back = vjp(*(a if a is None or a.dtype == np.int32 else a.astype(np.float64) for a in (x, time, classes, cotangent)))
    kept = {"sample": x, "timestep": time, "cotangent": cotangent}
    kept |= {"output": np.asarray(output, np.float32), "vjp": np.asarray(back, np.float32)}
    write(file, kept if classes is None else kept | {"class_labels": classes})


def shapes(config):
    """Every tensor of a network."""
    noted = Shapes()
    x, time, classes, _ = states(config, 1)
    jax.eval_shape(lambda x: Unet(config, noted)(x, jnp.asarray(time), classes), x)
    return noted.seen


def random(folder):
    """Random weights, as tests/data/diffusers/make.py draws them."""
    folder, rng = inside(folder), np.random.default_rng(0)
    tensors = {}
    for name, shape in shapes(json.loads((folder / "config.json").read_text())).items():
        t = rng.standard_normal(shape, np.float32)
        if len(shape) == 1 and name != "time_proj.weight":
            t = 0.2 * t + float("norm" in name and name.endswith("weight"))
        elif len(shape) > 1:
            t *= 1.3 / np.sqrt(np.prod(shape[1:]))
        tensors[name] = t.astype(np.float32)
    write(folder / "diffusion_pytorch_model.safetensors", tensors)
    print(f"{len(tensors)} tensors, {sum(t.size for t in tensors.values())} numbers")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder")
    p.add_argument("--golden", action="store_true")
    p.add_argument("--write", default="", metavar="FILE")
    p.add_argument("--random", action="store_true")
    p.add_argument("--batch", type=int, default=4, help="states of --write (4)")
    args = p.parse_args()
    if args.random:
        random(args.folder)
    if args.write:
        answers(args.folder, args.write, args.batch)
    # diffusers takes the angles of positional features in f32 (src/unet/golden.rs).
    if args.golden and check(args.folder) > 1e-6:
        raise SystemExit("they differ")


if __name__ == "__main__":
    main()
