/** The present, ticking once a second for everything that counts time on screen. */
class Clock {
  now = $state(Date.now())
  constructor() {
    setInterval(() => {
      // A hidden page has nobody to show the time to.
      if (document.visibilityState === 'visible') this.now = Date.now()
    }, 1000)
    document.addEventListener('visibilitychange', () => (this.now = Date.now()))
  }
}
export const time = new Clock()
