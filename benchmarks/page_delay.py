"""Delay of the live page: frame handed to the page to frame drawn in a real Chromium, over loopback.

Every frame carries its number as black and white squares. The page's own way (JPEG over a WebSocket, drawn on a canvas
with its marks) is timed when the browser has drawn a frame; with `--webrtc` the same frames also go as VP8 over WebRTC
(`pip install aiortc`) into a video element, timed at `requestVideoFrameCallback`, in turns with the page. Both clocks
are the machine's.

    python -m benchmarks.page_delay --webrtc --name page_delay
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Coroutine
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from benchmarks.environment import write_result
from engine.arrays import Image
from stream.frame import Detection, FieldOfView, Frame
from stream.live.page.page import LivePage
from stream.live.states.view import LiveState, LiveStatus, LiveView
from stream.sources.opening import open_source
from tests.kit.chromium import Tab, open_chromium

SIZES = ((640, 480), (1280, 720), (1920, 1080))
RATE = 25
_Result = TypeVar("_Result")
_CLIP = Path(__file__).resolve().parents[1] / "examples" / "colon.mp4"
_CLIP_FRAMES = 50
_BITS = 12
_CODE_PX = 16
_WARM_UP = 2 * RATE  # frames; caches, JIT, and for WebRTC the estimate of the bandwidth
#: Notes in the page when each frame was said to be drawn, in milliseconds since 1970.
_NOTE_DRAWN = """
window.drawnAt = [];
const realSend = WebSocket.prototype.send;
WebSocket.prototype.send = function (text) {
    const {drawn} = JSON.parse(text);
    if (drawn !== undefined) drawnAt.push([drawn, performance.timeOrigin + performance.now()]);
    realSend.call(this, text);
};
"""
#: Opens the browser's end of a WebRTC connection and gives back its offer; notes drawn frames like the page.
_OFFER = """(async () => {
    window.drawnAt = [];
    window.peer = new RTCPeerConnection();
    const receiver = peer.addTransceiver('video', {direction: 'recvonly'}).receiver;
    receiver.jitterBufferTarget = 0;
    const video = document.createElement('video');
    video.muted = video.autoplay = true;
    document.body.append(video);
    const canvas = new OffscreenCanvas(BITS, 1).getContext('2d', {willReadFrequently: true});
    const note = () => {
        const now = performance.timeOrigin + performance.now();
        for (let bit = 0; bit < BITS; bit++)
            canvas.drawImage(video, bit * CODE + CODE / 2, CODE / 2, 1, 1, bit, 0, 1, 1);
        const {data} = canvas.getImageData(0, 0, BITS, 1);
        let number = 0;
        for (let bit = 0; bit < BITS; bit++) if (data[4 * bit] > 128) number += 1 << bit;
        drawnAt.push([number, now]);
        video.requestVideoFrameCallback(note);
    };
    peer.ontrack = (event) => {
        video.srcObject = new MediaStream([event.track]);
        video.requestVideoFrameCallback(note);
    };
    await peer.setLocalDescription(await peer.createOffer());
    if (peer.iceGatheringState !== 'complete')
        await new Promise((resolve) => { peer.onicegatheringstatechange = () =>
            peer.iceGatheringState === 'complete' && resolve(); });
    return peer.localDescription.sdp;
})()""".replace("BITS", str(_BITS)).replace("CODE", str(_CODE_PX))


def main() -> None:
    """Measures each way at each size in turns and writes percentiles and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20, metavar="S", help="of each way, size and round")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--webrtc", action="store_true", help="compare with WebRTC")
    parser.add_argument("--name", default="page_delay", help="of the JSON under benchmarks/results")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    ways: dict[str, Callable[[Tab, list[Image], int], dict[str, Any]]] = {"page": _measure_page}
    if arguments.webrtc:
        ways["webrtc"] = _measure_webrtc
    frames = RATE * arguments.seconds
    figures: dict[str, Any] = {}
    with open_chromium() as chromium:
        for size in SIZES:
            images = _pictures(size)
            rounds: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
            for _ in range(arguments.rounds):
                for way, measure in ways.items():
                    tab = chromium.new_tab()
                    tab.resize(1280, 800)
                    rounds[way].append(measure(tab, images, frames))
                    tab.ask("Page.close")
                    print(size, way, rounds[way][-1], flush=True)
            figures["x".join(map(str, size))] = _summary(rounds)
        version = chromium.version
    command = f"python -m benchmarks.page_delay --seconds {arguments.seconds} --rounds {arguments.rounds}"
    command += " --webrtc" if arguments.webrtc else ""
    load = None if not hasattr(os, "getloadavg") else [round(each, 1) for each in os.getloadavg()]
    result: dict[str, Any] = {"command": command, "browser": version, "load_average_at_the_end": load}
    result |= {"frames_per_second": RATE, "sizes": figures}
    print(write_result(arguments.name, result))


def _measure_page(tab: Tab, images: list[Image], frames: int) -> dict[str, Any]:
    shown: dict[int, float] = {}
    status = LiveStatus(LiveState.RUNNING, detection_on=True)
    with LivePage(port=0) as page:
        tab.ask("Page.addScriptToEvaluateOnNewDocument", source=_NOTE_DRAWN)
        tab.open(page.url)
        tab.wait_for("document.getElementById('state')?.textContent === 'Connecting' && window.drawnAt !== undefined")

        def show(index: int, image: Image) -> None:
            height, width = image.shape[:2]
            frame = Frame(index, Fraction(index, RATE), image, time.monotonic())
            box = Detection((0.4 * width, 0.4 * height, 0.6 * width, 0.6 * height), 0.9, track_id=1)
            shown[index] = 1000 * time.time()
            page.show(LiveView(frame, FieldOfView((0, 0, width, height)), (box,), index, status))

        busy_s = _feed(images, frames, show)
        return _figures(shown, tab.evaluate("drawnAt"), frames, busy_s)


