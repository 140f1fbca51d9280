"""DICOM objects: attributes by the profile at every depth, pixels as those of any other file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

pytest.importorskip("pydicom", reason="needs pydicom: pip install polypstream[deidentify]")
pytest.importorskip("dicomanonymizer", reason="needs dicom-anonymizer: pip install polypstream[deidentify]")

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from engine.errors import SourceError
from polypstream.cli import main
from stream.hospital.deidentify.keys import Key
from stream.hospital.deidentify.writing.dicom import _read as read_dataset
from stream.hospital.deidentify.writing.profile import clean_attributes
from stream.sources.opening import open_source
from tests.kit.burned_in import SIZE_WH, make_clip, planted_frame
from tests.kit.dicom_media import make_picture_object, make_video_object, new_object, read, rgb, validator_errors

_H264 = "1.2.840.10008.1.2.4.102"


def _somebody(**more: Any) -> Dataset:
    made = new_object("1.2.840.10008.5.1.4.1.1.77.1.1", "1.2.840.10008.1.2.1", **more)
    made.PatientName, made.InstitutionName, made.StudyDescription = "Mueller^Olga", "Klinik Mueller", "of Olga Mueller"
    made.AcquisitionDateTime, made.ImageComments = "20260301101500", "looks like Mueller"
    made.add_new((0x0009, 0x0010), "LO", "MAKER")
    made.add_new((0x0009, 0x1001), "LO", "Mueller")
    item = Dataset()
    item.ReferencedSOPInstanceUID, item.ReferencedSOPClassUID = made.SOPInstanceUID, made.SOPClassUID
    item.PersonName = "Mueller^Olga"
    made.ReferencedImageSequence = Sequence([item])
    return made


@pytest.mark.parametrize("in_header", [True, False])
def test_an_object_that_lacks_its_own_uid(tmp_path: Path, in_header: bool) -> None:
    """It stands in the header of the file too; where it is nowhere, the object is refused."""
    made = read(make_picture_object(tmp_path / "IM1", [np.zeros((4, 4, 3), np.uint8)]))
    uid = made.SOPInstanceUID
    del made.SOPInstanceUID
    if not in_header:
        del made.file_meta.MediaStorageSOPInstanceUID
    made.save_as(tmp_path / "IM1")
    if in_header:
        found = read_dataset(tmp_path / "IM1")
        assert found.SOPInstanceUID == uid and "PixelData" not in found  # a video may be larger than the memory
    else:
        with pytest.raises(SourceError, match="does not name its SOPInstanceUID; send"):
            read_dataset(tmp_path / "IM1")


def test_attributes_are_cleaned_at_every_depth_and_dates_move_together() -> None:
    before, made, key = _somebody(), _somebody(), Key()
    made.SOPInstanceUID = before.SOPInstanceUID
    made.ReferencedImageSequence[0].ReferencedSOPInstanceUID = before.SOPInstanceUID
    study = str(made.StudyInstanceUID)
    done = clean_attributes(made, key)
    text = str(made)
    assert "Mueller" not in text and "Olga" not in text and str(before.SOPInstanceUID) not in text
    assert made.SOPInstanceUID == key.uids[str(before.SOPInstanceUID)]
    assert made.ReferencedImageSequence[0].ReferencedSOPInstanceUID == made.SOPInstanceUID
    assert made.StudyInstanceUID == key.uid(study)
    assert not made.PatientBirthDate and made.PatientIdentityRemoved == "YES"
    assert made.StudyDate + made.StudyTime == made.AcquisitionDateTime != "20260301101500"
    assert made.StudyDate < "20260301" and key.shifts_s[study] < 0
    assert [one.CodeValue for one in made.DeidentificationMethodCodeSequence] == ["113100", "113101", "113107"]
    assert {"StudyDescription: removed", "private attributes: removed"} <= set(done)


def test_where_text_is_not_read_the_object_does_not_say_that_its_pixels_are_clean() -> None:
    made = _somebody(BurnedInAnnotation="YES")
    clean_attributes(made, Key(), text_is_read=False)
    assert made.BurnedInAnnotation == "YES" and "text not read" in made.DeidentificationMethod
    assert [one.CodeValue for one in made.DeidentificationMethodCodeSequence] == ["113100", "113107"]
    clean_attributes(made, Key())
    assert made.BurnedInAnnotation == "NO"


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dicom3tools")
def test_a_validator_finds_no_error_that_was_not_there_before(tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="needs its tables of the standard: pip install polypstream[dicom]")
    from tests.kit.dicom_standard import missing_attributes

    clip = make_clip(tmp_path / "clip.mp4", "octagon", frames=8)
    make_video_object(tmp_path / "video.dcm", clip, _H264, size_wh=SIZE_WH, frames=8)
    make_picture_object(tmp_path / "picture.dcm", [rgb(planted_frame("octagon", 3).image)])
    for name in ("video", "picture"):
        output = tmp_path / f"clean-{name}.dcm"
        assert main(["deidentify", str(tmp_path / f"{name}.dcm"), "--output", str(output), "--without-ocr"]) == 0
        source = tmp_path / f"{name}.dcm"
        before, after = validator_errors(source), validator_errors(output)
        assert before and set(after) <= set(before), (name, before, after)
        assert set(missing_attributes(read(output))) <= set(missing_attributes(read(source))), name


def test_a_video_of_60_frames_a_second_names_the_level_that_it_keeps_to(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=60, options={"preset": "ultrafast", "g": "2"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((1080, 1920, 3), np.uint8), "bgr24")))
        container.mux(stream.encode())
    source = make_video_object(tmp_path / "a.dcm", clip, _H264, size_wh=(1920, 1080), frames=4, FrameTime=1000 / 60)
    output = tmp_path / "clean.dcm"
    assert main(["deidentify", str(source), "--output", str(output), "--without-ocr"]) == 0
    assert read(output).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.104"


def test_two_objects_of_a_study_stay_together() -> None:
    key, one, other = Key(), _somebody(), _somebody()
    other.StudyInstanceUID = one.StudyInstanceUID
    clean_attributes(one, key)
    clean_attributes(other, key)
    assert one.StudyInstanceUID == other.StudyInstanceUID and one.PatientID == other.PatientID
    assert one.SOPInstanceUID != other.SOPInstanceUID and one.StudyDate == other.StudyDate
    again = _somebody()
    clean_attributes(again, Key())
    assert again.PatientID != one.PatientID


def test_an_object_of_pictures_is_covered_like_a_picture(tmp_path: Path) -> None:
    planted = planted_frame("octagon", 3)
    frames = [rgb(planted.image), rgb(planted_frame("octagon", 9).image)]
    source = make_picture_object(tmp_path / "mueller.dcm", frames, PatientName="Mueller^Olga")
    held = bytearray(source.read_bytes())
    held[:7] = b"Mueller"  # the preamble may hold anything
    source.write_bytes(held)
    output = tmp_path / "clean.dcm"
    assert main(["deidentify", str(source), "--output", str(output), "--without-ocr"]) == 0
    assert b"Mueller" not in output.read_bytes()
    made = read(output)
    assert made.NumberOfFrames == 2 and made.SOPInstanceUID == made.file_meta.MediaStorageSOPInstanceUID
    with open_source(output) as reread:
        images = [frame.image.copy() for frame in reread]
    assert len(images) == 2
    assert images[0][~planted.field].max() == 0
    shown = images[0].any(axis=2)
    assert shown.mean() > 0.4 and np.array_equal(images[0][shown], planted.image[shown])


def test_an_object_of_a_video_comes_out_as_one(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", "octagon", frames=16)
    source = make_video_object(tmp_path / "a.dcm", clip, _H264, size_wh=(480, 360), frames=16, PatientName="Mueller")
    assert b"Mueller" in source.read_bytes()
    output, key = tmp_path / "clean.dcm", tmp_path / "key.json"
    arguments = [str(source), "--output", str(output), "--key", str(key), "--without-ocr"]
    assert main(["deidentify", *arguments]) == 0
    assert b"mueller" not in output.read_bytes().lower()
    with open_source(output) as reread:
        images = [frame.image.copy() for frame in reread]
    assert len(images) == 16 == read(output).NumberOfFrames
    assert max(int(image[~planted_frame("octagon", 0).field].max()) for image in images) <= 16
    assert images[5].mean() > 40
    assert main(["deidentify", *arguments]) == 2  # it is there already
    assert main(["deidentify", "--verify", str(output), "--without-ocr"]) == 0
    assert main(["deidentify", "--verify", str(source), "--without-ocr"]) == 1


def test_an_object_without_pixels_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.dcm"
    _somebody().save_as(path, enforce_file_format=True)
    assert main(["deidentify", str(path), "--output", str(tmp_path / "out.dcm"), "--without-ocr"]) == 2
    assert str(path) in capsys.readouterr().err
    assert not (tmp_path / "out.dcm").exists()
