// When each frame of a recording is shown, and which frame is shown at a time. The server hands out no file whose own
// clock says anything else.

const TOLERANCE_S = 0.001; // files that count milliseconds round by half of one

export class FrameTimes {
  // `times`: seconds of each frame, growing; at least one.
  constructor(times) {
    this.times = times;
  }

  get count() {
    return this.times.length;
  }

  // The frame that is shown at a time: the last one that has begun. A browser names the time at which the frame
  // begins, or the one that it jumped to; before the first frame begins it shows that one. Null after the last one.
  frameAt(time) {
    const frame = Math.max(0, this.#firstAfter(time + TOLERANCE_S) - 1);
    return frame === this.count - 1 && time > this.within(frame, 1.5) ? null : frame;
  }

  // A time within a frame's interval: at a share of it, by default in its middle, where no rounding leads to its
  // neighbours.
  within(frame, share = 0.5) {
    return this.times[frame] + share * this.stepOf(frame);
  }

  // How long a frame is shown; the last one as long as the one before it.
  stepOf(frame) {
    if (this.count === 1) return 0.04;
    const from = Math.min(frame, this.count - 2);
    return this.times[from + 1] - this.times[from];
  }

  #firstAfter(time) {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] <= time) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
