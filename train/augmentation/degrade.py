"""What light, optics, video processors and recorders do to a picture, at random: for training pictures.

Every function takes and gives BGR uint8 (height, width, 3) and leaves many pictures as they are. Nothing here moves a
polyp by more than a few pixels, so masks stay true.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from engine.arrays import Pixels


def colours(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Gamma, gain, white balance, hue, saturation; now and then grey."""
    if rng.random() < 0.6:  # gamma, gain and white balance of each channel by one table
        levels = np.arange(256, dtype=np.float32) / 255
        gamma = math.exp(rng.uniform(-0.35, 0.35))
        gains = rng.uniform(0.8, 1.2) * np.exp(rng.uniform(-0.15, 0.15, 3))
        table = np.clip((levels[:, None] ** gamma) * gains * 255, 0, 255).astype(np.uint8)
        image = cv2.LUT(image, table.reshape(1, 256, 3))
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        hue = (np.arange(256) + int(rng.integers(-8, 9))) % 180
        saturation = np.clip(np.arange(256) * rng.uniform(0.5, 1.4), 0, 255)
        table = np.stack([hue, saturation, np.arange(256)], 1).astype(np.uint8)
        image = cv2.cvtColor(cv2.LUT(hsv, table.reshape(1, 256, 3)), cv2.COLOR_HSV2BGR)
    if rng.random() < 0.04:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return image


def lighting(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Light that falls off to one side or to the rim, and a veil over all contrasts."""
    if rng.random() < 0.3:
        height, width = image.shape[:2]
        x = np.linspace(-1, 1, width, dtype=np.float32)[None] - np.float32(rng.uniform(-0.5, 0.5))
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] - np.float32(rng.uniform(-0.5, 0.5))
        fall = rng.uniform(-0.25, 0.5) * (x * x + y * y) + rng.uniform(-0.3, 0.3) * x + rng.uniform(-0.3, 0.3) * y
        gain = np.clip(1.05 - fall, 0.25, 1.5)
        image = np.clip(image * gain[:, :, None], 0, 255).astype(np.uint8)
    if rng.random() < 0.15:  # fluid or smoke before the lens, or a flat rendering
        share, veil = rng.uniform(0.6, 0.95), rng.uniform(60, 190)
        lit = cv2.morphologyEx(image.max(2), cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))  # margins stay black
        veiled = cv2.addWeighted(image, share, np.full_like(image, int(veil)), 1 - share, 0)
        image = np.where(lit[:, :, None] > 20, veiled, image)
    return image


def optics(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Out of focus, moved, sharpened too much; noise of the sensor."""
    draw = rng.random()
    if draw < 0.12:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.2))
    elif draw < 0.22:  # motion
        length = int(rng.integers(3, 13))
        kernel: Pixels = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1 / length
        turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), rng.uniform(0, 180), 1)
        kernel = cv2.warpAffine(kernel, turn, (length, length))
        image = cv2.filter2D(image, -1, np.asarray(kernel / max(float(kernel.sum()), 1e-6), np.float32))
    elif draw < 0.27:
        soft = cv2.GaussianBlur(image, (0, 0), 2.0)
        image = cv2.addWeighted(image, 1.7, soft, -0.7, 0)
    if rng.random() < 0.15:
        noise = rng.normal(0, rng.uniform(2, 10), image.shape).astype(np.float32)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return image


def specular_spots(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Reflections of the light on wet mucosa."""
    light: Pixels = np.zeros(image.shape[:2], np.uint8)
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(2, 14))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(1, 7)), int(rng.integers(1, 5)))
        cv2.ellipse(light, centre, axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
    light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.6, 1.5))
    return cv2.add(image, cv2.cvtColor(light, cv2.COLOR_GRAY2BGR))


def processor(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Fields of one frame, or colours of one picture, that were taken at different moments; colours that bleed."""
    draw = rng.random()
    if draw < 0.08:  # interlaced: half of the lines are of another moment, or mixed with it where lines were scaled
        other = _moved(image, rng.uniform(-7, 7), rng.uniform(-3, 3))
        if rng.random() < 0.5:
            image = image.copy()
            image[1::2] = other[1::2]
        else:
            image = cv2.addWeighted(image, 0.5, other, 0.5, 0)
    elif draw < 0.16:  # red, green and blue light one after the other (frame-sequential endoscopes)
        dx, dy = rng.uniform(-4, 4), rng.uniform(-4, 4)
        blue, green, red = cv2.split(image)
        image = cv2.merge([_moved(blue, dx, dy), green, _moved(red, -dx, -dy)])
    if rng.random() < 0.12:  # colours at a fraction of the resolution, as composite video carries them
        luma, *chroma = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb))
        width = 2 * int(rng.integers(1, 8)) + 1
        blurred = [cv2.blur(plane, (width, 1)) for plane in chroma]
        image = cv2.cvtColor(cv2.merge([luma, *blurred]), cv2.COLOR_YCrCb2BGR)
    return image


def _moved(image: Pixels, dx: float, dy: float) -> Pixels:
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    size = (image.shape[1], image.shape[0])
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def recorder(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Low resolution, as recordings and old grabbers make it."""
    height, width = image.shape[:2]
    if rng.random() < 0.25:
        factor = rng.uniform(0.4, 0.9)
        small = cv2.resize(image, (int(width * factor), int(height * factor)), interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return image


def compressed(image: Pixels, rng: np.random.Generator) -> Pixels:
    """As JPEG of any quality from 20 to 95: data sets differ in it, so it must foretell nothing."""
    _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 96))])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
