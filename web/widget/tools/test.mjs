// Unit tests of what needs no browser: bundled by esbuild to a temporary folder, run by node's own runner.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const tests = resolve(dirname(fileURLToPath(import.meta.url)), "../test");
const dir = mkdtempSync(join(tmpdir(), "baton-widget-test-"));
try {
  await build({
    entryPoints: readdirSync(tests).filter((f) => f.endsWith(".test.ts")).map((f) => join(tests, f)),
    outdir: dir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    sourcemap: "inline",
  });
  const files = readdirSync(dir).map((f) => join(dir, f));
  process.exitCode = spawnSync(process.execPath, ["--enable-source-maps", "--test", ...files], { stdio: "inherit" }).status ?? 1;
} finally {
  rmSync(dir, { recursive: true, force: true });
}
