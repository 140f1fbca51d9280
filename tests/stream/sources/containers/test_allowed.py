"""A local file opens nothing but itself."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from engine.errors import SourceError
from stream.record.audio_copy import AudioCopy
from stream.sources.containers.allowed import CLOSED_FORMATS
from stream.sources.opening import open_source
from tests.kit.live_media import http_server
from tests.kit.media import make_video

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile '{target}'\n"
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S">'
    '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>"
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", HLS),
        ("list.mp4", CONCAT),
        ("list.ffconcat", CONCAT),
        ("list.sdp", SDP),
        ("list.mpd", DASH),
        ("list.mkv", "\n" + HLS),
    ],
)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["another file", "another host"])
def test_a_file_that_names_others_opens_none_of_them(tmp_path: Path, name: str, text: str, elsewhere: bool) -> None:
    secret = make_video(tmp_path / "other.ts", frames=25)
    asked: list[str] = []
    with http_server(lambda handler: asked.append(handler.path)) as port:
        target = f"http://127.0.0.1:{port}/other.ts" if elsewhere else secret.name
        path = tmp_path / name
        path.write_text(text.format(target=target) if "{target}" in text else text)
        with pytest.raises(SourceError, match="playlist or a description"):
            open_source(path)
        with pytest.raises((OSError, ValueError)):  # nor does the copy of the sound
            AudioCopy(path, output=None, stream=1, start_s=Fraction(0))  # type: ignore[arg-type]
    assert asked == []


@pytest.mark.parametrize(
    ("ending", "codec"),
    [
        ("mp4", "libx264"),
        ("mov", "libx264"),
        ("mkv", "libx264"),
        ("avi", "mpeg4"),
        ("ts", "libx264"),
        ("mpg", "mpeg1video"),
        ("vob", "mpeg2video"),
        ("m4v", "mpeg4"),
        ("flv", "libx264"),
        ("asf", "mpeg4"),
        ("webm", "libvpx"),
        ("ogv", "libvpx"),
        ("mxf", "mpeg2video"),
        ("dv", "dvvideo"),
        ("nut", "mpeg4"),
        ("gif", "gif"),
        ("h264", "libx264"),
        ("mjpeg", "mjpeg"),
        ("y4m", "wrapped_avframe"),
        ("apng", "apng"),
    ],
)
def test_a_file_that_holds_its_own_pictures_is_read(tmp_path: Path, ending: str, codec: str) -> None:
    path = tmp_path / f"a.{ending}"
    try:
        wide = {"dv": (720, 576)}.get(ending, (128, 96))
        make_video(path, frames=3, codec=codec, size=wide)
    except (av.error.FFmpegError, ValueError) as error:
        pytest.skip(f"this FFmpeg writes no {codec} in {ending}: {error}")
    with open_source(path) as source:
        assert len(list(source)) == 3


def test_no_format_of_the_list_reads_on() -> None:
    dangerous = {
        "hls",
        "dash",
        "concat",
        "sdp",
        "rtsp",
        "rtp",
        "sap",
        "lavfi",
        "image2",
        "v4l2",
        "x11grab",
        "imf",
        "vobsub",
    }
    listed = set(CLOSED_FORMATS.split(","))
    assert not listed & dangerous
    assert len(listed) == CLOSED_FORMATS.count(",") + 1
