"""Train a scikit-learn classifier on handwritten digits and record every step.

A linear classifier learns 8 x 8 images by ``partial_fit``, one batch at a time, while its learning
rate decays. Each step is one row of the run: loss and accuracy of the batch once the step is
taken, the rate, and at the end of an epoch the accuracy on images held back. At the end the run is
read again from the workspace.

Needs ``pip install runcellar scikit-learn``; run ``python sklearn_digits.py --dir /tmp/digits``.
"""

import argparse
import math

import numpy as np
import runcellar as rc
from numpy.typing import NDArray
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from sklearn.linear_model import SGDClassifier  # type: ignore[import-untyped]
from sklearn.metrics import log_loss  # type: ignore[import-untyped]
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

Images = NDArray[np.float64]
Labels = NDArray[np.int64]

CLASSES = np.arange(10)
PIXEL_MAX = 16.0
VALIDATION_COUNT = 360


def load() -> tuple[Images, Images, Labels, Labels]:
    """Return the data set in two parts, divided in the same way each time.

    Returns
    -------
    tuple of ndarray
        Training images, shape (1437, 64), and validation images, shape (360, 64), ink per pixel
        from 0 to 1; then their labels, shapes (1437,) and (360,), from 0 to 9.
    """
    images, labels = load_digits(return_X_y=True)
    train_x, val_x, train_y, val_y = train_test_split(
        images / PIXEL_MAX, labels, test_size=VALIDATION_COUNT, random_state=0, stratify=labels
    )
    return train_x, val_x, train_y, val_y


def train(*, lr: float, epochs: int, batch_size: int, seed: int, dir: str | None) -> str:
    """Train one classifier and record it as a run.

    Parameters
    ----------
    lr : float
        Learning rate of the first step; it falls to zero along half a cosine.
    epochs : int
        Passes over the training images.
    batch_size : int
        Images a step.
    seed : int
        Decides the order of images.
    dir : str or None
        Directory of the workspace; None finds it as the command line does.

    Returns
    -------
    str
        Id of the run.
    """
    train_x, val_x, train_y, val_y = load()
    rng = np.random.default_rng(seed)
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=lr, random_state=seed)
    config = {
        "model": {"kind": "SGDClassifier", "loss": "log_loss"},
        "optimizer": {"lr": lr, "schedule": "cosine"},
        "batch_size": batch_size,
        "epochs": epochs,
        "seed": seed,
        "dataset": "uci-optdigits-test",
    }
    batches_per_epoch = math.ceil(len(train_x) / batch_size)
    step_count = epochs * batches_per_epoch
    best = 0.0

    with rc.init("sklearn-digits", config=config, tags=["sklearn", "example"], dir=dir) as run:
        for step in range(step_count):
            batch = step % batches_per_epoch
            if batch == 0:
                order = rng.permutation(len(train_x))
            chosen = order[batch * batch_size : (batch + 1) * batch_size]
            x, y = train_x[chosen], train_y[chosen]

            # partial_fit reads eta0 at each call, so setting it is enough for a schedule.
            step_lr = lr * 0.5 * (1.0 + math.cos(math.pi * step / step_count))
            model.set_params(eta0=step_lr).partial_fit(x, y, classes=CLASSES)

            probabilities = model.predict_proba(x)
            row = {
                "train/loss": float(log_loss(y, probabilities, labels=CLASSES)),
                "train/accuracy": float(np.mean(CLASSES[probabilities.argmax(axis=1)] == y)),
                "lr": step_lr,
            }
            if batch + 1 == batches_per_epoch:
                row["val/accuracy"] = float(model.score(val_x, val_y))
                best = max(best, row["val/accuracy"])
            run.log(row)
        run.summary["best_val_accuracy"] = best
    return str(run.id)


def report(run_id: str, *, dir: str | None) -> None:
    """Read a finished run back from the workspace and print its best step.

    Parameters
    ----------
    run_id : str
        Id of the run, or a prefix of it that is unique.
    dir : str or None
        Directory of the workspace; None finds it as the command line does.
    """
    run = rc.Workspace(dir=dir).run(run_id)
    steps, values, times = run.series("val/accuracy")
    best = int(np.argmax(values))
    seconds = (times[best] - times[0]) / 1e6
    print(
        f"run {run_id}: best val/accuracy {values[best]:.4f} at step {steps[best]}, "
        f"{seconds:.1f} s after the first epoch"
    )


def main() -> None:
    """Read the arguments, train, and print the result."""
    parser = argparse.ArgumentParser(description="Record a scikit-learn training with runcellar.")
    parser.add_argument("--dir", help="workspace directory (default: the one runcellar finds)")
    parser.add_argument("--lr", type=float, default=0.1, help="first learning rate (%(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the data (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="images a step (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="order of images (%(default)s)")
    args = parser.parse_args()
    run_id = train(
        lr=args.lr,
        epochs=args.epochs,
        batch_size=args.batch_size,
        seed=args.seed,
        dir=args.dir,
    )
    report(run_id, dir=args.dir)


if __name__ == "__main__":
    main()
