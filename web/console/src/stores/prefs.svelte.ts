/** Choices that belong to this browser rather than to the account: theme, sound, side panel. */
export type Theme = 'system' | 'light' | 'dark'
type Saved = { theme: Theme; sound: boolean; panel: boolean }

const key = 'baton.prefs'
const defaults: Saved = { theme: 'system', sound: true, panel: true }

function load(): Saved {
  try {
    return { ...defaults, ...(JSON.parse(localStorage.getItem(key) ?? '{}') as Partial<Saved>) }
  } catch {
    return defaults
  }
}

class Prefs {
  #saved = $state(load())

  constructor() {
    this.#paint()
  }

  get theme(): Theme {
    return this.#saved.theme
  }
  set theme(theme: Theme) {
    this.#saved.theme = theme
    this.#paint()
    this.#store()
  }
  get sound(): boolean {
    return this.#saved.sound
  }
  set sound(on: boolean) {
    this.#saved.sound = on
    this.#store()
  }
  get panel(): boolean {
    return this.#saved.panel
  }
  set panel(open: boolean) {
    this.#saved.panel = open
    this.#store()
  }

  #paint(): void {
    if (this.#saved.theme === 'system') delete document.documentElement.dataset['theme']
    else document.documentElement.dataset['theme'] = this.#saved.theme
  }
  #store(): void {
    try {
      localStorage.setItem(key, JSON.stringify(this.#saved))
    } catch {
      // The choice lasts for this visit only.
    }
  }
}

export const prefs = new Prefs()
