"""Segmenter with the signature of SAM: an image encoder run once, decoders run for many boxes or points."""

import torch
from torch import nn
from torch.nn import functional as F

from backbone import Backbone, ConvNorm, merge

SIZE = 800  # side of the square frame in which the decoder takes its boxes
MASK = 256  # side of the low-resolution logits, which cover the whole frame
STRIDE = 4
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

    grid = 48  # side of the window on which a mask is computed

    def answer(self, embeddings, image_index, low, full, extent, prompt):
        """Mask logits [B, G, G] and IoU logits [B, 1] of the windows with the corner `low` [B, 2] and the sides `full`
        [B, 2], for what has the sides `extent` [B, 2]. `prompt` [B, G, G, 3] says what is asked for."""
        N, C, H, W = embeddings.shape
        B, G = prompt.shape[0], self.grid
        step = (torch.arange(G, dtype=torch.float32, device=low.device) + 0.5) / G
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
            return rows[((base + y)[:, :, None] * W + x[:, None, :]).reshape(-1)].reshape(-1, G, G, C)
        x = (gather(y0, x0) * (1 - fx) + gather(y0, x1) * fx) * (1 - fy) + (gather(y1, x0) * (1 - fx) + gather(y1, x1) * fx) * fy

        extent = (extent / SIZE).clamp(min=1e-3).log()[:, None, None, :].expand(B, G, G, 2)
        x = torch.cat([x, prompt.to(x.dtype), extent.to(x.dtype)], -1).permute(0, 3, 1, 2)

        x0 = self.first(self.enter(x))
        x1 = self.mid1(self.down1(x0))
        x2 = self.mid2(self.down2(x1))
        pooled = F.relu(self.whole(x2.mean((2, 3))))
        x2 = x2 + pooled[:, :, None, None]
        x1 = self.join1(merge(self.up2(x2), x1))
        x0 = self.join0(merge(self.up1(x1), x0))
        return self.logit(x0)[:, 0], self.iou(pooled)

    def window(self, embeddings, boxes, image_index):
        """Mask logits [B, G, G] over each enlarged box, IoU logit [B, 1], the enlarged boxes [B, 4]."""
        G, B = self.grid, boxes.shape[0]
        size = boxes[:, 2:] - boxes[:, :2] + 1
        low = boxes[:, :2] - size * MARGIN
        full = size * (1 + 2 * MARGIN)
        step = (torch.arange(G, dtype=torch.float32, device=boxes.device) + 0.5) / G
        place = (step - 0.5) * (1 + 2 * MARGIN)  # -0.5 .. 0.5 inside the box
        within = ((0.5 - place.abs()) * 16).clamp(min=-1, max=1)
        prompt = torch.stack([place[None, :].expand(G, G), place[:, None].expand(G, G),
                              torch.minimum(within[None, :], within[:, None])], -1)
        logits, iou = self.answer(embeddings, image_index, low, full, size, prompt[None].expand(B, G, G, 3))
        return logits, iou, torch.cat([low, low + full], 1)

    def enlarge(self, logits, window):
        """Logits [B, G, G] of the windows [B, 4] in the frame, [B, 256, 256]."""
        # Bilinear enlargement as two products with hat functions.
        frame = (torch.arange(MASK, dtype=torch.float32, device=window.device) + 0.5) * (SIZE / MASK)
        cell = torch.arange(self.grid, dtype=torch.float32, device=window.device)

        def hats(low, high):
            u = (frame[None] - low[:, None]) / (high - low)[:, None]
            outside = (u < 0) | (u > 1)
            u = (u * self.grid - 0.5).clamp(min=0, max=self.grid - 1)
            return (1 - (u[..., None] - cell).abs()).clamp(min=0), outside
        wx, out_x = hats(window[:, 0], window[:, 2])
        wy, out_y = hats(window[:, 1], window[:, 3])
        logits = wy @ logits.float() @ wx.transpose(1, 2)
        outside = out_y[:, :, None] | out_x[:, None, :]
        return torch.where(outside, -OUTSIDE, logits)

    def forward(self, image_embeddings, boxes, image_index):
        logits, iou, window = self.window(image_embeddings, boxes, image_index)
        return self.enlarge(logits, window)[:, None], iou.float().sigmoid()


class PointDecoder(Decoder):
    """image_embeddings, points f32 [P,2] (x, y in the S-frame), image_index i64 [P] ->
    low_res_logits f32 [P,3,256,256], iou f32 [P,3]: what lies at the point as seen in the whole image and in two windows
    around it."""

    grid = 24
    sides = (320.0, 120.0)  # of the windows, in pixels

    def window(self, embeddings, points, image_index):
        """Mask logits [P, 3, G, G], IoU logits [P, 3], the windows [P, 3, 4]."""
        G, P = self.grid, points.shape[0]
        frame = torch.tensor([embeddings.shape[3] * STRIDE, embeddings.shape[2] * STRIDE], dtype=torch.float32, device=points.device)
        low = torch.stack([torch.zeros_like(points), *(points - side / 2 for side in self.sides)], 1).reshape(-1, 2)
        full = torch.stack([frame.expand(P, 2), *(torch.full_like(points, side) for side in self.sides)], 1).reshape(-1, 2)
        step = (torch.arange(G, dtype=torch.float32, device=points.device) + 0.5) / G
        at = points[:, None, :].expand(P, 3, 2).reshape(-1, 2)
        x, y = ((low[:, i, None] + step * full[:, i, None] - at[:, i, None]) / full[:, i, None] for i in (0, 1))
        x, y = x[:, None, :].expand(3 * P, G, G), y[:, :, None].expand(3 * P, G, G)
        near = (1 - (x.square() + y.square()).sqrt() * (G / 3)).clamp(min=-1)  # 0 three cells from the point
        index = image_index[:, None].expand(P, 3).reshape(-1)
        logits, iou = self.answer(embeddings, index, low, full, full, torch.stack([x, y, near], -1))
        return logits.reshape(P, 3, G, G), iou.reshape(P, 3), torch.cat([low, low + full], 1).reshape(P, 3, 4)

    def forward(self, image_embeddings, points, image_index):
        logits, iou, window = self.window(image_embeddings, points, image_index)
        masks = self.enlarge(logits.flatten(0, 1), window.flatten(0, 1))
        return masks.reshape(-1, 3, MASK, MASK), iou.float().sigmoid()


class Segmenter(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder, self.points = Encoder(), Decoder(), PointDecoder()
