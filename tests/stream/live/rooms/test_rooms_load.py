"""What is said when rooms are more than the machine carries, and that nothing is said when they are not."""

from __future__ import annotations

import pytest

from stream.live.rooms.load import LoadWatch
from stream.live.states.view import Delays, LiveState, LiveStatus


def _watch(*, looked: tuple[float, ...], rate: float = 25.0, video_ms: float = 0.5, seconds: int = 30) -> list[str]:
    """What is said over some seconds by rooms of which detection looks at so many frames a second."""
    watch = LoadWatch(0.2)
    said = []
    for second in range(seconds):
        statuses = {
            f"OR{number}": LiveStatus(
                LiveState.RUNNING,
                captured=round(rate * second) + 1,
                looked_at=round(per_second * second) + 1,
                delays=Delays(video_ms, 50.0),
            )
            for number, per_second in enumerate(looked)
        }
        said.append(watch.look(statuses, 1.5 * second, now_s=float(second)))
    return [line for line in said if line]


@pytest.mark.parametrize(
    "case",
    [
        {"looked": (20.0, 12.0, 6.0)},
        {"looked": (1.0,), "rate": 1.0},  # a slow source gives no more
        {"looked": (25.0, 0.0), "seconds": 9},  # too early to say
    ],
)
def test_nothing_is_said(case: dict[str, object]) -> None:
    assert _watch(**case) == []  # type: ignore[arg-type]


def test_too_many_rooms_are_said_once_with_figures() -> None:
    (said,) = _watch(looked=(4.0, 2.0))
    assert said.startswith("this machine does not carry 2 rooms")
    assert "2.0 to 4.0 frames a second" in said and "(5 keep boxes" in said
    assert "%" in said and "core" in said and "fewer rooms" in said


def test_late_pictures_are_said() -> None:
    (said,) = _watch(looked=(25.0,), video_ms=70.0)
    assert "pictures of OR0 are 70 ms late" in said


def test_a_room_that_is_not_running_is_waited_for() -> None:
    watch = LoadWatch(0.2)
    starved = LiveStatus(LiveState.RUNNING, captured=1000, looked_at=1)
    for second in range(30):
        stalled = LiveStatus(LiveState.STALLED, captured=5, looked_at=5)
        assert watch.look({"A": starved, "B": stalled}, 0.0, now_s=float(second)) == ""
