"""The convolutional trunk that detector and segmenter share in design."""

import torch
from torch import nn
from torch.nn import functional as F


class ConvNorm(nn.Module):
    """3 x 3 convolution, batch norm, ReLU unless `relu` is False."""

    def __init__(self, inputs, outputs, stride=1, relu=True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.relu = relu

    def forward(self, x):
        x = self.norm(self.conv(x))
        return F.relu(x) if self.relu else x


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first, self.second = ConvNorm(channels, channels), ConvNorm(channels, channels, relu=False)

    def forward(self, x):
        return F.relu(x + self.second(self.first(x)))


class Backbone(nn.Module):
    """Image [N, 3, H, W] to features at strides 4, 8, 16 and 32.

    The entry folds 2 x 2 pixels into channels, so that the first convolution sees every pixel of full resolution at
    the price of half: parts of ten pixels survive.
    """

    channels = (32, 64, 128, 160)
    order, mean, std = "bgr", (103.530, 116.280, 123.675), (57.375, 57.120, 58.395)

    def __init__(self):
        super().__init__()
        c4, c8, c16, c32 = self.channels
        self.s4 = nn.Sequential(ConvNorm(12, c4, 2), Residual(c4))
        self.s8 = nn.Sequential(ConvNorm(c4, c8, 2), Residual(c8))
        self.s16 = nn.Sequential(ConvNorm(c8, c16, 2), Residual(c16), Residual(c16))
        self.s32 = nn.Sequential(ConvNorm(c16, c32, 2), Residual(c32))

    def forward(self, image):
        x4 = self.s4(F.pixel_unshuffle(image, 2))
        x8 = self.s8(x4)
        x16 = self.s16(x8)
        return x4, x8, x16, self.s32(x16)


def merge(coarse, fine):
    """The top-down step of a feature pyramid: `coarse` enlarged to the size of `fine` (nearest), added."""
    return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="nearest")
