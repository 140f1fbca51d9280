// The WebSocket to polypstream: opens it, opens it again when it is lost, and takes its messages apart.

const SHORTEST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 5000;

export class Connection {
  // `listeners` holds a function for each type of text message, and `frame(header, jpeg)`, `open()` and `lost()`;
  // `path` is that of the room below this page, "" where the page shows one room only.
  constructor(listeners, path = "") {
    this.listeners = listeners;
    this.path = path;
    this.wait_ms = SHORTEST_WAIT_MS;
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(`${scheme}//${location.host}${location.pathname}${this.path}live`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.wait_ms = SHORTEST_WAIT_MS;
      this.listeners.open();
    };
    this.socket.onmessage = (event) => this.take(event.data);
    this.socket.onclose = () => {
      this.listeners.lost();
      setTimeout(() => this.open(), this.wait_ms * (0.75 + Math.random() / 2));
      if (this.wait_ms >= LONGEST_WAIT_MS / 2) askAgainWhoMayCome();
      this.wait_ms = Math.min(2 * this.wait_ms, LONGEST_WAIT_MS);
    };
  }

  say(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  take(data) {
    if (typeof data === "string") {
      const message = JSON.parse(data);
      this.listeners[message.type]?.(message);
      return;
    }
    const length = new DataView(data).getUint32(0);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    this.listeners.frame(header, new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" }));
  }
}

// A browser is not told why a WebSocket was refused; the page itself says it, when polypstream runs with a new token.
async function askAgainWhoMayCome() {
  try {
    const answer = await fetch(location.pathname, { cache: "no-store" });
    if (answer.status === 401) location.reload();
  } catch {
    // Nobody there: the next attempt to connect comes by itself.
  }
}
