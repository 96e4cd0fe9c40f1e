/** Where the visitor writes: grows with the text, counts near the limit, never sends half a word of an input method. */
import { MAX_CHARS, type Client } from "../client.ts";
import type { Words } from "../i18n.ts";
import type { Store } from "../storage.ts";
import { h, icon } from "./dom.ts";

export function composer(client: Client, words: Words, tab: Store, sent: () => void) {
  const { t } = words;
  const area = h("textarea", { id: "text", rows: 1, dir: "auto", "aria-label": t("composer"), "aria-describedby": "count", enterkeyhint: "send", autocomplete: "off", "data-testid": "composer" });
  const button = h("button", { type: "submit", class: "send", "aria-label": t("send"), title: t("send"), "data-testid": "send" }, icon("up"));
  const count = h("p", { id: "count", class: "count", role: "status" });
  const form = h("form", { class: "composer", novalidate: true }, h("div", { class: "field" }, area, button), count);
  const key = "text";
  area.value = tab.get(key) ?? "";

  /** Characters as the server counts them: an emoji outside the basic plane is one. */
  const length = () => (area.value.length < MAX_CHARS * 0.9 ? area.value.length : [...area.value.trim()].length);

  function update(): void {
    const n = length();
    const over = n - MAX_CHARS;
    area.placeholder = t(client.thread.meta?.state === "closed" ? "write_reopen" : "write");
    button.disabled = !area.value.trim() || over > 0;
    const number = (v: number) => v.toLocaleString(words.locale);
    const text = over > 0 ? t("too_long", { n: number(over) }) : n > MAX_CHARS * 0.9 ? t("count", { n: number(n), max: number(MAX_CHARS) }) : "";
    if (count.textContent !== text) count.textContent = text;
    count.classList.toggle("over", over > 0);
    area.setAttribute("aria-invalid", String(over > 0));
  }

  function fit(): void {
    area.style.height = "0";
    area.style.height = `${Math.min(area.scrollHeight, 140)}px`;
  }

  function submit(): void {
    const text = area.value.trim();
    if (!text || length() > MAX_CHARS) return;
    client.send(text);
    area.value = "";
    tab.del(key);
    fit();
    update();
    sent();
  }

  area.addEventListener("input", () => {
    tab.set(key, area.value);
    fit();
    update();
    if (area.value.trim()) client.isTyping();
  });
  area.addEventListener("keydown", (e) => {
    // 229: an input method has the key, also where isComposing is already false (Safari).
    if (e.key !== "Enter" || e.shiftKey || e.isComposing || e.keyCode === 229) return;
    e.preventDefault();
    submit();
  });
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    submit();
    area.focus();
  });
  return { form, area, update, fit };
}
