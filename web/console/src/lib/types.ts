/** Shapes of the wire contract, as the server sends them. */
export type HolderState = 'assistant' | 'human' | 'closed'
export type Outcome = 'solved' | 'unsolved' | 'spam' | 'timeout'
export const reasonCodes = [
  'asked_for_person', 'no_answer', 'phrase', 'failed_answers', 'max_turns', 'worded', 'model_failed', 'judge_failed',
  'job_description', 'deadline', 'ai_unavailable', 'ai_off', 'assigned', 'returned', 'reopened', 'agent_removed', 'agent_offline',
  'missed',
] as const
export type ReasonCode = (typeof reasonCodes)[number]
export type HandoffReason = {
  code: ReasonCode
  condition: string | null
  evidence: string | null
  message_id: string | null
}
export type Named = { id: string; name: string }
export type Holder = {
  state: HolderState
  assistant: (Named & { avatar: string | null }) | null
  agent: Named | null
  queue: { since: string; reason: HandoffReason | null; position: number | null } | null
  snoozed_until: string | null
  outcome: Outcome | null
}
export type AuthorKind = 'visitor' | 'assistant' | 'agent' | 'system'
export type Author = { kind: AuthorKind; id: string | null; name: string | null; avatar: string | null }
export type Audience = 'public' | 'internal'
export type Citation = {
  article_id: string
  title: string
  section: string | null
  url: string | null
  chunk_id?: string
  audience?: Audience
}
export type Message = {
  id: string
  seq: number
  public_seq: number | null
  kind: 'text' | 'note' | 'notice' | 'return_note'
  author: Author
  text: string
  notice: string | null
  citations: Citation[]
  client_id: string | null
  incomplete: boolean
  flags: string[]
  at: string
}
export type Role = 'owner' | 'admin' | 'supervisor' | 'agent'
export type Presence = 'online' | 'away' | 'offline'
export type Right = 'take_from_colleague' | 'configure' | 'manage_people'
export type Me = {
  agent: { id: string; name: string; email: string; role: Role; presence: Presence; locale: string | null }
  workspace: Named
  csrf: string
  rights: Right[]
}
export type ContactLine = { id: string; name: string | null; email: string | null; phone: string | null }
export type Contact = ContactLine & {
  locale?: string | null
  blocked?: boolean
  created_at?: string
  attributes?: Record<string, unknown>
}
export type Row = {
  id: string
  inbox: Named
  contact: ContactLine
  holder: Holder
  epoch: number
  seq: number
  last_read_seq?: number
  ai_mode: 'on' | 'draft' | 'off'
  snippet: { author_kind: AuthorKind; text: string; at: string } | null
  unread: number
  waiting_since: string | null
  obligation: { due_at: string | null; step: number } | null
  alarm: boolean
  visitor_online: boolean
  created_at: string
  updated_at: string
  locale: string | null
}
export type Detail = Row & {
  contact: Contact
  page: { url: string; title: string | null } | null
  episode: number
  reference: string
}
export type Item = {
  seq: number
  epoch: number
  at: string
  kind: string
  actor: Author
  message: Message | null
  data: Record<string, unknown>
}
export type Counts = { all: { open: number }; unassigned: number; mine: number; unread: number; alarms: number }
export type View = 'all' | 'unassigned' | 'mine'
export type StateFilter = 'open' | 'assistant' | 'human' | 'closed'
export type Page<T> = { items: T[]; next_cursor: string | null }

export type ArtifactKind = 'brief' | 'summary' | 'suggestions'
type ArtifactOf<K extends ArtifactKind, C> = {
  id: string
  kind: K
  state: 'pending' | 'ready' | 'failed'
  at_seq: number
  stale: boolean
  source: 'model' | 'extractive'
  created_at: string
  content: C | null
}
export type Mood = 'calm' | 'worried' | 'annoyed' | 'angry' | 'happy'
export type Brief = ArtifactOf<
  'brief',
  { wants: string; tried: string[]; mood: Mood; open_question: string; next_step: string; refs?: { message_id: string }[] }
