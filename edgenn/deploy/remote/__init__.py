"""The far end of a deployment: runs on the target, before anything is installed there.

The modules of this package are sent over the connection and live in memory only. They may
import the standard library and each other, nothing else.
"""
