"""Writes digits8.safetensors beside this file: `image` [1797, 64], f16 in [-1, 1], and `label` [1797], i32.

    python tests/data/digits8/make.py

The images are scikit-learn's load_digits, grey levels 0 to 16 by 8 less 1: E. Alpaydin and C. Kaynak, Optical Recognition
of Handwritten Digits, UCI repository, CC BY 4.0. Needs numpy, safetensors and scikit-learn (weights/train/requirements.txt).
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from sklearn.datasets import load_digits

image, label = load_digits(return_X_y=True)
tensors = {"image": (image / 8.0 - 1.0).astype(np.float16), "label": label.astype(np.int32)}
save_file(tensors, Path(__file__).with_name("digits8.safetensors"))
