"""Trains weights/mnist-judge, which only judges samples: another architecture (strides down to one pixel, ReLU, no norm),
another split of the images, other seeds and other augmentation than mnist-classifier's.

Cross-entropy with smoothed labels on images that are turned, scaled, sheared and moved.

`python weights/train/mnist_judge.py [--minutes 5] [--resume] [--out weights/mnist-judge]`
"""

import json

import torch

import conv_classifier
import mnist
import torch_run

BATCH, SEED, NAME = 64, 202, "mnist-judge"
CONFIG = conv_classifier.config([(12, 1), (24, 2), (32, 1), (32, 2), (64, 2), (64, 2), (96, 2)], "relu", None)


def main(args):
    torch.manual_seed(SEED)
    (x, label), held, test = mnist.split(SEED)
    net = conv_classifier.ConvClassifier(CONFIG)

    def loss(draw):
        row = torch.randint(len(x), (BATCH,), generator=draw)
        logits = net(conv_classifier.warped(x[row], draw))
        return torch.nn.functional.cross_entropy(logits, label[row], label_smoothing=0.05)

    inner = lambda name, p: p.ndim == 4 and not name.startswith("blocks.0.")
    peaks = (0.01, 1e-3)
    steps, minutes = torch_run.train(args, net, inner, loss, peaks, decay=0.1, ema=0.99, seed=SEED)
    conv_classifier.save(args.out, net, test[0][torch.arange(16) * 31])
    report = {"steps": steps, "minutes": minutes, "held-out accuracy": conv_classifier.accuracy(net, *held)}
    print(json.dumps(report | {"test accuracy": conv_classifier.accuracy(net, *test)}))


if __name__ == "__main__":
    main(torch_run.arguments(NAME, __doc__, 5.0).parse_args())
