"""`polypstream deidentify`: recordings, pictures and DICOM objects without what names a patient."""
