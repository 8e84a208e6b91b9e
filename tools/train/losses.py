"""Assignment of locations to boxes (ATSS) and the detector's loss."""

import torch
from torch.nn import functional as F

from detector import decode


def area(b):
    return (b[..., 2] - b[..., 0] + 1) * (b[..., 3] - b[..., 1] + 1)


def iou(a, b, generalised=False):
    """IoU (or GIoU) of boxes with inclusive corners; broadcasts over leading dimensions."""
    def size(low, high):
        return (high - low + 1).clamp(min=0).prod(-1)
    inter = size(torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:]))
    union = area(a) + area(b) - inter
    value = inter / union.clamp(min=1e-6)
    if generalised:
        hull = size(torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:]))
        value = value - (hull - union) / hull.clamp(min=1e-6)
    return value


def assign(anchor, counts, boxes, nearest=9, adopt=True):
    """ATSS (Zhang et al. 2020): the index of the box that each location answers for, -1 for none.

    Candidates of a box are the `nearest` locations of each level; it takes those whose anchor overlaps it by more
    than mean + std of all its candidates and whose centre lies inside it. With `adopt`, a box too small to hold a centre
    takes the nearest location of the finest level.
    """
    owner = torch.full((len(anchor),), -1, device=anchor.device)
    if len(boxes) == 0:
        return owner
    centre = (anchor[:, :2] + anchor[:, 2:]) / 2
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = (centre[None] - middle[:, None]).square().sum(-1)
    overlap = iou(boxes[:, None], anchor[None])
    candidates, first = [], 0
    for count in counts:
        candidates.append(distance[:, first:first + count].topk(min(nearest, count), largest=False).indices + first)
        first += count
    closest = candidates[0][:, 0]
    candidates = torch.cat(candidates, 1)
    value = overlap.gather(1, candidates)
    limit = value.mean(1, keepdim=True) + value.std(1, keepdim=True)
    point = centre[candidates]
    inside = torch.cat([point - boxes[:, None, :2], boxes[:, None, 2:] - point], -1).amin(-1) > 0.01
    positive = torch.zeros_like(overlap, dtype=torch.bool)
    positive.scatter_(1, candidates, (value >= limit) & inside)
    if adopt:
        lonely = ~positive.any(1)
        positive[lonely, closest[lonely]] = True
    best, index = torch.where(positive, overlap, -1.0).max(0)
    owner[best >= 0] = index[best >= 0]
    return owner


def focal(logits, targets, alpha=0.25, gamma=2.0):
    p = logits.sigmoid()
    ce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    wrong = p + targets - 2 * p * targets
    return (alpha * targets + (1 - alpha) * (1 - targets)) * wrong ** gamma * ce


def detector_loss(outputs, anchor, counts, batch):
    """Loss and its terms. `batch` holds, per image, boxes [G, 4], tokens [G, L] (1 where a token names the box's
    part), ignored boxes and their tokens, `named` [L] (1 on tokens of part names), and `cells` [cells, L], `covered`
    [cells] for the auxiliary segmentation at stride 8."""
    logits, regression, centerness, _, pixels = [o.float() for o in outputs]
    target, weight = torch.zeros_like(logits), torch.zeros_like(logits)
    chosen, matched = [], []
    centre = (anchor[:, :2] + anchor[:, 2:]) / 2
    for n, item in enumerate(batch):
        owner = assign(anchor, counts, item["boxes"])
        weight[n] = item["named"]
        for box, tokens in zip(item["ignored"], item["ignored_tokens"]):
            inside = (centre >= box[:2]).all(1) & (centre <= box[2:]).all(1)
            weight[n][inside] *= 1 - tokens
        positive = (owner >= 0).nonzero()[:, 0]
        target[n, positive] = item["tokens"][owner[positive]]
        weight[n, positive] = item["named"]
        chosen.append(positive + n * len(anchor))
        matched.append(item["boxes"][owner[positive]])
    chosen, matched = torch.cat(chosen), torch.cat(matched)
    count = max(len(chosen), 1)
    label_loss = (focal(logits, target) * weight).sum() / count
    if len(chosen):
        predicted = decode(regression.reshape(-1, 4)[chosen], anchor[chosen % len(anchor)])
        box_loss = (1 - iou(predicted, matched, generalised=True)).mean()
        quality = iou(predicted.detach(), matched)
        quality_loss = F.binary_cross_entropy_with_logits(centerness.reshape(-1)[chosen], quality)
    else:
        box_loss, quality_loss = regression.sum() * 0, centerness.sum() * 0
    cells, covered = torch.stack([i["cells"] for i in batch]), torch.stack([i["covered"] for i in batch])
    named = torch.stack([i["named"] for i in batch])[:, None]
    pixel_weight = covered[..., None] * named
    pixel_loss = (F.binary_cross_entropy_with_logits(pixels, cells, reduction="none") * pixel_weight).sum() / pixel_weight.sum().clamp(min=1)
    terms = {"label": label_loss, "box": 2 * box_loss, "iou": 0.5 * quality_loss, "pixel": pixel_loss}
    return sum(terms.values()), {k: v.item() for k, v in terms.items()}


def segmenter_loss(logits, quality, windows, image_index, instances, codes):
    """`logits` [B, G, G] over `windows` [B, 4] against the instance maps [N, S, S]. Cells on the object weigh 1; a
    background cell weighs 0.2 where the instance has no pixel around it and 0 in the gaps between its splats."""
    G, S = logits.shape[-1], instances.shape[-1]
    step = (torch.arange(G, device=windows.device) + 0.5) / G
    size = windows[:, 2:] - windows[:, :2]
    x, y = (windows[:, i, None] + step * size[:, i, None] for i in (0, 1))
    px, py = x.round().long(), y.round().long()

    def read(dx, dy):
        rows, columns = (py + dy).clamp(0, S - 1), (px + dx).clamp(0, S - 1)
        return instances[image_index[:, None, None], rows[:, :, None], columns[:, None, :]]
    here = read(0, 0)
    mine = here == codes[:, None, None]
    near = torch.stack([read(dx, dy) == codes[:, None, None] for dx, dy in ((-4, 0), (4, 0), (0, -4), (0, 4))]).any(0)
    covered = here != 0
    outside = ((px < 0) | (px >= S))[:, None, :] | ((py < 0) | (py >= S))[:, :, None]
    weight = torch.where(covered, 1.0, torch.where(near, 0.0, 0.2)).masked_fill(outside, 0.0)
    target = mine.float()
    logits = logits.float()
    bce = (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1)
    p, on = logits.sigmoid(), weight * covered
    dice = 1 - (2 * (p * target * on).sum((1, 2)) + 1) / (((p + target) * on).sum((1, 2)) + 1)
    with torch.no_grad():
        chosen, counted = logits > 0, covered & ~outside
        truth = mine & counted
        union = ((chosen | truth) & counted).sum((1, 2)).clamp(min=1)
        overlap = (chosen & truth).sum((1, 2)) / union
    quality_loss = F.binary_cross_entropy_with_logits(quality.float()[:, 0], overlap)
    terms = {"bce": bce.mean(), "dice": dice.mean(), "iou": 0.2 * quality_loss}
    report = {k: v.item() for k, v in terms.items()} | {"overlap": overlap.mean().item()}
    return sum(terms.values()), report
