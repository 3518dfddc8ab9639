"""Layers that both models share, written for speed in eager mode."""

from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Attend = Callable[[Tensor, Tensor, Tensor, bool], Tensor]


class Options:
    """What PyTorch lets its user choose. `asked` tells the comparison which choices matter to a case."""

    def __init__(self, attention: str, optimizer: str):
        self.chosen, self.asked = {"attention": attention, "optimizer": optimizer}, set()

    def choice(self, name: str) -> str:
        self.asked.add(name)
        return self.chosen[name]


def attend(options: Options) -> Attend:
    """`softmax(q k' / sqrt(d)) v` over `(N, heads, L, d)`."""

    def plain(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        if causal:
            length = q.shape[-2]
            hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(hidden, float("-inf"))
        return scores.softmax(-1) @ v

    def sdpa(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

    return {"plain": plain, "sdpa": sdpa}[options.choice("attention")]


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """`LN(x) (1 + scale) + shift`; `addcmul` saves a pass over the tokens."""
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=1e-6), 1 + scale)


def modulate_all(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """The same where all tokens share shift and scale: then it is a layer norm with parameters."""
    return F.layer_norm(x, x.shape[-1:], 1 + scale, shift, eps=1e-6)


class RmsNorm(nn.Module):
    """`w x / sqrt(mean(x^2) + eps)`."""

    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(dim)), eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def head_norm(kind: str, dim: int) -> nn.Module:
    """The norm of queries and keys."""
    if kind == "rms":
        return RmsNorm(dim, 1e-6)
    return nn.LayerNorm(dim) if kind == "layer" else nn.Identity()


class Rope(nn.Module):
    """Rotary positions of interleaved pairs: one complex product, the fastest eager form on a CPU."""

    def __init__(self, dim: int, length: int):
        super().__init__()
        freqs = 10_000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
        angles = torch.arange(length)[:, None] * freqs
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles).to(torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.contiguous().unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * self.turns[: x.shape[-2]]).flatten(-2)


class Mlp(nn.Module):
    """`fc2(gelu(fc1(x)))`, tanh formula."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class GatedMlp(nn.Module):
    """`out(p silu(s))` with `(p, s)` the halves of one layer."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.project, self.out = nn.Linear(dim, 2 * hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.project(x).chunk(2, -1)
        return self.out(value * F.silu(gate))


class SelfAttention(nn.Module):
    """One `qkv` layer, norms of queries and keys, optional rotary positions, output projection."""

    def __init__(self, dim: int, heads: int, norm: str, causal: bool, rope: Rope | None, options: Options):
        super().__init__()
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.q_norm, self.k_norm = head_norm(norm, dim // heads), head_norm(norm, dim // heads)
        self.heads, self.causal, self.rope, self.attend = heads, causal, rope, attend(options)

    def core(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = self.q_norm(q), self.k_norm(k)
        if self.rope is not None:
            q, k = self.rope(q), self.rope(k)
        return self.attend(q, k, v, self.causal)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., L, D)`, attending along `L`."""
        length, dim = x.shape[-2:]
        qkv = self.qkv(x).view(-1, length, 3, self.heads, dim // self.heads)
        out = self.core(*qkv.permute(2, 0, 3, 1, 4))
        return self.proj(out.transpose(1, 2).reshape(x.shape))

    def across(self, x: Tensor) -> Tensor:
        """`(B, L, S, D)`, attending along `L`. Both layers act on rows as they lie: only the heads are turned."""
        b, length, s, dim = x.shape
        qkv = self.qkv(x).view(b, length, s, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(3, 0, 2, 4, 1, 5).flatten(1, 2)
        out = self.core(q, k, v).unflatten(0, (b, s))
        return self.proj(out.permute(0, 3, 1, 2, 4).reshape(x.shape))


def scalar_features(values: Tensor, dim: int = 256) -> Tensor:
    """Cosines, then sines, of a scalar at `dim / 2` frequencies."""
    freqs = torch.exp(-torch.log(torch.tensor(10_000.0)) * torch.arange(dim // 2) / (dim // 2))
    angles = values[:, None].float() * freqs
    return torch.cat((angles.cos(), angles.sin()), -1)


def line_table(positions: Tensor, dim: int) -> Tensor:
    """`(positions, dim)`: sines, then cosines."""
    freqs = 10_000.0 ** (-torch.arange(dim // 2) / (dim // 2))
    angles = positions[:, None] * freqs
    return torch.cat((angles.sin(), angles.cos()), -1)


def grid_table(rows: Tensor, columns: Tensor, dim: int) -> Tensor:
    """`(rows * columns, dim)`: columns in the first half of the channels, rows in the second."""
    across = line_table(columns, dim // 2).repeat(len(rows), 1)
    down = line_table(rows, dim // 2).repeat_interleave(len(columns), 0)
    return torch.cat((across, down), -1)
