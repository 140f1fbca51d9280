"""To the archive and back: DICOM objects sent, found and fetched, over DIMSE or DICOMweb."""
