"""Making trained nets smaller: post-training quantisation, one file per format."""
