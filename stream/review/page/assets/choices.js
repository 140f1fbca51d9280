// Questions with numbered answers: a number or a letter answers, 0 takes the answer back, Escape leaves.

import { element, make, setText } from "./dom.js";

const CAPS = "123456789abcdefghijklmnopqrstuvwxyz";

// Asks one question. Resolves to the chosen value, `null` for none of them, or `undefined` when the reader leaves.
// `options` are {value, text}, `now` is the value that holds; `none` names the answer 0, "" where there is none; `caps` are
// the keys of the options.
export function choose(title, options, { now = null, none = "Not said", about = "", caps = CAPS } = {}) {
  const dialog = element("choice");
  setText(element("choice-title"), title);
  setText(element("choice-about"), about);
  element("choice-about").hidden = about === "";
  const { promise, resolve } = answerOf(dialog);
  const rows = options.map(({ value, text }, place) => ({ cap: caps[place], value, text }));
  if (none) rows.push({ cap: "0", value: null, text: none });
  const buttons = rows.map(({ cap, value, text }) =>
    make(
      "button",
      { type: "button", "aria-current": value === now ? "true" : null, onclick: () => resolve(value) },
      make("kbd", { text: cap?.toUpperCase() ?? "" }),
      make("span", { text }),
    ),
  );
  element("choice-options").replaceChildren(...buttons.map((button) => make("li", {}, button)));
  dialog.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const place = rows.findIndex(({ cap }) => cap === event.key.toLowerCase());
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (place >= 0) resolve(rows[place].value);
    else if (step) buttons[moved(buttons.indexOf(document.activeElement), step, buttons.length)].focus();
    else return;
    event.preventDefault();
  };
  dialog.showModal();
  (buttons.find((button) => button.hasAttribute("aria-current")) ?? buttons[0])?.focus();
  return promise;
}

function moved(place, step, count) {
  return (place + step + count) % count;
}

// An answer closes the dialog; closing it by Escape gives none. The event comes late, when the next question may be open.
function answerOf(dialog) {
  let resolve;
  const promise = new Promise((settle) => {
    resolve = (value) => {
      settle(value);
      dialog.close();
    };
    dialog.onclose = () => {
      if (!dialog.open) settle(undefined);
    };
  });
  return { promise, resolve };
}
