// What pointers and keys do on the picture of the player: pick, draw and move boxes, enlarge and move the picture.
//
// With the keyboard, after `draw()` or `edit()`: arrows move the box, with Shift its right lower corner, Enter takes
// it, Escape leaves it. All other keys are the page's.

import { boxBetween, cursorOf, movedBox, partAt } from "./player_marks.js";

const CLICK = 4; // CSS pixels that a pointer may stray in a click
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const WHEEL = 500; // units of a wheel that enlarge e times

export class PlayerHand {
  // `player`: {canvas, view, boxes(): what is drawn now, redraw(), drawn(box), moved(finding, box), picked(finding)}.
  constructor(player) {
    this.player = player;
    this.drawing = false; // the next drag draws a box
    this.draft = null; // {box, finding}: what is being drawn or moved; finding is null for a new box
    this.pointers = new Map(); // places of pointers that are down
    this.drag = null;
    const canvas = player.canvas;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event, true));
    canvas.addEventListener("pointercancel", (event) => this.up(event, false));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  // The next drag, or the keys, draw a new box.
  draw() {
    this.drawing = true;
    this.draft = null;
    this.player.canvas.focus({ preventScroll: true });
    this.player.redraw();
  }

  // The keys move the box of the selected finding.
  edit() {
    const selected = this.selected();
    if (!selected) return;
    this.drawing = false;
    this.draft = { box: selected.box, finding: selected.finding };
    this.player.canvas.focus({ preventScroll: true });
    this.player.redraw();
  }

  leave() {
    this.drawing = false;
    this.draft = null;
    this.drag = null;
    this.player.canvas.style.cursor = "";
    this.player.redraw();
  }

  selected() {
    return this.player.boxes().find((one) => one.style === "selected") ?? null;
  }

  placeOf(event) {
    const around = this.player.canvas.getBoundingClientRect();
    return [event.clientX - around.left, event.clientY - around.top];
  }

  down(event) {
    if (event.button !== 0) return;
    const place = this.placeOf(event);
    this.player.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, place);
    if (this.pointers.size === 2) {
      this.drag = { what: "pinch", ...this.spread(), factor: this.player.view.factor };
      this.draft = null;
      return;
    }
    const from = this.player.view.toRecording(place);
    const selected = this.drawing ? null : this.selected();
    const part = selected ? partAt(this.player.view.boxToPlayer(selected.box), place) : null;
    if (this.drawing) this.drag = { what: "draw", place, from };
    else if (part !== null) this.drag = { what: "box", place, from, part, box: selected.box, finding: selected.finding };
    else this.drag = { what: "pan", place, last: place };
    event.preventDefault();
    this.player.canvas.focus({ preventScroll: true });
  }

  move(event) {
    const place = this.placeOf(event);
    if (!this.pointers.has(event.pointerId)) return this.hover(place);
    this.pointers.set(event.pointerId, place);
    const { drag } = this;
    const view = this.player.view;
    if (!drag) return;
    if (drag.what === "pinch") {
      if (this.pointers.size === 2) {
        const { middle, distance } = this.spread();
        view.zoom((drag.factor * distance) / drag.distance, drag.point, middle);
      }
    } else if (drag.what === "pan") {
      view.pan(place[0] - drag.last[0], place[1] - drag.last[1]);
      drag.last = place;
    } else if (drag.what === "draw") {
      const box = boxBetween(drag.from, view.toRecording(place), view.picture);
      this.draft = box && { box, finding: null };
    } else if (this.strayed(place)) {
      const to = view.toRecording(place);
      const box = movedBox(drag.box, drag.part, to[0] - drag.from[0], to[1] - drag.from[1], view.picture);
      this.draft = { box, finding: drag.finding };
    }
    this.player.redraw();
  }

  up(event, done) {
    const place = this.placeOf(event);
    if (!this.pointers.delete(event.pointerId)) return;
    const { drag } = this;
    if (!drag || drag.what === "pinch") {
      if (!this.pointers.size) this.drag = null;
      return;
    }
    this.drag = null;
    const draft = this.draft;
    if (!done) this.draft = null;
    else if (draft && (drag.what === "draw" || drag.what === "box")) return this.take();
    else if (!this.strayed(place, drag) && !this.drawing) this.pick(place);
    this.player.redraw();
  }

  pick(place) {
    const at = (one) => partAt(this.player.view.boxToPlayer(one.box), place) !== null;
    const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
    const hit = this.player.boxes().filter(at).sort((one, other) => area(one) - area(other))[0];
    if (hit) this.player.picked(hit.finding);
  }

  // The box as it is now is what was meant.
  take() {
    const { box, finding } = this.draft;
    this.leave();
    const whole = box.map((side) => Math.round(10 * side) / 10);
    if (finding === null) this.player.drawn(whole);
    else this.player.moved(finding, whole);
  }

  hover(place) {
    let cursor = this.drawing ? "crosshair" : "";
    const selected = this.drawing ? null : this.selected();
    if (selected) cursor = cursorOf(partAt(this.player.view.boxToPlayer(selected.box), place));
    this.player.canvas.style.cursor = cursor;
  }

  wheel(event) {
    if (!event.ctrlKey && this.player.view.factor === 1 && event.deltaY > 0) return; // the page scrolls
    event.preventDefault();
    const place = this.placeOf(event);
    const view = this.player.view;
    view.zoom(view.factor * Math.exp(-event.deltaY / WHEEL), view.toRecording(place), place);
    this.player.redraw();
  }

  key(event) {
    if (!this.drawing && !this.draft) return;
    const view = this.player.view;
    if (event.key === "Escape") this.leave();
    else if (event.key === "Enter" && this.draft) this.take();
    else if (event.key in ARROWS && !event.ctrlKey && !event.altKey && !event.metaKey) {
      const [width, height] = view.picture;
      const middle = view.toRecording(view.player.map((side) => side / 2));
      this.draft ??= {
        box: boxBetween([middle[0] - width / 8, middle[1] - height / 8], [middle[0] + width / 8, middle[1] + height / 8], view.picture),
        finding: null,
      };
      const [across, down] = ARROWS[event.key].map((side) => (side * width) / 100);
      this.draft.box = movedBox(this.draft.box, event.shiftKey ? "se" : "", across, down, view.picture);
      this.player.redraw();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  strayed(place, drag = this.drag) {
    return Math.hypot(place[0] - drag.place[0], place[1] - drag.place[1]) > CLICK;
  }

  spread() {
    const [one, other] = [...this.pointers.values()];
    const middle = [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2];
    const distance = Math.max(1, Math.hypot(one[0] - other[0], one[1] - other[1]));
    return { middle, distance, point: this.player.view.toRecording(middle) };
  }
}
