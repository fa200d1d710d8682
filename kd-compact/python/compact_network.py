"""The PyTorch module of a model folder that a run of `method = "compact"` has made, its weights loaded strictly.

    python3 kd-compact/python/compact_network.py runs/small/model          (PyTorch, safetensors)

From Python: `network = load("runs/small/model")` takes images `[batch, channels, height, width]` that are normalised as the
folder's config.json says, and gives logits. Families: he-resnet-blocks, crd-resnet-blocks, imagenet-resnet-blocks,
cifar-stem-resnet-blocks, wide-resnet-blocks, vgg, mobilenet-v2-paper.
"""

import json
import pathlib
import sys

import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn


def conv(before, width, kernel, stride=1, groups=1, bias=False):
    return nn.Conv2d(before, width, kernel, stride, kernel // 2, groups=groups, bias=bias)


def normed(before, width, kernel, stride=1, groups=1):
    return [conv(before, width, kernel, stride, groups), nn.BatchNorm2d(width)]


class Residual(nn.Module):
    def __init__(self, before, block):
        super().__init__()
        self.conv1, self.bn1 = normed(before, block["inner"], 3, block["stride"])
        self.conv2, self.bn2 = normed(block["inner"], block["width"], 3)
        self.stride, self.padding = block["stride"], (0, 0)
        if block["shortcut"] == "projection":
            self.downsample = nn.Sequential(*normed(before, block["width"], 1, block["stride"]))
        elif block["shortcut"] != "identity":
            self.padding = tuple(block["shortcut"]["padded"])

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if hasattr(self, "downsample"):
            return F.relu(y + self.downsample(x))
        return F.relu(y + F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, *self.padding)))


class ResNet(nn.Module):
    def __init__(self, structure, channels, classes, last):
        super().__init__()
        before = structure["stem"]
        self.conv1, self.bn1 = normed(channels, before, 3)
        for index, group in enumerate(structure["groups"]):
            blocks = []
            for block in group:
                blocks.append(Residual(before, block))
                before = block["width"]
            setattr(self, f"layer{index + 1}", nn.Sequential(*blocks))
        setattr(self, last, nn.Linear(before, classes))
        self.last = last

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return getattr(self, self.last)(x.mean((2, 3)))


class FreeBlock(nn.Module):
    """A basic block, or a bottleneck where there are two inner widths; `named` is what a projection is called."""

    def __init__(self, before, block, named):
        super().__init__()
        stride, width = block["stride"], block["width"]
        if len(block["inner"]) == 1:
            inner, = block["inner"]
            layers = [normed(before, inner, 3, stride), normed(inner, width, 3)]
        else:
            first, second = block["inner"]
            layers = [normed(before, first, 1), normed(first, second, 3, stride), normed(second, width, 1)]
        self.depth, self.named = len(layers), named
        for index, (layer, norm) in enumerate(layers):
            setattr(self, f"conv{index + 1}", layer)
            setattr(self, f"bn{index + 1}", norm)
        if block["projects"]:
            setattr(self, named, nn.Sequential(*normed(before, width, 1, stride)))

    def forward(self, x):
        y = x
        for index in range(1, self.depth + 1):
            y = getattr(self, f"bn{index}")(getattr(self, f"conv{index}")(y))
            y = F.relu(y) if index < self.depth else y
        return F.relu(y + (getattr(self, self.named)(x) if hasattr(self, self.named) else x))


class LargeResNet(nn.Module):
    """Four groups: with a stem and a pooling for large images, or with a stem for small ones."""

    def __init__(self, structure, channels, classes, large):
        super().__init__()
        before, self.large = structure["stem"], large
        self.conv1, self.bn1 = normed(channels, before, 7 if large else 3, 2 if large else 1)
        for index, group in enumerate(structure["groups"]):
            blocks = []
            for block in group:
                blocks.append(FreeBlock(before, block, "downsample" if large else "shortcut"))
                before = block["width"]
            setattr(self, f"layer{index + 1}", nn.Sequential(*blocks))
        self.last = "fc" if large else "linear"
        setattr(self, self.last, nn.Linear(before, classes))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(x, 3, 2, 1) if self.large else x
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return getattr(self, self.last)(x.mean((2, 3)))


