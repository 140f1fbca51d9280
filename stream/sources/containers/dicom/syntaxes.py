"""Transfer syntaxes (DICOM PS3.5, annex A): which of them hold video, and how pictures in the others are decoded."""

from __future__ import annotations

DEFLATED = "1.2.840.10008.1.2.1.99"
"""The only syntax whose whole data set is compressed."""

IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

_NATIVE = frozenset({IMPLICIT, "1.2.840.10008.1.2.1", DEFLATED, BIG_ENDIAN})
_JPEG = "1.2.840.10008.1.2.4."

JPEG_OF_8_BITS = frozenset({f"{_JPEG}50", f"{_JPEG}51"})
"""Baseline and extended JPEG; the latter may have 12 bits as well."""

JPEG_LS = frozenset({f"{_JPEG}80", f"{_JPEG}81"})

#: The package that decodes a syntax.
_PACKAGES = {
    f"{_JPEG}51": "python-gdcm",
    f"{_JPEG}57": "python-gdcm",
    f"{_JPEG}70": "python-gdcm",
    f"{_JPEG}80": "pyjpegls",
    f"{_JPEG}81": "pyjpegls",
    f"{_JPEG}90": "pylibjpeg-openjpeg",
    f"{_JPEG}91": "pylibjpeg-openjpeg",
    f"{_JPEG}201": "pylibjpeg-openjpeg",
    f"{_JPEG}202": "pylibjpeg-openjpeg",
    f"{_JPEG}203": "pylibjpeg-openjpeg",
}
#: MPEG-2, H.264 and HEVC; a syntax that ends in .1 may have its stream in several fragments.
_VIDEO = frozenset(f"{_JPEG}{number}{end}" for number in range(100, 109) for end in ("", ".1"))


def is_native(syntax: str) -> bool:
    """Whether pixels are stored as they are."""
    return syntax in _NATIVE


def is_video(syntax: str) -> bool:
    """Whether the pixel data is one video stream."""
    return syntax in _VIDEO


def package_for(syntax: str) -> str:
    """Name of the package that decodes pictures of a syntax; "" where none is known or needed."""
    return _PACKAGES.get(syntax, "")
