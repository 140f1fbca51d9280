// What stands beside the picture: figures, and the timeline of detections.

import { colourOf, laneOf, TRACK_LANES } from "./marks.js";

const STRIP_MINUTES = [1, 5, 15, 60]; // the strip shows the shortest of these that holds all entries
const number = new Intl.NumberFormat("en");
const element = (id) => document.getElementById(id);

function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

export function showStatus(status) {
  element("video-delay").textContent = milliseconds(status.delays?.video_ms);
  element("annotation-delay").textContent = milliseconds(status.delays?.annotation_ms);
  element("rate").textContent = status.captured ? `${status.frames_per_second.toFixed(1)} /s` : "–";
  element("captured").textContent = number.format(status.captured);
  const causes = Object.entries(status.dropped).filter(([, count]) => count > 0);
  const total = causes.reduce((sum, [, count]) => sum + count, 0);
  const details = causes.map(([cause, count]) => `${cause} ${number.format(count)}`).join(", ");
  element("drops").textContent = total ? `Dropped ${number.format(total)}: ${details}` : "No frame dropped";
}

export function showFigures({ delay_ms, skipped }) {
  element("screen-delay").textContent = milliseconds(delay_ms);
  element("skipped").textContent = number.format(skipped);
}

export class Timeline {
  constructor() {
    this.entries = [];
    this.items = new Map(); // by track
  }

  show(entries) {
    this.entries = entries;
    const known = new Set(entries.map((entry) => entry.track_id));
    for (const [key, item] of this.items) {
      if (!known.has(key)) {
        item.root.remove();
        this.items.delete(key);
      }
    }
    for (const entry of [...entries].reverse()) this.showEntry(entry);
    element("count").textContent = entries.length ? number.format(entries.length) : "";
    element("empty").hidden = entries.length > 0;
    this.showStrip();
  }

  showEntry(entry) {
    let item = this.items.get(entry.track_id);
    if (!item) {
      item = makeItem(entry);
      this.items.set(entry.track_id, item);
      element("entries").prepend(item.root);
    }
    if (entry.picture && item.version !== entry.picture) {
      item.version = entry.picture;
      item.image.src = `thumbnail/${entry.track_id}.jpg?${entry.picture}`;
    }
    item.percent.textContent = `${Math.round(100 * entry.best_score)} %`;
    const began = new Date(1000 * entry.began).toLocaleTimeString([], { hour12: false });
    item.kind.textContent = entry.kind ?? "";
    item.time.textContent = `${began}, for ${entry.seconds.toFixed(1)} s`;
  }

  // Moves with the time, so it is drawn anew now and then. Each colour of a track has a lane of its own.
  showStrip() {
    const now = Date.now() / 1000;
    const oldest = this.entries.length ? now - this.entries.at(-1).began : 0;
    const minutes = STRIP_MINUTES.find((span) => 60 * span > oldest) ?? STRIP_MINUTES.at(-1);
    const seconds = 60 * minutes;
    const bars = this.entries
      .filter((entry) => entry.began + entry.seconds > now - seconds)
      .map((entry) => {
        const bar = document.createElement("span");
        bar.style.left = `${100 * Math.max(0, 1 - (now - entry.began) / seconds)}%`;
        bar.style.width = `${(100 * entry.seconds) / seconds}%`;
        bar.style.top = `${(100 * laneOf(entry.track_id)) / TRACK_LANES}%`;
        bar.style.backgroundColor = colourOf(entry.track_id);
        return bar;
      });
    element("strip").replaceChildren(...bars);
    element("strip-start").textContent = `${minutes} min ago`;
  }
}

function makeItem(entry) {
  const root = document.createElement("li");
  const image = document.createElement("img");
  const text = document.createElement("div");
  const title = document.createElement("strong");
  const kind = document.createElement("span");
  const time = document.createElement("span");
  const score = document.createElement("span");
  const percent = document.createElement("b");
  const best = document.createElement("small");
  const name = entry.label.charAt(0).toUpperCase() + entry.label.slice(1);
  title.textContent = `${name} ${entry.track_id}`;
  image.alt = "";
  image.width = image.height = 64;
  kind.className = "kind";
  time.className = "time";
  score.className = "score";
  score.append(percent, best);
  best.textContent = "best score";
  root.style.setProperty("--track", colourOf(entry.track_id));
  text.append(title, kind, time);
  root.append(image, text, score);
  return { root, image, kind, time, percent, version: 0 };
}
