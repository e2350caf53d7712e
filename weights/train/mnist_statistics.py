"""Mean and standard deviation of every pixel of each class of mnist.py's images, by which samples are judged.

`python weights/train/mnist_statistics.py` writes weights/mnist-statistics.safetensors: count [10], mean and std [10, 784].
"""

import torch
from safetensors.torch import save_file

import mnist
import torch_run

if __name__ == "__main__":
    x, label = mnist.images()
    classes = [x[label == c].flatten(1).double() for c in range(mnist.CLASSES)]
    file = torch_run.WEIGHTS / "mnist-statistics.safetensors"
    save_file(
        {
            "count": torch.tensor([float(len(own)) for own in classes]),
            "mean": torch.stack([own.mean(0) for own in classes]).float(),
            "std": torch.stack([own.std(0, correction=0) for own in classes]).float(),
        },
        file,
    )
    file.chmod(0o644)
