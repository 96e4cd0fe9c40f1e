// Fails when a language lacks a key, has one too many, leaves a text empty, loses a {placeholder}, or when a key is unused.
// (The types already refuse a missing key; this also holds for placeholders and dead texts.)
import { build } from "esbuild";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const src = resolve(dirname(fileURLToPath(import.meta.url)), "../src");
const languages = readdirSync(join(src, "locales")).filter((f) => /^[a-z]{2,3}\.ts$/.test(f)).map((f) => f.slice(0, -3));
const bundled = await build({
  stdin: {
    contents: `${languages.map((l) => `import ${l} from "./locales/${l}.ts";`).join("")}
      export const catalogues = { ${languages.join()} }; export { labels } from "./locales/loader.ts";`,
    resolveDir: src,
  },
  bundle: true,
  write: false,
  format: "esm",
});
const { catalogues, labels } = await import(
  `data:text/javascript;base64,${Buffer.from(bundled.outputFiles[0].text).toString("base64")}`
);

const wrong = [];
const holes = (text) => [...text.matchAll(/\{\w+\}/g)].map((m) => m[0]).sort().join();

function compare(what, all) {
  for (const [locale, texts] of Object.entries(all)) {
    for (const [key, english] of Object.entries(all.en)) {
      const text = texts[key];
      if (!text?.trim()) wrong.push(`${what} ${locale}.${key} is missing`);
      else if (holes(text) !== holes(english)) wrong.push(`${what} ${locale}.${key} has other placeholders than en`);
    }
    for (const key of Object.keys(texts)) if (!(key in all.en)) wrong.push(`${what} ${locale}.${key} is not in en`);
  }
}
compare("catalogue", catalogues);
compare("loader", labels);
for (const locale of Object.keys(catalogues)) if (!labels[locale]) wrong.push(`loader has no ${locale}`);

const code = readdirSync(src, { recursive: true })
  .filter((f) => f.endsWith(".ts") && !f.startsWith("locales"))
  .map((f) => readFileSync(join(src, f), "utf8"))
  .join("\n");
for (const key of Object.keys(catalogues.en)) if (!code.includes(`"${key}"`)) wrong.push(`${key} is used nowhere`);

if (wrong.length) {
  console.error(wrong.join("\n"));
  process.exit(1);
}
console.log(`catalogues: ${Object.keys(catalogues).join(", ")}; ${Object.keys(catalogues.en).length} keys`);
