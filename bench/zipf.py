"""Numbers that follow Zipf's law, in constant memory for any range, and where ranks lie among items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import exp, gcd, log, log1p
from random import Random

_GOLDEN = 0.6180339887


def zipf(n: int, exponent: float, rng: Random) -> Iterator[int]:
    """Ranks from 0 to n - 1 without end, rank k with a probability in proportion to 1 / (k + 1) ** exponent.

    By rejection-inversion: W. Hörmann, G. Derflinger, Rejection-inversion to generate variates from monotone discrete
    distributions, ACM TOMACS 6 (1996), https://doi.org/10.1145/235025.235029
    """
    random = rng.random
    first, last = _area(1.5, exponent) - 1, _area(n + 0.5, exponent)
    while True:
        u = last + random() * (first - last)
        x = _inverse(u, exponent)
        k = min(max(int(x + 0.5), 1), n)
        if u >= _area(k + 0.5, exponent) - exp(-exponent * log(k)):
            yield k - 1


def _area(x: float, exponent: float) -> float:
    """The integral of x ** -exponent from 1 on."""
    return log(x) if exponent == 1 else (x ** (1 - exponent) - 1) / (1 - exponent)


def _inverse(area: float, exponent: float) -> float:
    return exp(area) if exponent == 1 else exp(log1p(area * (1 - exponent)) / (1 - exponent))


def stride(n: int) -> int:
    """A step through 0 … n - 1 that comes to every number once and lands far away each time."""
    step = max(1, int(n * _GOLDEN))
    while gcd(step, n) != 1:
        step += 1
    return step


def spread(n: int) -> Callable[[int], int]:
    """Gives each rank its item, neighbours far apart: hot items are among all others."""
    step = stride(n)
    return lambda rank: rank * step % n
