"""What samples say of the whole: the share of rows that have drifted, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

_Z = 1.959963984540054  # of the standard normal distribution, for 95 %


@dataclass(frozen=True)
class Estimate:
    """Of `samples` rows `drifted` were not as they should be; the first and the last were settled at those times."""

    samples: int
    drifted: int
    first_at: datetime
    last_at: datetime

    @property
    def ratio(self) -> float:
        """The share that has drifted, 0 to 1."""
        return self.drifted / self.samples

    @property
    def bounds(self) -> tuple[float, float]:
        """In 95 of 100 such samplings, the true share lies between these two."""
        return wilson_interval(self.drifted, self.samples)


def wilson_interval(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a share, of which `hits` among `trials` were seen. It says something of none, too.

    E. B. Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953
    """
    if trials == 0:
        return 0.0, 1.0
    share, square = hits / trials, _Z**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    reach = _Z / (1 + square / trials) * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    lower = 0.0 if hits == 0 else max(0.0, middle - reach)
    upper = 1.0 if hits == trials else min(1.0, middle + reach)
    return lower, upper
