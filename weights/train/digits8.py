"""The digits: scikit-learn's load_digits, 1,797 images of 8x8, grey levels 0..16 mapped to [-1, 1].

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository, CC BY 4.0 (the copy
bundled with scikit-learn is the test part of that set).
"""

import numpy as np
from sklearn.datasets import load_digits


def split(seed, held_out=0.2):
    """(x, label) for training and (x, label) held out, stratified by class."""
    x, label = load_digits(return_X_y=True)
    x, label = (x / 8.0 - 1.0).astype(np.float32), label.astype(np.int32)
    rng, out = np.random.default_rng(seed), np.zeros(len(x), bool)
    for c in range(10):
        rows = rng.permutation(np.flatnonzero(label == c))
        out[rows[: round(held_out * len(rows))]] = True
    return (x[~out], label[~out]), (x[out], label[out])
