"""What a hospital's systems give and take: DICOM objects, archives, de-identification."""
