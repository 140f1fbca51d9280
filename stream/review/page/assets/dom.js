// Elements of the page: found, made and filled. What comes from elsewhere is always text, never markup.

export const element = (id) => document.getElementById(id);

// Makes an element. `about` holds attributes (`true` sets an empty one; null, undefined and false set none), listeners
// (`onclick`), and `text`. Children are elements and texts; null stands for none.
export function make(tag, about = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(about)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// Texts are set only when they change, so that screen readers say them once.
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

export function setAttribute(target, name, value) {
  if (target.getAttribute(name) !== String(value)) target.setAttribute(name, value);
}

// Shows a list: an element for each item, the same one for the same key, so that the focus stays where it is.
export function showList(container, items, { key, create, update }) {
  const known = new Map([...container.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, place) => {
    const name = String(key(item));
    const child = known.get(name) ?? create(item);
    child.dataset.key = name;
    known.delete(name);
    update(child, item, place);
    if (container.children[place] !== child) container.insertBefore(child, container.children[place] ?? null);
  });
  for (const child of known.values()) child.remove();
}

// Fills a <select> with values and their texts; the first entry stands for none of them.
export function fillSelect(select, values, none = "–") {
  select.replaceChildren(
    new Option(none, ""),
    ...values.map(({ value, text }) => new Option(text, value)),
  );
}
