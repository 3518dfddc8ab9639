"""The video diffusion transformer (STDiT3 without text) and its action conditioner."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layers import Mlp, Options, Rope, SelfAttention, grid_table, modulate, scalar_features


class DitSizes(NamedTuple):
    """Field names as in `DitConfig`."""

    in_channels: int
    patch: int
    hidden_size: int
    depth: int
    num_heads: int
    input_sq_size: int
    pred_sigma: bool
    frames: int


SMALL = DitSizes(4, 2, 384, 6, 6, 512, True, 8)
TINY = DitSizes(48, 1, 96, 2, 4, 32, False, 2)


class Block(nn.Module):
    """Attention over space or, causally, over time; then the feed-forward layers."""

    def __init__(self, hidden: int, heads: int, time: bool, frames: int, options: Options):
        super().__init__()
        rope = Rope(hidden // heads, frames) if time else None
        self.scale_shift_table = nn.Parameter(torch.randn(6, hidden) / hidden**0.5)
        self.attn = SelfAttention(hidden, heads, "rms", time, rope, options)
        self.mlp = Mlp(hidden, 4 * hidden)
        self.attention = self.attn.across if time else self.attn

    def forward(self, x: Tensor, rows: Tensor) -> Tensor:
        """`x` `(B, T, S, D)`, `rows` `(B, T, 6 D)`."""
        rows = (rows + self.scale_shift_table.flatten()).unsqueeze(2)
        shift1, scale1, gate1, shift2, scale2, gate2 = rows.chunk(6, -1)
        x = torch.addcmul(x, gate1, self.attention(modulate(x, shift1, scale1)))
        return torch.addcmul(x, gate2, self.mlp(modulate(x, shift2, scale2)))


class ScalarEmbed(nn.Module):
    """Features of a scalar, two layers."""

    def __init__(self, hidden: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, hidden), nn.SiLU(), nn.Linear(hidden, hidden))

    def forward(self, values: Tensor) -> Tensor:
        return self.mlp(scalar_features(values))


class FinalLayer(nn.Module):
    """Modulated output layer; a given frame is modulated twice, as in the reference."""

    def __init__(self, sizes: DitSizes):
        super().__init__()
        outputs = sizes.patch**2 * sizes.in_channels * (2 if sizes.pred_sigma else 1)
        self.scale_shift_table = nn.Parameter(torch.randn(2, sizes.hidden_size) / sizes.hidden_size**0.5)
        self.linear = nn.Linear(sizes.hidden_size, outputs)

    def forward(self, x: Tensor, moving: Tensor, still: Tensor, mask: Tensor) -> Tensor:
        def modulated(x: Tensor, time: Tensor) -> Tensor:
            shift, scale = (self.scale_shift_table + time[:, None]).chunk(2, 1)
            return modulate(x, shift[:, None], scale[:, None])

        y = modulated(x, moving)
        return self.linear(torch.where(mask[:, :, None, None], y, modulated(y, still)))


class DitWorld(nn.Module):
    """Latents `(B, C, T, H, W)`, times, mask of generated frames and action rows to the velocity."""

    def __init__(self, sizes: DitSizes, pixels: int, options: Options):
        super().__init__()
        self.sizes, hidden = sizes, sizes.hidden_size
        self.pixels, self.tables = pixels, {}
        self.x_embedder = nn.Linear(sizes.in_channels * sizes.patch**2, hidden)
        self.t_embedder, self.fps_embedder = ScalarEmbed(hidden), ScalarEmbed(hidden)
        self.t_block = nn.Linear(hidden, 6 * hidden)

        def blocks(time: bool) -> nn.ModuleList:
            return nn.ModuleList(
                Block(hidden, sizes.num_heads, time, sizes.frames, options) for _ in range(sizes.depth))

        self.spatial_blocks, self.temporal_blocks = blocks(False), blocks(True)
        self.final_layer = FinalLayer(sizes)

    def positions(self, h: int, w: int) -> Tensor:
        """Kept for the next step, as the reference does."""
        if (h, w) not in self.tables:
            scale, base = self.pixels / self.sizes.input_sq_size, round((h * w) ** 0.5)
            line = lambda n: torch.arange(n) / scale * base / n  # noqa: E731
            self.tables[h, w] = grid_table(line(h), line(w), self.sizes.hidden_size)
        return self.tables[h, w]

    def forward(self, x: Tensor, t: Tensor, mask: Tensor, fps: Tensor, action: Tensor | None) -> Tensor:
        b, c, frames, height, width = x.shape
        p = self.sizes.patch
        h, w = height // p, width // p
        patches = x.view(b, c, frames, h, p, w, p).permute(0, 2, 3, 5, 1, 4, 6).reshape(b, frames, h * w, -1)
        tokens = self.x_embedder(patches) + self.positions(h, w)
        fps = self.fps_embedder(fps)
        moving, still = self.t_embedder(t) + fps, self.t_embedder(t.new_zeros(1)) + fps
        moving_rows, still_rows = self.t_block(F.silu(moving)), self.t_block(F.silu(still))
        rows = torch.where(mask[:, :, None], moving_rows[:, None], still_rows[:, None])
        if action is not None:
            rows = rows + action
        for space, time in zip(self.spatial_blocks, self.temporal_blocks):
            tokens = time(space(tokens, rows), rows)
        out = self.final_layer(tokens, moving, still, mask)
        out = out.view(b, frames, h, w, p, p, -1).permute(0, 6, 1, 2, 4, 3, 5)
        return out.reshape(b, -1, frames, height, width)


class ActionBlock(nn.Module):
    """Causal self-attention over the transitions; layer norms without parameters."""

    def __init__(self, width: int, heads: int, length: int, options: Options):
        super().__init__()
        rope = Rope(width // heads, length)
        self.attn = SelfAttention(width, heads, "none", True, rope, options)
        self.mlp = Mlp(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(F.layer_norm(x, x.shape[-1:], eps=1e-6))
        return x + self.mlp(F.layer_norm(x, x.shape[-1:], eps=1e-6))


class ActionConditioner(nn.Module):
    """Latent actions `(B, T - 1, A)` to modulations `(B, T, 6 D)`; sizes of the `tiny` preset."""

    def __init__(self, action_dim: int, width: int, layers: int, heads: int, rows: int, options: Options):
        super().__init__()
        self.no_action = nn.Parameter(0.02 * torch.randn(width))
        self.input = nn.Sequential(nn.Linear(action_dim, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.Sequential(*(ActionBlock(width, heads, 16, options) for _ in range(layers)))
        self.output = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, rows))

    def forward(self, actions: Tensor) -> Tensor:
        tokens = self.input(actions)
        first = self.no_action.expand(len(tokens), 1, -1)
        tokens = self.blocks(torch.cat((first, tokens), 1))
        return self.output(F.layer_norm(tokens, tokens.shape[-1:], eps=1e-6))


def flow_loss(dit: DitWorld, clean: Tensor, mask: Tensor, fps: Tensor, action: Tensor | None) -> Tensor:
    """Rectified flow with clean given frames: logit-normal times, shift 6, squared error on generated frames."""
    b, channels = clean.shape[:2]
    u = torch.randn(b).sigmoid()
    s = (6 * u / (1 + 5 * u)).view(b, 1, 1, 1, 1)
    noise = torch.randn_like(clean)
    wide = mask[:, None, :, None, None]
    x = torch.where(wide, torch.lerp(clean, noise, s), clean)
    velocity = dit(x, 1000 * s.flatten(), mask, fps, action)[:, :channels]
    per_frame = F.mse_loss(velocity, clean - noise, reduction="none").mean((1, 3, 4))
    weight = mask.float()
    return ((per_frame * weight).sum(1) / weight.sum(1)).mean()
