"""Trains weights/mnist-classifier, which digit an image of 28x28 is, and with --noisy weights/mnist-classifier-noisy,
which digit is under the noise.

Cross-entropy on images that are turned, scaled, sheared and moved, with noise of up to 0.3 on the pixels: a classifier
that steers a sampler is asked about images that no pen has drawn.

`python weights/train/mnist_classifier.py [--noisy] [--minutes 5] [--resume] [--out weights/mnist-classifier]`
"""

import json
import math
import sys

import torch

import conv_classifier
import mnist
import torch_run

BATCH, SEED = 64, 101
NOISY = "--noisy" in sys.argv
NAME = "mnist-classifier-noisy" if NOISY else "mnist-classifier"
LOW, HIGH = 0.01, 20.0
CONFIG = conv_classifier.config(
    [(16, 1), (32, 2), (32, 1), (64, 2)], "silu", 8, {"features": 16, "hidden": 32} if NOISY else None
)


def main(args):
    torch.manual_seed(SEED)
    (x, label), held, test = mnist.split(SEED)
    net = conv_classifier.ConvClassifier(CONFIG)

    def loss(draw):
        row = torch.randint(len(x), (BATCH,), generator=draw)
        image, s = conv_classifier.warped(x[row], draw), None
        if NOISY:
            span = math.log(HIGH / LOW)
            s = LOW * (span * torch.rand(BATCH, generator=draw)).exp()
            image = conv_classifier.noised(image, s, draw)
        else:
            size = 0.3 * torch.rand(BATCH, 1, 1, 1, generator=draw)
            image = image + size * torch.randn(image.shape, generator=draw)
        return torch.nn.functional.cross_entropy(net(image, s), label[row])

    inner = lambda name, p: p.ndim == 4 and not name.startswith("blocks.0.")
    steps, minutes = torch_run.train(args, net, inner, loss, decay=0.1, ema=0.99, seed=SEED)
    draw, rows = torch.Generator().manual_seed(SEED + 1), torch.arange(16) * 31
    report = {"steps": steps, "minutes": minutes}
    if NOISY:
        s = LOW * torch.linspace(0, math.log(HIGH / LOW), 16).exp()
        conv_classifier.save(args.out, net, conv_classifier.noised(test[0][rows], s, draw), s)
        for level in (0.1, 0.5, 1.0, 2.0, 4.0):
            points = conv_classifier.noised(test[0], torch.full((len(test[0]),), level), draw)
            report[f"accuracy at {level}"] = conv_classifier.accuracy(net, points, test[1], level)
    else:
        conv_classifier.save(args.out, net, test[0][rows])
        report |= {"held-out accuracy": conv_classifier.accuracy(net, *held)}
        report |= {"test accuracy": conv_classifier.accuracy(net, *test)}
    print(json.dumps(report))


if __name__ == "__main__":
    parser = torch_run.arguments(NAME, __doc__, 5.0)
    parser.add_argument("--noisy", action="store_true", help="train the classifier of noisy images")
    main(parser.parse_args())
