"""How fast a procedure is judged by keys: what the review page needs for each key of the manual, in a real Chromium.

A rendered procedure of 20 minutes with five findings is judged by the keys that `docs/review.md` names, one after the
other. Measured is the time from a key to the next frame that the browser draws, and the time until all is saved.

    python -m benchmarks.review_keys --name review_keys
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import write_result
from tests.kit.chromium import open_chromium
from tests.kit.review_pages import SAVED, SHOWN, enter, keys_of_manual, long_procedure, reviewing

MINUTES, FINDINGS = 20, 5
_DRAWN = "new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))"
_PER_KEY_S = 2.0  # for a reader to look and decide


def measure() -> dict[str, Any]:
    """Judges a procedure, and returns the times."""
    keys, times_ms = keys_of_manual(), []
    with tempfile.TemporaryDirectory() as folder:
        events = long_procedure(Path(folder), minutes=MINUTES, findings=FINDINGS)
        with reviewing(events) as page, open_chromium() as browser:
            tab = browser.new_tab()
            tab.resize(1280, 800)
            start_s = time.perf_counter()
            enter(tab, page, "p/long")
            tab.wait_for(SHOWN)
            opened_s = time.perf_counter() - start_s
            start_s = time.perf_counter()
            for key in keys:
                pressed_s = time.perf_counter()
                tab.press(key)
                tab.evaluate(_DRAWN)
                times_ms.append(1000 * (time.perf_counter() - pressed_s))
            tab.wait_for(SAVED)
            whole_s = time.perf_counter() - start_s
            version = browser.version
    return {
        "browser": version,
        "minutes": MINUTES,
        "findings": FINDINGS,
        "keys": len(keys),
        "opened_s": round(opened_s, 2),
        "key_to_drawn_ms": {f"p{share}": round(float(np.percentile(times_ms, share)), 1) for share in (50, 90, 100)},
        "all_keys_and_saved_s": round(whole_s, 2),
        "with_two_seconds_for_each_key_s": round(whole_s + _PER_KEY_S * len(keys), 1),
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="review_keys", help="of the result (default: review_keys)")
    print(write_result(parser.parse_args().name, measure()))


if __name__ == "__main__":
    main()
