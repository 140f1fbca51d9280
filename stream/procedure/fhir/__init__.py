"""The report of a procedure as FHIR R4, for systems that keep records of patients."""

from __future__ import annotations

from stream.procedure.fhir.bundle import bundle_of, fhir_text

__all__ = ["bundle_of", "fhir_text"]
