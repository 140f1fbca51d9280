// Crops of the selected finding along its track: how it looked from its first box to its last.

import { address, path } from "./api.js";
import { element, make, setAttribute, showList } from "./dom.js";
import { showPicture } from "./pictures.js";
import { clock } from "./texts.js";

const COUNT = 12;
const WIDTH_PX = 128;
const AROUND = 0.25; // of the box's sides, on each side of it

export class Crops {
  // `onSeek(recording, frame)` is called for the crop that is clicked.
  constructor(onSeek) {
    this.onSeek = onSeek;
  }

  clear() {
    element("crops").replaceChildren();
  }

  // `boxes` are those of one recording, `about` is {number, width, height} of it, `times` those of its frames.
  show(procedure, about, boxes, finding, times) {
    const rows = boxes.spread(finding, COUNT);
    showList(element("crops"), rows, {
      key: (row) => `${procedure}/${about.number}/${row.slice(0, 5)}`,
      create: (row) => {
        const image = make("img", { alt: "" });
        showPicture(image, cropAddress(procedure, about, row));
        const time = make("span", { text: clock(times[row[0]] ?? 0, 1) });
        return make(
          "li",
          {},
          make("button", { type: "button", onclick: () => this.onSeek(about.number, row[0]) }, image, time),
        );
      },
      update: (item, row) => setAttribute(item.firstChild, "aria-label", `Frame ${row[0]}, ${clock(times[row[0]] ?? 0, 1)}`),
    });
  }

  // Marks the crop that lies closest to the shown frame.
  mark(frame) {
    const items = [...element("crops").children];
    const frames = items.map((item) => Number(item.dataset.key.split("/").at(-1).split(",")[0]));
    const closest = frames.reduce(
      (best, one, place) => (Math.abs(one - frame) < Math.abs(frames[best] - frame) ? place : best),
      0,
    );
    const inside = frames.length && frame >= frames[0] && frame <= frames.at(-1);
    items.forEach((item, place) => item.classList.toggle("now", Boolean(inside) && place === closest));
  }
}

// A square around the box, so that crops of one finding can be compared.
function cropAddress(procedure, { number, width, height }, [frame, x0, y0, x1, y1]) {
  const half = Math.min((0.5 + AROUND) * Math.max(x1 - x0, y1 - y0, 16), width / 2, height / 2);
  const x = Math.min(Math.max((x0 + x1) / 2, half), width - half);
  const y = Math.min(Math.max((y0 + y1) / 2, half), height - half);
  const box = [x - half, y - half, x + half, y + half].map(Math.round).join(",");
  return address(`${path("procedures", procedure, "recordings", number, "frames", `${frame}.jpg`)}?width=${WIDTH_PX}&box=${box}`);
}
