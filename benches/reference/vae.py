"""The video VAE of Open-Sora v1.2 at its real sizes: the temporal encoder, the image encoder and decoder."""

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


class ImageBlock(nn.Module):
    """Norm, SiLU, 3 x 3 convolution, twice; a 1 x 1 skip where the width changes."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(32, inputs, 1e-6), nn.GroupNorm(32, outputs, 1e-6)
        self.conv1, self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x), inplace=True))
        return self.conv2(F.silu(self.norm2(y), inplace=True)) + self.skip(x)


class PixelAttention(nn.Module):
    """One head as wide as the image has channels."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.GroupNorm(32, width, 1e-6)
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        pixels = self.norm(x).flatten(2).transpose(1, 2)
        seen = F.scaled_dot_product_attention(*(layer(pixels)[:, None] for layer in (self.q, self.k, self.v)))
        return x + self.out(seen[:, 0]).transpose(1, 2).reshape(x.shape)


def middle(width: int) -> list[nn.Module]:
    return [ImageBlock(width, width), PixelAttention(width), ImageBlock(width, width)]


class ImageEncoder(nn.Module):
    """Pictures `(N, 3, H, W)` to mean and log-variance `(N, 8, H / 8, W / 8)`."""

    def __init__(self):
        super().__init__()
        layers, width = [nn.Conv2d(3, 128, 3, padding=1)], 128
        for level, outputs in enumerate((128, 256, 512, 512)):
            layers += [ImageBlock(width, outputs), ImageBlock(outputs, outputs)]
            if level < 3:
                layers += [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(outputs, outputs, 3, stride=2)]
            width = outputs
        layers += middle(512)
        layers += [nn.GroupNorm(32, 512, 1e-6), nn.SiLU(inplace=True), nn.Conv2d(512, 8, 3, padding=1), nn.Conv2d(8, 8, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class ImageDecoder(nn.Module):
    """Latent images `(N, 4, h, w)` to pictures `(N, 3, 8 h, 8 w)`."""

    def __init__(self):
        super().__init__()
        layers, width = [nn.Conv2d(4, 4, 1), nn.Conv2d(4, 512, 3, padding=1), *middle(512)], 512
        for level, outputs in enumerate((512, 512, 256, 128)):
            layers += [ImageBlock(width if i == 0 else outputs, outputs) for i in range(3)]
            if level < 3:
                layers += [nn.Upsample(scale_factor=2), nn.Conv2d(outputs, outputs, 3, padding=1)]
            width = outputs
        layers += [nn.GroupNorm(32, 128, 1e-6), nn.SiLU(inplace=True), nn.Conv2d(128, 3, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)
