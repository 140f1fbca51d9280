// How times, numbers and judgements are written.

const number = new Intl.NumberFormat("en");

export const VERDICTS = { right: "Right", wrong: "Wrong", unsure: "Not sure" };
export const STATES = { new: "New", in_review: "In review", done: "Done" };
export const FIELDS = {
  verdict: "Verdict",
  cause: "Cause",
  kind: "Kind",
  size: "Size",
  paris: "Paris",
  nice: "NICE",
  place: "Place",
  text: "Note",
};

// Seconds as minutes and seconds, with hours where there are some: 12:03, 1:02:03; with digits 12:03.44.
export function clock(seconds, digits = 0) {
  const unit = 10 ** digits;
  const whole = Math.floor(Math.max(0, seconds) * unit + 1e-6);
  const rest = whole % (60 * unit);
  const minutes = Math.floor(whole / (60 * unit));
  const hours = Math.floor(minutes / 60);
  const tail = (rest / unit).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

export function percent(share, digits = 0) {
  return share === null || share === undefined ? "–" : `${(100 * share).toFixed(digits)} %`;
}

export function counted(count, one, many = `${one}s`) {
  return `${number.format(count)} ${count === 1 ? one : many}`;
}

export function grouped(value) {
  return number.format(value);
}

// A name of the server as words: "washed_out" is "Washed out".
export function worded(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
