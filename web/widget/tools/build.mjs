// Builds what visitors load: `widget.js` (stable name, the loader) and, for each language,
// `app-LANGUAGE-HASH.js` (everything else).
//
// Both are classic scripts: a module from another origin would need CORS headers on static files and `import` in hosts'
// policies; a classic script needs one `script-src` line. The hash is of the content, so the app may be cached for ever.
import { build } from "esbuild";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { createHash } from "node:crypto";
import { minify } from "terser";
import { hostTokens, shortNames } from "./tokens.mjs";

const here = resolve(dirname(fileURLToPath(import.meta.url)), "..");
export const out = resolve(here, "../dist/widget");
const languages = readdirSync(join(here, "src/locales")).filter((f) => /^[a-z]{2,3}\.ts$/.test(f)).map((f) => f.slice(0, -3));
const demo = resolve(here, "../dist/demo");

/** `import css from "./x.css"` gives minified text, for a constructable style sheet (the one kind a strict host allows). */
export const cssText = {
  name: "css-text",
  setup(b) {
    b.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { transform } = await import("esbuild");
      let text = await readFile(path, "utf8");
      const app = await readFile(join(here, "src/app.css"), "utf8");
      if (path.endsWith("tokens.css")) text = hostTokens(text, app);
      const css = await transform(shortNames(text, app), { loader: "css", minify: true, target: "chrome106" });
      return { contents: css.code.trim(), loader: "text" };
    });
  },
};

/** Puts one language where the sources say "chosen": a visitor loads the texts they read and no others. */
const chosen = (language) => ({
  name: "language",
  setup(b) {
    b.onLoad({ filter: /locales[/\\]chosen\.ts$/ }, ({ path }) => ({
      contents: `export { default as texts } from "./${language}.ts"; export const language = "${language}";`,
      resolveDir: dirname(path),
      loader: "ts",
    }));
  },
});

async function bundle(entry, define, ...plugins) {
  const result = await build({
    entryPoints: [join(here, "src", entry)],
    bundle: true,
    write: false,
    format: "iife",
    minify: true,
    target: ["chrome106", "firefox119", "safari16.4"],
    legalComments: "none",
    define,
    plugins: [cssText, ...plugins],
  });
  // A second minifier: it costs the build a second and saves every visitor two percent.
  const smaller = await minify(result.outputFiles[0].text, { ecma: 2022, compress: { passes: 3, unsafe_arrows: true, pure_getters: true } });
  return smaller.code;
}

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const hashes = {};
for (const language of languages) {
  const app = await bundle("app.ts", {}, chosen(language));
  hashes[language] = createHash("sha256").update(app).digest("hex").slice(0, 10);
  await writeFile(join(out, `app-${language}-${hashes[language]}.js`), app);
}
await writeFile(join(out, "widget.js"), await bundle("loader.ts", { __APPS__: JSON.stringify(hashes) }));
await rm(demo, { recursive: true, force: true });
await cp(resolve(here, "../demo"), demo, { recursive: true });
