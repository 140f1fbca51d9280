"""The end of an event loop that a server ran in a thread of its own."""

from __future__ import annotations

import asyncio


def end_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Closes a loop of this thread that has stopped: requests that were cut off and have not noticed yet end first."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
