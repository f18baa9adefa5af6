"""Both training stages of src/delf_model.py in PyTorch, for bench_train_step.py to compare with.

The same layers in the same places (a stage is subsampled by the 3×3 convolution of its last unit),
by the same names, so that weights can be copied over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

BN_EPSILON = 1e-3
WEIGHT_SUM = 30.0
STAGES = {2: (64, 3, 2), 3: (128, 4, 2), 4: (256, 6, 2), 5: (512, 3, 1)}
# The parts of a batch normalisation: in MindSpore → in PyTorch.
PARTS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


class ConvBN(nn.Module):
    """A convolution without bias and its batch normalisation."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int = 1, momentum: float = 0.01):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(cout, BN_EPSILON, momentum)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, cin, H, W] to [N, cout, ceil(H/stride), ceil(W/stride)]."""
        return self.bn(self.conv(x))


class Bottleneck(nn.Module):
    """A residual unit whose 3×3 convolution takes the stride."""

    def __init__(self, cin: int, inner: int, stride: int, project: bool):
        super().__init__()
        self.branch2a = ConvBN(cin, inner, 1)
        self.branch2b = ConvBN(inner, inner, 3, stride)
        self.branch2c = ConvBN(inner, 4 * inner, 1)
        self.branch1 = ConvBN(cin, 4 * inner, 1) if project else nn.Identity()
        self.subsample = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, cin, H, W] to [N, 4·inner, ceil(H/stride), ceil(W/stride)]."""
        y = functional.relu(self.branch2a(x), inplace=True)
        y = functional.relu(self.branch2b(y), inplace=True)
        y = self.branch2c(y) + self.branch1(self.subsample(x))
        return functional.relu(y, inplace=True)


class ResNet50(nn.Module):
    """ResNet50 without its classifier, up to conv4 or conv5."""

    def __init__(self, conv5: bool):
        super().__init__()
        self.conv1 = ConvBN(3, 64, 7, 2)
        cin = 64
        for number, (inner, units, last_stride) in STAGES.items():
            cells = OrderedDict()
            for unit in range(units):
                stride = last_stride if unit == units - 1 else 1
                name = f"res{number}{'abcdef'[unit]}"
                cells[name] = Bottleneck(cin, inner, stride, project=unit == 0)
                cin = 4 * inner
            setattr(self, f"stage{number}", nn.Sequential(cells))
            if number == 4 and not conv5:
                self.stage5 = nn.Identity()
                break

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images [N, 3, H, W] to [N, C, ceil(H/32), ceil(W/32)]."""
        x = functional.relu(self.conv1(x), inplace=True)
        x = functional.max_pool2d(x, 3, 2, 1)
        return self.stage5(self.stage4(self.stage3(self.stage2(x))))


class TuningNetwork(nn.Module):
    """The first stage: the whole ResNet50 as a classifier."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.backbone = ResNet50(conv5=True)
        self.classifier = nn.Linear(2048, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images [N, 3, H, W] to logits [N, num_classes]."""
        return self.classifier(self.backbone(images).mean((2, 3)))


class Attention(nn.Module):
    """The score of each feature."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvBN(1024, 512, 1, momentum=0.1)
        self.conv2 = nn.Conv2d(512, 1, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features [N, 1024, h, w] to positive scores [N, 1, h, w]."""
        return functional.softplus(self.conv2(functional.relu(self.conv1(features), inplace=True)))


class AttentionNetwork(nn.Module):
    """The second stage: the attention learns on a frozen backbone."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.backbone = ResNet50(conv5=False).requires_grad_(False)
        self.attention = Attention()
        self.classifier = nn.Linear(1024, num_classes)

    def train(self, mode: bool = True) -> AttentionNetwork:
        """Set the training mode of all but the backbone, which stays as it is."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images [N, 3, H, W] to logits [N, num_classes]."""
        with torch.no_grad():
            features = self.backbone(images)
        unit = functional.normalize(features, dim=1, eps=1e-6)
        scores = self.attention(features)
        weights = WEIGHT_SUM * scores / scores.sum((2, 3), keepdim=True).clamp(min=1e-12)
        return self.classifier((unit * weights).sum((2, 3)))


def copy_weights(network: nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Load tensors that MindSpore's network of the same stage holds, each and every one."""
    state = {}
    for name, value in weights.items():
        head, _, part = name.rpartition(".")
        state[f"{head}.{PARTS.get(part, part)}"] = torch.from_numpy(np.array(value))
    counters = {name for name in network.state_dict() if name.endswith("num_batches_tracked")}
    missing, unknown = network.load_state_dict(state, strict=False)
    if set(missing) - counters or unknown:
        raise ValueError(f"weights do not fit: {sorted(set(missing) - counters)}, {unknown}")


class TrainStep:
    """Stochastic gradient descent with momentum, clipped by the norm of all gradients together."""

    def __init__(self, network: nn.Module, momentum: float, clip_norm: float):
        self.network = network.train()
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(self.parameters, lr=0.0, momentum=momentum)
        self.clip_norm = clip_norm

    def __call__(self, images: torch.Tensor, labels: torch.Tensor, rate: float) -> float:
        """Do a step at a learning rate; return the loss before it."""
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(self.network(images), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.optimizer.step()
        return loss.item()
