"""``classify_digits``: which digit does each image show?"""

from typing import Annotated

from pydantic import Field

from backyard import Context
from backyard.demo.demo_yard import yard
from backyard.demo.digits.models import MAX_IMAGES, ZERO, DigitsResult, Image, Prediction
from backyard.demo.libraries import need


@yard.task(timeout=120, example={"images": [ZERO]})
def classify_digits(
    ctx: Context,
    images: Annotated[
        list[Image],
        Field(
            min_length=1,
            max_length=MAX_IMAGES,
            description="1 to 2,000 images of 8 rows of 8 values, 0 (paper) to 16 (ink), as in scikit-learn's digits",
        ),
    ],
) -> DigitsResult:
    """Read handwritten digits with a scikit-learn model.

    The model is trained once on scikit-learn's bundled digits, kept in the data directory and loaded once a process.
    Each answer carries the model's accuracy on digits it was not trained on.
    """
    need("classify_digits", "numpy", "sklearn")
    from backyard.demo.digits import cache, inference  # noqa: PLC0415 - needs scikit-learn, which the API does without

    ctx.progress(0, len(images), "Loading the model")
    model = cache.load(yard.settings.data_dir / "demo")
    predictions: list[Prediction] = []
    for rows in inference.predict(model, images):
        predictions += [Prediction(digit=digit, probabilities=values) for digit, values in rows]
        ctx.progress(len(predictions), len(images), f"{len(predictions)} of {len(images)} images read")
    return DigitsResult(predictions=predictions, model=model.card)