>
export type Summary = ArtifactOf<'summary', { text: string }>
export type Suggestions = ArtifactOf<'suggestions', { replies: { text: string; citations: Citation[] }[] }>
export type Artifact = Brief | Summary | Suggestions
export type Assist = { brief: Brief | null; summary: Summary | null; suggestions: Suggestions | null }

export type Passage = {
  chunk_id: string
  title: string
  section: string | null
  score: number
  kept: boolean
  why: string | null
}
export type Verdict = { condition: string; fired: boolean; evidence: string | null }
export type PromptPart = { role: string; content: string }
/** What the explain panel shows, whether from a stored turn or from the test chat. */
export type Explained = {
  outcome?: string | null
  passages: Passage[]
  /** What was wrong with the search: what compares meanings was away, or lacked the newest changes. */
  search_degraded?: 'away' | 'behind' | null
  verdicts: Verdict[]
  tokens: { prompt: number; completion: number } | null
  stages_ms: Record<string, number> | null
  prompt: PromptPart[] | null
  model?: string | null
  error?: string | null
  cost_microusd?: number | null
}
export type Turn = Explained & {
  id: string
  status: string
  attempt: number
  assistant_version: number
  output: string | null
  released: string | null
}
export type AgentLine = { id: string; name: string; email: string; role: Role; presence: Presence; open: number }
export type Alarm = {
  id: string
  conversation_id: string
  kind: string
  raised_at: string
  step: number
  contact_name: string | null
}

export type Tone = 'friendly' | 'neutral' | 'formal'
export type Lang = 'en' | 'id'
export type Config = {
  identity: {
    name: string
    avatar: string
    tone: Tone
    languages: string[]
    greeting: Record<string, string>
    disclosure: Record<string, string>
  }
  knowledge_bases: string[]
  job_description: string
  model: string
  conditions: {
    asks_for_person: boolean
    no_answer: boolean
    failed_answers: { enabled: boolean; count: number }
    max_turns: { enabled: boolean; count: number }
    model_failure: boolean
    phrases: { name: string; phrases: string[] }[]
    worded: { name: string; text: string }[]
  }
}
export type AssistantLine = {
  id: string
  name: string
  avatar: string
  tone: Tone
  model: string
  version: number
  inboxes: Named[]
  stopped: boolean
}
export type Assistant = {
  id: string
  version: number
  config: Config
  inboxes: { id: string; name: string; public_key: string; snippet: string }[]
  model_options: { id: string; label: string; available: boolean }[]
}
export type Asked = Explained & {
  outcome: 'answered' | 'handed_off'
  text: string | null
  citations: Citation[]
  reason: HandoffReason | null
}
export type KnowledgeBase = { id: string; name: string; articles: number; chunks: number; revision: number }
export type ArticleLine = {
  id: string
  title: string
  audience: Audience
  locale: string
  source: 'folder' | 'text' | 'qa'
  url: string | null
  chunks: number
  updated_at: string
}
export type Article = ArticleLine & { body: string }
export type ArticleInput =
  | { source: 'text'; title: string; body: string; audience: Audience; locale: string; url?: string }
  | { source: 'qa'; question: string; answer: string; audience: Audience; locale: string }
export type Hit = {
  chunk_id: string
  article_id: string
  title: string
  section: string | null
  text: string
  score: number
  above_floor: boolean
}
export type Inbox = {
  id: string
  name: string
  public_key: string
  assistant_id: string | null
  allowed_origins: string[]
  reopen_to: 'assistant' | 'last_human' | 'queue'
  accent: string
  snippet: string
}

export type Frame =
  | { type: 'welcome'; cursor: string }
  | { type: 'changed'; cursor: string; row: Row; items: Item[] }
  | { type: 'resync'; cursor: string }
  | { type: 'draft'; conversation_id: string; turn: string; attempt: number; epoch: number; index: number; text: string }
  | { type: 'draft_dropped'; conversation_id: string; turn: string; epoch: number }
  | { type: 'assist'; conversation_id: string; artifact: Artifact }
  | { type: 'typing'; conversation_id: string; author: Author }
  | { type: 'presence'; agent: { id: string; presence: Presence } }
  | { type: 'alarm'; alarm: Alarm }
  | { type: 'viewers'; conversation_id: string; agents: Named[] }
  | { type: 'pong' }
  | { type: 'ping' }
