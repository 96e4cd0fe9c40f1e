// Fails when visitors would load more than was promised: 18 kB (brotli) until the first message, 2 kB of it the loader.
// A visitor loads the loader and the app in one language, so the largest language counts.
import { brotliCompressSync, constants } from "node:zlib";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const TOTAL = 18_000;
const LOADER = 2_000;

const dir = resolve(dirname(fileURLToPath(import.meta.url)), "../../dist/widget");
let app = 0;
let loader = 0;
for (const name of readdirSync(dir).sort()) {
  const raw = readFileSync(join(dir, name));
  const size = brotliCompressSync(raw, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length;
  if (name === "widget.js") loader = size;
  else app = Math.max(app, size);
  console.log(`${name.padEnd(24)} ${String(raw.length).padStart(7)} B  ${String(size).padStart(6)} B brotli`);
}
const total = loader + app;
console.log(`${"until first message".padEnd(24)} ${String(total).padStart(17)} B brotli of ${TOTAL}`);
if (!loader || loader > LOADER || total > TOTAL) {
  console.error(`byte budget exceeded: loader ${loader} of ${LOADER}, total ${total} of ${TOTAL}`);
  process.exit(1);
}
