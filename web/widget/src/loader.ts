/**
 * The loader: `<script async src="https://HOST/widget.js" data-inbox="KEY"></script>`, optionally with data-locale,
 * data-accent="#rrggbb" and data-position="left".
 *
 * Draws the launcher in a shadow root and loads the app on the first sign of interest, or at once when this visitor has
 * already written. Touches nothing of the page but one element appended to its body; sets no cookie and no global.
 *
 * A page with a Content-Security-Policy needs (HOST = where this script comes from):
 *   script-src  https://HOST
 *   connect-src https://HOST wss://HOST
 * and nothing for styles or images: style sheets are constructed, icons are drawn, no inline style, no eval. With Trusted
 * Types enforced, the loader's script address needs the page's own default policy.
 */
import type { Boot } from "./boot.ts";
import { ink, parseHex } from "./colour.ts";
import { labels } from "./locales/loader.ts";
import css from "./loader.css";

/** Content hash of the app in each language, put in by the build. */
declare const __APPS__: Record<string, string>;

const tag = document.currentScript as HTMLScriptElement | null;
const inbox = tag?.dataset["inbox"];

function begin(script: HTMLScriptElement, inbox: string): void {
  if (document.querySelector("baton-widget")) return;
  const { locale: wanted, accent, position } = script.dataset;
  const locale = wanted || document.documentElement.lang || navigator.language || "en";
  const base = locale.toLowerCase().split("-")[0]!;
  const language = base in __APPS__ ? base : "en";
  const texts = labels[language]!;

  const host = document.createElement("baton-widget");
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  root.adoptedStyleSheets = [sheet];
  if (position === "left") host.dataset["side"] = "left";

  const el = <K extends keyof HTMLElementTagNameMap>(name: K, into: Node, cls = "") => {
    const node = document.createElement(name);
    if (cls) node.className = cls;
    return into.appendChild(node);
  };
  const section = el("section", root);
  section.ariaLabel = texts.chat;
  section.lang = language;
  const launcher = el("button", section, "launcher");
  launcher.type = "button";
  launcher.ariaLabel = texts.open;
  launcher.ariaHasPopup = "dialog";
  launcher.ariaExpanded = "false";
  launcher.dataset["testid"] = "launcher";
  const svg = (d: string, cls: string) => {
    const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    icon.setAttribute("viewBox", "0 0 24 24");
    icon.setAttribute("aria-hidden", "true");
    icon.setAttribute("class", cls);
    icon.appendChild(document.createElementNS(icon.namespaceURI, "path")).setAttribute("d", d);
    launcher.append(icon);
  };
  svg("M8 20a9 9 0 1 0-4-4l-2 6ZM8.5 12h.01M12 12h.01M15.5 12h.01", "bubble");
  svg("m6 9.5 6 6 6-6", "down");
  const badge = el("span", launcher, "badge");
  badge.ariaHidden = "true";

  const paint = (colour: string) => {
    const rgb = parseHex(colour);
    if (!rgb) return;
    host.style.setProperty("--accent", colour);
    host.style.setProperty("--on-accent", ink(rgb));
  };

  const stored = (s: () => Storage, key: string): string | null => {
    try {
      return s().getItem(`baton:${inbox}:${key}`);
    } catch {
      return null;
    }
  };
  paint(parseHex(accent) ? accent! : (stored(() => localStorage, "accent") ?? "#6d28d9"));

  const boot: Boot = {
    host, root, section, launcher, badge, inbox, locale, paint,
    origin: new URL(script.src).origin,
    accent: parseHex(accent) ? accent! : null,
    open: null,
  };
  let loading = false;
  const load = () => {
    if (loading) return;
    loading = true;
    const app = Object.assign(document.createElement("script"), { boot, src: `${boot.origin}/widget/app-${language}-${__APPS__[language]}.js` });
    app.nonce = script.nonce;
    app.onload = () => app.remove();
    app.onerror = () => {
      // Said on the button itself; the next click tries again.
      app.remove();
      loading = false;
      boot.open = null;
      launcher.ariaBusy = null;
      launcher.ariaLabel = launcher.title = texts.failed;
    };
    document.head.append(app);
  };
  launcher.onpointerenter = load;
  launcher.onclick = () => {
    boot.open = "click";
    launcher.ariaBusy = "true";
    load();
  };
  if (stored(() => sessionStorage, "open")) boot.open = "restore";
  if (boot.open || stored(() => localStorage, "talked")) load();
  document.body.append(host);
}

if (tag && inbox) {
  if (document.body) begin(tag, inbox);
  else document.addEventListener("DOMContentLoaded", () => begin(tag, inbox));
} else console.warn("Baton: the script tag needs data-inbox");