class Preactivation(nn.Module):
    def __init__(self, before, block):
        super().__init__()
        inner, = block["inner"]
        self.bn1, self.conv1 = nn.BatchNorm2d(before), conv(before, inner, 3, block["stride"])
        self.bn2, self.conv2 = nn.BatchNorm2d(inner), conv(inner, block["width"], 3)
        if block["projects"]:
            self.convShortcut = conv(before, block["width"], 1, block["stride"])

    def forward(self, x):
        active = F.relu(self.bn1(x))
        shortcut = self.convShortcut(active) if hasattr(self, "convShortcut") else x
        return self.conv2(F.relu(self.bn2(self.conv1(active)))) + shortcut


class WideGroup(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.layer = nn.Sequential(*blocks)

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    def __init__(self, structure, channels, classes):
        super().__init__()
        before = structure["stem"]
        self.conv1 = conv(channels, before, 3)
        for index, group in enumerate(structure["groups"]):
            blocks = []
            for block in group:
                blocks.append(Preactivation(before, block))
                before = block["width"]
            setattr(self, f"block{index + 1}", WideGroup(blocks))
        self.bn1, self.fc = nn.BatchNorm2d(before), nn.Linear(before, classes)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(F.relu(self.bn1(x)).mean((2, 3)))


class Vgg(nn.Module):
    def __init__(self, structure, channels, classes, side):
        super().__init__()
        before = channels
        for index, widths in enumerate(structure["widths"]):
            layers = []
            for width in widths:
                layers += [conv(before, width, 3, bias=True), nn.BatchNorm2d(width), nn.ReLU()]
                before = width
            setattr(self, f"block{index}", nn.Sequential(*layers))
        self.classifier = nn.Linear(before, classes)
        self.poolings = 4 if side >= 64 else 3

    def forward(self, x):
        for index in range(5):
            x = F.max_pool2d(x, 2) if 1 <= index <= self.poolings else x
            x = getattr(self, f"block{index}")(x)
        return self.classifier(x.mean((2, 3)))


class Inverted(nn.Module):
    def __init__(self, before, block):
        super().__init__()
        hidden, layers = block["hidden"], []
        if block["expands"]:
            layers.append(nn.Sequential(*normed(before, hidden, 1), nn.ReLU6()))
        layers.append(nn.Sequential(*normed(hidden, hidden, 3, block["stride"], hidden), nn.ReLU6()))
        self.conv = nn.Sequential(*layers, *normed(hidden, block["width"], 1))
        self.adds = block["adds"]

    def forward(self, x):
        return self.conv(x) + x if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self, structure, channels, classes):
        super().__init__()
        before = structure["stem"]
        features = [nn.Sequential(*normed(channels, before, 3, structure["stem_stride"]), nn.ReLU6())]
        for block in sum(structure["stages"], []):
            features.append(Inverted(before, block))
            before = block["width"]
        last = structure["last"]
        features.append(nn.Sequential(*normed(before, last, 1), nn.ReLU6()))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(last, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


def build(network):
    """The module of the table `network` of a config.json, its weights new."""
    structure, classes, (channels, height, width) = network.get("structure"), network["classes"], network["input"]
    if structure is None:
        raise SystemExit(f"`{network['name']}` is a network of the catalogue and not one that was cut")
    match structure["family"]:
        case "he-resnet-blocks":
            return ResNet(structure, channels, classes, "linear")
        case "crd-resnet-blocks":
            return ResNet(structure, channels, classes, "fc")
        case "imagenet-resnet-blocks":
            return LargeResNet(structure, channels, classes, large=True)
        case "cifar-stem-resnet-blocks":
            return LargeResNet(structure, channels, classes, large=False)
        case "wide-resnet-blocks":
            return WideResNet(structure, channels, classes)
        case "vgg":
            return Vgg(structure, channels, classes, min(height, width))
        case "mobilenet-v2-paper":
            return MobileNetV2(structure, channels, classes)
        case other:
            raise SystemExit(f"family `{other}` is not known here")


def load(folder):
    """The network of a model folder, in evaluation mode."""
    folder = pathlib.Path(folder)
    network = build(json.loads((folder / "config.json").read_text())["network"])
    network.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    return network.eval()


if __name__ == "__main__":
    network = load(sys.argv[1])
    print(f"{sum(parameter.numel() for parameter in network.parameters()):,} parameters, all tensors loaded")
