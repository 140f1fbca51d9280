"""Label formats of other programs, one file each: read into and written from `train.labels.label_set`."""
