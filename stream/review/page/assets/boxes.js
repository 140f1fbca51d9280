// The boxes of one recording's findings, by frame.

const BETWEEN = 1; // filled in between two others
const DRAWN = 2; // drawn or corrected by the reader

export class Boxes {
  // `findings` is what the server answers: for each finding rows of frame, x0, y0, x1, y1, score, flags.
  constructor(findings, revision) {
    this.revision = revision;
    this.rows = new Map(); // by finding: a Map of rows by frame
    for (const [finding, rows] of Object.entries(findings)) {
      this.rows.set(finding, new Map(rows.map((row) => [row[0], row])));
    }
  }

  // What a change that is not saved yet does to them; the outcome of most changes only the server knows.
  apply({ do: action, finding, frame, box, first, last }) {
    const rows = this.rows.get(finding) ?? new Map();
    if (action === "box") {
      rows.set(frame, [frame, ...box, null, DRAWN]);
      this.rows.set(finding, rows);
    }
    if (action === "delete_boxes") {
      for (const key of [...rows.keys()]) if (key >= first && key <= last) rows.delete(key);
    }
  }

  at(finding, frame) {
    return this.rows.get(finding)?.get(frame) ?? null;
  }

  // What the player draws on a frame.
  marks(frame, selected) {
    const found = [];
    for (const [finding, rows] of this.rows) {
      const row = rows.get(frame);
      if (row) found.push(mark(finding, row, finding === selected));
    }
    return found;
  }

  // Frames of a finding in their order.
  frames(finding) {
    return [...(this.rows.get(finding)?.keys() ?? [])].sort((one, other) => one - other);
  }

  // Up to `count` rows of a finding, spread evenly.
  spread(finding, count) {
    const frames = this.frames(finding);
    if (frames.length === 0) return [];
    const steps = Math.min(count, frames.length);
    return Array.from({ length: steps }, (_, step) => {
      const place = steps === 1 ? 0 : Math.round((step * (frames.length - 1)) / (steps - 1));
      return this.at(finding, frames[place]);
    });
  }

  // The drawn boxes of a finding around a frame, as [first, last]; null where one side has none.
  drawnAround(finding, frame) {
    const drawn = this.frames(finding).filter((one) => this.at(finding, one)[6] & DRAWN);
    const first = drawn.findLast((one) => one <= frame);
    const last = drawn.find((one) => one > frame);
    if (first === undefined) return null;
    if (last !== undefined) return [first, last];
    const before = drawn.at(-2);
    return before === undefined ? null : [before, first];
  }
}

function mark(finding, row, selected) {
  const [, x0, y0, x1, y1, score, flags] = row;
  const style = selected ? "selected" : flags & DRAWN ? "reader" : flags & BETWEEN ? "between" : "found";
  const text = score === null ? finding : `${finding}  ${Math.round(100 * score)} %`;
  return { box: [x0, y0, x1, y1], text, style, finding };
}
