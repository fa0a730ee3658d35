"""How shortly before a bar line a request may come and still sound there: requests placed uniformly before it."""

from __future__ import annotations

import random
import time

import numpy as np

from bridge.bench.rows import Row, row
from bridge.osc.client import OscClient

_BPM = 400.0
_BAR_NS = round(4 * 60e9 / _BPM)
_REQUESTS = 240
_LONGEST_LEAD_MS = 120.0
_SURE_MS = 50.0
_BEATS_TO_LEARN = 24
_FAR_OFF_NS = 60_000_000


def lead_rows(client: OscClient) -> list[Row]:
    """One request a bar at 400 BPM, 0 to 120 ms before the line, two bars of one model each; which sounded there.

    The baseline of the shortest lead is what a click takes by itself (request to hand-over, p50, the same requests).
    """
    client.ask("/bridge/subscribe", answer="/bridge/welcome")  # anew: silence ends a subscription
    client.send("/clock/tempo", _BPM)
    client.send("/melody/clear")
    client.send("/clock/play")
    origin_ns = _origin(client)
    uneven = random.Random(1)
    leads_ms, made, clicks_ms = [], [], []
    bar = _bar_at(time.perf_counter_ns(), origin_ns) + 2
    for _ in range(_REQUESTS):
        lead_ms = uneven.uniform(0.0, _LONGEST_LEAD_MS)
        moment_ns = origin_ns + bar * _BAR_NS - round(lead_ms * 1e6)
        time.sleep(max(0.0, (moment_ns - time.perf_counter_ns()) / 1e9))
        since = client.mark()
        sent_ns = time.perf_counter_ns()
        client.send("/melody/next", 2)
        clicks_ms.append(float(client.wait_for("/melody/bars/end", 10.0, since).args[1]))
        launched = client.wait_for("/melody/launched", 10.0, since)
        leads_ms.append((origin_ns + bar * _BAR_NS - sent_ns) / 1e6)
        made.append(round(float(launched.args[1])) == 4 * bar)
        bar = _bar_at(time.perf_counter_ns(), origin_ns) + 1
    client.send("/clock/stop")
    return _rows(np.array(leads_ms), np.array(made), clicks_ms)


def _rows(leads_ms: np.ndarray, made: np.ndarray, clicks_ms: list[float]) -> list[Row]:
    sure = made[leads_ms >= _SURE_MS]
    order = np.argsort(leads_ms)
    # of all requests with at least this lead, what share made it: the shortest lead from which on that stays 99 %
    on_time = np.cumsum(made[order][::-1])[::-1] / np.arange(len(made), 0, -1)
    enough = np.flatnonzero(on_time >= 0.99)
    rows = [row(f"requests {_SURE_MS:g} ms or more before the bar line: on time", "share", [sure.mean()] * len(sure))]
    if len(enough):
        shortest_ms, click_ms = float(leads_ms[order][enough[0]]), float(np.median(clicks_ms))
        rows.append(row("shortest lead that 99 % make (against a click)", "ms", [shortest_ms] * len(made), click_ms))
    return rows


def _origin(client: OscClient) -> int:
    """When beat 0 was, by the least late of some beats as they were told. One of the song before, told late, says a
    moment far from what the others say.
    """
    since = client.mark()
    origins = []
    for _ in range(_BEATS_TO_LEARN):
        told = client.wait_for("/clock/beat", 5.0, since)
        since = client.mark()
        origins.append(told.arrival_ns - round(int(told.args[0]) * _BAR_NS / 4))
    likely_ns = float(np.median(origins)) - _FAR_OFF_NS
    return min(origin for origin in origins if origin > likely_ns)


def _bar_at(moment_ns: int, origin_ns: int) -> int:
    return (moment_ns - origin_ns) // _BAR_NS
