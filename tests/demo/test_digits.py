from __future__ import annotations

import hashlib
import io
import pickle
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from backyard.core.errors import InvalidInputError
from backyard.demo.digits import cache, training
from backyard.demo.digits.definition import classify_digits
from backyard.demo.digits.models import ZERO
from backyard.demo.digits.training import HELD_OUT, Model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from demo.conftest import Place


@pytest.fixture(scope="module")
def trained() -> Model:
    return training.train()


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch, trained: Model) -> list[int]:
    """Count how often the model is trained, and take the one that is at hand."""
    times: list[int] = []
    monkeypatch.setattr(cache, "_loaded", {})

    def train() -> Model:
        times.append(1)
        return trained

    monkeypatch.setattr(cache, "train", train)
    return times


@pytest.mark.usefixtures("data_dir", "trainings")
def test_all_digits_are_read_and_the_held_out_ones_counted_apart(place: Place) -> None:
    digits = load_digits()
    result = classify_digits(place.ctx, digits.images.tolist())
    right = np.array([row.digit for row in result.predictions]) == digits.target
    assert len(right) == 1_797
    assert right.mean() >= 0.95
    first_unseen = len(right) - result.model.held_out
    assert result.model.held_out == 450 == -(-len(right) * HELD_OUT // 1)
    assert result.model.trained_on == first_unseen
    assert right[first_unseen:].mean() == pytest.approx(result.model.held_out_accuracy, abs=1e-4)
    assert result.model.held_out_accuracy >= 0.94
    place.ctx.close()
    assert place.ctx.reports[-1].percent == 100


def test_the_model_has_never_seen_the_held_out_digits(trained: Model) -> None:
    seen, unseen, _, _ = training.split()
    assert np.array_equal(np.vstack([seen, unseen]) * 16, load_digits().data)
    landmarks = trained.pipeline.named_steps["kernel"].components_
    assert {row.tobytes() for row in landmarks} <= {row.tobytes() for row in seen}


@pytest.mark.usefixtures("data_dir", "trainings")
def test_probabilities_sum_to_one_and_name_the_digit(place: Place) -> None:
    blank, ink = [[0.0] * 8] * 8, [[16.0] * 8] * 8
    result = classify_digits(place.ctx, [ZERO, blank, ink, *load_digits().images[:50].tolist()])
    assert result.predictions[0].digit == 0
    for row in result.predictions:
        assert len(row.probabilities) == 10
        assert sum(row.probabilities) == pytest.approx(1, abs=1e-9)
        assert min(row.probabilities) >= 0
        assert row.digit == row.probabilities.index(max(row.probabilities))


@pytest.mark.usefixtures("data_dir", "trainings")
def test_an_image_is_read_the_same_alone_and_among_others(place: Place) -> None:
    images = load_digits().images[:600].tolist()
    together = classify_digits(place.ctx, images).predictions
    for at in (0, 249, 250, 599):
        alone = classify_digits(place.ctx, [images[at]]).predictions[0]
        assert alone.digit == together[at].digit
        assert alone.probabilities == pytest.approx(together[at].probabilities, abs=2e-6)


@pytest.mark.parametrize(
    "images",
    [
        [],
        [ZERO] * 2_001,
        [[*ZERO[:7]]],
        [[*ZERO, ZERO[0]]],
        [[*ZERO[:7], ZERO[7][:7]]],
        [[*ZERO[:7], [*ZERO[7][:7], 16.1]]],
        [[*ZERO[:7], [*ZERO[7][:7], -1]]],
        [[*ZERO[:7], [*ZERO[7][:7], float("nan")]]],
        [[*ZERO[:7], [*ZERO[7][:7], float("inf")]]],
        [[*ZERO[:7], [*ZERO[7][:7], "dark"]]],
        "pixels",
    ],
)
@pytest.mark.usefixtures("data_dir")
def test_images_out_of_bounds_are_refused_at_the_door(place: Place, trainings: list[int], images: Any) -> None:
    with pytest.raises(InvalidInputError):
        classify_digits(place.ctx, images)
    assert trainings == []


def test_the_model_is_trained_once_and_then_read_from_disk(
    data_dir: Path, trainings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cache.load(data_dir)
    assert cache.load(data_dir) is first
    monkeypatch.setattr(cache, "_loaded", {})  # as in the next process
    second = cache.load(data_dir)
    assert second is not first
    assert len(trainings) == 1
    images = load_digits().data / 16
    assert np.array_equal(first.pipeline.predict_proba(images), second.pipeline.predict_proba(images))
    assert second.card == first.card
    assert [path.name for path in data_dir.iterdir()] == ["digits-" + first.card.library.replace(" ", "-") + "-1.model"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[:5_000] + bytes([data[5_000] ^ 1]) + data[5_001:],
        lambda data: data.replace(b'"held_out_accuracy":0.9', b'"held_out_accuracy":1.9', 1),
        lambda _: pickle.dumps({"model": "not ours"}),
    ],
    ids=["empty", "half", "last byte", "one bit", "boast", "pickle"],
)
def test_a_damaged_file_is_trained_anew(
    data_dir: Path, trainings: list[int], monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    cache.load(data_dir)
    (path,) = data_dir.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    monkeypatch.setattr(cache, "_loaded", {})
    cache.load(data_dir)
    assert len(trainings) == 2
    assert path.read_bytes() == whole


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("a pickle was opened",))


@pytest.mark.usefixtures("data_dir", "trainings", "tmp_path")
def test_a_pickle_inside_a_rightly_signed_file_is_not_opened(trained: Model) -> None:
    """Who can write the file can sign it as well; even then nothing of it is run."""
    buffer = io.BytesIO()
    arrays = {
        f"{step}.{name}": np.array([Bomb()], dtype=object) for step, names in cache.FITTED.items() for name in names
    }
    np.savez(buffer, allow_pickle=True, **arrays)
    body = trained.card.model_dump_json().encode() + b"\n" + buffer.getvalue()
    with pytest.raises(cache.UnusableCacheError):
        cache.decode(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def test_a_model_of_another_version_is_not_used(
    data_dir: Path, trainings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.load(data_dir)
    monkeypatch.setattr(cache, "_loaded", {})
    (path,) = data_dir.iterdir()
    data = path.read_bytes()
    monkeypatch.setattr(cache, "library", lambda: "scikit-learn 0.1")
    with pytest.raises(cache.UnusableCacheError):
        cache.decode(data)
    cache.load(data_dir)
    assert len(trainings) == 2


def test_threads_that_come_together_train_once(data_dir: Path, trainings: list[int]) -> None:
    together = threading.Barrier(8)
    found: list[Model] = []

    def come() -> None:
        together.wait()
        found.append(cache.load(data_dir))

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(trainings) == 1
    assert len({id(model) for model in found}) == 1


@pytest.mark.usefixtures("trainings")
def test_a_disk_that_cannot_be_written_does_not_stop_the_task(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert cache.load(tmp_path / "file" / "folder").card.trained_on == 1_347


def test_a_write_that_breaks_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model"
    cache.write_whole(path, b"old")

    def broken(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        cache.write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
