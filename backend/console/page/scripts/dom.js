// A few words for making and updating elements. Text is always set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** An HTML element. */
export const html = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/** An SVG element. */
export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** The element with an id. */
export const byId = (id) => document.getElementById(id);

/** Set text only when it differs, so that a selection in it survives a refresh. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const made = new WeakMap(); // by parent, what its children were made of

/** Make the children of `parent` anew when `of`, which JSON can tell, differs: otherwise what has the focus keeps it. */
export function rebuild(parent, of, make) {
  const key = JSON.stringify(of);
  if (parent.firstChild && made.get(parent) === key) return;
  made.set(parent, key);
  parent.replaceChildren(...make());
}

/**
 * Make `parent` hold one element per item, in order, keeping the elements that it has: what has the focus keeps it.
 * `update` gets the element and its item.
 */
export function keyed(parent, items, key, create, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let child = old.get(name);
    if (child) old.delete(name);
    else {
      child = create(item);
      child.dataset.key = name;
    }
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    update(child, item);
  }
  for (const child of old.values()) child.remove();
}
