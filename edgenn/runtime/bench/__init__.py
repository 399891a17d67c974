"""How fast the variants of a bundle are on this machine, each in processes of its own.

`run.bench` measures, `compare.compare` sets two reports against each other.
"""
