/** Elements without markup: names, attributes, listeners, children. Nothing here parses HTML. */

type Props = Record<string, string | number | boolean | null | undefined | ((e: never) => void)>;
export type Kid = Node | string | null | undefined | false;

export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {}, ...kids: Kid[]): HTMLElementTagNameMap[K] {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") el.addEventListener(name, value as unknown as EventListener);
    else if (value !== null && value !== undefined && value !== false) el.setAttribute(name, value === true ? "" : String(value));
  }
  el.append(...(kids.filter((k) => k !== null && k !== undefined && k !== false) as (Node | string)[]));
  return el;
}

/** Lucide outlines (ISC licence), 24 × 24. */
const shapes = {
  ai: "m12 3 1.9 5.8a2 2 0 0 0 1.3 1.3L21 12l-5.8 1.9a2 2 0 0 0-1.3 1.3L12 21l-1.9-5.8a2 2 0 0 0-1.3-1.3L3 12l5.8-1.9a2 2 0 0 0 1.3-1.3Z",
  person: "M19 21v-2a4 4 0 0 0-4-4H9a4 4 0 0 0-4 4v2M16 7a4 4 0 1 1-8 0 4 4 0 0 1 8 0Z",
  clock: "M12 6v6l4 2M22 12a10 10 0 1 1-20 0 10 10 0 0 1 20 0Z",
  check: "M20 6 9 17l-5-5",
  up: "m5 12 7-7 7 7M12 19V5",
  down: "M12 5v14m7-7-7 7-7-7",
  close: "m6 9 6 6 6-6",
  alert: "M12 8v4m0 4h.01M22 12a10 10 0 1 1-20 0 10 10 0 0 1 20 0Z",
  out: "M7 17 17 7M8 7h9v9",
  offline: "M12 20h.01M8.5 16.4a5 5 0 0 1 7 0M2 8.8a15 15 0 0 1 4.2-2.6M10.7 5c4-.4 8.1.9 11.3 3.8M16.8 11.3a10 10 0 0 1 2.3 1.6M5 12.9a10 10 0 0 1 5.2-2.7M2 2l20 20",
  again: "M3 12a9 9 0 1 0 9-9 9.7 9.7 0 0 0-6.7 2.7L3 8M3 3v5h5",
  mail: "M4 5h16a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2V7a2 2 0 0 1 2-2Zm18 3-10 6L2 8",
};
export type Icon = keyof typeof shapes;

export function icon(name: Icon): SVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  svg.appendChild(document.createElementNS(svg.namespaceURI, "path")).setAttribute("d", shapes[name]);
  return svg as SVGElement;
}

/** Text for screen readers only. */
export const hidden = (text: string) => h("span", { class: "sr" }, text);

export const dots = () => h("span", { class: "dots" }, h("i"), h("i"), h("i"));

/** Replaces content only when `now` differs from what was drawn last, so that nothing is announced or animated twice. */
const drawn = new WeakMap<Element, string>();
export function redraw(el: Element, now: unknown[], make: () => Kid[]): void {
  const sig = JSON.stringify(now);
  if (drawn.get(el) === sig) return;
  drawn.set(el, sig);
  el.replaceChildren(...(make().filter(Boolean) as (Node | string)[]));
}

export interface Row {
  key: string;
  /** Everything the row shows: it is made anew when this changes. */
  sig: unknown[];
  make(): HTMLElement;
}

/** Makes `nodes` the children of `parent`, moving nothing that is already in its place: a moved node is read out again. */
function place(parent: Node, nodes: Node[]): void {
  for (const old of [...parent.childNodes]) if (!nodes.includes(old)) old.remove();
  let at = parent.firstChild;
  for (const node of nodes) {
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
  }
}

/** Gives an element the look of another one, keeping every child that stays the same. */
function become(el: HTMLElement, made: HTMLElement): void {
  for (const name of el.getAttributeNames()) if (!made.hasAttribute(name)) el.removeAttribute(name);
  for (const name of made.getAttributeNames()) el.setAttribute(name, made.getAttribute(name)!);
  const old = [...el.childNodes];
  place(
    el,
    [...made.childNodes].map((kid) => {
      const same = old.findIndex((o) => o.isEqualNode(kid));
      return same < 0 ? kid : old.splice(same, 1)[0]!;
    }),
  );
}

/** A keyed list: a row keeps its element, and of it all that did not change. */
export function rows(parent: HTMLElement): (list: Row[]) => void {
  let known = new Map<string, { el: HTMLElement; sig: string }>();
  return (list) => {
    const next: typeof known = new Map();
    for (const row of list) {
      const sig = JSON.stringify(row.sig);
      const old = known.get(row.key);
      if (old && old.sig !== sig) become(old.el, row.make());
      next.set(row.key, { el: old?.el ?? row.make(), sig });
    }
    known = next;
    place(parent, [...next.values()].map((r) => r.el));
  };
}

export function avatar(kind: "assistant" | "agent" | "queue" | "nobody" | "system", picture: string | null, name: string | null): HTMLElement {
  // A picture would need its host in the page's img-src; an emoji or initials need nobody.
  const emoji = picture && picture.length <= 12 && !/[/.]/.test(picture) ? picture : "";
  const initials = (name ?? "").split(/\s+/).slice(0, 2).map((w) => [...w][0] ?? "").join("").toLocaleUpperCase();
  const content = kind === "queue" ? icon("clock") : emoji || (kind === "agent" && initials) || icon(kind === "agent" ? "person" : kind === "nobody" ? "check" : "ai");
  return h("span", { class: `avatar ${kind}`, "aria-hidden": "true" }, content);
}
