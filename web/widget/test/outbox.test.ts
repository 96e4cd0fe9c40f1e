import assert from "node:assert/strict";
import { test } from "node:test";
import { ink, parseHex } from "../src/colour.ts";
import { Outbox } from "../src/outbox.ts";
import { safeStore } from "../src/storage.ts";

function shelf(): Storage {
  const map = new Map<string, string>();
  return {
    get length() { return map.size; },
    key: (i: number) => [...map.keys()][i] ?? null,
    getItem: (k: string) => map.get(k) ?? null,
    setItem: (k: string, v: string) => void map.set(k, v),
    removeItem: (k: string) => void map.delete(k),
    clear: () => map.clear(),
  };
}
let n = 0;
const box = (s: Storage, clock = () => 1) => new Outbox(safeStore(() => s), "p:", clock, () => `id${++n}`);

test("what was written is still there after a reload, in order", () => {
  const s = shelf();
  const a = box(s);
  const written = [a.add("text", "one"), a.add("person", ""), a.add("text", "two")];
  assert.deepEqual(box(s).items(), written);
});

test("tabs see each other's items and do not overwrite them", () => {
  const s = shelf();
  let now = 0;
  const [a, b] = [box(s, () => ++now), box(s, () => ++now)];
  a.add("text", "a1");
  b.add("text", "b1");
  a.add("text", "a2");
  assert.deepEqual(b.items().map((i) => i.text), ["a1", "b1", "a2"]);
  b.remove(a.items()[0]!.id);
  assert.deepEqual(a.items().map((i) => i.text), ["b1", "a2"]);
});

test("a refused item keeps its id, and one that is gone stays gone", () => {
  const s = shelf();
  const a = box(s);
  const item = a.add("text", "x");
  a.mark(item.id, "invalid");
  assert.equal(a.items()[0]?.failed, "invalid");
  a.mark(item.id);
  assert.deepEqual(a.items(), [item]);
  a.remove(item.id);
  a.mark(item.id, "late");
  assert.deepEqual(a.items(), []);
});

test("rubbish in the storage is no item", () => {
  const s = shelf();
  for (const [i, junk] of ["", "{", "null", "[]", '{"id":1}', '"x"'].entries()) s.setItem(`p:${i}`, junk);
  assert.deepEqual(box(s).items(), []);
});

test("blocked or full storage falls back to memory", () => {
  const blocked = new Outbox(safeStore(() => { throw new Error("denied"); }), "p:");
  const item = blocked.add("text", "x");
  assert.deepEqual(blocked.items(), [item]);
  blocked.remove(item.id);
  assert.deepEqual(blocked.items(), []);

  const full = shelf();
  full.setItem("p:old", JSON.stringify({ id: "old", kind: "text", text: "old", at: 0 }));
  full.setItem = () => { throw new Error("quota"); };
  const b = box(full);
  b.add("text", "new");
  assert.deepEqual(b.items().map((i) => i.text), ["old", "new"]);
});

test("text on any accent has at least 4.5:1", () => {
  const channel = (c: number) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]: number[]) => 0.2126 * channel(r!) + 0.7152 * channel(g!) + 0.0722 * channel(b!);
  for (let r = 0; r < 256; r += 15)
    for (let g = 0; g < 256; g += 15)
      for (let b = 0; b < 256; b += 15) {
        const own = light([r, g, b]) + 0.05;
        const other = ink([r, g, b]) === "#fff" ? 1.05 : 0.05;
        assert.ok(Math.max(own / other, other / own) >= 4.5, `rgb(${r} ${g} ${b})`);
      }
  assert.deepEqual(parseHex("#abc"), [170, 187, 204]);
  assert.equal(parseHex("red"), null);
});
