/** Every endpoint the console uses, typed, one line each. */
import { request } from './http'
import type {
  AgentLine, Alarm, Artifact, ArtifactKind, Article, ArticleInput, ArticleLine, Asked, Assist, Assistant, AssistantLine,
  Audience, Config, Contact, Counts, Detail, Hit, Inbox, Item, KnowledgeBase, Me, Message, Outcome, Page, Presence, Role,
  Row, StateFilter, Turn, View,
} from './types'

const get = <T>(path: string, query?: Parameters<typeof request>[3]) => request<T>('GET', path, undefined, query)
const post = <T>(path: string, body?: unknown) => request<T>('POST', path, body)
const conversation = (id: string) => `/conversations/${encodeURIComponent(id)}`

export const auth = {
  me: () => get<Me>('/auth/me'),
  signIn: (email: string, password: string) => post<Me>('/auth/sign-in', { email, password }),
  signOut: () => post<void>('/auth/sign-out'),
  update: (change: { presence?: Presence; name?: string; locale?: string }) => request<Me>('PATCH', '/auth/me', change),
  checkInvite: (token: string) => post<{ workspace: { name: string }; role: Role }>('/auth/check-invite', { token }),
  acceptInvite: (body: { token: string; name: string; email: string; password: string }) =>
    post<Me>('/auth/accept-invite', body),
  ticket: () => post<{ ticket: string; expires_at: string }>('/live/ticket'),
}

export const conversations = {
  list: (q: { view: View; state?: StateFilter | null; cursor?: string | null; limit?: number }) =>
    get<Page<Row>>('/conversations', q),
  counts: () => get<Counts>('/counts'),
  detail: (id: string) => get<Detail>(conversation(id)),
  timeline: (id: string, q: { after?: number; before?: number; limit?: number }) =>
    get<{ items: Item[]; has_more: boolean }>(`${conversation(id)}/timeline`, q),
  read: (id: string, seq: number) => post<void>(`${conversation(id)}/read`, { seq }),
  typing: (id: string) => post<void>(`${conversation(id)}/typing`),
  takeOver: (id: string, body: { from_colleague?: boolean } = {}) => post<Detail>(`${conversation(id)}/take-over`, body),
  send: (
    id: string,
    body: {
      text: string
      client_id: string
      expected_epoch: number
      suggestion?: { artifact_id: string; index: number }
    },
  ) => post<Message>(`${conversation(id)}/messages`, body),
  note: (id: string, body: { text: string; client_id: string }) => post<Message>(`${conversation(id)}/notes`, body),
  assign: (id: string, agent_id: string, expected_epoch: number) =>
    post<Detail>(`${conversation(id)}/assign`, { agent_id, expected_epoch }),
  returnToQueue: (id: string, expected_epoch: number) =>
    post<Detail>(`${conversation(id)}/return-to-queue`, { expected_epoch }),
  assignToAi: (id: string, note: string, expected_epoch: number) =>
    post<Detail>(`${conversation(id)}/assign-to-ai`, note ? { note, expected_epoch } : { expected_epoch }),
  close: (id: string, outcome: Exclude<Outcome, 'timeout'>, expected_epoch: number) =>
    post<Detail>(`${conversation(id)}/close`, { outcome, expected_epoch }),
  reopen: (id: string, expected_epoch: number) => post<Detail>(`${conversation(id)}/reopen`, { expected_epoch }),
  assist: (id: string) => get<Assist>(`${conversation(id)}/assist`),
  makeAssist: (id: string, kind: ArtifactKind) => post<Artifact>(`${conversation(id)}/assist`, { kind }),
  suggestionFate: (id: string, artifact: string, index: number, fate: 'inserted' | 'dismissed') =>
    post<void>(`${conversation(id)}/suggestions/${artifact}/${index}`, { fate }),
  turn: (id: string) => get<Turn>(`/turns/${encodeURIComponent(id)}`),
}

export const people = {
  agents: () => get<{ items: AgentLine[] }>('/agents'),
  updateContact: (id: string, change: { name?: string; email?: string; phone?: string }) =>
    request<Contact>('PATCH', `/contacts/${encodeURIComponent(id)}`, change),
  alarms: () => get<{ items: Alarm[] }>('/alarms'),
  acknowledge: (id: string) => post<void>(`/alarms/${encodeURIComponent(id)}/acknowledge`),
}

export const assistants = {
  list: () => get<{ items: AssistantLine[] }>('/assistants'),
  create: (name: string) => post<Assistant>('/assistants', { name }),
  get: (id: string) => get<Assistant>(`/assistants/${encodeURIComponent(id)}`),
  save: (id: string, version: number, config: Config) =>
    request<Assistant>('PUT', `/assistants/${encodeURIComponent(id)}`, { version, config }),
  ask: (id: string, messages: { role: 'visitor' | 'assistant'; text: string }[]) =>
    post<Asked>(`/assistants/${encodeURIComponent(id)}/ask`, { messages }),
}

const base = (id: string) => `/knowledge-bases/${encodeURIComponent(id)}`
export const knowledge = {
  list: () => get<{ items: KnowledgeBase[] }>('/knowledge-bases'),
  create: (name: string) => post<KnowledgeBase>('/knowledge-bases', { name }),
  articles: (kb: string, q: { q?: string; cursor?: string | null }) => get<Page<ArticleLine>>(`${base(kb)}/articles`, q),
  article: (kb: string, id: string) => get<Article>(`${base(kb)}/articles/${encodeURIComponent(id)}`),
  add: (kb: string, input: ArticleInput) => post<ArticleLine>(`${base(kb)}/articles`, input),
  update: (kb: string, id: string, input: ArticleInput) =>
    request<ArticleLine>('PUT', `${base(kb)}/articles/${encodeURIComponent(id)}`, input),
  remove: (kb: string, id: string) => request<void>('DELETE', `${base(kb)}/articles/${encodeURIComponent(id)}`),
  search: (kb: string, q: string, audience: Audience) => get<{ items: Hit[] }>(`${base(kb)}/search`, { q, audience }),
}

export const inboxes = {
  list: () => get<{ items: Inbox[] }>('/inboxes'),
  update: (id: string, change: Partial<Pick<Inbox, 'name' | 'assistant_id' | 'allowed_origins' | 'reopen_to' | 'accent'>>) =>
    request<Inbox>('PATCH', `/inboxes/${encodeURIComponent(id)}`, change),
}
