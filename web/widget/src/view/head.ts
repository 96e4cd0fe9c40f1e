/** The top of the panel: who answers now, and the way to a person. */
import type { Client } from "../client.ts";
import type { Words } from "../i18n.ts";
import { avatar, h, icon, redraw, type Icon } from "./dom.ts";
import { badge } from "./log.ts";

export function head(client: Client, words: Words, close: () => void, refocus: () => void) {
  const { t } = words;
  const who = h("div", { class: "who" });
  const closer = h("button", { type: "button", class: "icon-button", "aria-label": t("close_chat"), title: t("close_chat"), "data-testid": "close-panel", click: close }, icon("close"));
  const status = h("div", { class: "status-text", role: "status", "data-testid": "status" });
  const talk = h(
    "button",
    {
      type: "button",
      class: "talk",
      "data-testid": "talk-to-person",
      click: () => {
        client.requestPerson();
        refocus();
      },
    },
    icon("person"),
    t("talk"),
  );
  const strip = h("div", { class: "strip" }, status, talk);
  const el = h("header", {}, h("div", { class: "top" }, who, closer), strip);

  function update(): void {
    const { meta } = client.thread;
    const { config } = client;
    const asked = client.items().some((i) => i.kind === "person" && !i.failed);
    const answering = meta?.state === "closed" ? { kind: "nobody" as const, name: null, avatar: null } : meta?.answering;
    const kind = answering?.kind ?? (config?.assistant ? "assistant" : "queue");
    const ai = kind === "assistant";
    const business = config?.name ?? "";
    const name = ai ? (answering?.name ?? config?.assistant?.name ?? t("ai_agent")) : kind === "agent" ? (answering?.name ?? t("person")) : business;
    const picture = ai ? (answering?.avatar ?? config?.assistant?.avatar ?? null) : (answering?.avatar ?? null);
    // Before the session there is nobody to name.
    const face = config ? kind : "nobody";
    redraw(who, [face, name, picture, !config], () =>
      config
        ? [avatar(kind, picture, name), h("div", { class: "names" }, h("h2", {}, h("bdi", {}, name), ai && badge(words)), name !== business && h("p", {}, h("bdi", {}, business)))]
        : [h("span", { class: "avatar ghost" }), h("div", { class: "names" }, h("h2", {}, t("dialog_plain")))],
    );

    const waiting = meta?.state === "human" && kind === "queue";
    const look = asked || waiting ? "wait" : kind === "agent" ? "human" : kind === "nobody" ? "closed" : "ai";
    const place = waiting ? meta.queue : null;
    const details = [
      place?.position != null && (place.position <= 1 ? t("queue_next") : t("queue_position", { n: place.position })),
      place?.expected_minutes != null && t("queue_minutes", { n: Math.max(1, Math.round(place.expected_minutes)) }),
      look === "closed" && t("closed_hint"),
    ].filter(Boolean);
    const text =
      asked ? t("asking")
      : look === "wait" ? t("status_queue")
      : look === "human" ? (answering?.name ? t("status_agent", { name: answering.name }) : t("status_agent_plain"))
      : look === "closed" ? t("status_closed")
      : t("status_ai");
    const icons: Record<string, Icon> = { wait: "clock", human: "person", closed: "check", ai: "ai" };
    strip.className = `strip ${look}`;
    strip.hidden = !config || (look === "ai" && !config.assistant && !meta);
    redraw(status, [look, text, details], () => [
      icon(icons[look]!),
      h("span", {}, h("strong", {}, text), details.length > 0 && h("span", { class: "details" }, details.join(" · "))),
    ]);
    const offered = !asked && (look === "ai" || look === "closed");
    talk.disabled = talk.hidden = !offered;
  }

  return { el, update };
}
