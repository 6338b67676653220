"""Training the model, and what there is to know about it.

The digits come in the order in which their writers gave them, so a shuffled split would test the model on the
handwriting it learned. The last quarter is therefore held out as it lies. The three numbers below were chosen by
cross-validation within the first three quarters; the held-out part had no say in them.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import sklearn
from sklearn.datasets import load_digits
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_score, train_test_split
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn, has no types

from backyard.demo.digits.models import LARGEST, ModelCard

METHOD = "logistic regression on a Nystroem approximation of the RBF kernel"
LANDMARKS = 600
GAMMA = 0.25
INVERSE_PENALTY = 100
HELD_OUT = 0.25
FOLDS = 5

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """A fitted model and its description.

    Args:
        pipeline: The fitted scikit-learn pipeline.
        card: Where it comes from and how good it is.
    """

    pipeline: Pipeline
    card: ModelCard


def library() -> str:
    """Name the library as installed, so that a model trained by another version is known as such."""
    return f"scikit-learn {sklearn.__version__}"


def empty_pipeline() -> Pipeline:
    """Return the pipeline, not fitted."""
    kernel = Nystroem(gamma=GAMMA, n_components=LANDMARKS, random_state=0)
    return Pipeline([("kernel", kernel), ("classifier", LogisticRegression(C=INVERSE_PENALTY, max_iter=2_000))])


def split() -> tuple[Array, Array, Array, Array]:
    """Return the training images, the held-out images, and the digits of each; values are 0 to 1."""
    images, digits = load_digits(return_X_y=True)
    parts: list[Array] = train_test_split(images / LARGEST, digits, test_size=HELD_OUT, shuffle=False)
    return parts[0], parts[1], parts[2], parts[3]


def train() -> Model:
    """Train on the first three quarters of the digits and test on the rest. Takes a few seconds."""
    seen, unseen, seen_digits, unseen_digits = split()
    # Matrices of this size gain nothing from more threads, and on a busy machine threads wait for each other.
    with threadpool_limits(limits=1):
        folds = cross_val_score(empty_pipeline(), seen, seen_digits, cv=KFold(FOLDS))
        pipeline = empty_pipeline().fit(seen, seen_digits)
    card = ModelCard(
        method=METHOD,
        library=library(),
        trained_on=len(seen),
        held_out=len(unseen),
        held_out_accuracy=round(float(pipeline.score(unseen, unseen_digits)), 4),
        cross_validated_accuracy=round(float(folds.mean()), 4),
    )
    return Model(pipeline, card)