def _measure_webrtc(tab: Tab, images: list[Image], frames: int) -> dict[str, Any]:
    shown: dict[int, float] = {}
    tab.open("data:text/html,<title>WebRTC</title>")
    tab.wait_for("document.title === 'WebRTC' && document.body !== null")
    offer = tab.evaluate(_OFFER)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="webrtc", daemon=True)
    thread.start()

    def call(work: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    peer, newest, answer = call(_answer(offer))
    tab.evaluate(f"peer.setRemoteDescription({{type: 'answer', sdp: {json.dumps(answer)}}})")
    tab.wait_for("peer.connectionState === 'connected'")

    def show(index: int, image: Image) -> None:
        shown[index] = 1000 * time.time()
        loop.call_soon_threadsafe(newest, index, image)

    busy_s = _feed(images, frames, show)
    drawn = tab.evaluate("drawnAt")
    call(peer.close())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    return _figures(shown, drawn, frames, busy_s)


async def _answer(offer: str) -> tuple[Any, Callable[[int, Image], None], str]:
    """The server's end: a track that always gives the newest frame, at once."""
    from aiortc import RTCPeerConnection, RTCSessionDescription
    from aiortc.mediastreams import MediaStreamTrack
    from av import VideoFrame

    class Newest(MediaStreamTrack):  # type: ignore[misc]
        kind = "video"

        def __init__(self) -> None:
            super().__init__()
            self.frame: VideoFrame | None = None
            self.arrived = asyncio.Event()

        def put(self, index: int, image: Image) -> None:
            self.frame = VideoFrame.from_ndarray(image, format="bgr24")
            self.frame.pts, self.frame.time_base = 90_000 * index // RATE, Fraction(1, 90_000)
            self.arrived.set()

        async def recv(self) -> VideoFrame:
            await self.arrived.wait()
            self.arrived.clear()
            assert self.frame is not None
            return self.frame

    peer, track = RTCPeerConnection(), Newest()
    peer.addTrack(track)
    await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await peer.setLocalDescription(await peer.createAnswer())
    return peer, track.put, peer.localDescription.sdp


def _feed(images: list[Image], frames: int, show: Callable[[int, Image], None]) -> float:
    """Shows frames at the rate, on time; returns the processor time of this program in the counted part, seconds."""
    began = time.monotonic()
    processor_s = 0.0
    for index in range(_WARM_UP + frames):
        if index == _WARM_UP:
            processor_s = time.process_time()
        image = images[index % len(images)].copy()
        for bit in range(_BITS):
            image[:_CODE_PX, bit * _CODE_PX : (bit + 1) * _CODE_PX] = 255 if index >> bit & 1 else 0
        time.sleep(max(0.0, began + index / RATE - time.monotonic()))
        show(index, image)
    processor_s = time.process_time() - processor_s
    time.sleep(1.0)  # for the last frames on their way
    return processor_s


def _figures(shown: dict[int, float], drawn: list[list[float]], frames: int, processor_s: float) -> dict[str, Any]:
    first: dict[int, float] = {}
    for index, at_ms in drawn:
        first.setdefault(int(index), at_ms)
    delays = sorted(first[index] - shown[index] for index in shown if index >= _WARM_UP and index in first)
    if not delays:
        return {"drawn_share": 0.0}
    p50, p90, p99 = (round(float(np.percentile(delays, share)), 1) for share in (50, 90, 99))
    return {
        "delay_ms": {"p50": p50, "p90": p90, "p99": p99, "max": round(delays[-1], 1)},
        "drawn_share": round(len(delays) / frames, 3),
        "processor_ms_per_frame": round(1000 * processor_s / frames, 2),
    }


def _summary(rounds: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The rounds, the median over them, and how WebRTC compares."""
    medians = {
        way: {
            "p50_ms": statistics.median(each["delay_ms"]["p50"] for each in found),
            "p99_ms": statistics.median(each["delay_ms"]["p99"] for each in found),
            "drawn_share": statistics.median(each["drawn_share"] for each in found),
            "processor_ms_per_frame": statistics.median(each["processor_ms_per_frame"] for each in found),
        }
        for way, each_round in rounds.items()
        if (found := [each for each in each_round if "delay_ms" in each])
    }
    summary: dict[str, Any] = {"medians": medians, "rounds": rounds}
    if len(medians) == 2:
        summary["webrtc_to_page"] = {
            key: round(medians["webrtc"][key] / medians["page"][key], 2)
            for key in ("p50_ms", "p99_ms", "processor_ms_per_frame")
        }
    return summary


def _pictures(size: tuple[int, int]) -> list[Image]:
    """Frames of the rendered sample clip, scaled to the size."""
    pictures: list[Image] = []
    with open_source(str(_CLIP)) as source:
        for frame in source:
            pictures.append(cv2.resize(frame.image, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8))
            if len(pictures) == _CLIP_FRAMES:
                break
    return pictures


if __name__ == "__main__":
    main()
