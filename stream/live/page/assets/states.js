// How things stand with a room: what is wrong, the worst first, and how that is said.

const OLD_MS = 1500; // without a new frame for so long a picture is no longer called live

export const STATES = {
  connecting: { chip: "Connecting", kind: "wait", title: "Connecting to the source" },
  running: { chip: "Live", kind: "good", title: "" },
  stalled: { chip: "Stalled", kind: "bad", title: "The source sends no pictures" },
  reconnecting: { chip: "Reconnecting", kind: "bad", title: "The source was lost, reconnecting" },
  ended: { chip: "Ended", kind: "off", title: "The run has ended" },
  lost: { chip: "No connection", kind: "bad", title: "No connection to polypstream" },
  late: { chip: "No picture", kind: "bad", title: "No new pictures arrive" },
};

// The name of the state; "running" when the picture may be called live.
// `fresh` says whether a frame was drawn since the page was connected or seen again, `drawn_ms` when the newest was.
export function stateOf({ connected, status, fresh, drawn_ms }) {
  if (!connected) return status?.state === "ended" ? "ended" : status ? "lost" : "connecting";
  if (!status) return "connecting";
  if (status.state !== "running") return status.state;
  return fresh && performance.now() - drawn_ms < OLD_MS ? "running" : "late";
}

// Texts are set only when they change, so that screen readers say them once.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
