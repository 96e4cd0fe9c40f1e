/** What the server says to visitors: the Widget and Socket parts of the wire contract. */

export interface Author {
  kind: "visitor" | "assistant" | "agent" | "system";
  name: string | null;
  avatar: string | null;
}

export interface Citation {
  title: string;
  section: string | null;
  url: string | null;
}

export interface Message {
  id: string;
  public_seq: number;
  author: Author;
  kind: "text" | "notice";
  notice: string | null;
  text: string;
  citations: Citation[];
  client_id: string | null;
  incomplete: boolean;
  at: string;
}

/** Who answers, and how far the conversation has come. */
export interface Meta {
  id: string;
  state: "assistant" | "human" | "closed";
  answering: { kind: "assistant" | "agent" | "queue" | "nobody"; name: string | null; avatar: string | null };
  queue: { position: number | null; since: string; expected_minutes: number | null } | null;
  epoch: number;
  public_seq: number;
}

export interface DraftText {
  turn: string;
  attempt: number;
  epoch: number;
  text: string;
}

export interface Conversation extends Meta {
  messages: Message[];
  has_earlier: boolean;
  draft: DraftText | null;
}

export interface Config {
  name: string;
  assistant: { name: string; avatar: string | null } | null;
  greeting: string;
  disclosure: string;
  accent: string;
  locales: string[];
  human_available: boolean;
  locale: string;
}

export interface Session {
  token: string;
  expires_at: string;
  renew_after: string;
  contact: { name: string | null; email: string | null };
  conversation: Conversation | null;
  config: Config;
}

export type Frame =
  | { type: "welcome"; conversation: Conversation | null }
  | { type: "message"; message: Message }
  | { type: "state"; conversation: Meta }
  | { type: "draft"; turn: string; attempt: number; epoch: number; index: number; text: string }
  | { type: "draft_dropped"; turn: string; epoch: number }
  | { type: "typing"; author: { kind: Author["kind"]; name: string | null } }
  | { type: "ping" }
  | { type: "pong" };
