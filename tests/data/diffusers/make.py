"""Makes the folders beside this file: miniature networks of random weights as diffusers saves them, each with
golden values that diffusers itself computed in f64, and tables of its schedulers.

    pip install torch==2.15.0 diffusers==0.42.1 safetensors==0.8.0 numpy==2.4.6
    python make.py

golden.safetensors: sample [B, C, H, W], timestep [B], class_labels [B] where there are classes, output and cotangent
[B, C, H, W], vjp [B, C, H, W] = the gradient of <cotangent, output> with respect to sample. Timesteps are small,
because diffusers takes the angles of positional embeddings in f32 whatever the model is in.
"""

import json
import pathlib
import shutil

import diffusers
import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent
OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def network(seed, half=False, outputs=3, **config):
    """A network in f32 whose tensors, zero-initialised ones too, are random, and numbers of f16 where `half`."""
    torch.manual_seed(seed)
    model = UNet2DModel(in_channels=3, out_channels=outputs, norm_eps=1e-6, **config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name == "time_proj.weight":
                p.copy_(torch.randn_like(p))
            elif p.dim() == 1:
                p.copy_(0.2 * torch.randn_like(p) + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
            else:
                p.copy_(torch.randn_like(p) * 1.3 / p[0].numel() ** 0.5)
            if half:
                p.copy_(p.half().float())
    return model


def golden(model, folder, timestep, seed):
    """What the network says in f64 of two states, and what it passes back."""
    torch.manual_seed(seed)
    size = model.config.sample_size
    sample = torch.randn(2, 3, size, size)
    cotangent = torch.randn(2, model.config.out_channels, size, size)
    timestep = torch.tensor(timestep)
    kept = {"sample": sample, "cotangent": cotangent, "timestep": timestep}
    labels = {}
    if model.config.num_class_embeds is not None:
        kept["class_labels"] = torch.tensor([4, 1])
        labels["class_labels"] = kept["class_labels"]
    x = sample.double().requires_grad_(True)
    output = model.double()(x, timestep.double(), **labels).sample
    (vjp,) = torch.autograd.grad((output * cotangent.double()).sum(), x)
    kept |= {"output": output.detach().float(), "vjp": vjp.float()}
    save_file({k: v.contiguous() for k, v in kept.items()}, folder / "golden.safetensors")
    model.float()


def fresh(name):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def attention():
    """A whole pipeline: attention in the deepest level, heads of 8, as in google/ddpm-cifar10-32."""
    folder = fresh("pipeline")
    model = network(
        1, sample_size=8, block_out_channels=(8, 16), layers_per_block=2, norm_num_groups=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    model.save_pretrained(folder / "unet")
    diffusers.DDPMScheduler(clip_sample=False).save_pretrained(folder / "scheduler")
    index = {"_class_name": "DDPMPipeline", "_diffusers_version": diffusers.__version__}
    index |= {"scheduler": ["diffusers", "DDPMScheduler"], "unet": ["diffusers", "UNet2DModel"]}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    golden(model, folder, [3.0, 17.5], 11)


def scale_shift():
    """In shards: time as a scale and a shift, classes, two heads, not square in levels."""
    folder = fresh("shards")
    model = network(
        2, sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("AttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "AttnUpBlock2D"),
        resnet_time_scale_shift="scale_shift", num_class_embeds=5, attention_head_dim=4,
    )
    model.save_pretrained(folder, max_shard_size="60KB")
    golden(model, folder, [2.0, 9.25], 12)


def padding():
    """In f16: downsampling that pads below and right alone, sines first, frequencies down to the last."""
    folder = fresh("half")
    model = network(
        3, half=True, sample_size=16, block_out_channels=(8, 8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, attention_head_dim=None,
        center_input_sample=True,
    )
    golden(model, folder, [1.0, 12.0], 13)
    model.half().save_pretrained(folder, variant="fp16")


def fourier():
    """Time as Fourier features of log sigma, a scaled middle, and the names that attention had until 2022."""
    folder = fresh("old-names")
    model = network(
        4, sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        time_embedding_type="fourier", mid_block_scale_factor=2**0.5,
    )
    model.save_pretrained(folder)
    golden(model, folder, [0.35, 6.5], 14)
    file = folder / "diffusion_pytorch_model.safetensors"
    renamed = {}
    for name, tensor in load_file(file).items():
        for new, old in OLD.items():
            name = name.replace(f".{new}.", f".{old}.")
        renamed[name] = tensor
    save_file(renamed, file, metadata={"format": "pt"})
    again = UNet2DModel.from_pretrained(folder)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))


def learned():
    """Of twice as many channels, of which the second half says how broad a step is; and one step by diffusers."""
    folder = fresh("learned")
    model = network(
        5, outputs=6, sample_size=8, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    model.save_pretrained(folder)
    # As many steps as it was trained on: diffusers takes the most variance from the training step, not from the one that it does.
    scheduler = diffusers.DDPMScheduler(
        variance_type="learned_range", clip_sample=False, beta_start=0.01, beta_end=0.2, num_train_timesteps=20
    )
    scheduler.save_pretrained(folder)
    golden(model, folder, [3.0, 17.5], 15)
    kept = load_file(folder / "golden.safetensors")
    said, t = kept["output"].double(), 12
    # A generator of the same seed draws the same noise.
    draws = [torch.Generator().manual_seed(7) for _ in range(2)]
    step = scheduler.step(said, t, kept["sample"].double(), generator=draws[0]).prev_sample
    noise = torch.randn(kept["sample"].shape, generator=draws[1], dtype=torch.float64)
    kept |= {"step": step.float(), "step.noise": noise.float(), "step.timestep": torch.tensor([float(t)])}
    save_file({k: v.contiguous() for k, v in kept.items()}, folder / "golden.safetensors")


def schedulers():
    """Signal kept by every schedule of betas, and the timesteps of every spacing."""
    kept = {}
    betas = {"beta_start": 0.001, "beta_end": 0.05, "num_train_timesteps": 50}
    for name in ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"]:
        kept[name] = diffusers.DDPMScheduler(beta_schedule=name, **betas).alphas_cumprod
    for spacing in ["leading", "trailing", "linspace"]:
        scheduler = diffusers.DDPMScheduler(timestep_spacing=spacing, steps_offset=1)
        for steps in [7, 50]:
            scheduler.set_timesteps(steps)
            kept[f"{spacing}.{steps}"] = scheduler.timesteps.float()
    for name, prediction in [("edm", "epsilon"), ("edm.v", "v_prediction")]:
        edm = diffusers.EDMEulerScheduler(prediction_type=prediction)
        x, f, sigma = torch.tensor([0.7]), torch.tensor([-1.3]), torch.tensor([2.5])
        kept[name] = torch.cat([
            edm.precondition_inputs(x, sigma), edm.precondition_noise(sigma).reshape(1),
            edm.precondition_outputs(x, f, sigma),
        ])
    save_file({k: v.contiguous() for k, v in kept.items()}, HERE / "schedulers.safetensors")


for make in [attention, scale_shift, padding, fourier, learned, schedulers]:
    make()
