// The server's HTTP interface. The page lies at a path that nobody can guess, and everything it asks for lies below it.

const PATIENCE_MS = 30000; // for an answer; what is not answered by then is asked again
const home = new URL(".", document.baseURI);

// The server answered that it does not do this; `body` is what it said.
export class Refused extends Error {
  constructor(status, body) {
    super(body?.error ?? `the server answered ${status}`);
    this.status = status;
    this.body = body;
  }
}

// Nobody answered.
export class Unreachable extends Error {}

// The address of what the server names by a path from its root.
export function address(path) {
  return new URL(path.replace(/^\//, ""), home).href;
}

// Paths are made of parts that are names of somebody's: `path("procedures", name)`.
export function path(...parts) {
  return ["api", ...parts.map((part) => encodeURIComponent(part))].join("/");
}

async function ask(where, options) {
  let answer;
  try {
    answer = await fetch(address(where), { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  } catch {
    throw new Unreachable("polypstream does not answer");
  }
  if (answer.status === 401) {
    location.reload(); // the page that comes asks for the token; what is not saved stays in this browser
    throw new Unreachable("the token is asked for again");
  }
  return answer;
}

async function json(answer) {
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refused(answer.status, body);
  return body;
}

export async function get(where) {
  return json(await ask(where, {}));
}

export async function post(where, body = {}) {
  const headers = { "Content-Type": "application/json" };
  return json(await ask(where, { method: "POST", headers, body: JSON.stringify(body) }));
}

export async function remove(where) {
  return json(await ask(where, { method: "DELETE" }));
}

export async function getNumbers(where) {
  const answer = await ask(where, {});
  if (!answer.ok) return json(answer);
  return new Float64Array(await answer.arrayBuffer());
}

// Sends a recording, or pictures as one form; `onShare` is called with the share that is sent. Only the older interface
// of browsers tells that.
export function uploadRecording(file, onShare) {
  return send(`api/upload?name=${encodeURIComponent(file.name)}`, file, onShare);
}

export function uploadPictures(files, onShare) {
  const form = new FormData();
  for (const file of files) form.append("picture", file, file.name);
  return send("api/pictures", form, onShare);
}

function send(where, body, onShare) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address(where));
    request.responseType = "json";
    request.upload.onprogress = (event) => onShare(event.total ? event.loaded / event.total : 0);
    request.onload = () =>
      request.status < 300 ? resolve(request.response) : reject(new Refused(request.status, request.response));
    request.onerror = () => reject(new Unreachable("the upload was cut off"));
    request.send(body);
  });
}
