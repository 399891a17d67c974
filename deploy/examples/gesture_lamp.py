"""Switch a lamp at a GPIO pin with gestures: one on, another off. Needs edgenn[gpio].

    python gesture_lamp.py watch recording.csv wave stop 17

GPIOZERO_PIN_FACTORY=mock tries it out without pins.
"""

from __future__ import annotations

import sys

import gpiozero

import edgenn


def main(model: str, source: str, on: str, off: str, pin: str = "17") -> None:
    lamp = gpiozero.LED(int(pin))

    def switch(result: edgenn.Result) -> None:
        for event in result.events:
            if event.label in (on, off):
                lamp.value = event.label == on
                print(f"{event.end:8.2f} s  {event.label}: lamp {'on' if lamp.is_lit else 'off'}")

    try:
        edgenn.Pipeline(source, model).run(switch)
    finally:
        lamp.close()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except edgenn.EdgennError as error:
        sys.exit(str(error))
