"""The trained model on disk and in the process.

The file holds plain arrays, never a pickle: reading one runs no code. Its first line is the SHA-256 of the rest, its
second the model's card; a file that is torn, damaged or of another version is not used, and the model trained again.
"""

import contextlib
import hashlib
import io
import os
import tempfile
import threading
import zipfile
from pathlib import Path

import numpy as np
from sklearn.pipeline import Pipeline

from backyard.demo.digits.models import ModelCard
from backyard.demo.digits.training import Array, Model, empty_pipeline, library, train

#: Counts the changes of this file's layout and of the model's shape.
FORMAT = 1

#: The fitted attributes of each step, by which scikit-learn's public documentation describes it.
FITTED = {
    "kernel": ("components_", "component_indices_", "normalization_"),
    "classifier": ("classes_", "coef_", "intercept_"),
}

_loaded: dict[Path, Model] = {}
_one_at_a_time = threading.Lock()


class UnusableCacheError(Exception):
    """The file on disk is not a model of this version, whole and undamaged."""


def load(folder: Path) -> Model:
    """Return the model: from this process, else from disk, else by training it.

    Args:
        folder: Where the model is kept; made if it does not exist.
    """
    path = (folder / f"digits-{library().replace(' ', '-')}-{FORMAT}.model").resolve()
    with _one_at_a_time:
        if path not in _loaded:
            _loaded[path] = _from_disk(path) or _trained(path)
        return _loaded[path]


def _from_disk(path: Path) -> Model | None:
    try:
        return decode(path.read_bytes())
    except (OSError, UnusableCacheError):
        return None


def _trained(path: Path) -> Model:
    model = train()
    # A disk that cannot be written costs the next process a few seconds, and this task nothing.
    with contextlib.suppress(OSError):
        write_whole(path, encode(model))
    return model


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that readers see all of it or none, whoever else writes it at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def encode(model: Model) -> bytes:
    """Return a model as a line of JSON and the arrays in NumPy's own format."""
    buffer = io.BytesIO()
    arrays = {
        f"{step}.{name}": getattr(model.pipeline.named_steps[step], name)
        for step, names in FITTED.items()
        for name in names
    }
    np.savez(buffer, allow_pickle=False, **arrays)
    body = model.card.model_dump_json().encode() + b"\n" + buffer.getvalue()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def decode(data: bytes) -> Model:
    """Return the model that :func:`encode` wrote.

    Raises:
        UnusableCacheError: The data is damaged, or of another version.
    """
    digest, _, body = data.partition(b"\n")
    if digest != hashlib.sha256(body).hexdigest().encode():
        raise UnusableCacheError
    first, _, archive = body.partition(b"\n")
    try:
        card = ModelCard.model_validate_json(first)
        with np.load(io.BytesIO(archive), allow_pickle=False) as arrays:
            pipeline = _rebuilt({name: arrays[name] for name in arrays.files})
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UnusableCacheError from error
    if card.library != library():
        raise UnusableCacheError
    return Model(pipeline, card)


def _rebuilt(arrays: dict[str, Array]) -> Pipeline:
    pipeline = empty_pipeline()
    for step, names in FITTED.items():
        for name in names:
            setattr(pipeline.named_steps[step], name, arrays[f"{step}.{name}"])
    return pipeline
