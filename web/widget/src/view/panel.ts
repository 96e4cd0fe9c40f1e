/** The panel: a non-modal dialog beside the page, the whole screen on a phone. Owns opening, focus and scrolling. */
import type { Boot } from "../boot.ts";
import type { Client } from "../client.ts";
import type { Words } from "../i18n.ts";
import type { Store } from "../storage.ts";
import { composer } from "./composer.ts";
import { dots, h, hidden, icon, redraw } from "./dom.ts";
import { emailForm, emailSaved } from "./email.ts";
import { head } from "./head.ts";
import { log } from "./log.ts";

/** So near to the end counts as reading the newest message. */
const NEAR_PX = 80;

export function panel(boot: Boot, client: Client, words: Words, tab: Store) {
  const { t } = words;
  const { launcher } = boot;
  const phone = matchMedia("(max-width: 479.98px)");
  let open = false;
  let follow = true;

  const scroller = h("div", { class: "scroll", tabindex: 0 });
  const messages = log(client, words, boot.origin, scroller, () => refocus());
  const writer = composer(client, words, tab, () => {
    follow = true;
    update();
  });
  const top = head(client, words, () => close(true), () => refocus());
  const offline = h("div", { class: "offline", role: "status", "data-testid": "offline-bar" });
  const trouble = h("div", { class: "trouble" });
  const extra = h("div", { class: "extra" });
  const latest = h("button", { type: "button", class: "latest", hidden: true, click: () => (toEnd(), refocus()) }, icon("down"), t("latest"));
  // Announced with the dialog's name: the greeting, and that an AI answers, come before anything else.
  const about = h("p", { id: "about", hidden: true });
  const box = h(
    "div",
    { class: "panel", role: "dialog", id: "panel", tabindex: -1, hidden: true, "aria-describedby": "about", "data-testid": "panel" },
    about,
    top.el,
    offline,
    h("div", { class: "body" }, scroller, latest),
    writer.form,
  );
  scroller.append(trouble, messages.list, messages.tail, extra);
  boot.section.append(box);
  launcher.setAttribute("aria-controls", "panel");

  /**
   * Where the focus goes on opening, and when the button that had it goes away. On a touch screen the composer would
   * cover half of the chat with a keyboard nobody asked for.
   */
  const refocus = () => (matchMedia("(pointer: coarse)").matches ? box : writer.area).focus({ preventScroll: true });
  const atEnd = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_PX;
  function toEnd(): void {
    follow = true;
    scroller.scrollTop = scroller.scrollHeight;
    latest.hidden = true;
    see();
  }
  function see(): void {
    if (open && !document.hidden && follow) client.see();
    const n = open && !document.hidden && follow ? 0 : client.unread;
    const badge = n > 99 ? "99+" : n ? String(n) : "";
    if (boot.badge.textContent !== badge) boot.badge.textContent = badge;
    launcher.setAttribute("aria-label", open ? t("close_chat") : n ? t("open_chat_unread", { n }) : t("open_chat"));
  }
  scroller.addEventListener("scroll", () => {
    follow = atEnd();
    if (follow) {
      latest.hidden = true;
      see();
    }
  }, { passive: true });

  let newest = 0;
  function update(): void {
    const { config, problem } = client;
    const name = config?.name;
    box.setAttribute("aria-label", name ? t("dialog", { name }) : t("dialog_plain"));
    about.textContent = config ? `${config.greeting || t("greeting")} ${config.assistant ? config.disclosure || t("disclosure") : ""}` : t("loading");
    if (config && !boot.accent) boot.paint(config.accent);
    top.update();
    messages.update();
    writer.update();

    const away = !navigator.onLine || (!client.reachable && !!config);
    redraw(offline, [away], () => (away ? [icon("offline"), t("offline")] : []));
    redraw(trouble, [!config, problem?.code, problem?.status], () => {
      if (config) return [];
      if (!problem) return [h("div", { class: "loading", role: "status" }, dots(), hidden(t("loading")))];
      const refused = !problem.passing;
      return [
        h(
          "div",
          { class: "failure", role: "alert" },
          icon(problem.status ? "alert" : "offline"),
          h("p", {}, h("strong", {}, t(refused ? "not_here" : problem.status === 429 ? "load_busy" : "load_failed")), !refused && h("span", {}, t("keep_writing"))),
          h("button", { type: "button", click: () => client.now() }, icon("again"), t("retry")),
        ),
      ];
    });
    const nobody = client.thread.messages.findLast((m) => m.notice === "handoff_nobody_online");
    const wanted = nobody && client.thread.meta?.state === "human" && client.thread.meta.answering.kind !== "agent";
    redraw(extra, [!!wanted, client.email], () => (!wanted ? [] : client.email ? [emailSaved(words, client.email)] : [emailForm(client, words, refocus)]));

    if (follow) scroller.scrollTop = scroller.scrollHeight;
    const last = client.thread.through;
    if (last > newest && newest && !follow) latest.hidden = false;
    newest = last;
    see();
  }

  /** `take`: the visitor asked for it, so the focus goes there. A restored panel leaves the focus where it is. */
  function show(take: boolean): void {
    open = true;
    tab.set("open", "1");
    box.hidden = false;
    boot.host.classList.add("open");
    launcher.setAttribute("aria-expanded", "true");
    launcher.removeAttribute("aria-busy");
    launcher.removeAttribute("title");
    client.setOpen(true);
    follow = true;
    update();
    fit();
    writer.fit();
    if (take) refocus();
  }

  function close(back: boolean): void {
    open = false;
    tab.del("open");
    box.hidden = true;
    boot.host.classList.remove("open");
    launcher.setAttribute("aria-expanded", "false");
    client.setOpen(false);
    see();
    if (back) launcher.focus({ preventScroll: true });
  }

  /** A phone's keyboard covers the layout viewport; the panel keeps to what can be seen. */
  function fit(): void {
    const view = window.visualViewport;
    box.style.height = phone.matches && view ? `${view.height}px` : "";
    box.style.transform = phone.matches && view && view.offsetTop ? `translateY(${view.offsetTop}px)` : "";
    box.ariaModal = phone.matches ? "true" : null;
  }
  // A keyboard, a longer text in the composer, a bar that appears: who was at the end stays at the end.
  new ResizeObserver(() => follow && toEnd()).observe(scroller);
  window.visualViewport?.addEventListener("resize", fit);
  window.visualViewport?.addEventListener("scroll", fit);
  phone.addEventListener("change", fit);
  document.addEventListener("visibilitychange", see);

  box.addEventListener("keydown", (e) => {
    if (e.key === "Escape" && !e.isComposing) close(true);
    // Full screen there is nothing else to reach: Tab stays inside.
    if (e.key === "Tab" && phone.matches) {
      const stops = [...box.querySelectorAll<HTMLElement>("button:not([hidden],:disabled),a[href],textarea,input,[tabindex='0']")];
      const [from, to] = e.shiftKey ? [stops[0], stops.at(-1)] : [stops.at(-1), stops[0]];
      const at = boot.root.activeElement;
      if (at === from || at === box) {
        e.preventDefault();
        to?.focus();
      }
    }
  });
  // Pages with single-key shortcuts see a target that is no text field: what is typed here stays here.
  for (const type of ["keydown", "keyup", "keypress"]) box.addEventListener(type, (e) => e.stopPropagation());

  launcher.onclick = () => (open ? close(false) : show(true));
  return { update, show };
}
