"""The latent action model: inverse dynamics, vector quantizer, forward dynamics."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layers import GatedMlp, Mlp, Options, RmsNorm, SelfAttention, attend, grid_table, head_norm, line_table, modulate_all


class LamSizes(NamedTuple):
    """Field names as in `LamConfig`."""

    image: int
    patch: int
    dim: int
    heads: int
    layers: int
    difference: bool
    max_frames: int = 16
    tokens: int = 2
    code_dim: int = 32
    codes: int = 32


TINY = LamSizes(32, 8, 64, 4, 2, True)
PAPER = LamSizes(224, 14, 768, 12, 12, False, 8)

# Where the mean square is below this floor (squared), the model's RMS norm differs from `rms_norm`; nowhere in practice.
FLOOR = 1e-16


def normalise(video: Tensor) -> Tensor:
    """ImageNet's mean and deviation."""
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (video - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)


def cut(frames: Tensor, patch: int, order: tuple[int, ...]) -> Tensor:
    """Frames `(B, T, 3, H, W)` to patches `(B T, N, 3 P P)`."""
    b, t, c, height, width = frames.shape
    grid = frames.reshape(b * t, c, height // patch, patch, width // patch, patch)
    return grid.permute(order).reshape(b * t, (height // patch) * (width // patch), -1)


class PatchEmbed(nn.Module):
    """A linear map of each patch plus a fixed position."""

    def __init__(self, sizes: LamSizes):
        super().__init__()
        self.proj, self.patch = nn.Linear(3 * sizes.patch**2, sizes.dim), sizes.patch
        places = torch.arange(sizes.image // sizes.patch)
        self.register_buffer("positions", grid_table(places, places, sizes.dim))

    def forward(self, frames: Tensor) -> Tensor:
        return self.proj(cut(frames, self.patch, (0, 2, 4, 1, 3, 5))) + self.positions


class CrossAttention(nn.Module):
    """Separate query and key-value layers."""

    def __init__(self, dim: int, heads: int, norm: str, options: Options):
        super().__init__()
        self.q, self.kv, self.proj = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.q_norm, self.k_norm = head_norm(norm, dim // heads), head_norm(norm, dim // heads)
        self.heads, self.attend = heads, attend(options)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        rows, dim = len(context), x.shape[-1]
        q = self.q(x).expand(rows, -1, -1).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = self.kv(context).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        out = self.attend(self.q_norm(q), self.k_norm(k), v, False)
        return self.proj(out.transpose(1, 2).reshape(rows, -1, dim))


class IdmBlock(nn.Module):
    """Space, then time, then the feed-forward layers; the table is the same for every token."""

    def __init__(self, sizes: LamSizes, options: Options):
        super().__init__()
        dim, heads = sizes.dim, sizes.heads
        self.scale_shift_table = nn.Parameter(torch.randn(6, dim) / dim**0.5)
        self.attn = SelfAttention(dim, heads, "layer", False, None, options)
        self.attn_temp = SelfAttention(dim, heads, "layer", True, None, options)
        self.mlp = Mlp(dim, 4 * dim)

    def forward(self, y: Tensor, positions: Tensor | None) -> Tensor:
        """`(B, T, N, D)`."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.scale_shift_table
        y = torch.addcmul(y, gate1, self.attn(modulate_all(y, shift1, scale1)))
        along = y if positions is None else y + positions[:, None]
        y = torch.addcmul(y, gate1, self.attn_temp.across(along))
        return torch.addcmul(y, gate2, self.mlp(modulate_all(y, shift2, scale2)))


class Pool(nn.Module):
    """Attention pooling with learned queries."""

    def __init__(self, sizes: LamSizes, options: Options):
        super().__init__()
        dim = sizes.dim
        self.latents = nn.Parameter(0.02 * torch.randn(1, sizes.tokens, dim))
        self.pre_projection = nn.Linear(dim, dim)
        self.attn = CrossAttention(dim, sizes.heads, "none", options)
        self.attn_norm, self.mlp_norm = RmsNorm(dim, FLOOR), RmsNorm(dim, FLOOR)
        self.mlp, self.final_proj = GatedMlp(dim, 4 * dim), nn.Linear(dim, sizes.code_dim)

    def forward(self, features: Tensor) -> Tensor:
        x = self.attn_norm(self.attn(self.latents, self.pre_projection(features)) + self.latents)
        return self.final_proj(self.mlp_norm(x + self.mlp(x)))


class Idm(nn.Module):
    """A clip `(B, T, 3, H, W)` to tokens `(B, T - 1, n, d)`."""

    def __init__(self, sizes: LamSizes, options: Options):
        super().__init__()
        self.sizes, self.embed = sizes, PatchEmbed(sizes)
        self.register_buffer("frames", line_table(torch.arange(sizes.max_frames), sizes.dim))
        self.layers = nn.ModuleList(IdmBlock(sizes, options) for _ in range(sizes.layers))
        self.norm, self.map_block = RmsNorm(sizes.dim, FLOOR), Pool(sizes, options)

    def forward(self, video: Tensor) -> Tensor:
        b, t = video.shape[:2]
        y = self.embed(normalise(video)).unflatten(0, (b, t))
        for index, layer in enumerate(self.layers):
            y = layer(y, self.frames[:t] if index == 0 else None)
        y = self.norm(y)
        features = y[:, 1:] - y[:, :-1] if self.sizes.difference else (y[:, :-1] + y[:, 1:]) / 2
        return self.map_block(features.flatten(0, 1)).unflatten(0, (b, t - 1))


class LatentActionModel(nn.Module):
    """Inverse dynamics and codebook."""

    def __init__(self, sizes: LamSizes, options: Options):
        super().__init__()
        self.encoder = Idm(sizes, options)
        self.codebook = nn.Parameter(torch.empty(sizes.codes, sizes.code_dim).uniform_(-1, 1) / sizes.codes)

    def forward(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """The embedded actions `(B, T - 1, n d)` and the quantizer's loss (commitment weight of `tiny`)."""
        tokens = self.encoder(video)
        codes = torch.cdist(tokens.detach().flatten(0, 2), self.codebook.detach()).argmin(-1)
        chosen = F.embedding(codes, self.codebook).view_as(tokens)
        rows = chosen.detach() + (tokens - tokens.detach())
        loss = F.mse_loss(chosen, tokens.detach()) + 0.001 * F.mse_loss(tokens, chosen.detach())
        return rows.flatten(2), loss


class FdmBlock(nn.Module):
    """Attention and gated feed-forward layers, each behind an RMS norm and scaled."""

    def __init__(self, sizes: LamSizes, options: Options):
        super().__init__()
        dim = sizes.dim
        self.pre_norm_attn, self.pre_norm_mlp = RmsNorm(dim, FLOOR), RmsNorm(dim, FLOOR)
        self.attn = CrossAttention(dim, sizes.heads, "layer", options)
        self.mlp = GatedMlp(dim, 4 * dim)
        self.scale_attn, self.scale_mlp = (nn.Parameter(torch.full((dim,), 0.1)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.pre_norm_attn(x)
        x = torch.addcmul(x, self.scale_attn, self.attn(normed, normed))
        return torch.addcmul(x, self.scale_mlp, self.mlp(self.pre_norm_mlp(x)))


class Fdm(nn.Module):
    """The next frame from a frame and an action, as a difference; moving patches weigh more (`tiny`)."""

    def __init__(self, sizes: LamSizes, options: Options):
        super().__init__()
        self.patch, self.embed = sizes.patch, PatchEmbed(sizes)
        self.action_embed = nn.Linear(sizes.tokens * sizes.code_dim, sizes.dim)
        self.layers = nn.Sequential(*(FdmBlock(sizes, options) for _ in range(sizes.layers)))
        self.norm, self.pred_head = RmsNorm(sizes.dim, FLOOR), nn.Linear(sizes.dim, 3 * sizes.patch**2)

    def loss(self, video: Tensor, actions: Tensor) -> Tensor:
        frames = normalise(video)
        x = torch.cat((self.action_embed(actions).flatten(0, 1)[:, None], self.embed(frames[:, :-1])), 1)
        found = self.pred_head(self.norm(self.layers(x)[:, 1:]))
        patches = cut(frames, self.patch, (0, 2, 4, 3, 5, 1)).unflatten(0, video.shape[:2])
        start, target = patches[:, :-1].flatten(0, 1), patches[:, 1:].flatten(0, 1)
        error = F.mse_loss(found + start, target, reduction="none").mean(-1)
        motion = (target - start).square().mean(-1)
        weight = (1 + 2 * motion / (motion.mean() + 1e-12)) / 3
        return (error * weight).mean()
