"""From images to digits and probabilities."""

from collections.abc import Iterator, Sequence

import numpy as np

from backyard.demo.digits.models import LARGEST, SIDE
from backyard.demo.digits.training import Model

#: Images read between two progress reports.
BATCH = 250
PLACES = 6


def predict(model: Model, images: Sequence[Sequence[Sequence[float]]]) -> Iterator[list[tuple[int, list[float]]]]:
    """Read images batch by batch.

    Args:
        model: The fitted model.
        images: Images of 8 rows of 8 values from 0 to 16.

    Yields:
        For each image of a batch its digit, and the probabilities of the digits 0 to 9.
    """
    for start in range(0, len(images), BATCH):
        batch = np.asarray(images[start : start + BATCH], dtype=np.float64).reshape(-1, SIDE * SIDE) / LARGEST
        probabilities = np.round(model.pipeline.predict_proba(batch), PLACES)
        best = probabilities.argmax(axis=1)
        # What rounding took or gave goes to the best digit, so that a row still sums to one.
        probabilities[np.arange(len(best)), best] += 1 - probabilities.sum(axis=1)
        rounded = np.round(probabilities, PLACES)
        yield [(int(digit), row) for digit, row in zip(best, rounded.tolist(), strict=True)]
