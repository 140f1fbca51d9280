"""Objects of every kind, made once."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

pytest.importorskip("pynetdicom", reason="needs the extra dicom")

from tests.kit.dicom_objects import every_kind
from tests.kit.studies import make_recording, spot_picture


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Films of two seconds, by codec."""
    folder = tmp_path_factory.mktemp("films")
    return {
        "h264": make_recording(folder / "a.mp4", 1),
        "mpeg2": make_recording(folder / "b.mpg", 2, codec="mpeg2video"),
    }


@pytest.fixture(scope="session")
def objects(films: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An object of each kind, by name: h264, mpeg2, plain, jpeg, report, pdf."""
    jpeg = cv2.imencode(".jpg", spot_picture(1, 0))[1].tobytes()
    return every_kind(tmp_path_factory.mktemp("objects"), films["h264"], films["mpeg2"], jpeg)
