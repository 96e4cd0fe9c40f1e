/** A short two-note chime, made rather than loaded: no file, no request, and quiet enough for an eight-hour day. */
let context: AudioContext | null = null

/** Browsers allow sound only after the person did something on the page; the first key or pointer opens the context. */
export function armChime(): () => void {
  const arm = () => {
    context ??= new AudioContext()
    void context.resume()
  }
  // Signing in was such a deed: nobody has to touch the page again before it may ring.
  if (navigator.userActivation?.hasBeenActive) arm()
  addEventListener('pointerdown', arm, { once: true })
  addEventListener('keydown', arm, { once: true })
  return () => {
    removeEventListener('pointerdown', arm)
    removeEventListener('keydown', arm)
  }
}

export function chime(): void {
  if (!context || context.state !== 'running') return
  const start = context.currentTime
  for (const [offset, pitch] of [
    [0, 659.25],
    [0.13, 987.77],
  ] as const) {
    const tone = context.createOscillator()
    const gain = context.createGain()
    tone.type = 'sine'
    tone.frequency.value = pitch
    gain.gain.setValueAtTime(0, start + offset)
    gain.gain.linearRampToValueAtTime(0.16, start + offset + 0.012)
    gain.gain.exponentialRampToValueAtTime(0.0001, start + offset + 0.45)
    tone.connect(gain).connect(context.destination)
    tone.start(start + offset)
    tone.stop(start + offset + 0.5)
  }
}
