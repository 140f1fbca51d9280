// The player: a recording, exact to the frame. Where the browser says of a picture at what time it is shown, the picture
// is drawn on a canvas together with the boxes of the same frame, so neither is ever ahead of the other. Elsewhere
// (Firefox) the boxes lie over the video itself, which may be a picture ahead or behind while it plays.
//
//   const player = new Player(document.getElementById("player"));
//   await player.open({ url, times, width, height, pictures: (frame) => `/api/.../frames/${frame}.jpg` });
//   player.setBoxes((frame) => [{ box: [10, 20, 60, 80], text: "1", style: "found", finding: "1" }]);
//   player.addEventListener("frame", ({ detail }) => console.log(detail.frame));
//   await player.seek(100);
//
// Events, each with its `detail`: "frame" {frame}, "state" {playing, waiting}, "drawn" {frame, box}, "moved" {frame,
// finding, box}, "picked" {finding}, "error" {text}.
//
// The browser says which picture it shows (`requestVideoFrameCallback`, and `VideoFrame` where there is one). One that
// does not is paused on pictures that the server cuts out; while it plays, `frame` is then a guess, and `exact` false.

import { PlayerHand } from "./player_hand.js";
import { drawBoxes } from "./player_marks.js";
import { FrameTimes } from "./player_times.js";
import { PictureView } from "./player_view.js";

const SLOWEST = 0.1;
const FASTEST = 16;
const SHARES = [0.5, 0.9, 0.1]; // places in a frame's interval that are tried when the browser shows a neighbour
const UNSEEN_MS = 200; // in which a page that is seen is drawn for sure
const SILENT_MS = 1000; // after a jump, in which the browser does not say what it shows

export class Player extends EventTarget {
  #video = document.createElement("video");
  #picture = document.createElement("canvas").getContext("2d", { alpha: false });
  #marks = document.createElement("canvas").getContext("2d");
  #view = new PictureView();
  #hand;
  #times = null;
  #pictures = null; // (frame) -> address of its picture
  #frame = 0;
  #ask = () => [];
  #withMarks = true;
  #rate = 1;
  #target = null; // the frame that is to be shown
  #seeking = null; // resolved when it is
  #arrived = null; // told of each shown picture while a jump goes on
  #opened = 0; // number of the recording that is open, so that what belongs to an earlier one is passed over
  #saidWrong = false;
  #stamped = false; // whether pictures are known to carry their exact times

