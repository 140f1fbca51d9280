"""Beginnings of reviews for tests, and changes of a review made by chance."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from stream.judgements.state import BETWEEN, Beginning, JudgedFinding, Mark, Shape

FRAMES = (40, 30)
WIDTH, HEIGHT = 64, 48


def beginning() -> Beginning:
    """Two recordings of a procedure with three findings; the second one goes over both."""
    marks = [range(3, 9), range(35, 46), range(50, 55)]
    return Beginning(
        tuple(
            Shape(frames, WIDTH, HEIGHT, start_s, frames / 10)
            for frames, start_s in zip(FRAMES, (0.0, 4.0), strict=True)
        ),
        tuple(round(frame / 10, 6) for frame in range(sum(FRAMES))),
        tuple(
            JudgedFinding(
                str(number),
                False,
                {
                    frame: Mark((1.0, 2.0, 20.0 + frame % 7, 30.0), 0.5 + frame / 200, BETWEEN if frame % 5 == 4 else 0)
                    for frame in frames
                },
            )
            for number, frames in enumerate(marks, start=1)
        ),
    )


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """A change as a browser may send it; many cannot be made."""
    finding = st.sampled_from(["1", "2", "3", "n1", "n2", "n3"])
    recording = draw(st.integers(0, 1))
    frame = st.integers(0, FRAMES[recording] - 1)
    left, top = st.integers(0, WIDTH - 10), st.integers(0, HEIGHT - 10)
    box = st.builds(lambda x, y: [x, y, x + 8, y + 6], left, top)
    verdict = {"field": st.just("verdict"), "value": st.sampled_from(["right", "wrong", "unsure", None])}
    kinds: list[dict[str, Any]] = [
        {"do": st.just("judge"), "finding": finding, **verdict},
        {"do": st.just("judge"), "finding": finding, "field": st.just("cause"), "value": st.just("fold")},
        {"do": st.just("judge"), "finding": finding, "field": st.just("text"), "value": st.text(max_size=8)},
        {"do": st.just("box"), "finding": finding, "recording": st.just(recording), "frame": frame, "box": box},
        {
            "do": st.just("delete_boxes"),
            "finding": finding,
            "recording": st.just(recording),
            "first": frame,
            "last": frame,
        },
        {
            "do": st.just("interpolate"),
            "finding": finding,
            "recording": st.just(recording),
            "first": frame,
            "last": frame,
        },
        {"do": st.just("join"), "findings": st.lists(finding, min_size=2, max_size=3, unique=True)},
        {"do": st.just("split"), "finding": finding, "recording": st.just(recording), "frame": frame},
        {
            "do": st.just("add"),
            "recording": st.just(recording),
            "boxes": st.dictionaries(frame.map(str), box, min_size=1, max_size=3),
        },
        {"do": st.just("remove"), "finding": finding},
        {"do": st.just("turning_point"), "recording": st.just(recording), "time_s": st.floats(0, 3)},
        {"do": st.just("bbps"), "value": st.none() | st.lists(st.none() | st.integers(0, 3), min_size=3, max_size=3)},
        {"do": st.just("state"), "value": st.sampled_from(["new", "in_review", "done"])},
        {"do": st.just("undo")},
        {"do": st.just("undo")},
        {"do": st.just("redo")},
    ]
    return draw(st.one_of([st.fixed_dictionaries(kind) for kind in kinds]))
