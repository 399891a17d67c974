"""The one artefact between training and device: a manifest, model files and golden samples."""
