// Changes of a review: what they say in words, what they do to what is shown before the server has answered, and whether
// they may follow on what another browser did meanwhile.

import { FIELDS, STATES, VERDICTS, clock, counted } from "./texts.js";

// What a change would say to a reader; `lists` are the lists of values.
export function describe(change, lists = {}) {
  const finding = `Finding ${change.finding}`;
  switch (change.do) {
    case "judge":
      return `${finding}: ${FIELDS[change.field].toLowerCase()} ${valueText(change.field, change.value, lists)}`;
    case "box":
      return `${finding}: box on frame ${change.frame}`;
    case "delete_boxes":
      return `${finding}: ${change.first === change.last ? `no box on frame ${change.first}` : `no boxes on frames ${change.first} to ${change.last}`}`;
    case "interpolate":
      return `${finding}: boxes filled in on frames ${change.first} to ${change.last}`;
    case "join":
      return `Findings ${change.findings.join(" and ")} are one`;
    case "split":
      return `${finding}: split at frame ${change.frame}`;
    case "add":
      return `Missed lesion added, ${counted(Object.keys(change.boxes).length, "box", "boxes")}`;
    case "remove":
      return `${finding} removed`;
    case "turning_point":
      return change.time_s === undefined ? "No turning point" : `Turning point at ${clock(change.time_s)}`;
    case "bbps":
      return change.value ? `BBPS ${change.value.join("-")}` : "No BBPS";
    case "state":
      return `Procedure: ${STATES[change.value].toLowerCase()}`;
    case "undo":
      return "Undo";
    case "redo":
      return "Redo";
    default:
      return change.do;
  }
}

function valueText(field, value, lists) {
  if (value === null || value === "") return "taken back";
  if (field === "verdict") return VERDICTS[value].toLowerCase();
  if (field === "text") return `“${value}”`;
  return lists[field]?.find((one) => one.value === value)?.text ?? value;
}

// A copy of a review with a change applied. Changes whose outcome only the server knows leave it as it is.
export function apply(review, change) {
  switch (change.do) {
    case "judge":
      return {
        ...review,
        state: review.state === "new" ? "in_review" : review.state,
        findings: review.findings.map((one) => (one.id === change.finding ? judged(one, change) : one)),
      };
    case "turning_point": {
      const { recording, time_s } = change;
      return { ...review, turning_point: time_s === undefined ? null : { recording, time_s } };
    }
    case "bbps":
      return { ...review, bbps: change.value };
    case "state":
      return { ...review, state: change.value };
    default:
      return review;
  }
}

function judged(finding, { field, value }) {
  const found = { ...finding, [field]: value };
  if (field === "verdict" && value !== "wrong") found.cause = null;
  return found;
}

// The one value that a change replaces, as text to compare; null for a change that touches more than one.
export function touched(review, change) {
  switch (change.do) {
    case "judge": {
      const finding = review.findings.find((one) => one.id === change.finding);
      return finding ? JSON.stringify(finding[change.field]) : null;
    }
    case "turning_point":
    case "bbps":
    case "state":
      return JSON.stringify(review[change.do]);
    default:
      return null;
  }
}

// Whether a change may be made on a review that another browser has changed: nobody touched the value since it was
// `before`, or it is what the change wants already.
export function mayFollow(review, change, before) {
  const now = touched(review, change);
  if (now === null || before === null) return false;
  return now === before || touched(apply(review, change), change) === now;
}
