"""Box-prompted segmenter with the signature of SAM: an image encoder run once, a decoder run for many boxes."""

import torch
from torch import nn
from torch.nn import functional as F

from backbone import Backbone, ConvNorm, merge

SIZE = 800  # side of the square frame in which the decoder takes its boxes
MASK = 256  # side of the low-resolution logits, which cover the whole frame
STRIDE = 4
GRID = 48  # side of the window on which a box's mask is computed
MARGIN = 0.12  # of the box's size, shown on every side
OUTSIDE = 20.0
MEAN_RGB, STD_RGB = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Encoder(nn.Module):
    """image f32 [N,3,S,S] (RGB, normalised) -> image_embeddings [N,C,S/4,S/4]."""

    width, channels = 64, 32

    def __init__(self):
        super().__init__()
        w = self.width
        self.backbone = Backbone()
        self.lateral = nn.ModuleList(nn.Conv2d(c, w, 1) for c in Backbone.channels[1:])
        self.smooth = ConvNorm(w, w)
        self.reduce = nn.Conv2d(w, self.channels, 1)
        self.fine = nn.Conv2d(Backbone.channels[0], self.channels, 1)
        self.out = ConvNorm(self.channels, self.channels)

    def forward(self, image):
        x4, *coarse = self.backbone(image)
        x8, x16, x32 = [lateral(x) for lateral, x in zip(self.lateral, coarse)]
        x8 = self.smooth(merge(merge(x32, x16), x8))
        return self.out(merge(self.reduce(x8), self.fine(x4)))


class Decoder(nn.Module):
    """image_embeddings, boxes f32 [B,4] (x1, y1, x2, y2 in the S-frame), image_index i64 [B] ->
    low_res_logits f32 [B,1,256,256], iou f32 [B,1]."""

    def __init__(self):
        super().__init__()
        c = Encoder.channels
        self.enter = ConvNorm(c + 5, c)
        self.first = ConvNorm(c, c)
        self.down1, self.mid1 = ConvNorm(c, 48, 2), ConvNorm(48, 48)
        self.down2, self.mid2 = ConvNorm(48, 64, 2), nn.Sequential(ConvNorm(64, 64), ConvNorm(64, 64))
        self.whole = nn.Linear(64, 64)
        self.up2, self.up1 = nn.Conv2d(64, 48, 1), nn.Conv2d(48, c, 1)
        self.join1, self.join0 = ConvNorm(48, 48), ConvNorm(c, c)
        self.logit, self.iou = nn.Conv2d(c, 1, 1), nn.Linear(64, 1)

    def window(self, embeddings, boxes, image_index):
        """Mask logits [B, GRID, GRID] over each enlarged box, IoU logit [B, 1], the enlarged boxes [B, 4]."""
        N, C, H, W = embeddings.shape
        size = boxes[:, 2:] - boxes[:, :2] + 1
        low = boxes[:, :2] - size * MARGIN
        full = size * (1 + 2 * MARGIN)
        step = (torch.arange(GRID, dtype=torch.float32, device=boxes.device) + 0.5) / GRID
        # Bilinear samples of the embedding at the window's cell centres, four rows gathered per cell.
        rows = embeddings.permute(0, 2, 3, 1).reshape(N * H * W, C)
        x = ((low[:, :1] + step * full[:, :1]) / STRIDE - 0.5).clamp(min=0, max=W - 1)
        y = ((low[:, 1:] + step * full[:, 1:]) / STRIDE - 0.5).clamp(min=0, max=H - 1)
        x0, y0 = x.floor(), y.floor()
        fx, fy = (x - x0)[:, None, :, None].to(rows.dtype), (y - y0)[:, :, None, None].to(rows.dtype)
        x0, y0 = x0.long(), y0.long()
        x1, y1 = (x0 + 1).clamp(max=W - 1), (y0 + 1).clamp(max=H - 1)
        base = image_index[:, None] * H

        def gather(y, x):
            return rows[((base + y)[:, :, None] * W + x[:, None, :]).reshape(-1)].reshape(-1, GRID, GRID, C)
        x = (gather(y0, x0) * (1 - fx) + gather(y0, x1) * fx) * (1 - fy) + (gather(y1, x0) * (1 - fx) + gather(y1, x1) * fx) * fy

        place = (step - 0.5) * (1 + 2 * MARGIN)  # -0.5 .. 0.5 inside the box
        within = ((0.5 - place.abs()) * 16).clamp(min=-1, max=1)
        B = boxes.shape[0]
        prompt = torch.stack([place[None, :].expand(GRID, GRID), place[:, None].expand(GRID, GRID),
                              torch.minimum(within[None, :], within[:, None])], -1)
        prompt = prompt[None].expand(B, GRID, GRID, 3)
        extent = (size / SIZE).clamp(min=1e-3).log()[:, None, None, :].expand(B, GRID, GRID, 2)
        x = torch.cat([x, prompt.to(x.dtype), extent.to(x.dtype)], -1).permute(0, 3, 1, 2)

        x0 = self.first(self.enter(x))
        x1 = self.mid1(self.down1(x0))
        x2 = self.mid2(self.down2(x1))
        pooled = F.relu(self.whole(x2.mean((2, 3))))
        x2 = x2 + pooled[:, :, None, None]
        x1 = self.join1(merge(self.up2(x2), x1))
        x0 = self.join0(merge(self.up1(x1), x0))
        return self.logit(x0)[:, 0], self.iou(pooled), torch.cat([low, low + full], 1)

    def forward(self, image_embeddings, boxes, image_index):
        logits, iou, window = self.window(image_embeddings, boxes, image_index)
        # Bilinear enlargement into the frame as two products with hat functions.
        frame = (torch.arange(MASK, dtype=torch.float32, device=boxes.device) + 0.5) * (SIZE / MASK)
        cell = torch.arange(GRID, dtype=torch.float32, device=boxes.device)

        def hats(low, high):
            u = (frame[None] - low[:, None]) / (high - low)[:, None]
            outside = (u < 0) | (u > 1)
            u = (u * GRID - 0.5).clamp(min=0, max=GRID - 1)
            return (1 - (u[..., None] - cell).abs()).clamp(min=0), outside
        wx, out_x = hats(window[:, 0], window[:, 2])
        wy, out_y = hats(window[:, 1], window[:, 3])
        logits = wy @ logits.float() @ wx.transpose(1, 2)
        outside = out_y[:, :, None] | out_x[:, None, :]
        return torch.where(outside, -OUTSIDE, logits)[:, None], iou.float().sigmoid()


class Segmenter(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()
