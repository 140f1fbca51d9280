// The timeline: findings as bars with thumbnails, what the frames show, the turning point and the play head.

import { address } from "./api.js";
import { element, make, setAttribute, showList } from "./dom.js";
import { showPicture } from "./pictures.js";
import { clock, worded } from "./texts.js";

const LANES = 3; // of bars, so that findings at one time do not lie on each other
const THUMB_PX = 46;
const TICKS = [0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600];
const TICK_PX = 70; // at least between two ticks
const SHORTEST_S = 2; // that the timeline shows
const FALLBACK_COLOUR = "#5b6670";

export class Timeline {
  // `onSeek(at_s)` and `onPick(finding)` are called for what is clicked.
  constructor({ onSeek, onPick }) {
    this.onSeek = onSeek;
    this.onPick = onPick;
    this.window = element("timeline-window");
    this.window.addEventListener("pointerdown", (event) => this.grab(event));
    this.window.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    new ResizeObserver(() => this.draw()).observe(this.window);
    this.open({ duration_s: 1, strip: [] });
  }

  open({ duration_s, strip }) {
    this.duration_s = Math.max(duration_s, 0.04);
    this.strip = strip;
    this.from_s = 0;
    this.to_s = this.duration_s;
    Object.assign(this, { bars: [], turn_s: null, range_s: null, at_s: 0 });
    showLegend(strip);
    setAttribute(element("head"), "aria-valuemax", Math.round(this.duration_s));
    this.draw();
  }

  // `findings` have `looks_s` in seconds of the procedure.
  show(findings, selected, turn_s) {
    this.turn_s = turn_s;
    this.bars = inLanes(findings).map((one) => ({ ...one, selected: one.finding.id === selected }));
    this.draw();
  }

  showRange(range_s) {
    this.range_s = range_s;
    this.draw();
  }

  showHead(at_s) {
    this.at_s = at_s;
    const span = this.to_s - this.from_s;
    if (at_s < this.from_s || at_s > this.to_s) this.move(at_s - span / 10);
    this.drawHead();
  }

  // Shows a shorter or longer time around the play head.
  zoom(factor, around_s = this.at_s) {
    const span = Math.min(this.duration_s, Math.max(SHORTEST_S, (this.to_s - this.from_s) * factor));
    const share = (around_s - this.from_s) / (this.to_s - this.from_s);
    this.move(around_s - Math.min(1, Math.max(0, share)) * span, span);
  }

  all() {
    this.move(0, this.duration_s);
  }

  move(from_s, span = this.to_s - this.from_s) {
    const length = Math.min(span, this.duration_s);
    this.from_s = Math.min(Math.max(0, from_s), this.duration_s - length);
    this.to_s = this.from_s + length;
    this.draw();
  }

  share(at_s) {
    return (at_s - this.from_s) / (this.to_s - this.from_s);
  }

  timeAt(event) {
    const { left, width } = this.window.getBoundingClientRect();
    return this.from_s + ((event.clientX - left) / Math.max(1, width)) * (this.to_s - this.from_s);
  }

  grab(event) {
    const picked = event.target.closest("[data-finding]");
    if (picked) {
      this.onPick(picked.dataset.finding);
      return;
    }
    if (event.button !== 0) return;
    const seek = (moved) => this.onSeek(this.timeAt(moved));
    seek(event);
    this.window.setPointerCapture(event.pointerId);
    this.window.onpointermove = seek;
    this.window.onpointerup = this.window.onpointercancel = () => (this.window.onpointermove = null);
  }

