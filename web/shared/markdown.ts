/**
 * The safe Markdown subset of messages: **bold**, *italic*, `code`, [label](link), bare links, lists, paragraphs.
 *
 * Text → plain data → DOM nodes. No HTML is ever parsed, so hostile text can only become text. Links are http, https,
 * mailto or site-relative ("/help/x"); anything else stays as it was typed. Every character is looked at a bounded
 * number of times, so a message made of a million brackets costs as much as any other million characters.
 */

export type Inline =
  | { t: "text"; text: string }
  | { t: "code"; text: string }
  | { t: "br" }
  | { t: "b" | "i"; nodes: Inline[] }
  | { t: "a"; href: string; nodes: Inline[] };

export type Block = { t: "p"; nodes: Inline[] } | { t: "ul"; items: Inline[][] } | { t: "ol"; start: number; items: Inline[][] };

/** Absolute address of a link that may be followed, or null. `base` is what site-relative links belong to. */
export function safeLink(raw: string, base: string): string | null {
  // Browsers drop control characters inside an address ("java\nscript:"), so an address that has any is not one.
  if (raw.length > 2048 || /[\u0000-\u0020\u007f\\]/.test(raw)) return null;
  if (!/^(https?:\/\/|mailto:|\/(?!\/))/i.test(raw)) return null;
  try {
    const url = new URL(raw, base);
    // "https://bank.example@evil.example" reads like the bank and is not.
    return /^(https?|mailto):$/.test(url.protocol) && !url.username ? url.href : null;
  } catch {
    return null;
  }
}

type Frame = { t: "root" | "b" | "i" | "a"; mark: string; nodes: Inline[] };

const word = (c: string | undefined) => c !== undefined && /[0-9A-Za-z]/.test(c);
const space = (c: string | undefined) => c === undefined || /\s/.test(c);

