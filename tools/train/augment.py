"""Changes of training images that keep their boxes: other light and colours, and surfaces that one can see through.

A real cloud holds the inside of things too. Its points lie so far apart that an image shows splats of what lies behind
between those of the surface: of other colours, or none. Shapes that are solid lack that.
"""

import functools

import numpy as np
from scipy import ndimage

UNLABELLED, NOTHING, BACKGROUND = 255, 0, 254


@functools.cache
def grains(side=1024, count=6):
    """u8 [count, side, side]: noise in grains as large as splats; the share below 256 p is p."""
    random = np.random.default_rng(0)
    made = np.empty((count, side, side), np.uint8)
    for k in range(count):
        noise = ndimage.gaussian_filter(random.standard_normal((side, side), np.float32), random.uniform(1.0, 1.8), mode="wrap")
        order = np.argsort(noise, axis=None)
        rank = np.empty(side * side, np.int64)
        rank[order] = np.arange(side * side)
        made[k] = (rank * 256 // (side * side)).reshape(side, side)
    return made


def see_through(image, instances, random):
    """`image` u8 [3, S, S] and `instances` u8 [S, S], in place: splats of up to three things behind, in rectangles."""
    bank, size = grains(), instances.shape[0]
    rows, columns = np.nonzero(instances)
    if len(rows) == 0:
        return
    for _ in range(random.integers(1, 4)):
        if random.random() < 0.5:
            y1, y2, x1, x2 = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        else:
            (y1, y2), (x1, x2) = (np.sort(random.choice(v, 2)) + (0, 1) for v in (rows, columns))
        dy, dx = random.integers(0, bank.shape[1] - size, 2)
        share = random.uniform(0.03, 0.35)
        window = np.s_[y1:y2, x1:x2]
        behind = bank[random.integers(len(bank)), dy + y1:dy + y2, dx + x1:dx + x2] < 256 * share
        behind &= instances[window] != NOTHING
        if random.random() < 0.35:
            colour, code = np.full(3, BACKGROUND), NOTHING
        else:
            at = random.integers(len(rows))
            kinds = [image[:, rows[at], columns[at]] * random.uniform(0.5, 1.1), np.full(3, random.uniform(0, 250)),
                     random.uniform(0, 250, 3)]
            colour, code = kinds[random.choice(3, p=(0.5, 0.35, 0.15))], UNLABELLED
        tone = random.uniform(0.8, 1.2, behind.sum()) if code else 1.0
        for channel in range(3):
            image[channel][window][behind] = np.clip(colour[channel] * tone, 0, BACKGROUND)
        instances[window][behind] = code


def recolour(image, instances, random):
    """`image` u8 [3, S, S], in place where it shows something: brightness, contrast, saturation, rarely other hues."""
    shown = instances != NOTHING
    pixels = image[:, shown].astype(np.float32)
    if random.random() < 0.15:
        pixels = pixels[random.permutation(3)]
    grey = pixels.mean(0)
    pixels = grey + (pixels - grey) * random.choice([0.0, random.uniform(0.3, 1.5)], p=(0.1, 0.9))
    pixels = pixels * random.uniform(0.7, 1.25) + random.uniform(-25, 25)
    image[:, shown] = np.clip(pixels, 0, BACKGROUND)


def augment(image, instances, random):
    """Both, each to half of the images."""
    if random.random() < 0.5:
        recolour(image, instances, random)
    if random.random() < 0.5:
        see_through(image, instances, random)
