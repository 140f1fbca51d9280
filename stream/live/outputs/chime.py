"""A short sound when a polyp is found: through the system's player, or the terminal's bell where there is none."""

from __future__ import annotations

import io
import logging
import math
import sys
import tempfile
import wave
from array import array
from pathlib import Path

from engine.console.output import ring
from engine.processes.programs import find_program, run_program
from stream.live.states.result import LiveResult
from stream.live.states.side_worker import SideWorker

logger = logging.getLogger(__name__)

_RATE_HZ = 44_100
_TONES_HZ = (880.0, 1174.7)  # A5, D6: rising
_TONE_S = 0.08
_LONGEST_S = 2.0  # a player that takes longer hangs
#: Players by the name of their program, in the order in which they are looked for.
_PLAYERS = (("paplay",), ("pw-play",), ("aplay", "-q"), ("afplay",))


def chime_wave() -> bytes:
    """The sound as a WAV file: two short tones, soft at both ends, 16 bits, one channel."""
    samples = array("h")
    count = round(_RATE_HZ * _TONE_S)
    for tone_hz in _TONES_HZ:
        for index in range(count):
            envelope = math.sin(math.pi * index / count) ** 0.5
            samples.append(round(8000 * envelope * math.sin(2 * math.pi * tone_hz * index / _RATE_HZ)))
    if sys.byteorder == "big":
        samples.byteswap()
    file = io.BytesIO()
    with wave.open(file, "wb") as output:
        output.setnchannels(1)
        output.setsampwidth(2)
        output.setframerate(_RATE_HZ)
        output.writeframes(samples.tobytes())
    return file.getvalue()


class Chime:
    """Sounds when an alarm begins; a `DetectionListener`. It never waits, and sounds once for what comes at once."""

    def __init__(self) -> None:
        """Find a player."""
        self._sound = chime_wave()
        self._player = _find_player()
        self._worker = SideWorker[int]("chime", self._ring, capacity=1, on_failure=self._fail)

    def detected(self, result: LiveResult) -> None:
        """See `DetectionListener`."""
        if result.begun:
            self._worker.offer(result.frame.index)

    def close(self) -> None:
        """See `DetectionListener`."""
        self._worker.close(wait_s=_LONGEST_S)

    def _ring(self, index: int) -> None:
        if sys.platform == "win32":
            import winsound

            winsound.PlaySound(self._sound, winsound.SND_MEMORY)
        elif self._player is not None:
            self._play(*self._player)
        else:
            ring()

    def _play(self, player: Path, arguments: list[str]) -> None:
        with tempfile.TemporaryDirectory(prefix="polypstream-") as folder:
            path = Path(folder) / "chime.wav"
            path.write_bytes(self._sound)
            run_program(player, *arguments, str(path), timeout_s=_LONGEST_S, silent=True)

    def _fail(self, error: Exception) -> None:
        logger.warning("no sound: %s", error)


def _find_player() -> tuple[Path, list[str]] | None:
    for name, *arguments in _PLAYERS:
        program = find_program(name)
        if program is not None:
            return program, arguments
    return None
