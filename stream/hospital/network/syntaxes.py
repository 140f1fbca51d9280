"""Transfer syntaxes and SOP classes: what is proposed to a peer or taken from it, and their names for people."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import uid as uids
from pydicom.uid import UID
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts

VERIFICATION = UID("1.2.840.10008.1.1")
STUDY_FIND, STUDY_MOVE, STUDY_GET = (UID(f"1.2.840.10008.5.1.4.1.2.2.{number}") for number in (1, 2, 3))
"""Query and retrieve, Study Root."""

MOST_CONTEXTS = 128
"""Presentation contexts of one association (PS3.8 9.3.2.2: odd numbers of one byte)."""

VIDEO_SYNTAXES = tuple(UID(one) for one in uids.MPEGTransferSyntaxes)
"""MPEG-2, H.264 and HEVC, in one fragment or several."""

PICTURE_SYNTAXES = (
    uids.JPEGBaseline8Bit,
    uids.JPEGExtended12Bit,
    uids.JPEGLosslessSV1,
    uids.JPEGLSLossless,
    uids.JPEG2000Lossless,
    uids.JPEG2000,
    uids.RLELossless,
)
"""Compressed pictures, as they are proposed when objects are fetched."""

PLAIN_SYNTAXES = (
    uids.ExplicitVRLittleEndian,
    uids.ImplicitVRLittleEndian,
    uids.DeflatedExplicitVRLittleEndian,
    uids.ExplicitVRBigEndian,
)
"""Uncompressed; one may become another without loss."""

VIDEO_CLASSES: tuple[UID, ...] = (
    uids.VideoEndoscopicImageStorage,
    uids.VideoPhotographicImageStorage,
    uids.VideoMicroscopicImageStorage,
)
PICTURE_CLASSES: tuple[UID, ...] = (
    uids.VLEndoscopicImageStorage,
    uids.VLPhotographicImageStorage,
    uids.VLMicroscopicImageStorage,
    uids.SecondaryCaptureImageStorage,
    uids.MultiFrameTrueColorSecondaryCaptureImageStorage,
)
DOCUMENT_CLASSES: tuple[UID, ...] = (
    uids.BasicTextSRStorage,
    uids.EnhancedSRStorage,
    uids.ComprehensiveSRStorage,
    uids.Comprehensive3DSRStorage,
    uids.KeyObjectSelectionDocumentStorage,
    uids.EncapsulatedPDFStorage,
)


def fetched_contexts() -> list[tuple[UID, list[UID]]]:
    """What is proposed when objects are fetched: each compressed syntax by itself, so that none is converted."""
    contexts: list[tuple[UID, list[UID]]] = []
    for one in VIDEO_CLASSES:
        contexts += [(one, [syntax]) for syntax in VIDEO_SYNTAXES]
    for one in PICTURE_CLASSES:
        contexts += [(one, [syntax]) for syntax in PICTURE_SYNTAXES]
    contexts += [(one, list(PLAIN_SYNTAXES[:2])) for one in (*PICTURE_CLASSES, *DOCUMENT_CLASSES)]
    return contexts


def taken_contexts(*, everything: bool = False) -> dict[UID, tuple[UID, ...]]:
    """What is taken where we listen: each class with all syntaxes in which it may come.

    Args:
        everything: all storage classes of the standard; otherwise video, pictures and documents of an endoscopy unit.
    """
    if everything:
        every = tuple(UID(one) for one in ALL_TRANSFER_SYNTAXES)
        return {UID(str(one.abstract_syntax)): every for one in AllStoragePresentationContexts}
    families = (uids.JPEGTransferSyntaxes, uids.JPEGLSTransferSyntaxes, uids.JPEG2000TransferSyntaxes)
    pictures = (*(one for family in families for one in family), uids.RLELossless, *PLAIN_SYNTAXES)
    return {
        **dict.fromkeys(VIDEO_CLASSES, VIDEO_SYNTAXES),
        **dict.fromkeys(PICTURE_CLASSES, pictures),
        **dict.fromkeys(DOCUMENT_CLASSES, PLAIN_SYNTAXES),
    }


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
