"""Assignment of locations to boxes (ATSS) and the detector's loss."""

import torch
from torch.nn import functional as F

from augment import UNLABELLED
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


def cells(instances, image_index, windows, G):
    """What the instance maps [N, S, S] have at the G x G cell centres of `windows` [B, 4]: a reader of the codes some
    pixels away, [B, G, G], and which cells lie outside the image."""
    S = instances.shape[-1]
    step = (torch.arange(G, device=windows.device) + 0.5) / G
    size = windows[:, 2:] - windows[:, :2]
    x, y = (windows[:, i, None] + step * size[:, i, None] for i in (0, 1))
    px, py = x.round().long(), y.round().long()

    def read(dx=0, dy=0):
        rows, columns = (py + dy).clamp(0, S - 1), (px + dx).clamp(0, S - 1)
        return instances[image_index[:, None, None], rows[:, :, None], columns[:, None, :]]
    return read, ((px < 0) | (px >= S))[:, None, :] | ((py < 0) | (py >= S))[:, :, None]


def mask_loss(logits, mine, near, covered, outside):
    """Cross entropy and Dice [B] of logits [B, G, G] against the cells that are `mine`. Cells on the object (`covered`)
    weigh 1; a background cell weighs 0.2, and 0 where what is asked for is `near`: in the gaps between its splats."""
    weight = torch.where(covered, 1.0, torch.where(near, 0.0, 0.2)).masked_fill(outside, 0.0)
    target = mine.float()
    bce = (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1)
    p, on = logits.sigmoid(), weight * covered
    dice = 1 - (2 * (p * target * on).sum((1, 2)) + 1) / (((p + target) * on).sum((1, 2)) + 1)
    return bce, dice


def overlap(logits, mine, counted, missed=0):
    """IoU [B] of the masks over the `counted` cells; `missed` cells of what is asked for lie elsewhere."""
    chosen, truth = (logits > 0) & counted, mine & counted
    return (chosen & truth).sum((1, 2)) / ((chosen | truth).sum((1, 2)) + missed).clamp(min=1)


NEAR = ((-4, 0), (4, 0), (0, -4), (0, 4))


def segmenter_loss(logits, quality, windows, image_index, instances, codes):
    """`logits` [B, G, G] over `windows` [B, 4] against the instance maps [N, S, S]."""
    read, outside = cells(instances, image_index, windows, logits.shape[-1])
    codes = codes[:, None, None]
    here, logits = read(), logits.float()
    mine, covered = here == codes, here != 0
    near = torch.stack([read(dx, dy) == codes for dx, dy in NEAR]).any(0)
    bce, dice = mask_loss(logits, mine, near, covered, outside)
    found = overlap(logits, mine, covered & ~outside)
    quality_loss = F.binary_cross_entropy_with_logits(quality.float()[:, 0], found)
    terms = {"bce": bce.mean(), "dice": dice.mean(), "iou": 0.2 * quality_loss}
    return sum(terms.values()), {k: v.item() for k, v in terms.items()} | {"overlap": found.mean().item()}


def point_loss(logits, quality, windows, image_index, instances, codes):
    """`logits` [P, 3, G, G] over `windows` [P, 3, 4] against the instance maps [N, S, S]; `codes` [P]: what lies at the
    points. All windows are asked for the instance there; one that shows little of it must know that its answer is poor, as
    where there is no object. Of points without a label nothing is asked."""
    P, K, G, _ = logits.shape
    flat, index = windows.flatten(0, 1), image_index.repeat_interleave(K)
    read, outside = cells(instances, index, flat, G)
    code = codes.repeat_interleave(K)
    here, logits = read(), logits.float().flatten(0, 1)
    covered, mine = here != 0, here == code[:, None, None]
    near = torch.stack([read(dx, dy) == code[:, None, None] for dx, dy in NEAR]).any(0)
    # What a window does not show, in its cells.
    totals = torch.zeros(len(instances), 256, device=logits.device)
    totals.scatter_add_(1, instances.flatten(1).long(), torch.ones_like(instances.flatten(1), dtype=torch.float32))
    total = totals[index, code.long()] * G ** 2 / (flat[:, 2:] - flat[:, :2]).prod(1)
    missed = (total - (mine & ~outside).sum((1, 2))).clamp(min=0)
    bce, dice = mask_loss(logits, mine, near, covered, outside)
    found = torch.where(code == 0, 0.0, overlap(logits, mine, covered & ~outside, missed))
    judged, asked = (code != UNLABELLED).float(), ((code > 0) & (code < UNLABELLED)).float()
    each = F.binary_cross_entropy_with_logits(quality.float().flatten(), found, reduction="none")
    terms = {"bce": (bce * asked).sum() / asked.sum().clamp(min=1), "dice": (dice * asked).sum() / asked.sum().clamp(min=1),
             "iou": 0.5 * (each * judged).sum() / judged.sum().clamp(min=1)}
    best = (found * asked).reshape(P, K).amax(1).sum() * K / asked.sum().clamp(min=1)
    return sum(terms.values()), {k: v.item() for k, v in terms.items()} | {"overlap": best.item()}
