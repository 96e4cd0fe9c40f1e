// The shared tokens as the widget needs them: only those its style sheets use, for `:host` only, and with light-dark()
// written out as two blocks, because visitors' browsers are older than agents' browsers.

/** Splits "a, b" at the comma that is inside no bracket. */
function pair(text) {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "(") depth++;
    if (text[i] === ")") depth--;
    if (text[i] === "," && !depth) return [text.slice(0, i).trim(), text.slice(i + 1).trim()];
  }
  throw new Error(`light-dark() without two values: ${text}`);
}

/** Tokens are private to the shadow root, so the build may give them short names. */
export const shortNames = (css, all) => {
  const names = [...new Set(all.match(/--b-[\w-]+/g))].sort();
  return css.replace(/--b-[\w-]+/g, (name) => `--${names.indexOf(name).toString(36)}`);
};

export function hostTokens(css, usedIn) {
  const block = /:root,\s*:host\s*\{([^}]*)\}/.exec(css.replace(/\/\*[\s\S]*?\*\//g, ""));
  if (!block) throw new Error("tokens.css has no ':root, :host' block");
  const light = [];
  const dark = [];
  const known = new Set();
  for (const [, name, value] of block[1].matchAll(/(--b-[\w-]+):\s*([^;]+);/g)) {
    known.add(name);
    if (!usedIn.includes(`var(${name})`)) continue;
    const both = /^light-dark\(([\s\S]*)\)$/.exec(value.trim());
    const [l, d] = both ? pair(both[1]) : [value.trim(), null];
    light.push(`${name}:${l}`);
    if (d) dark.push(`${name}:${d}`);
  }
  for (const [, name] of usedIn.matchAll(/var\((--b-[\w-]+)\)/g)) if (!known.has(name)) throw new Error(`${name} is not in tokens.css`);
  return `:host{${light.join(";")}}@media (prefers-color-scheme:dark){:host{${dark.join(";")}}}`;
}
