"""Events in clips by the boxes that are shown, live and in recordings: every false one, and polyps missed or late."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stream.decision.rule import DecisionRule
from stream.frame import Detection
from train.evaluation.report_pictures import Case, Mark
from train.judging.clips import ClipsResult, JudgedClip, Way, decided_boxes, events_of, polyps_under
from train.metrics.video import STEADY, ClipEvents, PolypEvents, Run, RunRule

# Candidates from this score on are drawn where a polyp has no box, the best so many.
_LEAST_SCORE, _MOST_MARKS = 0.05, 6


@dataclass(frozen=True, slots=True)
class DecidedClips:
    """Clips and what is shown of them.

    Attributes:
        clips: with their truth and candidates.
        boxes: shown in each frame of each clip, by way.
        events: what happened in each clip, by way.
    """

    clips: tuple[JudgedClip, ...]
    boxes: Mapping[Way, Sequence[Sequence[Sequence[Detection]]]]
    events: Mapping[Way, Sequence[ClipEvents]]


@dataclass(frozen=True, slots=True)
class EventPicture:
    """An event and the picture that shows it.

    Attributes:
        case: the picture.
        length_s: of the event in seconds.
    """

    case: Case
    length_s: float


def decide(result: ClipsResult, rule: DecisionRule) -> DecidedClips:
    """What is shown of some clips by a rule."""
    boxes = {way: [decided_boxes(clip, rule, way) for clip in result.clips] for way in Way}
    events = {
        way: [events_of(clip, shown) for clip, shown in zip(result.clips, boxes[way], strict=True)] for way in Way
    }
    return DecidedClips(result.clips, boxes, events)


def false_events(decided: DecidedClips) -> list[EventPicture]:
    """Every false event, the longest first, at its frame of the highest score.

    An event that is shown live and in recordings at once is one, told by its length in recordings.
    """
    found: list[EventPicture] = []
    for place, clip in enumerate(decided.clips):
        runs = [(way, "", run) for way in _ORDER for run in decided.events[way][place].activations]
        for ways, _, run in _merged(runs):
            scores = {
                frame.index: max(one.score for one in wrong)
                for frame, shown in zip(clip.frames, decided.boxes[ways[0]][place], strict=True)
                if run.first <= frame.index <= run.last
                if (wrong := [one for one in shown if not polyps_under(clip.truth, one, frame.index)])
            }
            worst = max(scores, key=lambda index: scores[index])
            text = f"{scores[worst]:.2f}, frames {run.first} to {run.last}, {run.length_s:.2f} s"
            found.append(EventPicture(_case(decided, place, worst, ways, text), run.length_s))
    return sorted(found, key=lambda one: -one.length_s)


def missed_polyps(decided: DecidedClips) -> list[EventPicture]:
    """Every polyp that is never found or not in time, and every gap of 0.5 s or more in view; the longest first."""
    found: list[EventPicture] = []
    for place in range(len(decided.clips)):
        gaps = [
            (way, text, gap)
            for way in _ORDER
            for polyp in decided.events[way][place].polyps
            for text, gap in _worth_a_picture(polyp)
        ]
        for ways, text, gap in _merged(gaps):
            middle = _middle(decided.events[ways[0]][place], gap)
            found.append(EventPicture(_case(decided, place, middle, ways, text), gap.length_s))
    return sorted(found, key=lambda one: -one.length_s)


_ORDER = (Way.RECORDED, Way.LIVE)


def _worth_a_picture(polyp: PolypEvents) -> Iterator[tuple[str, Run]]:
    begin_s = polyp.alarms[0].begin_s if polyp.alarms else None
    before = [gap for gap in polyp.gaps if begin_s is None or gap.begin_s < begin_s]
    late = None if polyp.is_found_in_time(RunRule.ANY) else max(before, key=lambda gap: gap.length_s)
    for gap in polyp.gaps:
        frames = f"frames {gap.first} to {gap.last}"
        if gap is late:
            when = "never found" if polyp.delay_s is None else f"found after {polyp.delay_s:.2f} s"
            yield f"polyp {polyp.polyp_id} {when}, {frames}", gap
        elif STEADY.counts(gap.length_s):
            yield f"polyp {polyp.polyp_id} without a box for {gap.length_s:.2f} s, {frames}", gap


def _merged(runs: Iterable[tuple[Way, str, Run]]) -> list[tuple[tuple[Way, ...], str, Run]]:
    """Runs that overlap one of an earlier way are the same event."""
    merged: list[tuple[tuple[Way, ...], str, Run]] = []
    for way, text, run in runs:
        same = [
            place
            for place, (ways, _, known) in enumerate(merged)
            if ways[0] is not way and run.first <= known.last and known.first <= run.last
        ]
        for place in same:
            ways, known_text, known = merged[place]
            merged[place] = ((*ways, way) if way not in ways else ways, known_text, known)
        if not same:
            merged.append(((way,), text, run))
    return merged


def _middle(events: ClipEvents, run: Run) -> int:
    frames = [frame.index for frame in events.frames if run.first <= frame.index <= run.last]
    return frames[len(frames) // 2]


def _case(decided: DecidedClips, place: int, index: int, ways: tuple[Way, ...], text: str) -> Case:
    clip = decided.clips[place]
    at = next(n for n, frame in enumerate(clip.frames) if frame.index == index)
    shown = decided.boxes[ways[0]][place][at]
    marks = [_mark(clip, one, index, shown=True) for one in shown]
    if not any(mark.right for mark in marks):
        weak = [one for one in clip.frames[at].down_to(_LEAST_SCORE) if not _is_drawn(one, shown)]
        marks += [_mark(clip, one, index, shown=False) for one in weak[: max(_MOST_MARKS - len(marks), 0)]]
    truth = [box for polyp in clip.truth.polyps if (box := polyp.box_in(index)) is not None]
    title = f"{clip.truth.name}, {' and '.join(way.value for way in ways)}, frame {index}: {text}"
    return Case(title, clip.truth.video, index, tuple(truth), tuple(marks))


def _is_drawn(candidate: Detection, shown: Sequence[Detection]) -> bool:
    """Whether a shown box has its centre in a candidate: it was smoothed, and is the same one."""
    x1, y1, x2, y2 = candidate.box_xyxy
    centres = [((left + right) / 2, (top + bottom) / 2) for left, top, right, bottom in (s.box_xyxy for s in shown)]
    return any(x1 <= x < x2 and y1 <= y < y2 for x, y in centres)


def _mark(clip: JudgedClip, one: Detection, index: int, *, shown: bool) -> Mark:
    return Mark(one.box_xyxy, one.score, right=bool(polyps_under(clip.truth, one, index)), shown=shown)
