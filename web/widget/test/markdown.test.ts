import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMarkdown, plainText, safeLink, type Block, type Inline } from "../../shared/markdown.ts";

const BASE = "https://shop.example";

/** Blocks written the short way: `*i*`, `**b**`, `‹code›`, `<href|label>`, `⏎`. */
function short(nodes: Inline[]): string {
  return nodes
    .map((n) =>
      n.t === "text" ? n.text
      : n.t === "br" ? "⏎"
      : n.t === "code" ? `‹${n.text}›`
      : n.t === "a" ? `<${n.href}|${short(n.nodes)}>`
      : `{${n.t} ${short(n.nodes)}}`,
    )
    .join("");
}
const shown = (b: Block) => (b.t === "p" ? short(b.nodes) : `${b.t}${b.t === "ol" && b.start !== 1 ? b.start : ""}[${b.items.map(short).join("; ")}]`);

function check(text: string, ...blocks: string[]): void {
  assert.deepEqual(parseMarkdown(text, BASE).map(shown), blocks);
}

test("marks", () => {
  check("a **b** *c* `d*e*`", "a {b b} {i c} ‹d*e*›");
  check("**a *b* c**", "{b a {i b} c}");
  check("***both***", "{b {i both}}");
  check("这是**重点**内容", "这是{b 重点}内容");
});

test("what does not close stays as typed", () => {
  check("2 * 3 * 4", "2 * 3 * 4");
  check("2*3*4", "2*3*4");
  check("**open", "**open");
  check("*a **b*", "{i a **b}");
  check("`open", "`open");
  check("[a](", "[a](");
  check("[a] (b)", "[a] (b)");
  check("", ...[]);
  check("\\*not\\*", "*not*");
});

test("paragraphs, breaks and lists", () => {
  check("a\nb\n\n\nc", "a⏎b", "c");
  check("see:\n- one\n- **two**\n\nend", "see:", "ul[one; {b two}]", "end");
  check("1. a\n\n2. b\n3) c", "ol[a; b; c]");
  check("4. late start", "ol4[late start]");
  check("- a\n  more\n1. b", "ul[a⏎more]", "ol[b]");
  check("3.5 kg", "3.5 kg");
  check("-5 °C", "-5 °C");
});

test("links", () => {
  check("[a **b**](https://x.example/y?z=1)", "<https://x.example/y?z=1|a {b b}>");
  check("[help](/help/a) [mail](mailto:a@b.example)", "<https://shop.example/help/a|help> <mailto:a@b.example|mail>");
  check("go to https://x.example/a_b(c), now.", "go to <https://x.example/a_b(c)|https://x.example/a_b(c)>, now.");
  check("(https://x.example/a)", "(<https://x.example/a|https://x.example/a>)");
  check("[[a](https://x.example/)", "[<https://x.example/|a>");
});

test("addresses that are refused stay text", () => {
  for (const bad of [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\nscript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd",
    "//evil.example", "/\\evil.example", "\\\\evil.example", "https://bank.example@evil.example", "http:evil", "ftp://x.example", "", " https://x.example",
    "blob:https://x.example/1", "https://", "\u0001javascript:alert(1)",
  ]) {
    assert.equal(safeLink(bad, BASE), null, bad);
    if (!bad.includes("@") && !bad.includes("https://")) assert.ok(!JSON.stringify(parseMarkdown(`[x](${bad})`, BASE)).includes('"t":"a"'), bad);
  }
});

test("markup of any kind is text", () => {
  check("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>");
  check("<script>alert(1)</script> **b**", "<script>alert(1)</script> {b b}");
});

test("a long hostile text costs as much as any long text", () => {
  const n = 200_000;
  for (const piece of ["[", "[a](", "*", "**", "**a ", "*a ", "`", "``", "](", "[a](/b", "\\", "https://", "https://a.b ", "- \n", "1. a\n", "[*`**", "(((", "<", "_"]) {
    const text = piece.repeat(n / piece.length);
    const begun = performance.now();
    parseMarkdown(text, BASE);
    assert.ok(performance.now() - begun < 1_500, `${JSON.stringify(piece)} took ${performance.now() - begun} ms`);
  }
});

test("without its marks, on one line", () => {
  const text = "Go to **Account > *Cancel***, then:\n\n- [pick](/help/x) a day\n- `save`\nand wait";
  assert.equal(plainText(text), "Go to Account > Cancel, then: pick a day save and wait");
  assert.equal(plainText("2 * 3 ** 4"), "2 * 3 ** 4");
});