/** Inline marks of one paragraph or list item. At most one frame of each kind is open, which keeps the work linear. */
export function parseInline(text: string, base: string): Inline[] {
  const root: Frame = { t: "root", mark: "", nodes: [] };
  const open: Frame[] = [root];
  let plain = "";
  let at = 0;
  const top = () => open[open.length - 1]!;
  const push = (node: Inline) => {
    flush();
    top().nodes.push(node);
  };
  function flush() {
    if (plain) top().nodes.push({ t: "text", text: plain });
    plain = "";
  }
  /** An opener that never closed is what it looks like: text. */
  function unwind(to: number) {
    flush();
    while (open.length > to) {
      const frame = open.pop()!;
      const nodes = top().nodes;
      nodes.push({ t: "text", text: frame.mark });
      for (const node of frame.nodes) nodes.push(node);
    }
  }
  const find = (t: Frame["t"]) => open.findIndex((f) => f.t === t);
  /** Next place of a character, remembered, so that many openers do not each search the whole rest. */
  const seen: Record<string, number> = {};
  const next = (c: string, from: number): number => {
    let hit = seen[c];
    if (hit === undefined || (hit !== -1 && hit < from)) hit = seen[c] = text.indexOf(c, from);
    return hit;
  };

  while (at < text.length) {
    const c = text[at]!;
    if (c === "\\" && /[\\`*_[\]()#+.!-]/.test(text[at + 1] ?? "")) {
      plain += text[at + 1];
      at += 2;
    } else if (c === "\n") {
      push({ t: "br" });
      at++;
    } else if (c === "`") {
      const end = next("`", at + 1);
      if (end > at + 1) {
        push({ t: "code", text: text.slice(at + 1, end) });
        at = end + 1;
      } else {
        plain += c;
        at++;
      }
    } else if (c === "*") {
      // "***" closes the inner mark first.
      const t = text[at + 1] === "*" && !(text[at + 2] === "*" && top().t === "i") ? "b" : "i";
      const mark = t === "b" ? "**" : "*";
      const before = text[at - 1];
      const after = text[at + mark.length];
      const opened = find(t);
      if (opened > 0 && !space(before) && (t === "b" || !word(after))) {
        unwind(opened + 1);
        const frame = open.pop()!;
        top().nodes.push(frame.nodes.length ? { t, nodes: frame.nodes } : { t: "text", text: mark + mark });
      } else if (opened < 0 && !space(after) && (t === "b" || !word(before))) {
        flush();
        open.push({ t, mark, nodes: [] });
      } else {
        plain += mark;
      }
      at += mark.length;
    } else if (c === "[") {
      const opened = find("a");
      if (opened > 0) unwind(opened);
      flush();
      open.push({ t: "a", mark: "[", nodes: [] });
      at++;
    } else if (c === "]" && find("a") > 0) {
      const opened = find("a");
      const end = text[at + 1] === "(" ? next(")", at + 2) : -1;
      const raw = end > 0 && end - at < 2050 ? text.slice(at + 2, end) : "";
      const href = raw && safeLink(raw, base);
      if (href) {
        unwind(opened + 1);
        const frame = open.pop()!;
        top().nodes.push({ t: "a", href, nodes: frame.nodes.length ? frame.nodes : [{ t: "text", text: raw }] });
        at = end + 1;
      } else {
        unwind(opened);
        plain += c;
        at++;
      }
    } else if (c === "h" && !word(text[at - 1]) && find("a") < 0 && /^https?:\/\/[^\s<>"'`*]/.test(text.slice(at, at + 9))) {
      let end = at;
      while (end < text.length && end - at < 2048 && !/[\s<>"'`*]/.test(text[end]!)) end++;
      // A full stop, comma or bracket after an address ends the sentence, not the address.
      let raw = text.slice(at, end).replace(/[.,;:!?]{1,9}$/, "");
      if (raw.endsWith(")") && !raw.includes("(")) raw = raw.slice(0, -1);
      const href = safeLink(raw, base);
      if (href) push({ t: "a", href, nodes: [{ t: "text", text: raw }] });
      else plain += raw;
      at += raw.length;
    } else {
      plain += c;
      at++;
    }
  }
  unwind(1);
  return root.nodes;
}

/** Blocks: a blank line ends a paragraph, "- " and "1. " begin list items, a single line break is kept. */
export function parseMarkdown(text: string, base: string): Block[] {
  const blocks: Block[] = [];
  let lines: string[] = [];
  let list = null as { t: "ul" | "ol"; start: number; items: string[] } | null;
  const end = () => {
    if (lines.length) blocks.push({ t: "p", nodes: parseInline(lines.join("\n"), base) });
    if (list) {
      const items = list.items.map((item) => parseInline(item, base));
      blocks.push(list.t === "ul" ? { t: "ul", items } : { t: "ol", start: list.start, items });
    }
    lines = [];
    list = null;
  };
  let blank = false;
  for (const raw of text.replace(/\r\n?/g, "\n").split("\n")) {
    const line = raw.trim();
    const bullet = /^[-*•+] +(.+)$/.exec(line);
    const number = bullet ? null : /^(\d{1,4})[.)] +(.+)$/.exec(line);
    if (bullet || number) {
      const t = bullet ? "ul" : "ol";
      if (list?.t !== t) {
        end();
        list = { t, start: number ? Number(number[1]) : 1, items: [] };
      }
      list.items.push(bullet ? bullet[1]! : number![2]!);
    } else if (!line) {
      // Items of one list may stand apart; only what follows tells.
      if (!list) end();
    } else if (list && !blank && /^\s/.test(raw)) {
      list.items[list.items.length - 1] += `\n${line}`;
    } else {
      if (list) end();
      lines.push(line);
    }
    blank = !line;
  }
  end();
  return blocks;
}

/** What a message says without its marks, on one line: for lists, previews and what is read out. */
export function plainText(text: string): string {
  const inline = (nodes: Inline[]): string =>
    nodes.map((n) => ("text" in n ? n.text : n.t === "br" ? " " : inline(n.nodes))).join("");
  return parseMarkdown(text, "https://base.invalid")
    .flatMap((block) => (block.t === "p" ? [inline(block.nodes)] : block.items.map(inline)))
    .join(" ");
}

/** DOM nodes of a message text. Links open apart from the page and tell the other side nothing about it. */
export function renderMarkdown(text: string, base: string, doc: Document = document): DocumentFragment {
  const out = doc.createDocumentFragment();
  const inline = (parent: Node, nodes: Inline[]) => {
    for (const node of nodes) {
      if (node.t === "text") parent.appendChild(doc.createTextNode(node.text));
      else if (node.t === "br") parent.appendChild(doc.createElement("br"));
      else if (node.t === "code") parent.appendChild(doc.createElement("code")).textContent = node.text;
      else if (node.t === "a") {
        const a = doc.createElement("a");
        a.href = node.href;
        a.target = "_blank";
        a.rel = "noopener noreferrer";
        inline(parent.appendChild(a), node.nodes);
      } else inline(parent.appendChild(doc.createElement(node.t === "b" ? "strong" : "em")), node.nodes);
    }
  };
  for (const block of parseMarkdown(text, base)) {
    if (block.t === "p") {
      const p = doc.createElement("p");
      p.dir = "auto";
      inline(out.appendChild(p), block.nodes);
      continue;
    }
    const list = doc.createElement(block.t);
    list.dir = "auto";
    if (block.t === "ol" && block.start !== 1) list.setAttribute("start", String(block.start));
    for (const item of block.items) inline(list.appendChild(doc.createElement("li")), item);
    out.appendChild(list);
  }
  return out;
}
