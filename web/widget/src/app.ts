/** Everything behind the launcher. Loaded once; takes the shadow root over from the loader. */
import type { Boot } from "./boot.ts";
import { Client } from "./client.ts";
import { words } from "./i18n.ts";
import { safeStore } from "./storage.ts";
import { panel } from "./view/panel.ts";
import tokens from "../../shared/tokens.css";
import css from "./app.css";

const boot = (document.currentScript as (HTMLScriptElement & { boot?: Boot }) | null)?.boot;

function run(boot: Boot): void {
  const sheets = [tokens, css].map((text) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    return sheet;
  });
  boot.root.adoptedStyleSheets.push(...sheets);

  const spoken = words(boot.locale);
  boot.section.lang = spoken.locale;
  const prefix = `baton:${boot.inbox}:`;
  const session = safeStore(() => sessionStorage);
  const tab = {
    get: (key: string) => session.get(prefix + key),
    set: (key: string, value: string) => session.set(prefix + key, value),
    del: (key: string) => session.del(prefix + key),
    keys: session.keys,
  };
  // Frames come in bursts; one drawing per burst is enough. No animation frame: hidden tabs have none.
  let due = false;
  let view: ReturnType<typeof panel> | null = null;
  const client = new Client(boot.origin, boot.inbox, boot.locale, safeStore(() => localStorage), () => {
    if (due) return;
    due = true;
    queueMicrotask(() => {
      due = false;
      view?.update();
    });
  });
  view = panel(boot, client, spoken, tab);
  if (client.talked) client.begin();
  if (boot.open) view.show(boot.open === "click");
}

if (boot) run(boot);
