"""Looks at rendered polyps: the same one is known again, others are not, whatever they look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.arrays import Image
from engine.conversion.onnx_graph import network_with_output, session_of
from engine.errors import InputError
from stream.frame import Detection
from stream.procedure.lesions.features import LookFeatures
from stream.procedure.lesions.joining import JoiningSettings, TrackLooks, join_tracks
from stream.procedure.lesions.matching import agreeing_points, find_points
from stream.procedure.lesions.pieces import Piece, SeenLook, cut_between, sightings_of
from stream.procedure.looks import Look, choose_looks, places_in, read_looks
from stream.procedure.reading import Sighting, read_procedure
from tests.kit.examined import examined_clip, examined_parts
from tests.kit.tiny_bundle import make_tiny_bundle


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[Image]]:
    """Crops of the three polyps of the sample clip, eight looks each."""
    procedure = read_procedure(examined_clip(tmp_path_factory.mktemp("exam")))
    features = LookFeatures()
    found: dict[int, list[Image]] = {}
    for look in read_looks(procedure):
        found.setdefault(look.track_id, []).append(features.crop(look))
    return found


def _moved(crop: Image, *, degrees: float = 12.0, scale: float = 1.1, light: float = 0.85) -> Image:
    """The same place seen anew: turned, nearer, darker, with noise."""
    side = crop.shape[0]
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), degrees, scale)
    moved = cv2.warpAffine(crop, matrix, (side, side)).astype(np.float32) * light
    return (moved + np.random.default_rng(1).normal(0, 2, moved.shape)).clip(0, 255).astype(np.uint8)


def _looks(crops: Sequence[Image]) -> TrackLooks:
    return TrackLooks(LookFeatures().of(crops), [find_points(crop) for crop in crops])


def _track(first: int, *, box: tuple[float, float, float, float] = (0, 0, 50, 50)) -> list[Sighting]:
    return [
        Sighting(frame, frame / 10, (0, 0, 200, 200), True, Detection(box, 0.9, track_id=1))
        for frame in range(first, first + 10)
    ]


def test_points_agree_for_one_place_and_not_for_two(crops: dict[int, list[Image]]) -> None:
    best = {track: looks[4] for track, looks in crops.items()}
    for track, crop in best.items():
        assert agreeing_points(find_points(crop), find_points(_moved(crop))) >= 7, track
    others = [(best[1], best[2]), (best[1], best[3]), (best[2], best[3])]
    assert all(agreeing_points(find_points(one), find_points(other)) < 5 for one, other in others)


def test_a_neighbour_in_the_same_picture_is_no_same_polyp(crops: dict[int, list[Image]]) -> None:
    crop = crops[1][4]
    beside = np.roll(crop, 60, axis=1)  # the same wall around another middle
    assert agreeing_points(find_points(crop), find_points(beside)) == 0


def test_a_crop_without_anything_has_no_points() -> None:
    flat = find_points(np.full((192, 192, 3), 90, np.uint8))
    assert len(flat.places) == 0
    assert agreeing_points(flat, flat) == 0


def test_tracks_of_one_lesion_are_joined(crops: dict[int, list[Image]]) -> None:
    tracks = {1: _track(0), 2: _track(100), 3: _track(200), 4: _track(300)}
    looks = {
        1: _looks(crops[1][2:6]),
        2: _looks(crops[2][2:6]),
        3: _looks([_moved(crop) for crop in crops[1][2:6]]),
        4: _looks(crops[3][2:6]),
    }
    told: list[int] = []
    assert join_tracks(tracks, looks, on_progress=told.append) == [(1, 3), (2,), (4,)]
    assert sum(told) == 6
    never = JoiningSettings(least_points=1000, enough_points=1000)
    assert join_tracks(tracks, looks, never) == [(1,), (2,), (3,), (4,)]


def test_what_is_in_view_at_once_is_two_lesions(crops: dict[int, list[Image]]) -> None:
    looks = {one: _looks(crops[1][2:6]) for one in (1, 2)}
    apart = {1: _track(0), 2: _track(5, box=(100, 100, 150, 150))}
    assert join_tracks(apart, looks) == [(1,), (2,)]
    one_place = {1: _track(0), 2: _track(5, box=(5, 5, 55, 55))}
    assert join_tracks(one_place, looks) == [(1, 2)]
    # A third track that fits both joins one of them, and never both.
    looks[3] = looks[1]
    assert len(join_tracks({**apart, 3: _track(50)}, looks)) == 2


def test_a_track_that_went_over_to_another_polyp_is_cut(crops: dict[int, list[Image]]) -> None:
    features = LookFeatures()

    def look(crop: Image, frame: int) -> SeenLook:
        return SeenLook(frame, features.of([crop])[0], find_points(crop))

    steady, jumped = _track(0), [*_track(0)[:6], *_track(0, box=(100, 100, 150, 150))[6:]]
    first, same, other = look(crops[1][4], 0), look(_moved(crops[1][4]), 9), look(crops[3][4], 9)
    assert cut_between(first, other, jumped) == 6
    assert cut_between(first, same, jumped) is None  # the camera jerked
    assert cut_between(first, other, steady) is None  # the camera turned
    pieces = [Piece(1, 0, [first]), Piece(1, 6, [other])]
    assert [len(part) for part in sightings_of(pieces, jumped)] == [6, 4]
    assert sightings_of(pieces[:1], jumped) == [tuple(jumped)]


def test_looks_are_spread_and_leave_out_what_is_not_seen() -> None:
    seen = [
        Sighting(frame, frame / 10, (0, 0, 200, 200), frame != 7, Detection((0, 0, 50, 50), 0.9, between=frame == 3))
        for frame in range(80)
    ]
    chosen = [one.frame for one in choose_looks(seen)]
    assert len(chosen) == 8
    assert chosen == sorted(chosen)
    assert 3 not in chosen and 7 not in chosen
    only_between = [Sighting(0, 0.0, (0, 0, 9, 9), False, Detection((0, 0, 5, 5), 0.5, between=True))]
    assert choose_looks(only_between) == only_between


def test_looks_of_two_recordings_in_order(tmp_path: Path) -> None:
    procedure = read_procedure(examined_parts(tmp_path))
    looks: list[Look] = list(read_looks(procedure))
    frames = [look.sighting.frame for look in looks]
    assert frames == sorted(frames)
    assert {look.track_id for look in looks} == {1, 2, 3, 11, 12, 13}
    assert places_in(procedure, tmp_path / "recordings") == [one.path for one in procedure.recordings]
    with pytest.raises(InputError, match="exam-17 has 2 recordings and .*name the folder"):
        places_in(procedure, tmp_path / "exam17_001.mp4")


def test_a_network_gives_a_value_inside_it(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "tiny")
    network = bundle.networks["fp32"].path.read_bytes()
    session = session_of(network_with_output(network, "grey"))
    assert [one.name for one in session.get_outputs()][-1] == "grey"
    pictures = np.random.default_rng(0).random((2, 3, 64, 64), np.float32)
    (grey,) = session.run(["grey"], {session.get_inputs()[0].name: pictures})
    np.testing.assert_allclose(grey, pictures.mean(axis=1, keepdims=True), rtol=1e-5)


def test_features_are_alike_for_one_look() -> None:
    crop = np.random.default_rng(0).integers(0, 255, (192, 192, 3), np.uint8)
    features = LookFeatures().of([crop, crop])
    assert features.shape[0] == 2
    np.testing.assert_allclose(features @ features.T, 1.0, atol=1e-5)
    assert LookFeatures().of([]).shape[0] == 0
