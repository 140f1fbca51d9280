// Boxes, labels and corner markers, drawn beside the polyp and never on it.

const TRACK_COLOURS = ["#00ffff", "#3cff78", "#3caaff"];
const CANDIDATE_COLOUR = "#bebebe";
const FIELD_COLOUR = "rgba(160, 215, 225, 0.75)";
const DARK = "rgba(6, 10, 14, 0.82)";

export const TRACK_LANES = TRACK_COLOURS.length;

export function laneOf(trackId) {
  return (trackId - 1) % TRACK_LANES;
}

export function colourOf(trackId) {
  return trackId === null ? CANDIDATE_COLOUR : TRACK_COLOURS[laneOf(trackId)];
}

// Draws on a whole canvas. `unit` is the width of a thin line in pixels of the canvas.
export function drawMarks(context, header, unit) {
  const { width, height } = context.canvas;
  const [sourceWidth, sourceHeight] = header.source_wh;
  const scaled = ([x1, y1, x2, y2]) => [
    (x1 * width) / sourceWidth,
    (y1 * height) / sourceHeight,
    (x2 * width) / sourceWidth,
    (y2 * height) / sourceHeight,
  ];
  const boxes = header.boxes.map((box) => ({ ...box, place: scaled(box.box_xyxy) }));
  if (header.field_of_view_xyxy) drawCorners(context, scaled(header.field_of_view_xyxy), unit);
  for (const box of boxes) drawOutline(context, box.place, colourOf(box.track_id), unit);
  for (const box of boxes) drawLabel(context, box, unit);
}

function drawOutline(context, [x1, y1, x2, y2], colour, unit) {
  const line = 2 * unit;
  const gap = line / 2 + unit;
  context.lineJoin = "round";
  for (const [style, width] of [[DARK, line + 2 * unit], [colour, line]]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.beginPath();
    context.roundRect(x1 - gap, y1 - gap, x2 - x1 + 2 * gap, y2 - y1 + 2 * gap, 4 * unit);
    context.stroke();
  }
}

function drawLabel(context, box, unit) {
  const [x1, y1, x2, y2] = box.place;
  const number = box.track_id === null ? "" : ` ${box.track_id}`;
  const kind = box.kind === null ? "" : `  ${box.kind}`;
  const text = `${box.label}${number}  ${Math.round(100 * box.score)} %${kind}`;
  context.font = `600 ${13 * unit}px system-ui, sans-serif`;
  const width = context.measureText(text).width + 12 * unit;
  const height = 21 * unit;
  const room = 6 * unit;
  const canvas = context.canvas;
  const left = Math.max(0, Math.min(x1 - 2 * unit, canvas.width - width));
  let top = y1 - room - height;
  if (top < 0) top = Math.min(y2 + room, canvas.height - height);
  context.fillStyle = DARK;
  context.beginPath();
  context.roundRect(left, top, width, height, 5 * unit);
  context.fill();
  context.fillStyle = colourOf(box.track_id);
  context.textBaseline = "middle";
  context.fillText(text, left + 6 * unit, top + height / 2 + unit / 2);
}

function drawCorners(context, [x1, y1, x2, y2], unit) {
  const arm = Math.min(22 * unit, (x2 - x1) / 8);
  const inset = 2 * unit;
  context.strokeStyle = FIELD_COLOUR;
  context.lineWidth = 1.5 * unit;
  context.beginPath();
  for (const [x, wayX] of [[x1 + inset, 1], [x2 - inset, -1]]) {
    for (const [y, wayY] of [[y1 + inset, 1], [y2 - inset, -1]]) {
      context.moveTo(x + wayX * arm, y);
      context.lineTo(x, y);
      context.lineTo(x, y + wayY * arm);
    }
  }
  context.stroke();
}
