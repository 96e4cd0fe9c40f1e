/** The messages: who said what and when, notices, sources, what is on its way, and the answer being written. */
import type { Client } from "../client.ts";
import type { Words } from "../i18n.ts";
import type { Item } from "../outbox.ts";
import type { Message } from "../types.ts";
import { renderMarkdown, safeLink } from "../../../shared/markdown.ts";
import { avatar, dots, h, hidden, icon, redraw, rows, type Icon, type Row } from "./dom.ts";

/** Messages of one author closer than this stand together under one name. */
const TOGETHER_MS = 5 * 60_000;

const noticeIcons: Record<string, Icon> = {
  agent_joined: "person",
  returned_to_ai: "ai",
  closed: "check",
  idle_nudge: "clock",
};

export function log(client: Client, words: Words, origin: string, scroller: HTMLElement, refocus: () => void) {
  const { t } = words;
  const list = h("div", { class: "log", role: "log", "aria-label": t("messages"), "aria-live": "off", "data-testid": "messages" });
  const tail = h("div", { class: "tail", inert: true });
  const draw = rows(list);

  const markdown = (text: string) => renderMarkdown(text, origin);

  function citations(m: Message): HTMLElement | null {
    if (!m.citations.length) return null;
    const chips = m.citations.map((c) => {
      const label = c.section && c.section !== c.title ? `${c.title} · ${c.section}` : c.title;
      const href = c.url && safeLink(c.url, origin);
      const text = h("span", { dir: "auto" }, label);
      return h(
        "li",
        {},
        href
          ? h("a", { href, target: "_blank", rel: "noopener noreferrer", "data-testid": "citation", title: label }, text, icon("out"), hidden(` (${t("new_tab")})`))
          : h("span", { class: "chip", "data-testid": "citation", title: label }, text),
      );
    });
    return h("div", { class: "sources" }, h("span", { class: "label" }, t("sources")), h("ul", {}, ...chips));
  }

  function message(m: Message, first: boolean, last: boolean, sent: boolean): HTMLElement {
    const at = new Date(m.at);
    const time = h("time", { datetime: m.at, title: at.toLocaleString(words.locale) }, words.time(at));
    const own = m.author.kind === "visitor";
    const hook = { "data-testid": "message", "data-author": m.author.kind, "data-seq": m.public_seq };
    if (own)
      return h(
        "div",
        { class: `row own${first ? " first" : ""}`, ...hook },
        hidden(`${t("you")}: `),
        h("div", { class: "bubble plain", dir: "auto" }, m.text),
        (last || sent) && h("div", { class: "meta" }, time, sent && icon("check"), sent && t("sent")),
      );
    const ai = m.author.kind === "assistant";
    const name = m.author.name ?? t(ai ? "ai_agent" : "person");
    return h(
      "div",
      { class: `row other ${m.author.kind}${first ? " first" : ""}`, ...hook },
      first && avatar(ai ? "assistant" : "agent", m.author.avatar, m.author.name),
      first ? h("div", { class: "name" }, h("bdi", {}, name), ai && badge(words)) : hidden(`${name}: `),
      h("div", { class: "bubble", dir: "auto" }, markdown(m.text)),
      m.incomplete && h("div", { class: "cut" }, icon("alert"), t("cut_off")),
      ai && citations(m),
      last && h("div", { class: "meta" }, time),
    );
  }

  function pending(item: Item, ghost: boolean): HTMLElement {
    const away = !client.reachable || !navigator.onLine;
    const buttons =
      item.failed &&
      h(
        "span",
        { class: "mend" },
        item.failed !== "too_large" && h("button", { type: "button", click: () => (client.retry(item.id), refocus()) }, icon("again"), t("retry")),
        h("button", { type: "button", click: () => (client.discard(item.id), refocus()) }, t("discard")),
      );
    if (item.kind === "person")
      return h("div", { class: "notice" }, icon("clock"), h("span", {}, t(item.failed ? "ask_failed" : "asking")), buttons);
    const slow = Math.ceil((client.slowUntil - Date.now()) / 1000);
    const state = item.failed ? t(item.failed === "too_large" ? "not_sent_long" : "not_sent") : ghost ? t("sent") : away ? t("waiting") : slow > 0 ? t("slow_down", { n: slow }) : t("sending");
    return h(
      "div",
      { class: `row own first${item.failed ? " failed" : ghost ? "" : " pending"}`, "data-testid": "message", "data-author": "visitor", "data-state": item.failed ? "failed" : "pending" },
      hidden(`${t("you")}: `),
      h("div", { class: "bubble plain", dir: "auto" }, item.text),
      h("div", { class: "meta" }, icon(item.failed ? "alert" : ghost ? "check" : "clock"), state, buttons),
    );
  }

  function build(): Row[] {
    const { thread, config } = client;
    const out: Row[] = [];
    if (thread.earlier)
      out.push({
        key: "earlier",
        sig: [],
        make: () => h("button", { type: "button", class: "earlier", click: (e: MouseEvent) => void earlier(e.currentTarget as HTMLButtonElement) }, t("earlier")),
      });
    else if (config) out.push({ key: "hello", sig: [config.greeting, config.disclosure], make: () => greeting(client, words) });

    const now = new Date();
    let day = "";
    const shown = thread.messages;
    // A message that waits for an earlier one is held back: read out of order it would mislead.
    const limit = thread.through;
    const ready = shown.filter((m) => m.public_seq <= limit);
    const lastOwn = ready.findLast((m) => m.author.kind === "visitor" && m.kind === "text");
    ready.forEach((m, i) => {
      const label = words.day(new Date(m.at), now);
      if (label !== day) {
        day = label;
        out.push({ key: `day ${m.at.slice(0, 10)} ${label}`, sig: [label], make: () => h("div", { class: "day" }, h("span", {}, label)) });
      }
      if (m.kind === "notice") {
        out.push({ key: m.id, sig: [m.text], make: () => notice(m) });
        return;
      }
      const before = ready[i - 1];
      const after = ready[i + 1];
      const first = !before || !together(before, m) || words.day(new Date(before.at), now) !== label;
      const last = !after || !together(m, after);
      // "Sent" stays until somebody answers: from then on it goes without saying.
      const sent = m === lastOwn && i === ready.length - 1 && !client.items().length && !client.ghosts.length;
      out.push({ key: m.client_id ?? m.id, sig: [m, first, last, sent], make: () => message(m, first, last, sent) });
    });
    for (const item of client.ghosts) out.push({ key: item.id, sig: [1], make: () => pending(item, true) });
    for (const item of client.items())
      if (!thread.has(item.id))
        out.push({
          key: item.id,
          sig: [item.failed, client.reachable && navigator.onLine, Math.max(0, Math.ceil((client.slowUntil - Date.now()) / 1000))],
          make: () => pending(item, false),
        });
    return out;
  }

  async function earlier(button: HTMLButtonElement): Promise<void> {
    button.disabled = true;
    const from = scroller.scrollHeight - scroller.scrollTop;
    await client.history().catch(() => {});
    button.disabled = false;
    scroller.scrollTop = scroller.scrollHeight - from;
  }

  function update(): void {
    draw(build());
    const { draft } = client.thread;
    const { typing } = client;
    const who = draft ? "assistant" : (typing?.kind ?? "");
    redraw(tail, [draft?.text, draft?.turn, who, typing?.name], () => {
      if (!who) return [];
      const name = (who === "assistant" ? (client.config?.assistant?.name ?? client.thread.meta?.answering.name) : typing?.name) ?? t(who === "assistant" ? "ai_agent" : "person");
      const last = client.thread.messages.at(-1);
      const first = last?.author.kind !== who || last.kind !== "text";
      const bubble = h("div", { class: "bubble", dir: "auto", "data-testid": draft ? "draft" : "typing", title: draft ? null : t("typing", { name }) });
      if (draft?.text) {
        bubble.append(markdown(draft.text));
        let end: Element = bubble;
        while (end.lastElementChild && /^(P|UL|OL|LI)$/.test(end.lastElementChild.tagName)) end = end.lastElementChild;
        end.append(h("span", { class: "caret" }));
      } else bubble.append(dots());
      return [
        h(
          "div",
          { class: `row other ${who}${first ? " first" : ""} still` },
          first && avatar(who === "assistant" ? "assistant" : "agent", who === "assistant" ? (client.config?.assistant?.avatar ?? null) : null, name),
          first && h("div", { class: "name" }, h("bdi", {}, name), who === "assistant" && badge(words)),
          bubble,
        ),
      ];
    });
    // History is not news: only what arrives from now on is read out.
    if (client.config && list.ariaLive === "off") setTimeout(() => list.setAttribute("aria-live", "polite"), 500);
  }

  return { list, tail, update };
}

