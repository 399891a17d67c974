"""Brings a bundle to other machines over ssh, and leaves what ran there alone if it fails.

``plan`` decides what is to be done, ``rollout`` does it, ``ssh`` is the connection. ``remote``
is sent to the other machine, which needs nothing but Python for it.
"""
