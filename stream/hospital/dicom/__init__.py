"""Results as DICOM objects: videos, pictures of findings, a structured report, and the report as a document."""
