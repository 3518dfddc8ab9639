"""The metrics as PyTorch's users compute them: torchmetrics, the lpips package, an InceptionI3d with SAME padding."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """dB for each frame of `(T, 3, H, W)`."""
    a, b = (x.float() / 255 if x.dtype == torch.uint8 else x for x in (a, b))
    return -10 * F.mse_loss(a, b, reduction="none").mean((1, 2, 3)).log10()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    from torchmetrics.functional.image import structural_similarity_index_measure

    return structural_similarity_index_measure(a, b, data_range=1.0, reduction="none")


class Lpips(nn.Module):
    """The published package with its heads; the backbone's weights are random, which costs the same time."""

    def __init__(self, network: str):
        super().__init__()
        import warnings

        import lpips

        warnings.filterwarnings("ignore", module="torchvision")  # the package asks in an old way
        whole = lpips.LPIPS(net=network, pnet_rand=True, verbose=False)
        self.net, self.lins, self.whole = whole.net, whole.lins, [whole]

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.whole[0](a, b, normalize=True)


def same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    zeros = []
    for n, k, s in reversed(list(zip(x.shape[2:], kernel, stride))):
        zero = max(k - (s if n % s == 0 else n % s), 0)
        zeros += [zero // 2, zero - zero // 2]
    return F.pad(x, zeros) if any(zeros) else x


class Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1):
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride=stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv3d(same(x, self.kernel, self.stride))))


class Pool(nn.Module):
    def __init__(self, kernel: tuple[int, ...], stride: tuple[int, ...]):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(same(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    def __init__(self, inputs: int, a: int, b: int, c: int, d: int, e: int, f: int):
        super().__init__()
        self.b0, self.b1a, self.b1b = Unit(inputs, a), Unit(inputs, b), Unit(b, c, 3)
        self.b2a, self.b2b = Unit(inputs, d), Unit(d, e, 3)
        self.pool, self.b3b = Pool((3, 3, 3), (1, 1, 1)), Unit(inputs, f)

    def forward(self, x: Tensor) -> Tensor:
        branches = self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.pool(x))
        return torch.cat(branches, 1)


class I3d(nn.Module):
    """Clips `(B, 3, T, 224, 224)` to 400 logits."""

    def __init__(self):
        super().__init__()
        wide, deep = Pool((1, 3, 3), (1, 2, 2)), Pool((3, 3, 3), (2, 2, 2))
        self.layers = nn.Sequential(
            Unit(3, 64, 7, 2), wide, Unit(64, 64), Unit(64, 192, 3), wide,
            Mixed(192, 64, 96, 128, 16, 32, 32), Mixed(256, 128, 128, 192, 32, 96, 64), deep,
            Mixed(480, 192, 96, 208, 16, 48, 64), Mixed(512, 160, 112, 224, 24, 64, 64),
            Mixed(512, 128, 128, 256, 24, 64, 64), Mixed(512, 112, 144, 288, 32, 64, 64),
            Mixed(528, 256, 160, 320, 32, 128, 128), Pool((2, 2, 2), (2, 2, 2)),
            Mixed(832, 256, 160, 320, 32, 128, 128), Mixed(832, 384, 192, 384, 48, 128, 128),
        )
        self.logits = nn.Conv3d(1024, 400, 1)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(F.avg_pool3d(self.layers(x), (2, 7, 7), stride=1)).mean((2, 3, 4))
