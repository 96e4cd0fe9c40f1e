import assert from "node:assert/strict";
import { test } from "node:test";
import { Thread } from "../src/thread.ts";
import type { Conversation, Message } from "../src/types.ts";

const message = (public_seq: number, kind: "visitor" | "assistant" | "agent" = "agent", more: Partial<Message> = {}): Message => ({
  id: `msg_${public_seq}`, public_seq, author: { kind, name: null, avatar: null }, kind: "text", notice: null,
  text: `m${public_seq}`, citations: [], client_id: null, incomplete: false, at: "2026-01-01T00:00:00.000Z", ...more,
});
const conversation = (numbers: number[], more: Partial<Conversation> = {}): Conversation => ({
  id: "conv_1", state: "assistant", answering: { kind: "assistant", name: null, avatar: null }, queue: null, epoch: 1,
  public_seq: Math.max(0, ...numbers), messages: numbers.map((n) => message(n)), has_earlier: false, draft: null, ...more,
});
const draft = (index: number, text: string, more: object = {}) => ({ type: "draft" as const, turn: "t1", attempt: 1, epoch: 1, index, text, ...more });
/** Through a function, so that the compiler does not remember an earlier assertion. */
const drafted = (t: Thread) => t.draft?.text ?? null;
const numbers = (t: Thread) => t.messages.map((m) => m.public_seq);

test("messages in any order and number are one ordered list", () => {
  const t = new Thread();
  for (const n of [3, 1, 3, 2, 1, 5]) t.message(message(n));
  assert.deepEqual(numbers(t), [1, 2, 3, 5]);
  assert.equal(t.through, 3);
  assert.equal(t.gap, true);
  t.message(message(4));
  assert.equal(t.gap, false);
});

test("every order of arrival gives the same list", () => {
  const orders = (list: number[]): number[][] => (list.length < 2 ? [list] : list.flatMap((x, i) => orders(list.toSpliced(i, 1)).map((r) => [x, ...r])));
  for (const order of orders([1, 2, 3, 4])) {
    const t = new Thread();
    for (const n of order) t.message(message(n));
    assert.deepEqual(numbers(t), [1, 2, 3, 4]);
    assert.equal(t.gap, false);
  }
});

test("a state that knows more messages is a gap", () => {
  const t = new Thread();
  t.snapshot(conversation([1, 2]), true);
  t.state({ ...conversation([]), public_seq: 4 });
  assert.equal(t.gap, true);
  assert.equal(t.through, 2);
});

test("a snapshot that starts late leaves no silent hole", () => {
  const t = new Thread();
  t.snapshot(conversation([1, 2]), true);
  const late = Array.from({ length: 50 }, (_, i) => i + 8);
  t.snapshot(conversation(late, { has_earlier: true }), true);
  assert.deepEqual(numbers(t), late);
  assert.equal(t.gap, false);
  assert.equal(t.earlier, true);
  t.history(conversation([6, 7], { has_earlier: true }));
  assert.deepEqual(numbers(t), [6, 7, ...late]);
  assert.equal(t.through, 57);
});

test("a hole that the server does not fill hides nothing", () => {
  const t = new Thread();
  t.snapshot(conversation([1, 2]), true);
  t.message(message(5));
  assert.equal(t.through, 2);
  t.snapshot(conversation([5]), false);
  assert.deepEqual(numbers(t), [1, 2, 5]);
  assert.equal(t.through, 5);
  assert.equal(t.gap, false);
});

test("a resume adds, another conversation replaces", () => {
  const t = new Thread();
  t.snapshot(conversation([1, 2]), true);
  t.snapshot(conversation([3], { has_earlier: true }), true);
  assert.deepEqual(numbers(t), [1, 2, 3]);
  assert.equal(t.earlier, false);
  t.snapshot(conversation([1], { id: "conv_2" }), true);
  assert.deepEqual(numbers(t), [1]);
  t.snapshot(null, true);
  assert.deepEqual(numbers(t), []);
});

