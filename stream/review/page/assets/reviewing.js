// One procedure as one reader judges it: what the server knows, and on top of it what is not saved yet.

import { get, path, remove } from "./api.js";
import { Boxes } from "./boxes.js";
import { apply, describe, touched } from "./changes.js";
import { followed } from "./jobs.js";

// Changes that leave every box where it is.
const WITHOUT_BOXES = ["judge", "turning_point", "bbps", "state"];

// Events: "review" when what is shown has changed, "boxes" when boxes of a recording have, "looking" {job, progress} while
// the detector looks at an added lesion (null when it is done), "failed" {error}.
export class Reviewing extends EventTarget {
  constructor(outbox, lists) {
    super();
    this.outbox = outbox;
    this.lists = lists;
    this.name = null; // of the procedure that is open
    outbox.addEventListener("saved", ({ detail }) => this.take(detail));
    outbox.addEventListener("refused", ({ detail: { entry } }) => this.reload(entry));
    outbox.addEventListener("conflict", ({ detail: { entry, review } }) => this.isOf(entry) && this.renew(review));
    outbox.addEventListener("state", () => this.name && this.show());
  }

  // `onWaiting` is called with the job that reads the events, where nobody has read them before. False when it was left
  // meanwhile: `going()` says so.
  async open(name, reader, { onWaiting, going }) {
    let about = await get(path("procedures", name));
    while (about.job && going()) {
      const told = await followed(about.job, { onTold: onWaiting, going });
      if (told.error) throw new Error(told.error);
      about = await get(path("procedures", name));
    }
    const review = going() && (await this.ask(name, reader));
    if (!going()) return false;
    Object.assign(this, { name, reader, about, saved: review, boxes: new Map() });
    this.show();
    return true;
  }

  close() {
    this.name = null;
  }

  // What the reader sees.
  get review() {
    return this.shown;
  }

  get pending() {
    return this.outbox.pending(this.name, this.reader);
  }

  finding(id) {
    return this.shown.findings.find((one) => one.id === id) ?? null;
  }

  do(change) {
    this.outbox.add({
      procedure: this.name,
      reader: this.reader,
      revision: this.saved.revision,
      change,
      before: touched(this.shown, change),
      text: describe(change, this.lists),
    });
    this.applyBoxes(change);
  }

  // Takes the last change back. One that never reached the server is simply not sent.
  undo() {
    if (this.outbox.drop(this.name, this.reader)) {
      this.forgetBoxes();
      return;
    }
    this.do({ do: "undo" });
  }

  async loadBoxes(recording) {
    const { name, reader } = this;
    const query = `recording=${recording}&reader=${encodeURIComponent(reader)}`;
    const { revision, findings } = await get(`${path("procedures", name, "boxes")}?${query}`);
    if (this.name !== name || this.reader !== reader) return;
    if (this.boxes.get(recording)?.revision > revision) return; // a newer answer came first
    const boxes = new Boxes(findings, revision);
    for (const { change } of this.pending) if (change.recording === recording) boxes.apply(change);
    this.boxes.set(recording, boxes);
    this.tell("boxes", { recording });
  }

  // Asks whether another browser has changed something; what is being saved is answered with the new state anyway.
  async refresh() {
    const { name, reader } = this;
    if (!name || this.pending.length) return;
    const review = await this.ask(name, reader);
    if (this.name === name && this.reader === reader && review.revision > this.saved.revision) this.renew(review);
  }

  ask(name, reader) {
    return get(`${path("procedures", name, "review")}?reader=${encodeURIComponent(reader)}`);
  }

  isOf(entry) {
    return entry.procedure === this.name && entry.reader === this.reader;
  }

  take({ entry, review, job }) {
    if (!this.isOf(entry)) return;
    if (job) this.follow(entry, job);
    const jumped = review.revision > this.saved.revision + 1 || review.hidden !== this.saved.hidden;
    this.saved = review;
    this.show();
    if (jumped || !WITHOUT_BOXES.includes(entry.change.do)) this.forgetBoxes();
  }

  // The detector looks at an added lesion; its boxes come when it is done.
  async follow(entry, job) {
    try {
      const onTold = ({ progress }) => this.tell("looking", { job, progress });
      const { error } = await followed(job, { onTold, going: () => this.isOf(entry) });
      if (error) throw new Error(`The detector did not look at the added lesion: ${error}`);
    } catch (error) {
      this.tell("failed", { error });
    }
    this.tell("looking", { job, progress: null });
    await this.reload(entry);
  }

  // The detector is not to look at an added lesion after all: the boxes stay as they were drawn.
  async leaveAlone(job) {
    await remove(path("jobs", job)).catch((error) => this.tell("failed", { error }));
  }

  async reload(entry) {
    if (!this.isOf(entry)) return;
    try {
      const review = await this.ask(this.name, this.reader);
      if (this.isOf(entry)) this.renew(review);
    } catch (error) {
      this.tell("failed", { error });
    }
  }

  renew(review) {
    this.saved = review;
    this.show();
    this.forgetBoxes();
  }

  // A server that is away is asked again with the next change that it saves.
  forgetBoxes() {
    for (const recording of this.boxes.keys()) this.loadBoxes(recording).catch((error) => this.tell("failed", { error }));
  }

  applyBoxes(change) {
    if (!["box", "delete_boxes"].includes(change.do)) return;
    this.boxes.get(change.recording)?.apply(change);
    this.tell("boxes", { recording: change.recording });
  }

  show() {
    const held = this.outbox.held?.entry.id;
    const waiting = this.pending.filter((entry) => entry.id !== held);
    this.shown = waiting.reduce((review, { change }) => apply(review, change), this.saved);
    this.tell("review");
  }

  tell(type, detail = {}) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
