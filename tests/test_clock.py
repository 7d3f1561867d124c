"""The time of a campaign, told to its parts."""

from __future__ import annotations

import time

import pytest

from intriguing.book.clock import Clock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The reading of the clock, to be turned by hand."""
    reading = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: reading[0])
    return reading


def test_a_clock_starts_when_it_is_made() -> None:
    before = time.monotonic()
    clock = Clock(minutes=2.0)
    assert before <= clock.started <= time.monotonic()
    assert clock.end == clock.started + 120.0


def test_what_is_spent_and_what_is_left_make_the_whole(now: list[float]) -> None:
    clock = Clock(minutes=2.0, started=now[0])
    now[0] += 45.0
    assert (clock.spent(), clock.left()) == (45.0, 75.0)


def test_what_is_left_is_negative_once_the_time_is_over(now: list[float]) -> None:
    clock = Clock(minutes=0.5, started=now[0])
    now[0] += 31.0
    assert clock.left() == -1.0


def test_two_clocks_of_one_start_agree(now: list[float]) -> None:
    first = Clock(minutes=3.0, started=now[0])
    now[0] += 10.0
    second = Clock(minutes=3.0, started=first.started)
    assert second.end == first.end
    assert second.left() == first.left() == 170.0
