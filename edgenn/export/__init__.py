"""From a finished training run to a verified bundle."""
