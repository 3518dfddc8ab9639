"""The cases by name: each builds its data once and returns what one iteration does."""

import re
from typing import Callable, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lam
import metrics
import world
from layers import Options, attend, modulate
from vae import ImageDecoder, ImageEncoder, TemporalEncoder


class Case(NamedTuple):
    """One iteration, and how many numbers the models hold."""

    run: Callable[[], object]
    parameters: int
    model: nn.Module | None = None


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def operation(forward: Callable[..., Tensor], *inputs: Tensor) -> Case:
    """Forward and backward from a gradient of ones to every input."""
    for x in inputs:
        x.requires_grad_()

    def run() -> object:
        y = forward(*inputs)
        return torch.autograd.grad(y, inputs, torch.ones_like(y))

    return Case(run, 0)


def without_gradient(model: nn.Module, *inputs: Tensor) -> Case:
    return Case(torch.inference_mode()(lambda: model(*inputs)), count(model), model)


# Names of the Rust side, where they are those of a published checkpoint, and the plainer ones of this.
RENAMED = {"mlp.0.project": "mlp.project", "mlp.1.": "mlp.out.", "final_proj.0": "final_proj"}


def difference(case: Case, file: str) -> float:
    """Largest difference to a stored result under the stored parameters, relative to the result's largest number."""
    from safetensors.torch import load_file

    stored = load_file(file)
    inputs = [stored.pop(name) for name in sorted(stored) if name.startswith("in.")]
    expected, own = stored.pop("out"), case.model.state_dict()
    for name, value in stored.items():
        for theirs, ours in RENAMED.items():
            name = name.replace(theirs, ours)
        name = re.sub(r"\.g$", ".weight", name)
        own[name] = value.reshape(own[name].shape)
    case.model.load_state_dict(own)
    with torch.inference_mode():
        return ((case.model(*inputs) - expected).abs().max() / expected.abs().max()).item()


def xl_block(time: bool, train: bool) -> Callable[[Options], Case]:
    def build(options: Options) -> Case:
        block = world.Block(1152, 16, time, 5, options)
        x, rows = torch.randn(1, 5, 256, 1152), torch.randn(1, 5, 6 * 1152)
        if not train:
            return without_gradient(block, x, rows)
        return Case(operation(lambda x, rows, *_: block(x, rows), x, rows, *block.parameters()).run, count(block))

    return build


class Learner:
    """AdamW with clipping; decay for the matrices of linear layers only, as in the project."""

    def __init__(self, rates: dict[nn.Module, float], options: Options):
        named = [(name, p, rate) for module, rate in rates.items() for name, p in module.named_parameters()]
        decays = lambda name, p: p.ndim >= 2 and name.endswith("weight")  # noqa: E731
        groups = [
            {"params": [p for name, p, r in named if r == rate and decays(name, p) == decay], "lr": rate,
             "weight_decay": 0.01 if decay else 0.0}
            for rate in sorted(set(rates.values())) for decay in (True, False)
        ]
        self.parameters = [p for _, p, _ in named]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), **{options.choice("optimizer"): True})

    def step(self) -> None:
        nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
        self.optimizer.step()

    def learn(self, loss: Tensor) -> float:
        value = loss.item()
        self.optimizer.zero_grad()
        loss.backward()
        self.step()
        return value


def small_step(options: Options) -> Case:
    dit = world.DitWorld(world.SMALL, 256, options)
    learner = Learner({dit: 1e-4}, options)
    clean, fps = torch.randn(1, 4, 8, 32, 32), torch.ones(1)
    mask = torch.arange(8)[None] >= 1
    return Case(lambda: learner.learn(world.flow_loss(dit, clean, mask, fps, None)), count(dit))


def tiny_video() -> Tensor:
    return torch.rand(32, 2, 3, 32, 32)


def tiny_lam_step(options: Options) -> Case:
    model, fdm = lam.LatentActionModel(lam.TINY, options), lam.Fdm(lam.TINY, options)
    learner, video = Learner({model: 1e-3, fdm: 1e-3}, options), tiny_video()

    def run() -> float:
        actions, loss = model(video)
        return learner.learn(fdm.loss(video, actions) + loss)

    return Case(run, count(model, fdm))


def tiny_world_step(joint: bool) -> Callable[[Options], Case]:
    def build(options: Options) -> Case:
        model, dit = lam.LatentActionModel(lam.TINY, options), world.DitWorld(world.TINY, 32, options)
        conditioner = world.ActionConditioner(64, 96, 2, 4, 6 * 96, options)
        dit.requires_grad_(joint)
        learner = Learner({model: 3e-4, conditioner: 5e-4} | ({dit: 5e-4} if joint else {}), options)
        video, basis, fps = tiny_video(), torch.linalg.qr(torch.randn(48, 48))[0], torch.ones(1)
        shift, scale, mask = torch.zeros(48), torch.ones(48), torch.tensor([[False, True]]).repeat(32, 1)

        def run() -> float:
            with torch.no_grad():  # the codec: blocks of 4 x 4 pixels through a fixed basis
                blocks = video.view(64, 3, 8, 4, 8, 4).permute(0, 2, 4, 1, 3, 5).reshape(-1, 48)
                clean = ((blocks @ basis.T - shift) * scale).view(32, 2, 8, 8, 48).permute(0, 4, 1, 2, 3).contiguous()
            actions, vq = model(video)
            shown = actions * (torch.rand(32, 1, 1) >= 0.1)
            return learner.learn(world.flow_loss(dit, clean, mask, fps, conditioner(shown)) + vq)

        return Case(run, count(model, dit, conditioner))

    return build


