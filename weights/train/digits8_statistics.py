"""Mean and standard deviation of every pixel of each class of the digits, by which samples are judged.

`python weights/train/digits8_statistics.py` writes weights/digits8-statistics.safetensors: count [10], mean and
std [10, 64].
"""

import numpy as np
from safetensors.numpy import save_file
from sklearn.datasets import load_digits

import common

if __name__ == "__main__":
    x, label = load_digits(return_X_y=True)
    classes = [x[label == c] / 8.0 - 1.0 for c in range(10)]
    save_file(
        {
            "count": np.array([len(own) for own in classes], np.float32),
            "mean": np.stack([own.mean(0) for own in classes]).astype(np.float32),
            "std": np.stack([own.std(0) for own in classes]).astype(np.float32),
        },
        common.WEIGHTS / "digits8-statistics.safetensors",
    )
