"""CT volumes and images of doubtful origin: DICOM, NIfTI, MetaImage, PNG, JPEG, TIFF; geometry and window."""
