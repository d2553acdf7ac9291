"""The drift between the first and the last tenth, on progress made up for it."""

import pytest

from bench.measures.size import last_to_first_tenth


def progress(seconds_each: list[float]) -> list[tuple[float, float]]:
    now, done = 5.0, []
    for number, seconds in enumerate(seconds_each):
        now += seconds
        done.append((now, float(number)))
    return done


def test_an_even_pace_has_no_drift() -> None:
    assert last_to_first_tenth(progress([0.1] * 500)) == pytest.approx(1)


def test_a_last_tenth_at_half_the_pace_takes_twice_the_time() -> None:
    assert last_to_first_tenth(progress([0.1] * 450 + [0.2] * 50)) == pytest.approx(2, rel=0.05)


def test_starting_up_does_not_count() -> None:
    assert last_to_first_tenth(progress([60.0] + [0.1] * 499)) == pytest.approx(1)


def test_too_few_observations_tell_nothing() -> None:
    assert last_to_first_tenth(progress([0.1] * 50)) is None
    assert last_to_first_tenth([]) is None