export const badge = (words: Words) => h("span", { class: "badge ai" }, icon("ai"), words.t("ai"));

function together(a: Message, b: Message): boolean {
  return (
    a.kind === "text" &&
    b.kind === "text" &&
    a.author.kind === b.author.kind &&
    a.author.name === b.author.name &&
    Date.parse(b.at) - Date.parse(a.at) < TOGETHER_MS
  );
}

function notice(m: Message): HTMLElement {
  const kind = m.notice ?? "";
  const look = kind.startsWith("handoff") || kind === "still_waiting" ? "wait" : kind === "agent_joined" ? "human" : kind === "returned_to_ai" ? "ai" : "";
  return h(
    "div",
    { class: `notice ${look}`, "data-testid": "notice", "data-code": kind, "data-seq": m.public_seq },
    icon(noticeIcons[kind] ?? "clock"),
    h("span", { dir: "auto" }, m.text),
  );
}

function greeting(client: Client, words: Words): HTMLElement {
  const { assistant, greeting, disclosure } = client.config!;
  return h(
    "div",
    { class: "hello" },
    avatar(assistant ? "assistant" : "agent", assistant?.avatar ?? null, client.config!.name),
    h("p", { class: "greeting", dir: "auto" }, greeting || words.t("greeting")),
    assistant
      ? h("p", { class: "disclosure", dir: "auto" }, icon("ai"), h("span", {}, disclosure || words.t("disclosure")))
      : h("p", { class: "disclosure" }, words.t("no_assistant")),
  );
}
