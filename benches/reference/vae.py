"""The temporal video encoder of Open-Sora v1.2 at its real sizes."""

import torch.nn.functional as F
from torch import Tensor, nn


class CausalConv(nn.Module):
    """3 x 3 x 3 convolution with zero frames in front only."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, bias: bool = False):
        super().__init__()
        self.front = 3 - stride
        self.conv = nn.Conv3d(inputs, outputs, 3, stride=(stride, 1, 1), padding=(0, 1, 1), bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 0, 0, 0, self.front, 0)))


class ResBlock(nn.Module):
    """Norm, SiLU, convolution, twice; a 1 x 1 x 1 skip where the width changes."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(32, inputs), nn.GroupNorm(32, outputs)
        self.conv1, self.conv2 = CausalConv(inputs, outputs), CausalConv(outputs, outputs)
        self.conv3 = nn.Identity() if inputs == outputs else nn.Conv3d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x), inplace=True))
        return self.conv2(F.silu(self.norm2(y), inplace=True)) + self.conv3(x)


class TemporalEncoder(nn.Module):
    """Latent images `(B, 4, 17, h, w)` to mean and log-variance `(B, 8, 5, h, w)`."""

    def __init__(self):
        super().__init__()

        def level(inputs: int, outputs: int) -> list[nn.Module]:
            return [ResBlock(inputs if i == 0 else outputs, outputs) for i in range(4)]

        self.layers = nn.Sequential(
            CausalConv(4, 128),
            *level(128, 128),
            *level(128, 256),
            CausalConv(256, 256, 2, True),
            *level(256, 256),
            CausalConv(256, 256, 2, True),
            *level(256, 512),
            *level(512, 512),
            nn.GroupNorm(32, 512),
            nn.SiLU(inplace=True),
            nn.Conv3d(512, 8, 1),
            nn.Conv3d(8, 8, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(F.pad(x, (0, 0, 0, 0, -x.shape[2] % 4, 0)))
