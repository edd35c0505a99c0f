"""Runs: an array cut into consecutive pieces, which their lengths describe."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Lengths = npt.NDArray[np.int64]


def run_offsets(lengths: Lengths) -> npt.NDArray[np.int32]:
    """0, the first run's end, … the last run's end, as Arrow's lists and strings want them."""
    return np.concatenate(([0], np.cumsum(lengths)), dtype=np.int32, casting="unsafe")


def ranges(starts: Lengths, lengths: Lengths) -> Lengths:
    """The numbers of the ranges that start here and are so long, one range after another."""
    return np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())


def sums(values: Lengths, lengths: Lengths) -> Lengths:
    """The sum of each run of ``values``, 0 for an empty one."""
    total = np.concatenate(([0], np.cumsum(values)))
    ends = np.cumsum(lengths)
    of_runs: Lengths = total[ends] - total[ends - lengths]
    return of_runs


def running_sums(values: Lengths, lengths: Lengths) -> Lengths:
    """The running sum of ``values``, from zero again in each run."""
    total = np.concatenate(([0], np.cumsum(values)))
    of_values: Lengths = total[1:] - np.repeat(total[np.cumsum(lengths) - lengths], lengths)
    return of_values
