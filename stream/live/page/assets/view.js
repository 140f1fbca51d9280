// The live picture: the newest frame and its marks, drawn together on two canvases.

import { drawMarks } from "./marks.js";

export class View {
  // `onDrawn(index)` is called when a frame was drawn, or could not be.
  constructor({ frame, picture, marks }, onDrawn) {
    this.frame = frame;
    this.picture = picture.getContext("2d", { alpha: false });
    this.marks = marks.getContext("2d");
    this.onDrawn = onDrawn;
    this.withMarks = true;
    this.withField = false; // whether the corners of the field of view are marked
    this.drawn = null; // the header of the frame on the screen
    this.drawn_ms = null; // when it was drawn
    this.waiting = null; // decoded, drawn at the screen's next turn
    this.decoding = new Map(); // headers of frames whose pictures are being decoded
    new ResizeObserver(() => this.fit()).observe(frame);
  }

  async take(header, jpeg) {
    let bitmap;
    this.decoding.set(header.frame, header);
    try {
      bitmap = await createImageBitmap(jpeg);
    } catch {
      this.onDrawn(header.frame);
      return;
    } finally {
      this.decoding.delete(header.frame);
    }
    if (this.waiting && header.frame < this.waiting.header.frame) {
      bitmap.close();
      return;
    }
    if (this.waiting) this.waiting.bitmap.close();
    else requestAnimationFrame(() => this.draw());
    this.waiting = { header, bitmap };
  }

  draw() {
    const { header, bitmap } = this.waiting;
    this.waiting = null;
    const canvas = this.picture.canvas;
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
      this.frame.style.setProperty("--ratio", bitmap.width / bitmap.height);
    }
    this.picture.drawImage(bitmap, 0, 0);
    bitmap.close();
    this.drawn = header;
    this.drawn_ms = performance.now();
    this.drawMarks();
    this.onDrawn(header.frame);
  }

  // New marks for a frame that came before; those of another frame than the one on the screen are of no use.
  takeMarks(marks) {
    for (const header of [this.decoding.get(marks.frame), this.waiting?.header, this.drawn]) {
      if (header?.frame === marks.frame) Object.assign(header, marks);
    }
    if (this.drawn?.frame === marks.frame) this.drawMarks();
  }

  drawMarks() {
    const canvas = this.marks.canvas;
    this.marks.clearRect(0, 0, canvas.width, canvas.height);
    this.drawMarksOn(this.marks);
  }

  drawMarksOn(context) {
    if (!this.withMarks || !this.drawn) return;
    const field = this.withField ? this.drawn.field_of_view_xyxy : null;
    drawMarks(context, { ...this.drawn, field_of_view_xyxy: field }, this.unit(context.canvas));
  }

  fit() {
    const canvas = this.marks.canvas;
    canvas.width = Math.max(1, Math.round(this.frame.clientWidth * devicePixelRatio));
    canvas.height = Math.max(1, Math.round(this.frame.clientHeight * devicePixelRatio));
    this.drawMarks();
  }

  // A line's width in pixels of a canvas: the same on a small and on a large screen, a little finer on a phone.
  unit(canvas) {
    const perPixel = canvas.width / Math.max(1, this.frame.clientWidth);
    return perPixel * Math.min(1.5, Math.max(0.8, this.frame.clientWidth / 900));
  }

  // The picture as it is shown, in the resolution in which it came.
  snapshot() {
    const canvas = document.createElement("canvas");
    canvas.width = this.picture.canvas.width;
    canvas.height = this.picture.canvas.height;
    const context = canvas.getContext("2d");
    context.drawImage(this.picture.canvas, 0, 0);
    this.drawMarksOn(context);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }
}
