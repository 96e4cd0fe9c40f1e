// Unit tests of what needs no browser, in the test/ folder of the package they run in: bundled by esbuild to a temporary folder, run by node's own runner.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const tests = resolve("test");
const dir = mkdtempSync(join(tmpdir(), "baton-web-test-"));
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
