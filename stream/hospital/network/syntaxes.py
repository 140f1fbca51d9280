"""Transfer syntaxes and SOP classes: what is proposed to a peer, and how they are called for people.

The names `UID` and constants are those of pydicom; the classes are those that an endoscopy unit sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom import uid as uids
from pydicom.uid import UID
from pynetdicom import sop_class as classes

VERIFICATION = UID("1.2.840.10008.1.1")

MOST_CONTEXTS = 128
"""Presentation contexts of one association (PS3.8 9.3.2.2: odd numbers of one byte)."""

VIDEO_SYNTAXES = tuple(UID(one) for one in uids.MPEGTransferSyntaxes)
"""MPEG-2, H.264 and HEVC, in one fragment or several."""

PICTURE_SYNTAXES = (
    uids.JPEGBaseline8Bit,
    uids.JPEGExtended12Bit,
    uids.JPEGLossless,
    uids.JPEGLosslessSV1,
    uids.JPEGLSLossless,
    uids.JPEGLSNearLossless,
    uids.JPEG2000Lossless,
    uids.JPEG2000,
    uids.RLELossless,
)
"""Compressed pictures."""

PLAIN_SYNTAXES = (
    uids.ExplicitVRLittleEndian,
    uids.ImplicitVRLittleEndian,
    uids.DeflatedExplicitVRLittleEndian,
    uids.ExplicitVRBigEndian,
)
"""Uncompressed; one may become another without loss."""

VIDEO_CLASSES: tuple[UID, ...] = (
    classes.VideoEndoscopicImageStorage,
    classes.VideoPhotographicImageStorage,
    classes.VideoMicroscopicImageStorage,
)
PICTURE_CLASSES: tuple[UID, ...] = (
    classes.VLEndoscopicImageStorage,
    classes.VLPhotographicImageStorage,
    classes.VLMicroscopicImageStorage,
    classes.SecondaryCaptureImageStorage,
    classes.MultiFrameTrueColorSecondaryCaptureImageStorage,
)
DOCUMENT_CLASSES: tuple[UID, ...] = (
    classes.BasicTextSRStorage,
    classes.EnhancedSRStorage,
    classes.ComprehensiveSRStorage,
    classes.Comprehensive3DSRStorage,
    classes.KeyObjectSelectionDocumentStorage,
    classes.EncapsulatedPDFStorage,
)


def fetched_contexts(wanted: Iterable[UID] = ()) -> list[tuple[UID, list[UID]]]:
    """What is proposed when objects are fetched: each compressed syntax by itself, so that none is converted.

    Args:
        wanted: SOP classes of the objects, where they are known; without any, all that an endoscopy unit sees.
    """
    known = {*VIDEO_CLASSES, *PICTURE_CLASSES, *DOCUMENT_CLASSES}
    chosen = list(dict.fromkeys(wanted)) or [*VIDEO_CLASSES, *PICTURE_CLASSES, *DOCUMENT_CLASSES]
    contexts: list[tuple[UID, list[UID]]] = []
    for one in chosen:
        if one in VIDEO_CLASSES:
            contexts += [(one, [syntax]) for syntax in VIDEO_SYNTAXES]
        elif one in PICTURE_CLASSES or one not in known:
            contexts += [(one, [syntax]) for syntax in PICTURE_SYNTAXES[:4] + PICTURE_SYNTAXES[6:]]
        if one not in VIDEO_CLASSES:
            contexts.append((one, list(PLAIN_SYNTAXES[:2])))
    return contexts


def syntax_name(syntax: str) -> str:
    """A transfer syntax for people: its name, and its UID."""
    uid = UID(syntax)
    return f"{uid.name} ({uid})" if uid.name != uid else str(uid)


def class_name(sop_class: str) -> str:
    """A SOP class for people."""
    return str(UID(sop_class).name)


def listed(syntaxes: Sequence[str]) -> str:
    """Transfer syntaxes for a message, in one line."""
    return "; ".join(syntax_name(one) for one in syntaxes) if syntaxes else "none that is known here"
