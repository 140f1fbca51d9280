// Boxes over the picture of the player: how each kind looks, and which part of one lies under the pointer.

const COLOURS = { found: "#00ffff", between: "#00ffff", reader: "#ffd23c", selected: "#ffffff" };
const DASHES = { between: [6, 4] };
const DARK = "rgba(6, 10, 14, 0.82)";
const REACH = 10; // CSS pixels around an edge that belong to it
const GAP = 2; // between the box and its line, which hides nothing of what it surrounds

// Draws boxes on a context whose unit is a CSS pixel. `boxes`: [{box, text, style}], places in the player.
export function drawBoxes(context, boxes) {
  for (const { place, style } of boxes) drawOutline(context, place, style);
  for (const { place, style, text } of boxes) if (text) drawLabel(context, place, style, text);
}

function drawOutline(context, [x0, y0, x1, y1], style) {
  const line = style === "selected" ? 3 : 2;
  context.lineJoin = "round";
  for (const [colour, width, dash] of [[DARK, line + 2, []], [COLOURS[style], line, DASHES[style] ?? []]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.strokeRect(x0 - GAP, y0 - GAP, x1 - x0 + 2 * GAP, y1 - y0 + 2 * GAP);
  }
  context.setLineDash([]);
}

function drawLabel(context, [x0, y0, , y1], style, text) {
  context.font = "600 13px system-ui, sans-serif";
  context.textBaseline = "middle";
  const width = context.measureText(text).width + 10;
  const top = y0 - 24 >= 0 ? y0 - 24 : y1 + 6;
  const left = Math.max(0, x0 - GAP);
  context.fillStyle = DARK;
  context.fillRect(left, top, width, 19);
  context.fillStyle = COLOURS[style];
  context.fillText(text, left + 5, top + 10);
}

// What of a box in the player lies at a point: the sides that move with it ("nw", "e", ...), "" for its inside, null
// outside.
export function partAt([x0, y0, x1, y1], [x, y]) {
  if (x < x0 - REACH || x > x1 + REACH || y < y0 - REACH || y > y1 + REACH) return null;
  const within = (side) => Math.min(REACH, side / 3); // small boxes keep an inside
  const [across, down] = [within(x1 - x0), within(y1 - y0)];
  const vertical = y < y0 + down ? "n" : y > y1 - down ? "s" : "";
  const horizontal = x < x0 + across ? "w" : x > x1 - across ? "e" : "";
  return vertical + horizontal;
}

export function cursorOf(part) {
  const cursors = { "": "move", n: "ns-resize", s: "ns-resize", e: "ew-resize", w: "ew-resize" };
  const slants = { nw: "nwse-resize", se: "nwse-resize", ne: "nesw-resize", sw: "nesw-resize" };
  return part === null ? "" : cursors[part] ?? slants[part];
}

// The box with its part moved by pixels of the recording; it stays in the picture and keeps an area.
export function movedBox(box, part, across, down, [width, height], least = 4) {
  let [x0, y0, x1, y1] = box;
  if (part === "") {
    const right = Math.min(Math.max(across, -x0), width - x1);
    const low = Math.min(Math.max(down, -y0), height - y1);
    return [x0 + right, y0 + low, x1 + right, y1 + low];
  }
  if (part.includes("w")) x0 = Math.min(Math.max(0, x0 + across), x1 - least);
  if (part.includes("e")) x1 = Math.max(Math.min(width, x1 + across), x0 + least);
  if (part.includes("n")) y0 = Math.min(Math.max(0, y0 + down), y1 - least);
  if (part.includes("s")) y1 = Math.max(Math.min(height, y1 + down), y0 + least);
  return [x0, y0, x1, y1];
}

// The box between two corners in any order, within the picture; null where it is too small to be meant.
export function boxBetween([ax, ay], [bx, by], [width, height], least = 4) {
  const within = (value, most) => Math.min(most, Math.max(0, value));
  const box = [
    within(Math.min(ax, bx), width),
    within(Math.min(ay, by), height),
    within(Math.max(ax, bx), width),
    within(Math.max(ay, by), height),
  ];
  return box[2] - box[0] < least || box[3] - box[1] < least ? null : box;
}
