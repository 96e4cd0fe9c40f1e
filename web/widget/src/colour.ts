/** Contrast of the business's accent colour: whatever they choose, what stands on it stays readable. */

type Rgb = [number, number, number];

export function parseHex(colour: string | null | undefined): Rgb | null {
  const hex = /^#([0-9a-f]{3}|[0-9a-f]{6})$/i.exec(colour?.trim() ?? "")?.[1];
  if (!hex) return null;
  const full = hex.length === 3 ? hex.replace(/./g, "$&$&") : hex;
  return [0, 2, 4].map((i) => parseInt(full.slice(i, i + 2), 16)) as Rgb;
}

/** Relative luminance with a plain 2.2 gamma: near enough to WCAG's curve, and a third of its size. */
const light = (c: Rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, part, i) => sum + part * (c[i]! / 255) ** 2.2, 0);

/** Black or white, whichever reads on the colour: around this luminance both have at least 4.5:1. */
export const ink = (accent: Rgb): string => (light(accent) > 0.178 ? "#000" : "#fff");
