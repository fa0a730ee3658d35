"""The groove benchmark compares like with like: its NumPy reference gives what the kernels give."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.bench import groove as bench
from bridge.music import kernels


def test_the_numpy_reference_computes_what_the_kernels_compute() -> None:
    starts = bench._played_onsets()
    assert np.allclose(
        bench.numpy_quantised_and_swung(starts), bench._quantised_and_swung(kernels, starts), rtol=0, atol=1e-12
    )


def test_its_rows_are_those_of_the_contract() -> None:
    rows = bench.groove_results()
    assert len({row["name"] for row in rows}) == len(rows) == 5
    for row in rows:
        assert set(row) == {"name", "unit", "n", "p50", "p95", "p99", "baseline", "ratio"}
        assert 0 < row["p50"] <= row["p95"] <= row["p99"]
        assert row["ratio"] is None or row["ratio"] == pytest.approx(row["p50"] / row["baseline"], abs=2e-4)
