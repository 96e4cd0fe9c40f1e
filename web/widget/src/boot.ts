/** What the loader hands to the app. The app script finds it on its own element, so no global name is taken on the page. */
export interface Boot {
  host: HTMLElement;
  root: ShadowRoot;
  section: HTMLElement;
  launcher: HTMLButtonElement;
  badge: HTMLElement;
  origin: string;
  inbox: string;
  locale: string;
  /** Colour that the page chose; wins over the inbox's. */
  accent: string | null;
  paint(accent: string): void;
  /** Open as soon as the app runs: "click" takes the focus, "restore" leaves it where it is. */
  open: "click" | "restore" | null;
}