test("older states do not overwrite newer ones", () => {
  const t = new Thread();
  t.state({ ...conversation([]), epoch: 3, state: "human" });
  t.state({ ...conversation([]), epoch: 2, state: "assistant" });
  assert.equal(t.meta?.state, "human");
});

test("a draft grows in index order, early and repeated sentences included", () => {
  const t = new Thread();
  t.draftFrame(draft(0, "a "));
  t.draftFrame(draft(2, "c "));
  assert.equal(drafted(t), "a ");
  t.draftFrame(draft(1, "b "));
  t.draftFrame(draft(1, "b "));
  assert.equal(drafted(t), "a b c ");
});

test("a draft continues after a snapshot, whether its last sentence comes again or not", () => {
  for (const index of [1, 2]) {
    const t = new Thread();
    t.snapshot(conversation([1], { draft: { turn: "t1", attempt: 1, epoch: 1, text: "a b " } }), true);
    if (index === 1) t.draftFrame(draft(1, "b "));
    t.draftFrame(draft(2, "c "));
    assert.equal(drafted(t), "a b c ");
  }
});

test("a new attempt or turn replaces the draft, an old attempt does not come back", () => {
  const t = new Thread();
  t.draftFrame(draft(0, "old "));
  t.draftFrame(draft(0, "new ", { attempt: 2 }));
  t.draftFrame(draft(1, "old "));
  assert.equal(drafted(t), "new ");
  t.draftFrame(draft(0, "next ", { turn: "t2" }));
  assert.equal(drafted(t), "next ");
});

test("the answer ends its draft, and late sentences do not revive it", () => {
  const t = new Thread();
  t.draftFrame(draft(0, "a "));
  t.message(message(1, "assistant"));
  assert.equal(drafted(t), null);
  t.draftFrame(draft(1, "b "));
  t.draftFrame(draft(0, "b ", { attempt: 2 }));
  assert.equal(drafted(t), null);
});

test("an old answer that fills a gap does not end a newer draft", () => {
  const t = new Thread();
  t.message(message(1));
  t.message(message(3));
  t.draftFrame(draft(0, "a "));
  t.message(message(2, "assistant"));
  assert.equal(drafted(t), "a ");
});

test("nothing of a lower epoch is shown, whoever tells the epoch", () => {
  const ways: ((t: Thread) => void)[] = [
    (t) => t.dropped("t1", 2),
    (t) => t.dropped("unknown", 2),
    (t) => t.state({ ...conversation([]), epoch: 2 }),
    (t) => t.raise(2),
    (t) => t.snapshot(conversation([], { epoch: 2 }), false),
  ];
  for (const way of ways) {
    const t = new Thread();
    t.draftFrame(draft(0, "a "));
    way(t);
    assert.equal(drafted(t), null);
    t.draftFrame(draft(1, "b "));
    t.draftFrame(draft(0, "x ", { turn: "t9" }));
    assert.equal(drafted(t), null);
    t.draftFrame(draft(0, "mine ", { turn: "t10", epoch: 2 }));
    assert.equal(drafted(t), "mine ");
  }
});

test("a superseded turn is dropped within its epoch", () => {
  const t = new Thread();
  t.draftFrame(draft(0, "a "));
  t.dropped("t1", 1);
  t.draftFrame(draft(1, "b "));
  assert.equal(drafted(t), null);
  t.draftFrame(draft(0, "fresh ", { turn: "t2" }));
  assert.equal(drafted(t), "fresh ");
});

test("a late HTTP answer does not shorten the draft", () => {
  const t = new Thread();
  t.draftFrame(draft(0, "a "));
  t.draftFrame(draft(1, "b "));
  t.snapshot(conversation([1], { draft: { turn: "t1", attempt: 1, epoch: 1, text: "a " } }), false);
  assert.equal(drafted(t), "a b ");
});
