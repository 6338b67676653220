"""What goes into the digits job and what comes out."""

from typing import Annotated

from pydantic import BaseModel, Field

SIDE = 8
LARGEST = 16
MAX_IMAGES = 2_000

Pixel = Annotated[float, Field(ge=0, le=LARGEST, allow_inf_nan=False)]
Row = Annotated[list[Pixel], Field(min_length=SIDE, max_length=SIDE)]
Image = Annotated[list[Row], Field(min_length=SIDE, max_length=SIDE)]

#: The first image of scikit-learn's digits: a zero.
ZERO = [
    [0, 0, 5, 13, 9, 1, 0, 0],
    [0, 0, 13, 15, 10, 15, 5, 0],
    [0, 3, 15, 2, 0, 11, 8, 0],
    [0, 4, 12, 0, 0, 8, 8, 0],
    [0, 5, 8, 0, 0, 9, 8, 0],
    [0, 4, 11, 0, 1, 12, 7, 0],
    [0, 2, 14, 5, 10, 12, 0, 0],
    [0, 0, 6, 13, 10, 0, 0, 0],
]


class Prediction(BaseModel):
    """What one image shows."""

    digit: int = Field(ge=0, le=9, description="The most probable digit")
    probabilities: list[float] = Field(description="Probability of each digit from 0 to 9; they sum to 1")


class ModelCard(BaseModel):
    """What the model is and how good it was on digits it had not seen."""

    method: str
    library: str = Field(description="Library and version that trained the model")
    trained_on: int = Field(description="Number of digits the model learned from")
    held_out: int = Field(description="Number of digits kept from it: the last quarter, whose writers it hardly knows")
    held_out_accuracy: float = Field(description="Share of the held-out digits it reads correctly; the honest figure")
    cross_validated_accuracy: float = Field(description="The same over five folds of the training part alone")


class DigitsResult(BaseModel):
    """One prediction an image, in the order of the images."""

    predictions: list[Prediction]
    model: ModelCard
