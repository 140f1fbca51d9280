"""Which formats and protocols FFmpeg may use for each kind of source, and the one way to open a local media file.

FFmpeg takes a file for what its first bytes say, whatever its name, and some of what it knows reads on: a playlist
(HLS, DASH, ffconcat) names other files and hosts, a session description opens ports, a filter graph or a device is no
file at all. So each kind of source gets a list of what may be opened; all else is refused by FFmpeg itself.
"""

from __future__ import annotations

from pathlib import Path

import av
from av.container import InputContainer

from stream.sources.containers.dicom.media import encapsulated_video
from stream.sources.containers.size_limit import decoder_options

_VIDEOS = [
    "mov",
    "matroska",
    "avi",
    "mpegts",
    "mpegtsraw",
    "mpeg",
    "mpegvideo",
    "m4v",
    "asf",
    "asf_o",
    "flv",
    "live_flv",
    "ogg",
    "mxf",
    "gxf",
    "dv",
    "nut",
    "rm",
    "wtv",
    "ivf",
    "obu",
    "av1",
    "h261",
    "h263",
    "h264",
    "hevc",
    "vvc",
    "evc",
    "mjpeg",
    "mjpeg_2000",
    "mpjpeg",
    "vc1",
    "vc1test",
    "cavsvideo",
    "avs2",
    "avs3",
    "dirac",
    "dnxhd",
    "ingenient",
    "gif",
    "apng",
    "yuv4mpegpipe",
    "webp",
    "jpegxl_anim",
    "swf",
    "dhav",
    "nsv",
    "pva",
    "dxa",
    "flic",
    "smjpeg",
    "ser",
    "kux",
    "moflex",
    "xmv",
    "vividas",
    "film_cpk",
    "r3d",
    "fits",
    "ty",
    "sdr2",
    "mtv",
    "nc",
    "lmlm4",
    "amv",
    "avr",
    "bink",
    "smk",
    "roq",
    "4xm",
    "mm",
    "cine",
    "rpl",
]
_DICOM_BUFFER = 1 << 18  # bytes that FFmpeg asks a DICOM object for at once
_PICTURES = [
    "bmp_pipe",
    "dds_pipe",
    "dpx_pipe",
    "exr_pipe",
    "gem_pipe",
    "gif_pipe",
    "hdr_pipe",
    "j2k_pipe",
    "jpeg_pipe",
    "jpegls_pipe",
    "jpegxl_pipe",
    "pam_pipe",
    "pbm_pipe",
    "pcx_pipe",
    "pgm_pipe",
    "png_pipe",
    "ppm_pipe",
    "psd_pipe",
    "qoi_pipe",
    "sgi_pipe",
    "sunrast_pipe",
    "tiff_pipe",
    "webp_pipe",
    "xbm_pipe",
    "xpm_pipe",
    "xwd_pipe",
]
# Without pictures: they are opened so that this can be said.
_OTHERS = ["aac", "ac3", "aiff", "ass", "caf", "eac3", "flac", "mp3", "srt", "w64", "wav", "webvtt"]
CLOSED_FORMATS = ",".join([*_VIDEOS, *_PICTURES, *_OTHERS])
"""Formats that hold all that they show: none of them opens another file or host."""


def file_options(formats: str = CLOSED_FORMATS) -> dict[str, str]:
    """Return FFmpeg's options for a local file: it opens this file and nothing else."""
    # Without a pattern type, FFmpeg would take "%d" in a picture's name for the numbers of a sequence.
    whitelists = {"protocol_whitelist": "file", "format_whitelist": formats}
    return {**whitelists, "pattern_type": "none", **decoder_options()}


def open_file(path: Path, *, formats: str = CLOSED_FORMATS) -> InputContainer:
    """Open a local media file, as one that stands alone; of a DICOM object the video in it.

    Args:
        path: of the file.
        formats: that it may have, with commas between them.

    Raises:
        OSError, ValueError: it cannot be read (FFmpeg's errors and `SourceError` are such as well).
    """
    video = encapsulated_video(path)
    if video is not None:
        options = {"protocol_whitelist": "pipe", "format_whitelist": formats, **decoder_options()}
        if video.frame_rate is not None:
            options["framerate"] = str(video.frame_rate)  # of a bare stream: all others have times of their own
        return av.open(video, mode="r", options=options, metadata_errors="replace", buffer_size=_DICOM_BUFFER)
    # "file:" keeps names such as "rtsp:x.mp4" from being taken for a protocol.
    return av.open(f"file:{path}", mode="r", options=file_options(formats), metadata_errors="replace")


def refers_to_others(path: Path) -> bool:
    """Say whether a file is a playlist or a description of a stream: it only names what would have to be opened."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(2048).lstrip(b"\xef\xbb\xbf\r\n\t ")
    except OSError:
        return False
    return head.startswith((b"#EXTM3U", b"ffconcat", b"v=0")) or b"<MPD" in head


def network_options(scheme: str, *, ca_file: str | None = None) -> dict[str, str]:
    """Return FFmpeg's options for a network source: which protocols and formats, and whom to trust.

    A web server's playlist (HLS, DASH) is refused: its parts may lie anywhere. So is a reference to another address.

    Args:
        scheme: rtsp, rtsps, udp, http or https, in small letters.
        ca_file: certificates of the authorities that https and rtsps are verified by.
    """
    verified = {"tls_verify": "1"} if ca_file is None else {"tls_verify": "1", "ca_file": ca_file}
    of_web = {"format_whitelist": CLOSED_FORMATS, "max_redirects": "0"}
    whitelists = {
        "rtsp": {"protocol_whitelist": "rtsp,rtp,tcp", "format_whitelist": "rtsp,sdp,mpegts"},
        "rtsps": {"protocol_whitelist": "rtsps,rtp,tls,tcp", "format_whitelist": "rtsp,sdp,mpegts", **verified},
        "udp": {"protocol_whitelist": "udp", "format_whitelist": "mpegts"},
        "http": {"protocol_whitelist": "http,httpproxy,tcp", **of_web},
        "https": {"protocol_whitelist": "https,httpproxy,tls,tcp", **of_web, **verified},
    }[scheme]
    return {**whitelists, **decoder_options()}