  wheel(event) {
    if (event.ctrlKey || event.metaKey) this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.timeAt(event));
    else if (event.deltaX || event.shiftKey) {
      const way = (event.deltaX || event.deltaY) / Math.max(1, this.window.clientWidth);
      this.move(this.from_s + way * (this.to_s - this.from_s));
    } else return;
    event.preventDefault();
  }

  draw() {
    this.drawBars();
    this.drawThumbs();
    this.drawSeen();
    this.drawRuler();
    this.place(element("turn"), this.turn_s, this.turn_s);
    this.place(element("range"), this.range_s?.[0] ?? null, this.range_s?.[1] ?? null);
    this.drawHead();
  }

  // Places an element between two times; hides it where none of it is to be seen.
  place(target, from_s, to_s) {
    const hidden = from_s === null || to_s < this.from_s || from_s > this.to_s;
    target.hidden = hidden;
    if (hidden) return;
    target.style.left = `${100 * Math.max(0, this.share(from_s))}%`;
    const width = Math.min(1, this.share(to_s)) - Math.max(0, this.share(from_s));
    target.style.width = `${100 * Math.max(0, width)}%`;
  }

  drawBars() {
    const looks = this.bars.flatMap((bar) => bar.finding.looks_s.map((span, number) => ({ ...bar, span, number })));
    showList(element("bars"), looks, {
      key: ({ finding, number }) => `${finding.id}/${number}`,
      create: ({ finding }) => make("span", { class: "look", "data-finding": finding.id, text: finding.id }),
      update: (bar, { finding, span, lane, selected }) => {
        this.place(bar, span[0], span[1]);
        bar.style.top = `${(100 * lane) / LANES}%`;
        bar.dataset.verdict = finding.verdict ?? "open";
        bar.classList.toggle("selected", selected);
        setAttribute(bar, "title", `Finding ${finding.id}, ${clock(span[0], 1)} to ${clock(span[1], 1)}`);
      },
    });
  }

  // Thumbnails stand over their findings, beside each other where these are close.
  drawThumbs() {
    const width = this.window.clientWidth;
    const shown = this.bars
      .map((bar) => ({ ...bar, x: this.share(bar.finding.looks_s[0]?.[0] ?? 0) * width }))
      .filter(({ finding, x }) => finding.picture && x > -THUMB_PX && x < width)
      .sort((one, other) => one.x - other.x);
    const room = Math.min(THUMB_PX + 4, width / Math.max(1, shown.length));
    for (let place = shown.length - 1, right = width; place >= 0; place -= 1) {
      right = shown[place].x = Math.min(shown[place].x, right - room);
    }
    for (let place = 0, left = 0; place < shown.length; place += 1) {
      shown[place].x = Math.max(shown[place].x, left);
      left = shown[place].x + room;
    }
    showList(element("thumbs"), shown, {
      key: ({ finding }) => finding.id,
      create: ({ finding }) => make("img", { alt: "", "data-finding": finding.id, draggable: "false" }),
      update: (image, { finding, x, selected }) => {
        showPicture(image, address(finding.picture));
        image.style.left = `${x}px`;
        image.dataset.verdict = finding.verdict ?? "open";
        image.classList.toggle("selected", selected);
      },
    });
  }

  drawSeen() {
    const canvas = element("seen");
    const scale = window.devicePixelRatio;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
    const context = canvas.getContext("2d");
    for (const [first_s, last_s, state] of this.strip) {
      const left = this.share(first_s) * canvas.width;
      const right = this.share(last_s) * canvas.width;
      if (right < 0 || left > canvas.width) continue;
      context.fillStyle = colourOf(state);
      context.fillRect(left, 0, Math.max(1, right - left), canvas.height);
    }
  }

  drawRuler() {
    const span = this.to_s - this.from_s;
    const most = Math.max(1, Math.floor(this.window.clientWidth / TICK_PX));
    const step = TICKS.find((one) => span / one <= most) ?? TICKS.at(-1);
    const first = Math.ceil(this.from_s / step - 1e-9);
    const ticks = [];
    for (let tick = first; tick * step <= this.to_s + 1e-9; tick += 1) ticks.push(tick * step);
    element("ruler").replaceChildren(
      ...ticks.map((at_s) => {
        const tick = make("span", { text: clock(at_s, step < 1 ? 1 : 0) });
        tick.style.left = `${100 * this.share(at_s)}%`;
        return tick;
      }),
    );
  }

  drawHead() {
    const head = element("head");
    head.style.left = `${100 * Math.min(1, Math.max(0, this.share(this.at_s)))}%`;
    setAttribute(head, "aria-valuenow", Math.round(this.at_s));
    setAttribute(head, "aria-valuetext", `${clock(this.at_s)} of ${clock(this.duration_s)}`);
  }
}

// Each finding with the first lane that is free at all its times; crowded times share the last lane.
function inLanes(findings) {
  const taken = Array.from({ length: LANES }, () => []);
  return findings.map((finding) => {
    const free = taken.findIndex((spans) =>
      finding.looks_s.every(([first, last]) => spans.every(([from, to]) => last < from || first > to)),
    );
    const lane = free < 0 ? LANES - 1 : free;
    taken[lane].push(...finding.looks_s);
    return { finding, lane };
  });
}

function colourOf(state) {
  const colour = getComputedStyle(document.documentElement).getPropertyValue(`--seen-${state.replace(/\W|_/g, "-")}`);
  return colour.trim() || FALLBACK_COLOUR;
}

function showLegend(strip) {
  const total = strip.reduce((sum, [first, last]) => sum + last - first, 0);
  const shares = new Map();
  for (const [first, last, state] of strip) shares.set(state, (shares.get(state) ?? 0) + (last - first) / total);
  const entries = [...shares].sort(([, one], [, other]) => other - one);
  element("legend").replaceChildren(
    ...entries.map(([state, share]) => {
      const square = make("i", { "aria-hidden": "true" });
      square.style.backgroundColor = colourOf(state);
      return make("li", {}, square, make("span", { text: `${worded(state)} ${Math.round(100 * share)} %` }));
    }),
  );
  const text = entries.map(([state, share]) => `${worded(state)} ${Math.round(100 * share)} %`).join(", ");
  setAttribute(element("seen"), "aria-label", `What the frames show: ${text || "not known"}`);
}
