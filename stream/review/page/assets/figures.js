// Figures of the whole study by what was judged.

import { get } from "./api.js";
import { element, make } from "./dom.js";

export class FiguresView {
  async enter() {
    const body = element("figures-body");
    body.replaceChildren(make("p", { text: JSON.stringify(await get("api/figures")) }));
  }
}