def idm_paper_encode(options: Options) -> Case:
    idm, video = lam.Idm(lam.PAPER, options), torch.rand(1, 2, 3, 224, 224)
    return without_gradient(idm, video)


def adamw_50m(options: Options) -> Case:
    width, layers = 512, 16
    shapes = [(3 * width, width), (width, width), (4 * width, width), (width, 4 * width)]
    model = nn.ModuleList(nn.Linear(i, o) for _ in range(layers) for o, i in shapes)
    learner = Learner({model: 1e-4}, options)
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    return Case(learner.step, count(model))


def vae_temporal_encode(_: Options) -> Case:
    encoder, x = TemporalEncoder(), torch.randn(1, 4, 17, 32, 32)
    return without_gradient(encoder, x)


def vae_image_encode(_: Options) -> Case:
    return without_gradient(ImageEncoder(), torch.randn(1, 3, 256, 256))


def vae_image_decode(_: Options) -> Case:
    return without_gradient(ImageDecoder(), torch.randn(1, 4, 32, 32))


def clips(frames: int, side: int) -> tuple[Tensor, Tensor]:
    """Grey levels of two clips that resemble each other."""
    a = torch.randint(0, 256, (frames, 3, side, side))
    return a.byte(), (a + torch.randint(-20, 21, a.shape)).clamp(0, 255).byte()


def score(function: Callable[[Tensor, Tensor], Tensor], frames: int, side: int, levels: bool = False) -> Case:
    a, b = clips(frames, side)
    a, b = (a, b) if levels else (a.float() / 255, b.float() / 255)
    return Case(torch.inference_mode()(lambda: function(a, b)), 0)


def lpips(network: str, frames: int, side: int) -> Callable[[Options], Case]:
    def build(_: Options) -> Case:
        a, b = clips(frames, side)
        return without_gradient(metrics.Lpips(network), a.float() / 255, b.float() / 255)

    return build


def i3d_clip16(_: Options) -> Case:
    return without_gradient(metrics.I3d(), torch.rand(1, 3, 16, 224, 224) * 2 - 1)


def attention(n: int, heads: int, length: int, size: int, causal: bool) -> Callable[[Options], Case]:
    def build(options: Options) -> Case:
        core = attend(options)
        return operation(lambda q, k, v: core(q, k, v, causal), *(torch.randn(n, heads, length, size) for _ in range(3)))

    return build


def linear(frozen: bool) -> Callable[[Options], Case]:
    def build(_: Options) -> Case:
        x, weight, bias = torch.randn(1280, 1152), torch.randn(4608, 1152), torch.randn(4608)
        return operation(lambda x: F.linear(x, weight, bias), x) if frozen else operation(F.linear, x, weight, bias)

    return build


def copy(_: Options) -> Case:
    source, target = torch.ones(64 << 20), torch.zeros(64 << 20)
    return Case(lambda: target.copy_(source), 0)


TOKENS, ROW = (1, 5, 256, 1152), (1, 5, 1, 1152)

CASES: dict[str, Callable[[Options], Case]] = {
    "xl_block_space_forward": xl_block(False, False),
    "xl_block_space": xl_block(False, True),
    "xl_block_time_forward": xl_block(True, False),
    "xl_block_time": xl_block(True, True),
    "small_step": small_step,
    "small_step_recomputed": small_step,  # PyTorch keeps its activations; the Rust side does not
    "tiny_lam_step": tiny_lam_step,
    "tiny_warm_step": tiny_world_step(False),
    "tiny_joint_step": tiny_world_step(True),
    "idm_paper_encode": idm_paper_encode,
    "adamw_50m": adamw_50m,
    "vae_temporal_encode": vae_temporal_encode,
    "vae_image_encode": vae_image_encode,
    "vae_image_decode": vae_image_decode,
    "psnr_u8": lambda _: score(metrics.psnr, 64, 256, levels=True),
    "psnr_f32": lambda _: score(metrics.psnr, 64, 256),
    "ssim_256": lambda _: score(metrics.ssim, 16, 256),
    "ssim_64": lambda _: score(metrics.ssim, 16, 64),
    "lpips_alex": lpips("alex", 8, 256),
    "lpips_vgg": lpips("vgg", 4, 256),
    "lpips_squeeze": lpips("squeeze", 8, 256),
    "i3d_clip16": i3d_clip16,
    "gelu": lambda _: operation(lambda x: F.gelu(x, approximate="tanh"), torch.randn(1280, 4608)),
    "layernorm_modulate": lambda _: operation(modulate, torch.randn(TOKENS), torch.randn(ROW), torch.randn(ROW)),
    "gate_add": lambda _: operation(torch.addcmul, torch.randn(TOKENS), torch.randn(ROW), torch.randn(TOKENS)),
    "attention_space": attention(5, 16, 256, 72, False),
    "attention_time": attention(256, 16, 5, 72, True),
    "attention_long": attention(1, 16, 1024, 72, False),
    "attention_lam": attention(8, 12, 256, 64, False),
    "linear": linear(False),
    "linear_frozen": linear(True),
    "bias_sum": lambda _: Case(lambda x=torch.randn(1280, 4608): x.sum(0), 0),
    "matmul": lambda _: Case(lambda a=torch.randn(1280, 1152), b=torch.randn(1152, 4608): a @ b, 0),
    "copy": copy,
}
