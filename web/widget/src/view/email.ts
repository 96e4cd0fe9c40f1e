/** "Nobody is online": one field, so that the answer can find the visitor. */
import type { Client } from "../client.ts";
import type { Words } from "../i18n.ts";
import { h, icon } from "./dom.ts";

export function emailForm(client: Client, words: Words, refocus: () => void): HTMLElement {
  const { t } = words;
  const input = h("input", { type: "email", id: "email", autocomplete: "email", required: true, inputmode: "email", "aria-describedby": "email-error", dir: "ltr" });
  const error = h("p", { id: "email-error", class: "error", role: "alert" });
  const button = h("button", { type: "submit" }, t("email_save"));
  const fail = (text: string) => {
    error.textContent = text;
    input.setAttribute("aria-invalid", "true");
    input.focus();
  };
  const submit = async (e: Event) => {
    e.preventDefault();
    const email = input.value.trim();
    error.textContent = "";
    if (!input.checkValidity() || !/^\S+@\S+\.\S+$/.test(email)) return fail(t("email_invalid"));
    button.disabled = true;
    try {
      await client.leaveEmail(email);
      refocus();
    } catch (e) {
      fail(t((e as { status?: number }).status === 400 ? "email_invalid" : "email_failed"));
    }
    button.disabled = false;
  };
  return h(
    "form",
    { class: "email", novalidate: true, "data-testid": "email-form", submit: (e: Event) => void submit(e) },
    h("p", {}, icon("mail"), h("span", {}, t("email_title"))),
    h("label", { for: "email" }, t("email")),
    h("div", { class: "line" }, input, button),
    error,
  );
}

export const emailSaved = (words: Words, email: string) =>
  h("p", { class: "notice human", role: "status" }, icon("check"), h("span", {}, words.t("email_saved", { email })));