  constructor(container) {
    super();
    const surface = { position: "absolute", inset: "0", overflow: "hidden", touchAction: "none" };
    const frame = document.createElement("div");
    for (const [name, value] of Object.entries(surface)) frame.style[name] = value;
    if (getComputedStyle(container).position === "static") container.style.position = "relative";
    for (const element of [this.#video, this.#picture.canvas, this.#marks.canvas]) {
      element.style.position = "absolute";
      frame.append(element);
    }
    this.#marks.canvas.style.inset = "0";
    this.#marks.canvas.style.width = this.#marks.canvas.style.height = "100%";
    this.#marks.canvas.tabIndex = 0;
    this.#picture.canvas.className = "player-picture";
    this.#marks.canvas.className = "player-marks";
    container.append(frame);
    Object.assign(this.#video, { muted: true, playsInline: true, preload: "auto", disablePictureInPicture: true });
    this.#hand = new PlayerHand({
      canvas: this.#marks.canvas,
      view: this.#view,
      boxes: () => (this.#withMarks ? this.#ask(this.#frame) : []),
      redraw: () => this.redraw(),
      drawn: (box) => this.#tell("drawn", { frame: this.#frame, box }),
      moved: (finding, box) => this.#tell("moved", { frame: this.#frame, finding, box }),
      picked: (finding) => this.#tell("picked", { finding }),
    });
    for (const name of ["play", "pause", "ended", "waiting", "playing", "seeked"]) {
      this.#video.addEventListener(name, () => this.#tellState(name === "waiting"));
    }
    new ResizeObserver(() => this.redraw()).observe(container);
  }

  // Whether the browser says which picture it shows.
  get exact() {
    return "requestVideoFrameCallback" in this.#video;
  }

  // The index of the frame that is shown now.
  get frame() {
    return this.#frame;
  }

  get playing() {
    return !this.#video.paused && !this.#video.ended;
  }

  get rate() {
    return this.#rate;
  }

  // The picture that is shown: a canvas in pixels of the video.
  get picture() {
    const { canvas } = this.#picture;
    if (canvas.style.visibility === "hidden") this.#picture.drawImage(this.#video, 0, 0, canvas.width, canvas.height);
    return canvas;
  }

  // Opens a recording; resolved when its first frame is shown, rejected where it cannot be played.
  // `pictures(frame)`: the address of the picture of a frame, for browsers that do not say what they show.
  async open({ url, times, width, height, pictures = null }) {
    const number = ++this.#opened;
    this.#hand.leave();
    this.#times = new FrameTimes(times);
    this.#pictures = pictures;
    this.#frame = 0;
    this.#target = this.#seeking = this.#arrived = null;
    this.#saidWrong = false;
    this.#video.pause();
    const video = this.#video;
    const loaded = new Promise((resolve, reject) => {
      video.onloadeddata = resolve;
      video.onerror = () => reject(new Error(this.#failure()));
    });
    const first = this.exact
      ? new Promise((resolve) => video.requestVideoFrameCallback((_, shown) => resolve(shown.mediaTime)))
      : null;
    video.src = url;
    video.load();
    try {
      await loaded;
    } catch (error) {
      if (number === this.#opened) this.#tell("error", { text: error.message });
      throw error;
    }
    if (number !== this.#opened) return;
    video.onerror = () => this.#tell("error", { text: this.#failure() });
    const shape = video.videoWidth / video.videoHeight || width / height;
    this.#view.open(width, height, shape);
    this.#picture.canvas.width = video.videoWidth;
    this.#picture.canvas.height = video.videoHeight;
    video.playbackRate = this.#rate;
    if (this.exact) {
      const mediaTime = await first;
      if (number !== this.#opened) return;
      this.#watch(number);
      this.#show(mediaTime);
    } else {
      this.#tell("error", {
        text: "This browser does not say which frame it shows: frames are exact while the recording is paused.",
      });
      video.ontimeupdate = () => this.playing && this.#take(this.#now(), video);
      await this.#showPicture(0);
    }
  }

  // Shows a frame, paused; resolved when it is shown, or when a later call has taken its place and is done.
  async seek(frame) {
    if (!this.#times) return;
    this.#video.pause();
    this.#target = Math.min(this.#times.count - 1, Math.max(0, Math.round(frame)));
    this.#seeking ??= this.#follow().finally(() => {
      this.#seeking = null;
    });
    await this.#seeking;
  }

  // Shows a frame that is so many frames on; negative: back.
  async step(by) {
    await this.seek((this.#target ?? this.#frame) + by);
  }

  async play() {
    if (!this.#times) return;
    await this.#seeking;
    if (this.#frame === this.#times.count - 1) await this.seek(0);
    await this.#video.play();
  }

  // Resolved when the frame that stays is shown.
  async pause() {
    if (!this.playing) return;
    this.#video.pause();
    if (!this.exact) await this.#showPicture(this.#now());
    else if (!this.#stamped) await this.#jump(this.#frame);
  }

  // Speed from 0.1 to 16.
  setRate(rate) {
    this.#rate = Math.min(FASTEST, Math.max(SLOWEST, rate));
    this.#video.playbackRate = this.#video.defaultPlaybackRate = this.#rate;
  }

  // Enlarges from 1 to 16 times; the point of the recording comes to the middle.
  setZoom(factor, x = null, y = null) {
    this.#view.zoom(factor, x === null ? null : [x, y]);
    this.redraw();
  }

  get zoom() {
    return this.#view.factor;
  }

  setMarks(shown) {
    this.#withMarks = shown;
    this.redraw();
  }

  // `ask(frame)` -> [{box, text, style: "found" | "between" | "reader" | "selected", finding}], for each shown frame.
  setBoxes(ask) {
    this.#ask = ask;
    this.redraw();
  }

  // The next drag, or the arrow keys and Enter, draw a box.
  draw() {
    this.pause();
    this.#hand.draw();
  }

  // The arrow keys and Enter move the box of the selected finding.
  edit() {
    this.pause();
    this.#hand.edit();
  }

  // Leaves what `draw` or `edit` began.
  leave() {
    this.#hand.leave();
  }

  // Draws the boxes of the shown frame anew, where they or the room for them have changed.
  redraw() {
    const { canvas } = this.#marks;
    const room = canvas.parentElement;
    this.#view.fit(room.clientWidth, room.clientHeight);
    const [left, top] = this.#view.corner;
    const [width, height] = this.#view.size;
    for (const { style } of [this.#video, this.#picture.canvas]) {
      Object.assign(style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    }
    const [across, down] = this.#view.player.map((side) => Math.round(side * devicePixelRatio));
    if (canvas.width !== across || canvas.height !== down) Object.assign(canvas, { width: across, height: down });
    this.#marks.setTransform(across / this.#view.player[0], 0, 0, down / this.#view.player[1], 0, 0);
    this.#marks.clearRect(0, 0, ...this.#view.player);
    if (!this.#times) return;
    const { draft } = this.#hand;
    const boxes = this.#withMarks ? this.#ask(this.#frame) : [];
    const shown = boxes.filter((one) => !draft || draft.finding === null || one.finding !== draft.finding);
    if (draft) shown.push({ box: draft.box, text: "", style: "reader" });
    drawBoxes(this.#marks, shown.map((one) => ({ ...one, place: this.#view.boxToPlayer(one.box) })));
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #tellState(waiting) {
    this.#tell("state", { playing: this.playing, waiting });
  }

  #failure() {
    const { error } = this.#video;
    if (error?.code === MediaError.MEDIA_ERR_NETWORK) return "The recording did not arrive: the connection broke off.";
    return `This browser cannot play the recording (${error?.message || "no reason given"}).`;
  }

  // Is told of each picture that the browser shows.
  #watch(number) {
    this.#video.requestVideoFrameCallback((_, { mediaTime }) => {
      if (number !== this.#opened) return;
      this.#watch(number);
      if (this.#stamped || !this.#arrived) this.#show(mediaTime);
      else this.#held(mediaTime)?.close(); // finds out whether pictures carry their times
    });
  }

  // The picture that the browser holds now, with its own time: it may be a later one than the callback was told of.
  // Null until one was seen to carry the time that the callback was told of: Firefox's carry another unit.
  #held(mediaTime) {
    if (!("VideoFrame" in window)) return null;
    let picture;
    try {
      picture = new VideoFrame(this.#video);
    } catch {
      return null; // none is decoded just now
    }
    this.#stamped ||= mediaTime > 0 && Math.abs(picture.timestamp / mediaTime - 1e6) < 1e3;
    if (this.#stamped) return picture;
    picture.close();
    return null;
  }

  #show(mediaTime) {
    const held = this.#held(mediaTime);
    const time = held ? held.timestamp / 1e6 : mediaTime;
    const frame = this.#times.frameAt(time);
    if (frame !== null) {
      this.#take(frame, held ?? this.#video);
    } else if (!this.#saidWrong) {
      this.#saidWrong = true;
      const text = `The browser shows a picture of ${time.toFixed(3)} s, which the recording does not have.`;
      this.#tell("error", { text });
    }
    held?.close();
  }

  // The frame at the time of a browser that does not say what it shows.
  #now() {
    return this.#times.frameAt(this.#video.currentTime) ?? this.#times.count - 1;
  }

  // A frame is shown from now on, and its boxes.
  #take(frame, picture) {
    const { canvas } = this.#picture;
    canvas.style.visibility = picture === this.#video ? "hidden" : "";
    if (picture !== this.#video) this.#picture.drawImage(picture, 0, 0, canvas.width, canvas.height);
    this.#frame = frame;
    this.redraw();
    this.#tell("frame", { frame });
    this.#arrived?.(frame);
  }

  // Jumps until the wanted frame is shown, which may change on the way.
  async #follow() {
    while (this.#target !== null && this.#target !== this.#frame) {
      const target = this.#target;
      if (!this.exact) await this.#showPicture(target);
      else await this.#jump(target);
      if (this.#target === target) break;
    }
    this.#target = null;
  }

  async #jump(target) {
    for (const share of SHARES) {
      await this.#jumpTo(this.#times.within(target, share), target);
      if (this.#frame === target || this.#target !== target) return;
    }
    if (this.#pictures) await this.#showPicture(target);
    else this.#tell("error", { text: `The browser shows frame ${this.#frame} in the place of frame ${target}.` });
  }

  // Resolved when the browser shows the frame, or has shown another one after the jump.
  #jumpTo(time, target) {
    const video = this.#video;
    return new Promise((resolve) => {
      let there = false; // the jump is done, and its picture may still come
      let late = null;
      const end = () => {
        clearTimeout(late);
        video.removeEventListener("seeked", seeked);
        video.removeEventListener("error", end);
        this.#arrived = null;
        resolve();
      };
      const look = () => {
        this.#show(video.currentTime);
        end();
      };
      const seeked = () => {
        there = true;
        // Where pictures carry no times, the browser tells of a jump's picture before it shows it.
        if (this.#stamped) late = setTimeout(look, SILENT_MS);
        else untilDrawn().then(look);
      };
      this.#arrived = (frame) => this.#stamped && (frame === target || there) && end();
      video.addEventListener("seeked", seeked);
      video.addEventListener("error", end);
      video.currentTime = time;
    });
  }

  // The server's picture of a frame, for browsers that do not say what they show, or show another one.
  async #showPicture(frame) {
    const number = this.#opened;
    if (!this.exact) this.#video.currentTime = this.#times.within(frame);
    if (!this.#pictures) return this.#take(frame, this.#video);
    const image = new Image();
    image.src = this.#pictures(frame);
    try {
      await image.decode();
    } catch {
      return this.#tell("error", { text: `The picture of frame ${frame} did not arrive.` });
    }
    if (number !== this.#opened) return;
    this.#take(frame, image);
  }
}

// Resolved when the browser has drawn the page; soon where nobody sees it.
function untilDrawn() {
  return new Promise((resolve) => {
    requestAnimationFrame(() => requestAnimationFrame(resolve));
    setTimeout(resolve, UNSEEN_MS);
  });
}
