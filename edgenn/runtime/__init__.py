"""What runs on the device: sources, engines, decoding, temporal stages, sinks. Never torch."""
