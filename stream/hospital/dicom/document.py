"""The report of a procedure as an Encapsulated PDF object."""

from __future__ import annotations

from pydicom.dataset import Dataset

from stream.hospital.dicom.instances import NOTICE, Series, Study

_ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
_EXPLICIT = "1.2.840.10008.1.2.1"


def pdf_object(study: Study, series: Series, pdf: bytes) -> Dataset:
    """An object that holds a PDF.

    Args:
        study: that it belongs to.
        series: of the object.
        pdf: the document.
    """
    made = study.instance(_ENCAPSULATED_PDF, _EXPLICIT, series, 1)
    made.ConversionType = "WSD"
    made.BurnedInAnnotation = "YES"
    made.AcquisitionDateTime = ""
    made.DocumentTitle = f"Report of a procedure. {NOTICE}"
    made.ConceptNameCodeSequence = []
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    made.EncapsulatedDocumentLength = len(pdf)
    return made
