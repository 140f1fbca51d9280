// The recordings of a procedure as one time: which of them is shown, at which frame, and how it gets onto the screen.

import { address, get, getNumbers, path, post } from "./api.js";
import { Player } from "./player.js";

const ASK_AGAIN_MS = 700; // while the server prepares a recording for the browser

// Events: "frame" when another frame is shown, "recording" when another recording is, "waiting" {text, share} while a
// recording is prepared, and those of the player: "state", "drawn", "moved", "picked", "error".
export class Playback extends EventTarget {
  constructor(container) {
    super();
    this.player = new Player(container);
    this.attempt = 0; // of showing a recording: an older one gives up
    this.recordings = [];
    for (const type of ["state", "drawn", "moved", "picked", "error"]) {
      this.player.addEventListener(type, ({ detail }) => this.tell(type, detail));
    }
    this.player.addEventListener("frame", () => this.recording === null || this.tell("frame"));
  }

  open(name, recordings) {
    this.close();
    this.name = name;
    this.recordings = recordings;
    this.times = new Map(); // by recording: a promise of its frames' times
    this.starts = recordings.map(({ start_s }) => start_s); // in seconds of the procedure
    this.duration_s = Math.max(0, ...recordings.map(({ start_s, duration_s }) => start_s + duration_s));
  }

  // Nothing is shown any more.
  close() {
    this.attempt += 1;
    this.recording = null;
    this.table = null; // times of the shown recording's frames
    this.wanted_s = null; // where the player is being sent, in seconds of the procedure
    this.arrived = null; // a promise that it is there; null when it is not being sent anywhere
    this.steps = 0; // that were asked for while the player was busy
    if (this.recordings.length) this.player.pause();
  }

  get frame() {
    return this.player.frame;
  }

  get frames() {
    return this.table?.length ?? 0;
  }

  // The shown frame's time, in seconds of its recording.
  get time_s() {
    return this.table?.[this.player.frame] ?? 0;
  }

  // The shown frame's time, in seconds of the procedure.
  get at_s() {
    return this.recording === null ? 0 : this.starts[this.recording] + this.time_s;
  }

  // Seconds of the procedure for those of a recording.
  inProcedure(recording, time_s) {
    return (this.starts[recording] ?? 0) + time_s;
  }

  // Shows a frame; opens its recording when another one is shown.
  async show(recording, frame) {
    if (recording !== this.recording && !(await this.load(recording))) return;
    await this.player.seek(Math.min(Math.max(0, frame), this.frames - 1));
  }

  async load(recording) {
    const attempt = (this.attempt += 1);
    const current = () => attempt === this.attempt;
    const { width, height } = this.recordings[recording];
    const times = this.timesOf(recording);
    times.catch(() => {}); // said below
    this.player.pause();
    this.recording = null;
    try {
      const url = await this.prepared(recording, current);
      if (!url) return false;
      const table = await times;
      if (!current()) return false;
      const pictures = (frame) => address(path("procedures", this.name, "recordings", recording, "frames", `${frame}.jpg`));
      await this.player.open({ url: address(url), times: table, width, height, pictures });
      if (!current()) return false;
      this.recording = recording;
      this.table = table;
    } catch (error) {
      if (current()) this.tell("error", { text: error.message });
      return false;
    }
    this.tell("recording");
    this.tell("frame");
    return true;
  }

  timesOf(recording) {
    if (!this.times.has(recording)) {
      const found = getNumbers(path("procedures", this.name, "recordings", recording, "times"));
      found.catch(() => this.times.delete(recording)); // asked anew the next time
      this.times.set(recording, found);
    }
    return this.times.get(recording);
  }

  // The address of a recording that the browser can play; waits until the server has made it. Null when nobody waits.
  async prepared(recording, current) {
    const where = path("procedures", this.name, "recordings", recording, "media");
    let media = await get(where);
    if (!media.ready && !media.error) media = { ...media, ...(await post(where)) };
    while (!media.ready) {
      if (media.error) throw new Error(media.error);
      this.tell("waiting", { text: media.reason, share: media.progress });
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
      if (!current()) return null;
      media = await get(where);
    }
    return current() ? media.url : null;
  }

  // Sends the player to a time of the procedure. What is asked meanwhile takes the place of what was asked before.
  seek(at_s) {
    this.wanted_s = Math.min(Math.max(0, at_s), this.duration_s);
    this.arrived ??= this.follow().finally(() => {
      this.arrived = null;
      this.wanted_s = null;
    });
    return this.arrived;
  }

  async follow() {
    for (let wanted = null; this.wanted_s !== wanted; ) {
      wanted = this.wanted_s;
      const recording = this.recordingAt(wanted);
      const times = await this.timesOf(recording);
      await this.show(recording, frameAt(times, wanted - this.starts[recording]));
    }
  }

  recordingAt(at_s) {
    return Math.max(0, this.starts.findLastIndex((start) => start <= at_s));
  }

  go(seconds) {
    return this.seek((this.wanted_s ?? this.at_s) + seconds);
  }

  async step(by) {
    this.player.pause();
    const busy = this.steps !== 0;
    this.steps += by;
    if (busy || this.recording === null) return;
    try {
      for (let step = this.steps; step !== 0; step = this.steps) {
        await this.player.step(step);
        this.steps -= step;
      }
    } finally {
      this.steps = 0;
    }
  }

  // Plays, or stops. At the end of a recording the next one begins.
  async toggle() {
    if (this.recording === null) return;
    if (this.player.playing) this.player.pause();
    else {
      const over = this.frame >= this.frames - 1;
      if (over && this.recording + 1 < this.recordings.length) await this.show(this.recording + 1, 0);
      else if (over) await this.show(this.recording, 0);
      await this.player.play();
    }
  }

  tell(type, detail = {}) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

// The frame that is on the screen at a time: the last one that began by then.
export function frameAt(times, time_s) {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= time_s + 1e-6) low = middle;
    else high = middle - 1;
  }
  return low;
}
