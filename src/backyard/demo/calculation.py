"""``calculation_task``: honest work for one core."""

import math
import time
from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, Field

from backyard import Context
from backyard.demo.demo_yard import yard

LIMIT = 1_000_000_000
#: Numbers sieved at once: 256 kB, which stays in a core's cache.
SEGMENT = 262_144


class Primes(BaseModel):
    """The primes up to a limit, counted."""

    limit: int
    primes: int = Field(description="Primes up to and including the limit")
    largest: int | None = Field(description="The largest of them; null if there is none")
    twins: int = Field(description="Pairs of primes that differ by 2, both up to the limit")
    seconds: float = Field(description="Time it took, by the worker's clock")


@yard.task(timeout=300, example={"limit": 1_000_000})
def calculation_task(
    ctx: Context, limit: Annotated[int, Field(ge=1, le=LIMIT, description="Look for primes up to here")] = 1_000_000
) -> Primes:
    """Count the primes and the twin primes up to a limit, with a segmented sieve of Eratosthenes.

    One core is busy all the time: for about a second with a hundred million, for some twenty with a thousand million.
    """
    begin = time.perf_counter()
    found = twins = 0
    largest: int | None = None
    tail = b""
    for start, marks in segments(limit):
        ctx.progress(start, limit, f"Sieving from {start:,}")
        found += marks.count(1)
        last = marks.rfind(1)
        largest = start + last if last >= 0 else largest
        # A pair may lie across a border, so the last two marks of the segment before are looked at again.
        twins += _pairs(tail + marks)
        tail = bytes(marks[-2:])
    ctx.progress(limit, limit, f"{found:,} primes")
    return Primes(
        limit=limit, primes=found, largest=largest, twins=twins, seconds=round(time.perf_counter() - begin, 3)
    )


def segments(limit: int) -> Iterator[tuple[int, bytearray]]:
    """Sieve the numbers from 0 to a limit, a stretch at a time, so that memory does not grow with the limit.

    Args:
        limit: The last number looked at.

    Yields:
        The first number of a stretch, and one byte for each number in it: 1 for a prime, 0 for all others.

    Source: Bays and Hudson, "The segmented sieve of Eratosthenes", BIT 17, 1977.
    """
    small = _small_primes(math.isqrt(limit))
    for start in range(0, limit + 1, SEGMENT):
        stop = min(start + SEGMENT, limit + 1)
        marks = bytearray(b"\x01") * (stop - start)
        if start == 0:
            marks[:2] = bytes(min(2, stop))
        for prime in small:
            first = max(prime * prime, -(-start // prime) * prime)
            if first >= stop:
                if prime * prime >= stop:
                    break
                continue
            marks[first - start :: prime] = bytes((stop - first - 1) // prime + 1)
        yield start, marks


def _small_primes(limit: int) -> list[int]:
    marks = bytearray(b"\x01") * (limit + 1)
    marks[:2] = bytes(min(2, limit + 1))
    for number in range(2, math.isqrt(limit) + 1):
        if marks[number]:
            marks[number * number :: number] = bytes((limit - number * number) // number + 1)
    return [number for number, mark in enumerate(marks) if mark]


def _pairs(marks: bytes | bytearray) -> int:
    """Count the places with a prime there and two further on, over all marks at once as one large number."""
    whole = int.from_bytes(marks, "little")
    return (whole & (whole >> 16)).bit_count()
