"""Array maths in numpy and OpenCV, the only copy of it.

Training, export checks and the device all call these functions, so that what
a net was trained on is what it sees in the field.
"""
