"""A recording that comes through a pipe: every frame is read, and the writer waits where it is faster."""

from __future__ import annotations

import logging
from pathlib import Path

from engine.errors import SourceError
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.pipes.feed import PipeFeed
from stream.sources.pipes.opening import incomplete, open_pipe
from stream.sources.pipes.request import PIPE_NAME, RawVideo
from stream.sources.video import VideoSource

logger = logging.getLogger(__name__)

_MOST_BYTES = 1 << 23  # that wait to be decoded


class PipedVideo(VideoSource):
    """The frames of a video on standard input, without its sound."""

    def __init__(
        self,
        raw: RawVideo | None,
        *,
        decoder_threads: int = 0,
        stream: int | None = None,
        deinterlace: Deinterlace = Deinterlace.AUTO,
    ) -> None:
        """Wait for the first frame.

        Args:
            raw: how raw video is laid out; None where the stream itself says what it is.
            decoder_threads: 0 for as many as there are processors.
            stream: number of the stream to read, as FFmpeg counts; None for the one that shows the film.
            deinterlace: what becomes of interlaced frames.

        Raises:
            SourceError: nothing comes, it is no video, or no frame of it can be decoded.
        """
        self._raw = raw
        self._feed = PipeFeed(most_bytes=_MOST_BYTES)
        try:
            container = open_pipe(self._feed, raw, prompt=False)
            if container.streams.audio:
                logger.warning("the sound that comes through %s is left out: it can be read once only", PIPE_NAME)
            super().__init__(
                Path(PIPE_NAME),
                decoder_threads=decoder_threads,
                stream=stream,
                deinterlace=deinterlace,
                container=container,
            )
        except SourceError as error:
            self._feed.close()
            self._feed.check()
            raise SourceError(incomplete(self._feed, None, raw) or str(error)) from error
        except BaseException:
            self._feed.close()
            raise

    def interrupt(self) -> None:
        """See `Source`."""
        self._feed.interrupt()

    def _note_end(self) -> None:
        self._feed.check()
        cut = incomplete(self._feed, self._container, self._raw)
        if cut is not None and not self._feed.interrupted:
            self._break_off(cut)

    def close(self) -> None:
        """See `Source`; a read that waits for the pipe ends at once."""
        self._feed.interrupt()
        super().close()

    def _release(self) -> None:
        super()._release()
        self._feed.close()
