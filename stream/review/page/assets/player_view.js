// Where the picture lies in the player: fitted, enlarged and moved. All sizes in CSS pixels, but for points and boxes,
// which are in pixels of the recording.

const MOST = 16; // times as large as the fitted picture

export class PictureView {
  constructor() {
    this.factor = 1;
    this.centre = [0.5, 0.5]; // share of the picture that is in the middle of the player
    this.player = [1, 1];
    this.picture = [1, 1]; // pixels of the recording
    this.shape = 1; // width by height, as it is to be seen
  }

  open(width, height, shape) {
    this.picture = [width, height];
    this.shape = shape;
    this.factor = 1;
    this.centre = [0.5, 0.5];
  }

  fit(width, height) {
    this.player = [Math.max(1, width), Math.max(1, height)];
    this.#hold();
  }

  // Width and height of the whole picture.
  get size() {
    const [width, height] = this.player;
    const fitted = Math.min(width, height * this.shape);
    return [fitted * this.factor, (fitted / this.shape) * this.factor];
  }

  // Left upper corner of the picture.
  get corner() {
    return this.size.map((side, axis) => this.player[axis] / 2 - this.centre[axis] * side);
  }

  // Enlarges; the point of the recording comes to the middle, or, with `at`, to that place of the player.
  zoom(factor, point = null, at = null) {
    const shares = point ? point.map((value, axis) => value / this.picture[axis]) : this.centre;
    this.factor = Math.min(MOST, Math.max(1, factor));
    this.centre = shares;
    if (at) this.centre = shares.map((share, axis) => share + (this.player[axis] / 2 - at[axis]) / this.size[axis]);
    this.#hold();
  }

  pan(across, down) {
    this.centre = [this.centre[0] - across / this.size[0], this.centre[1] - down / this.size[1]];
    this.#hold();
  }

  toPlayer([x, y]) {
    const [left, top] = this.corner;
    return [left + (x / this.picture[0]) * this.size[0], top + (y / this.picture[1]) * this.size[1]];
  }

  toRecording([x, y]) {
    const [left, top] = this.corner;
    return [((x - left) / this.size[0]) * this.picture[0], ((y - top) / this.size[1]) * this.picture[1]];
  }

  boxToPlayer([x0, y0, x1, y1]) {
    return [...this.toPlayer([x0, y0]), ...this.toPlayer([x1, y1])];
  }

  // No edge of a picture that is larger than the player comes into its middle; a smaller one stays in the middle.
  #hold() {
    this.centre = this.centre.map((share, axis) => {
      const room = Math.min(0.5, this.player[axis] / 2 / this.size[axis]);
      return Math.min(1 - room, Math.max(room, share));
    });
  }
}
