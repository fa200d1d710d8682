"""The networks of the comparisons in PyTorch, under the names that kd gives their tensors."""

import torch
import torch.nn.functional as F
from torch import nn


def normed(before, width, kernel, stride=1, groups=1):
    """A convolution without bias and its norm."""
    return nn.Conv2d(before, width, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(width)


class LeNet(nn.Module):
    def __init__(self, widths, channels, classes, size):
        super().__init__()
        a, b, c, d = widths
        self.conv1 = nn.Conv2d(channels, a, 5, padding=2 if size < 32 else 0)
        self.conv2 = nn.Conv2d(a, b, 5)
        self.conv3 = nn.Conv2d(b, c, 5)
        self.fc1 = nn.Linear(c, d)
        self.fc2 = nn.Linear(d, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.conv3(x)).flatten(1)
        return self.fc2(F.relu(self.fc1(x)))


class Block(nn.Module):
    """`shortcut` is the name of a 1x1 convolution where shapes differ; without one, the zero-padded shortcut."""

    def __init__(self, before, width, stride, shortcut=None):
        super().__init__()
        self.conv1, self.bn1 = normed(before, width, 3, stride)
        self.conv2, self.bn2 = normed(width, width, 3)
        self.shape = (stride, width - before)
        self.named = shortcut if stride != 1 or before != width else None
        if self.named:
            setattr(self, shortcut, nn.Sequential(*normed(before, width, 1, stride)))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        stride, new = self.shape
        if self.named:
            x = getattr(self, self.named)(x)
        elif stride != 1 or new:
            x = x[:, :, ::stride, ::stride]
            x = F.pad(x, (0, 0, 0, 0, new // 2, new - new // 2))
        return F.relu(y + x)


class ResNet(nn.Module):
    """Those for small images: `blocks` and `widths` of the groups, the first of which has no stride."""

    def __init__(self, channels, classes, stem, blocks, widths, shortcut=None, head="linear"):
        super().__init__()
        self.conv1, self.bn1 = normed(channels, stem, 3)
        self.groups, before = len(widths), stem
        for group, (count, width) in enumerate(zip(blocks, widths)):
            first = Block(before, width, 1 if group == 0 else 2, shortcut)
            rest = (Block(width, width, 1, shortcut) for _ in range(count - 1))
            setattr(self, f"layer{group + 1}", nn.Sequential(first, *rest))
            before = width
        self.head = head
        setattr(self, head, nn.Linear(before, classes))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for group in range(self.groups):
            x = getattr(self, f"layer{group + 1}")(x)
        return getattr(self, self.head)(x.mean((2, 3)))


class Vgg(nn.Module):
    def __init__(self, channels, classes, widths=(64, 128, 256, 512, 512)):
        super().__init__()
        for group, width in enumerate(widths):
            layer = nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()
            setattr(self, f"block{group}", nn.Sequential(*layer))
            channels = width
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x):
        for group in range(5):
            x = getattr(self, f"block{group}")(x)
            if group < 3:
                x = F.max_pool2d(x, 2)
        return self.classifier(x.mean((2, 3)))


class Inverted(nn.Module):
    def __init__(self, before, width, expansion, stride):
        super().__init__()
        middle = before * expansion
        depthwise = normed(middle, middle, 3, stride, middle)
        self.conv = nn.Sequential(*normed(before, middle, 1), nn.ReLU(), *depthwise, nn.ReLU(), *normed(middle, width, 1))
        self.adds = stride == 1 and before == width

    def forward(self, x):
        return self.conv(x) + x if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
    """That of the CRD benchmark: half the widths."""

    ROWS = [(1, 8, 1, 1), (6, 12, 2, 1), (6, 16, 3, 2), (6, 32, 4, 2), (6, 48, 3, 1), (6, 80, 3, 2), (6, 160, 1, 1)]

    def __init__(self, channels, classes):
        super().__init__()
        self.conv1 = nn.Sequential(*normed(channels, 16, 3, 2), nn.ReLU())
        before, groups = 16, []
        for expansion, width, count, stride in self.ROWS:
            first = Inverted(before, width, expansion, stride)
            groups.append(nn.Sequential(first, *(Inverted(width, width, expansion, 1) for _ in range(count - 1))))
            before = width
        self.blocks = nn.Sequential(*groups)
        self.conv2 = nn.Sequential(*normed(before, 1280, 1), nn.ReLU())
        self.classifier = nn.Sequential(nn.Linear(1280, classes))

    def forward(self, x):
        return self.classifier(self.conv2(self.blocks(self.conv1(x))).mean((2, 3)))


def make(name, input, classes, width=None):
    """The network that kd calls `name`, or a ResNet-8 of another width."""
    channels, height, _ = input
    if width:
        return ResNet(channels, classes, width, [1, 1, 1], [width, 2 * width, 4 * width])
    if name.startswith("lenet5"):
        widths = [3, 8, 60, 42] if name.endswith("half") else [6, 16, 120, 84]
        return LeNet(widths, channels, classes, height)
    if name == "mobilenetv2":
        return MobileNetV2(channels, classes)
    if name == "vgg8":
        return Vgg(channels, classes)
    if name == "resnet34-cifar":
        return ResNet(channels, classes, 64, [3, 4, 6, 3], [64, 128, 256, 512], "shortcut")
    depth = name.removeprefix("crd-").removeprefix("resnet").removesuffix("x4")
    blocks = [(int(depth) - 2) // 6] * 3
    if name.endswith("x4"):
        return ResNet(channels, classes, 32, blocks, [64, 128, 256], "downsample", "fc")
    if name.startswith("crd-"):
        return ResNet(channels, classes, 16, blocks, [16, 32, 64], "downsample", "fc")
    return ResNet(channels, classes, 16, blocks, [16, 32, 64])


def normalise(setup, channels):
    """What `setup`, with `mean` and `std` of each channel, makes of pixels from 0 to 1."""
    mean, std = setup["mean"][:channels], setup["std"][:channels]
    scale = torch.tensor([1 / s for s in std]).view(1, -1, 1, 1)
    shift = torch.tensor([-m / s for m, s in zip(mean, std)]).view(1, -1, 1, 1)
    return lambda pixels: pixels * scale + shift
