// Made from the description of the API (GET /api/v1/openapi.json) by copilot_socket/http/typescript.py: don't edit.

export interface Options {
  /** Ends the request, with all its repetitions: `AbortSignal.timeout(5000)`, for example. */
  signal?: AbortSignal;
  /** Of a POST, instead of one that is made for it. null: it has none, and is not repeated. */
  idempotencyKey?: string | null;
  /** Change the object only if it is still the one with this entity tag (`etagOf`): 412 else. */
  ifMatch?: string;
  ifNoneMatch?: string;
  /** Of a GET: an answer will do that the server gave to somebody up to so many seconds ago. */
  maxAge?: number;
}

/** What a method is called with. */
export type Given<K extends keyof Operations> = [...Operations[K]["given"], options?: Options];

export type Method<K extends keyof Operations> = (...given: Given<K>) => Promise<Operations[K]["answer"]>;

/** The methods of a resource. Where it has a list, `all` gives its rows, and reads the pages as they are needed. */
export type Resource<T extends Record<string, keyof Operations>> = { [M in keyof T]: Method<T[M]> } & (
  T extends { list: infer K extends keyof Operations }
    ? { all: (...given: Given<K>) => Rows<Operations[K]["answer"]> }
    : {}
);

/** An operation on many jobs, or with `dry_run` only what it would be about. */
export interface Bulk {
  (body: BulkBody & { dry_run: true }, options?: Options): Promise<BulkPreview>;
  (body: BulkBody & { dry_run?: false | null }, options?: Options): Promise<BulkOperation>;
}

export type Rows<Page> = AsyncGenerator<Extract<Page[keyof Page], readonly any[]>[number], void, void>;

/** One value, or several of which one is enough. */
export type Some<T> = T | readonly T[];

export type Nothing = Record<string, never>;

/** An account, without its tokens. */
export interface Account {
  /** Its id. */
  id: string;
  /** The kind of its GitLab. */
  provider: "gitlab-cloud" | "gitlab-onprem";
  /** The address of its GitLab. */
  gitlab_url: string;
  /** How many jobs a turn of the account takes in dispatch, 1 to 100. */
  weight: number;
  /** How many of its jobs may run at a time; null: any number. */
  max_running: number | null;
  /** Whether the server can renew its access token. */
  has_refresh_token: boolean;
  /** When the access token expires; null: unknown, or never. */
  token_expires_at: string | null;
  /** `expired`: its jobs wait until the credential is renewed. */
  credential_status: "expired" | "valid";
  /** Why the last refresh returned no token. */
  credential_error: string | null;
  /** When that was. */
  credential_checked_at: string | null;
  /** When it was created. */
  created_at: string;
  /** When it last changed. */
  updated_at: string;
  /** On request: its jobs by state, for every state. */
  jobs?: Record<string, number>;
  /** On request: its live jobs by command, and what holds them back. */
  lanes?: Lane[];
}

/** An account as a whole. */
export interface AccountBody {
  /** A token with the right to read the API. */
  access_token: string;
  /** Renews the access token; without it the account has none. */
  refresh_token?: string | null;
  /** When the access token expires. */
  token_expires_at?: string | null;
  /** The kind of its GitLab. */
  provider: "gitlab-onprem" | "gitlab-cloud";
  /** The address of its GitLab, the only one that is sent its tokens. */
  gitlab_url: string;
}

/** A change of an account: what is left out stays as it is. */
export interface AccountChange {
  /** How many jobs a turn of the account takes in dispatch. */
  weight?: number | null;
  /** How many of its jobs may run at a time; null: any number. */
  max_running?: number | null;
}

/** How many errors of a group were of an account. */
export interface AccountErrors {
  /** The account. */
  account_id: string;
  /** How many. */
  errors: number;
}

/** A refresh of an account's token. */
export interface AccountEvent {
  /** Whose. */
  account_id: string;
  /** What has happened. */
  event: "failed" | "refreshed" | "refused";
  /** When it happened. */
  timestamp: string;
}

/** A page of accounts. */
export interface AccountList {
  /** The rows of this page. */
  accounts: Account[];
  /** Give it as `cursor` to get the next page; null on the last one. */
  next: string | null;
  /** On request: how many rows all pages have. */
  total?: number;
  /** Whether these were counted, or `total` is an estimate. */
  total_exact?: boolean;
}

/** What is done to each job. */
export type Action = "cancel" | "delete" | "pause" | "recover" | "resume" | "retry";

/** A pause that was added. */
export interface AddedPause {
  /** Its id. */
  id: string;
  /** What it covers. */
  scope: Scope;
  /** The account's id, the host's origin, the command, or the path; null for everything. */
  target: string | null;
  /** Why. */
  reason: string | null;
  /** Who wants it. */
  author: string;
  /** Since when it holds. */
  created_at: string;
  /** When it ends; null: when somebody ends it. */
  ends_at: string | null;
  /** The live nodes that do not act on the change yet; none where the status is not 202. */
  waiting_for_nodes: string[];
}

/** A group or project that was discovered. */
export interface Area {
  /** The origin of its GitLab. */
  gitlab_origin: string;
  /** Its path there. */
  full_path: string;
  /** Its numeric id there, where known. */
  gitlab_id: number | null;
  /** Its name. */
  name: string;
  /** What it is. */
  type: "group" | "project";
  /** When it was discovered. */
  created_at: string;
  /** On request (`counts`): how many accounts may see it, up to 10,001. */
  accounts?: number;
  /** On request (`counts`): the jobs with its path there, of its newest 10,001, by state, for every state. */
  jobs?: Record<string, number>;
  /** On request (`commands`): when a job for it was last completed, by command, as far as jobs are kept. */
  last_completed?: Record<string, string>;
}

/** How many areas of a type a GitLab has. */
export interface AreaCount {
  /** The origin of the GitLab. */
  gitlab_origin: string;
  /** The type. */
  type: "group" | "project";
  /** How many there are. */
  total: number;
  /** Whether they were counted, or this is an estimate. */
  total_exact: boolean;
}

/** One group or project, with all that is known of its jobs. */
export interface AreaDetail {
  /** The origin of its GitLab. */
  gitlab_origin: string;
  /** Its path there. */
  full_path: string;
  /** Its numeric id there, where known. */
  gitlab_id: number | null;
  /** Its name. */
  name: string;
  /** What it is. */
  type: "group" | "project";
  /** When it was discovered. */
  created_at: string;
  /** The same jobs as `jobs` by command and state, for those with jobs. */
  jobs_by_command: Record<string, Record<string, number>>;
  /** The first 100 accounts that may see it. */
  account_ids: string[];
  /** On request (`counts`): how many accounts may see it, up to 10,001. */
  accounts?: number;
  /** On request (`counts`): the jobs with its path there, of its newest 10,001, by state, for every state. */
  jobs?: Record<string, number>;
  /** On request (`commands`): when a job for it was last completed, by command, as far as jobs are kept. */
  last_completed?: Record<string, string>;
}

/** The job that discovers the areas of an account. */
export interface AreaDiscovery {
  /** Its id. */
  id: string;
  /** Whether it is new; else it is live, or was completed of late. */
  created: boolean;
  /** When it was completed; missing for a new or a live one. */
  finished_at?: string;
}

/** A page of areas. */
export interface AreaList {
  /** The rows of this page. */
  areas: Area[];
  /** Give it as `cursor` to get the next page; null on the last one. */
  next: string | null;
  /** On request: how many rows all pages have. */
  total?: number;
  /** Whether these were counted, or `total` is an estimate. */
  total_exact?: boolean;
}

/** Counts of areas, and of the jobs that discover them. */
export interface AreaStats {
  /** By GitLab and type. */
  areas: AreaCount[];
  /** Those of the last day, and of the last seven. */
  found: FoundAreas[];
  discoveries: DiscoveryStats;
}

/** The current or last attempt of a job. */
export interface Assignment {
  /** The job. */
  web_app_job_id: string;
  /** Its id for the crawler: `<job id>.<try>.<random>`. */
  crawler_job_id: string;
  /** The account whose token is used. */
  account_id: string;
  /** The user of the web application for whom it is. */
  user_id: string | null;
  /** When the job was first assigned. */
  created_at: string;
  /** When this attempt was assigned. */
  assigned_at: string;
  /** When it ended. */
  completed_at: string | null;
  /** `pending` between a released attempt and the next one. */
  status: "assigned" | "cancelled" | "completed" | "failed" | "pending" | "running";
  /** What the server notes of it: a discovery that was refused. */
  metadata: Record<string, any> | null;
  /** Its number, from 1. */
  try: number;
  /** The crawler that holds it, or did: `key` of a crawler. */
  crawler_key: string | null;
  /** When the crawler started. */
  started_at: string | null;
  /** When the crawler last reported. */
  reported_at: string | null;
  /** The fields that are null, or shortened, since they are too large to be shown. */
  truncated: string[];
}

/** An attempt of a job that has ended. */
export interface Attempt {
  /** The job. */
  job_id: string;
  /** Its number, from 1. */
  try: number;
  /** Its id for the crawler: `<job id>.<try>.<random>`. */
  crawler_job_id: string;
  /** The crawler that held it: `key` of a crawler. */
  crawler_key: string | null;
  /** When it was assigned. */
  assigned_at: string;
  /** When the crawler started. */
  started_at: string | null;
  /** When it ended. */
  ended_at: string;
  /** How it ended. */
  outcome: Outcome;
  /** Why, in words. */
  reason: string | null;
  /** Why; null for attempts of former versions. */
  cause: Cause | null;
}

/** Something that needs a person. */
export interface Attention {
  /** What it is about. */
  kind: "crawler_failing" | "crawler_quarantined" | "crawler_silent" | "credential_expired" | "credential_expiring" | "database" | "everything_paused" | "host_held" | "lane_held" | "no_crawlers" | "node_gone" | "operation_failed" | "path_paused" | "unroutable";
  /** How much it weighs. */
  severity: "urgent" | "warning";
  /** The same in a sentence, without its full stop. */
  text: string;
  /** How many of what the kind is about: accounts, hosts, crawlers, nodes; lanes; jobs. */
  count: number;
  /** Since when the first of them is like that, if that is known. */
  since: string | null;
  /** Up to ten: accounts, origins, crawlers, nodes, commands or operations. */
  names: string[];
  /** Only of `lane_held`: up to 50, those with most jobs first. */
  lanes?: HeldLane[];
}

/** A change or a refusal; several, where nothing but their time differs. */
export interface AuditEntry {
  /** Its number; later ones are higher. */
  id: number;
  /** When, for the first time. */
  timestamp: string;
  /** When, for the last time. */
  last_at: string;
  /** Where: `http`, `cli`, or `wire` for the crawlers' side; null in rows of other programs. */
  door: string | null;
  /** Who. */
  actor: string;
  /** From where. */
  address: string | null;
  /** What: object and verb, as `job.cancel`; of a refusal what was asked for. */
  action: string;
  /** On what. */
  target: string | null;
  /** `done` or `refused`. */
  outcome: string;
  /** How often within a minute; of `job.submit` how many new jobs. */
  count: number;
  /** What is different, or why it was refused. */
  details: Record<string, any> | null;
  /** `details`, where these are null since they are too large. */
  truncated: string[];
}

/** A page of audit. */
export interface AuditEntryList {
  /** The rows of this page. */
  audit: AuditEntry[];
  /** Give it as `cursor` to get the next page; null on the last one. */
  next: string | null;
  /** On request: how many rows all pages have. */
  total?: number;
  /** Whether these were counted, or `total` is an estimate. */
  total_exact?: boolean;
}

/** What GitLab has said of its requests, and what that allows. */
export interface Budget {
  /** The origin of the GitLab. */
  gitlab_origin: string;
  /** Whose it is; null: that of the whole host. */
  account_id: string | null;
  /** GitLab's name for the throttle; null: unknown. */
  name: string | null;
  /** Requests in all, as GitLab says. */
  limit: number | null;
  /** Requests that are left until `reset_at`; null once that has passed. */
  remaining: number | null;
  /** When it is full again. */
  reset_at: string | null;
  /** Until when GitLab has refused requests. */
  closed_until: string | null;
  /** What a job costs, as observed. */
  requests_per_job: number | null;
  /** Jobs at a time, until `until`; null: any number. */
  jobs_allowed: number | null;
  /** Until when that holds. */
  until: string | null;
  /** Who has last said something of it. */
  source: "crawler" | "failure" | "operator";
  /** When. */
  updated_at: string;
}

/** What is left of a budget, as GitLab would say it. */
export interface BudgetBody {
  /** The URL of the GitLab, where some account is. */
  gitlab_origin: string;
  /** Whose it is; without it that of the whole host. */
  account_id?: string | null;
  /** GitLab's name for the throttle; without it an unknown one. */
  name?: string | null;
  /** Requests in all. */
  limit?: number | null;
  /** Requests that are left; at most `limit`. */
  remaining: number;
  /** When it is full again: in the future, at most 60 minutes ahead. */
  reset_at?: string | null;
}

/** A budget of requests. */
export interface BudgetEvent {
  /** The URL of the GitLab. */
  gitlab_origin: string;
  /** What has happened. */
  event: "closed" | "open" | "throttled";
  /** When it happened. */
  timestamp: string;
  /** Whose. */
  account_id?: string;
  /** The name that GitLab gives it; without one for all requests. */
  name?: string;
  /** How many jobs may run at a time. */
  jobs_allowed?: number;
  /** Until when. */
  until?: string;
}

/** A page of budgets. */
export interface BudgetList {
  /** The rows of this page. */
  budgets: Budget[];
  /** Give it as `cursor` to get the next page; null on the last one. */
  next: string | null;
  /** On request: how many rows all pages have. */
  total?: number;
  /** Whether these were counted, or `total` is an estimate. */
  total_exact?: boolean;
}

/** What is to be done, and to which jobs: either `ids` or `filter`. */
export interface BulkBody {
  /** What to do to each job. */
  action: "retry" | "cancel" | "pause" | "resume" | "recover" | "delete";
  /** These jobs. */
  ids?: string[] | null;
  /** Jobs that meet all of this; `{}`: every job that the action applies to. */
  filter?: JobFilterBody | null;
  /** Only count them. */
  dry_run?: boolean | null;
}

/** A bulk operation on jobs, and how far it is. */
export interface BulkOperation {
  /** Its id. */
  id: string;
  /** What is done to each job. */
  action: Action;
  /** Which jobs; null where they were named. */
  filter: Record<string, any> | null;
  /** How many jobs, where these were named. */
  ids: number | null;
  /** `failed`: it can't be carried out; see `error`. */
  status: "aborted" | "done" | "failed" | "running";
  /** Why it failed. */
  error: string | null;
  /** How many jobs met the filter when it was started. */
  expected: number;
  /** Whether these were counted, or are an estimate. */
  expected_exact: boolean;
  /** Jobs that were changed, by their state before. */
  changed: Record<string, number>;
  /** The sum of these. */
  changed_total: number;
  /** Jobs that were left alone, by why: `twin` (another job for the same is live), `moved` (the account is at another GitLab now), `state` (they don't meet the filter any more), `gone` (deleted). */
  skipped: Record<string, number>;
  /** The sum of these. */
  skipped_total: number;
  /** When it was started. */
  created_at: string;
  /** Who started it. */
  created_by: string;
  /** When it last got on. */
  updated_at: string;
  /** When it ended. */
  finished_at: string | null;
  /** The node that works on it, or did last. */
  node_id: string | null;
}

/** A page of operations. */
export interface BulkOperationList {
  /** The rows of this page. */
  operations: BulkOperation[];
  /** Give it as `cursor` to get the next page; null on the last one. */
  next: string | null;
  /** On request: how many rows all pages have. */
  total?: number;
  /** Whether these were counted, or `total` is an estimate. */
  total_exact?: boolean;
}

/** How many jobs a bulk operation would be about. */
export interface BulkPreview {
  /** What would be done to each. */
  action: Action;
  /** How many jobs meet the filter, in a state that allows the action. */
  expected: number;
  /** Whether they were counted, or this is an estimate. */
  expected_exact: boolean;
  /** Of counted ones, how many are in each state. */
  states?: Record<string, number>;
}

/** Why an attempt ended; the values of the column `cause`. `job_history` keeps their order: a new one comes last. */
export type Cause = "cancelled" | "completed" | "crawler_lost" | "credential" | "drained" | "forbidden" | "gitlab_unavailable" | "idle" | "job_error" | "not_found" | "paused" | "poison" | "rate_limited" | "released" | "stuck" | "timed_out";

/** An account after a change. */
export interface ChangedAccount {
  /** Its id. */
  id: string;
  /** The kind of its GitLab. */
  provider: "gitlab-cloud" | "gitlab-onprem";
  /** The address of its GitLab. */
  gitlab_url: string;
  /** How many jobs a turn of the account takes in dispatch, 1 to 100. */
  weight: number;
  /** How many of its jobs may run at a time; null: any number. */
  max_running: number | null;
  /** Whether the server can renew its access token. */
  has_refresh_token: boolean;
  /** When the access token expires; null: unknown, or never. */
  token_expires_at: string | null;
  /** `expired`: its jobs wait until the credential is renewed. */
  credential_status: "expired" | "valid";
  /** Why the last refresh returned no token. */
  credential_error: string | null;
  /** When that was. */
  credential_checked_at: string | null;
  /** When it was created. */
  created_at: string;
  /** When it last changed. */
  updated_at: string;
  /** On request: its jobs by state, for every state. */
  jobs?: Record<string, number>;
  /** On request: its live jobs by command, and what holds them back. */
  lanes?: Lane[];
  /** The live nodes that do not act on the change yet; none where the status is not 202. */
  waiting_for_nodes?: string[];
}

/** A group of errors after a change. */
export interface ChangedErrorGroup {
  /** Which one. */
  fingerprint: string;
  /** Its status now. */
  status: GroupStatus;
}

/** A host after a change. */
export interface ChangedHost {
  /** Its origin. */
  origin: string;
  /** How many of its jobs may run at a time; null: any number. */
  max_running: number | null;
  /** Since when its jobs are held back, since it is unavailable. */
  held_since: string | null;
  /** When the next job is sent to try it. */
  next_probe_at: string | null;
  /** The number of its accounts. */
  accounts: number;
  /** The live nodes that do not act on the change yet; none where the status is not 202. */
  waiting_for_nodes: string[];
}

/** A job after a change. */
export interface ChangedJob {
  /** Its id. */
  id: string;
  /** Its state now. */
  status: Status;
}

/** A change of a connection, or, without an id, of a crawler. */
export interface ConnectionEvent {
  /** `opened`, `identified`, `closed`; of a crawler `came`, `left`, `fell silent`, `fails everything`, or its new mode: `serving`, `draining`, `quarantined`. */
  event: string;
  /** Its crawler. */
  crawler_id: string;
  /** When it happened. */
  timestamp: string;
  /** Of the connection. */
  id?: string;
  /** Whether it is open. */
  is_active?: boolean;
  /** Why it was closed; where a remote one comes from. */
  reason?: string;
}

/** Jobs by state, and the queue. */
export interface CountsEvent {
  /** Jobs by state, for every state. */
  counts: Record<string, number>;
  /** The queued jobs; not for an account or a user. */
  queue?: QueueStats;
}

/** The state of a user's jobs together. */
export type CrawlState = "done" | "failed" | "idle" | "running" | "waiting";

/** A crawler that is connected, or was within the last day. */
export interface Crawler {
  /** Its `crawlerId`, or the name of its process. */
  id: string;
  /** What the server tells it apart by. */
  key: string;
  /** The node that serves it, or did. */
  node_id: string;
  /** Whether it has never said `hello`. */
  plain: boolean;
  /** To whom its `crawlerId` belongs: `uid:1000`, `cert:CN=crawler-1` or `token`; null for a plain crawler. */
  owner: string | null;
  /** Whether it is connected, and speaks. */
  connected: boolean;
  /** Whether it has an open connection, but does not count as connected any more: silent for `SOCKET_HEARTBEAT_TIMEOUT`, or its node has died. */
  stale: boolean;
  /** What it said in `hello`; null if it said nothing. */
  version: string | null;
  /** How many jobs it may hold. */
  max_jobs: number;
  /** Whether it is given work. */
  mode: Mode;
  /** Since when it fails everything. */
  suspected_at: string | null;
  /** What it can crawl. */
  entity_types: string[];
  /** The assignments that it holds. */
  active_jobs: string[];
  /** When it last sent a message. */
  last_heartbeat: string | null;
  /** Since `last_heartbeat`: of a connected crawler up to a third of `SOCKET_LEASE` too many. */
  silent_seconds: number | null;
  /** What it last said of itself. */
  system_status: string | null;
  /** Its open connections. */
  connections: number;
  /** When it first connected. */
  first_seen: string;
  /** How its attempts ended in the last hour. */
  recent: RecentEnds;
  /** On request: what it holds, longest first, up to ten; of a single crawler always, up to 1,000. */
  assignments?: HeldJob[];
}

/** A page of crawlers. */
export interface CrawlerList {
  /** The rows of this page. */
  crawlers: Crawler[];
  /** Give it as `cursor` to get the next page; null on the last one. */
  next: string | null;
  /** On request: how many rows all pages have. */
  total?: number;
  /** Whether these were counted, or `total` is an estimate. */
  total_exact?: boolean;
}

/** A crawler that was given a mode. */
export interface CrawlerMode {
  /** Its id. */
  id: string;
  /** Whether it is given work. */
  mode: Mode;
}

/** A crawler that is asked to exit. */
export interface CrawlerShutdown {
  /** Its id. */
  id: string;
  /** True. */
  shutdown: boolean;
}

/** The crawlers. */
export interface CrawlerStats {
  /** Those that are connected. */
  connected: number;
  /** Of these, the ones that have never said `hello`. */
  plain: number;
  /** The connected ones by mode, for every mode. */
  modes: Record<string, number>;
  /** Those with an open connection that do not count as connected any more: silent, or without a node. */
  stale: number;
  /** Those that are connected, or were within the last day. */
  known: number;
  /** The jobs that crawlers hold. */
  assignments: number;
}

/** A token pair. What is left out is removed. */
export interface CredentialBody {
  /** A token with the right to read the API. */
  access_token: string;
  /** Renews the access token; without it the account has none. */
  refresh_token?: string | null;
  /** When the access token expires. */
  token_expires_at?: string | null;
}

/** The database, as the node sees it. */
export interface DatabaseState {
  /** Whether it answers. */
  connected: boolean;
  /** How long it last took to answer. */
  latency_seconds: number | null;
  pool: PoolState;
  /** Whether the node runs it itself. */
  embedded: boolean;
  /** The version of PostgreSQL; null: not known yet. */
  version: string | null;
  /** Its size, to a minute; null: not known yet. */
  size_bytes: number | null;
}

/** An account that is deleted, or is to be: repeat the request until it is. */
export interface DeletedAccount {
  /** Its id. */
  id: string;
  /** Whether it is gone; else some of what belongs to it is left. */
  deleted: boolean;
  /** How many of its jobs this request has deleted. */
  jobs_deleted: number;
  /** How many of its jobs are left. */
  jobs_left: number;
}

/** A job that is deleted. */
export interface DeletedJob {
  /** Its former id. */
  id: string;
  /** Always true. */
  deleted: boolean;
}

/** The jobs that discover areas. */
export interface DiscoveryStats {
  /** GROUP_PROJECT_DISCOVERY jobs by state, for every state. */
  jobs: Record<string, number>;
  /** When one was last completed, as far as jobs are kept. */
  last_completed_at: string | null;
}

/** How long something took, in seconds. */
export interface Durations {
  /** How often. */
  count: number;
  /** On average. */
  mean: number | null;
  /** Half of them at most; as the other percentiles to some 10 %. */
  p50: number | null;
  /** 95 % of them at most. */
  p95: number | null;
  /** 99 % of them at most. */
  p99: number | null;
  /** The longest. */
  max: number | null;
}

/** A session that has ended. */
export interface EndedSession {
  /** True. */
  ended: boolean;
}

/** How many errors of a group occurred in an hour or a day. */
export interface ErrorCount {
  /** The beginning of the hour or day. */
  start: string;
  /** How many. */
  errors: number;
}

/** Errors with the same fingerprint: equal but for numbers, ids, paths and hosts. */
export interface ErrorGroup {
  /** 16 hexadecimal digits. */
  fingerprint: string;
  /** The crawler's name for their kind. */
  error_type: string | null;
  /** The command of the jobs. */
  command: string;
  /** Their message, without what differs. */
  text: string;
  /** When the first one occurred. */
  first_at: string;
  /** When the last one occurred. */
  last_at: string;
  /** How many occurred since the group was retried; null if it was not. */
  errors_since_retry: number | null;
  /** When its jobs were last retried together. */
  retried_at: string | null;
  /** By whom. */
  retried_by: string | null;
  /** Since when it is ignored. */
  ignored_at: string | null;
  /** By whom. */
  ignored_by: string | null;
  /** `regressed`: errors have occurred since it was retried. */
  status: GroupStatus;
  /** How many occurred, of those that the filters count. */
  errors: number;
  /** The accounts that these were of. */
  accounts: number;
  /** Jobs that are failed by it now, up to 10,001. */
  jobs_failed: number;
  /** What the history counts by; in a list on request (`history`). */
  history_unit?: "day" | "hour";
  /** Hours or days with such errors, in their order; in a list on request, and the last 100. */
  history?: ErrorCount[];
}

/** A group of errors: over time, by account, and its latest one. */
export interface ErrorGroupDetail {
  /** 16 hexadecimal digits. */
  fingerprint: string;
  /** The crawler's name for their kind. */
  error_type: string | null;
  /** The command of the jobs. */
  command: string;
  /** Their message, without what differs. */
  text: string;
  /** When the first one occurred. */
  first_at: string;
  /** When the last one occurred. */
  last_at: string;
  /** How many occurred since the group was retried; null if it was not. */
  errors_since_retry: number | null;
  /** When its jobs were last retried together. */
  retried_at: string | null;
  /** By whom. */
  retried_by: string | null;
  /** Since when it is ignored. */
  ignored_at: string | null;
  /** By whom. */
  ignored_by: string | null;
  /** `regressed`: errors have occurred since it was retried. */
  status: GroupStatus;
  /** How many occurred, of those that the filters count. */
  errors: number;
  /** The accounts that these were of. */
  accounts: number;
  /** Jobs that are failed by it now, up to 10,001. */
  jobs_failed: number;
  /** The ten accounts with most errors. */
  top_accounts: AccountErrors[];
  /** The latest error; null once that is deleted. */
  sample: ErrorSample | null;
  /** What the history counts by; in a list on request (`history`). */
  history_unit?: "day" | "hour";
  /** Hours or days with such errors, in their order; in a list on request, and the last 100. */
  history?: ErrorCount[];
}

/** A page of errors. */
export interface ErrorGroupList {
  /** The rows of this page. */
  errors: ErrorGroup[];
  /** Give it as `cursor` to get the next page; null on the last one. */
  next: string | null;
  /** On request: how many rows all pages have. */
  total?: number;
  /** Whether these were counted, or `total` is an estimate. */
  total_exact?: boolean;
}

/** The latest error of a group. */
export interface ErrorSample {
  /** Its job. */
  job_id: string;
  /** When it was reported. */
  timestamp: string;
  /** What went wrong. */
  error_message: string;
  /** Where, in the crawler's code. */
  stack_trace: string | null;
  /** What else the crawler says. */
  context: Record<string, any> | null;
  /** The fields that are null, or shortened, since they are too large to be shown. */
  truncated: string[];
}

/** An error in a request. */
export interface Fault {
  /** A JSON pointer into the body, or `?name` for a parameter. */
  path: string;
  /** What is wrong. */
  message: string;
}

/** A budget that was forgotten. */
export interface ForgottenBudget {
  /** The origin of the GitLab. */
  gitlab_origin: string;
  /** Whose it was; null: that of the whole host. */
  account_id: string | null;
  /** GitLab's name for the throttle; null: unknown. */
  name: string | null;
}

/** How many areas were found of late. */
export interface FoundAreas {
  /** In so many days of 24 hours, up to now. */
  days: number;
  /** How many. */
  total: number;
  /** Whether they were counted, or this is an estimate. */
  total_exact: boolean;
}

/** The states of a group. */
export type GroupStatus = "ignored" | "open" | "regressed" | "retried";

/** A crawler's heartbeat. */
export interface HeartbeatEvent {
  /** Of the connection. */
  id: string;
  /** Its crawler. */
  crawler_id: string;
  /** When it happened. */
  timestamp: string;
  /** What else it said. */
  metadata: Record<string, any>;
  /** What its crawler does. */
  system_status?: string;
}

/** A job that a crawler holds. */
export interface HeldJob {
  /** The job. */
  job_id: string;
  /** The id of this attempt for the crawler: `<job id>.<try>.<random>`. */
  crawler_job_id: string;
  /** Its command. */
  command: string;
  /** Its group or project. */
  full_path: string | null;
  /** Its account. */
  account_id: string;
  /** Since when the crawler holds it. */
  assigned_at: string;
  /** When the crawler started. */
  started_at: string | null;
  /** When the crawler last reported. */
  reported_at: string | null;
  /** What crawlers have reported, merged; null if that is large. */
  progress: Record<string, any> | null;
}

/** The queued jobs of an account and command that are held back. */
export interface HeldLane {
  /** Whose. */
  account_id: string;
  /** Their command. */
  command: string;
  /** How many are due. */
  queued: number;
  /** What holds them back, in words. */
  why: string;
}

/** What happened in a period. */
export interface History {
  /** How long each interval is. */
  resolution: "day" | "hour" | "minute";
  /** Intervals of which something is known, in their order. */
  history: HistoryInterval[];
}

/** What happened in a minute, an hour or a day. */
export interface HistoryInterval {
  /** Its beginning. */
  at: string;
  /** Jobs by state at its beginning; null if no node was there to count. */
  jobs: Record<string, number> | null;
  /** Jobs that were submitted or discovered. */
  created: number;
  /** Jobs that were completed. */
  completed: number;
  /** Jobs that failed for good. */
  failed: number;
  /** Jobs that were cancelled. */
  cancelled: number;
  /** Attempts that ended, by their cause. */
  ended: Record<string, number>;
  /** From when a job was due until it was sent. */
  dispatch: Durations;
  /** Of attempts, from their assignment to their end. */
  run: Durations;
  /** Crawlers that were connected, at most at a time. */
  crawlers: number;
}

/** A GitLab at which there are accounts. */
export interface Host {
  /** Its origin. */
  origin: string;
  /** How many of its jobs may run at a time; null: any number. */
  max_running: number | null;
  /** Since when its jobs are held back, since it is unavailable. */
  held_since: string | null;
  /** When the next job is sent to try it. */
  next_probe_at: string | null;
  /** The number of its accounts. */
  accounts: number;
  /** When a job last succeeded there. */
  last_success_at: string | null;
}

/** A change of a host. */
export interface HostBody {
  /** How many of its jobs may run at a time; null: any number. */
  max_running: number | null;
}

/** A GitLab whose jobs are held back, or not any more. */
export interface HostEvent {
  /** The URL of the GitLab. */
  gitlab_origin: string;
  /** What has happened. */
  event: "held" | "released";
  /** When it happened. */
  timestamp: string;
}

/** A page of hosts. */
export interface HostList {
  /** The rows of this page. */
  hosts: Host[];
  /** Give it as `cursor` to get the next page; null on the last one. */
  next: string | null;
  /** On request: how many rows all pages have. */
  total?: number;
  /** Whether these were counted, or `total` is an estimate. */
  total_exact?: boolean;
}

/** A GitLab at which there are accounts, without the time of its last success, which changes once a second. */
export interface HostState {
  /** Its origin. */
  origin: string;
  /** How many of its jobs may run at a time; null: any number. */
  max_running: number | null;
  /** Since when its jobs are held back, since it is unavailable. */
  held_since: string | null;
  /** When the next job is sent to try it. */
  next_probe_at: string | null;
  /** The number of its accounts. */
  accounts: number;
}

/** A job, as it is listed. `resume_state` and `progress` are there on request only, and then `truncated`, too. */
export interface Job {
  /** A ULID. */
  id: string;
  /** When it was submitted. */
  created_at: string;
  /** When it last changed. */
  updated_at: string;
  /** When its last attempt started. */
  started_at: string | null;
  /** When it was completed, failed or was cancelled. */
  finished_at: string | null;
  /** When it is due, or was. */
  scheduled_at: string;
  /** Its state. */
  status: Status;
  /** What to crawl. */
  command: string;
  /** The group or project. */
  full_path: string | null;
  /** The branch, where the command is about one. */
  branch: string | null;
  /** The account whose token is used. */
  account_id: string;
  /** The user of the web application for whom it is. */
  user_id: string | null;
  /** The kind of its GitLab. */
  provider: "gitlab-cloud" | "gitlab-onprem";
  /** The address of its GitLab. */
  gitlab_url: string;
  /** The job that has discovered it. */
  spawned_from: string | null;
  /** Higher first. */
  priority: number;
  /** The same as `failures`: the column of the database. */
  attempts: number;
  /** Failures and time-outs after which it fails for good. */
  max_attempts: number;
  /** How often a crawler has lost it. */
  releases: number;
  /** Its assignments, lost attempts included. */
  tries: number;
  /** Failures and time-outs that count against `max_attempts`; from 0 after a retry. */
  failures: number;
  /** Why its last attempt ended; null before the first end. */
  cause: Cause | null;
  /** The fingerprint of its last failure; null once it is completed or retried. */
  error: string | null;
  /** The bulk operation that has cancelled it; null if it was cancelled alone, or is not. */
  cancelled_with: string | null;
  /** Where the next attempt begins. */
  resume_state?: Record<string, any> | null;
  /** What crawlers have reported, merged. */
  progress?: Record<string, any> | null;
  /** On request: the jobs that it has spawned, up to 10,001. */
  children?: number;
  /** The fields that are null, or shortened, since they are too large to be shown. */
  truncated?: string[];
}

/** A job to submit. */
export interface JobBody {
  /** The account whose token is used; it exists. */
  account_id: string;
  /** What to crawl. */
  command: "GROUP_PROJECT_DISCOVERY" | "group" | "project" | "issues" | "mergeRequests" | "commits" | "branches" | "pipelines" | "users" | "releases" | "groupMilestones" | "epics" | "jobs" | "mergeRequestNotes" | "probe";
  /** The group or project. Required, except for GROUP_PROJECT_DISCOVERY and users. */
  full_path?: string | null;
  /** The branch, where the command is about one. */
  branch?: string | null;
  /** The user of the web application for whom it is. */
  user_id?: string | null;
  /** The GitLab, of the same origin as the account's; without it that of the account. */
  gitlab_url?: string | null;
  /** Higher first; without it 0. */
  priority?: number | null;
  /** When it falls due; without it now. */
  scheduled_at?: string | null;
  /** Attempts in all; without it `SOCKET_RETRY_ATTEMPTS`. */
  max_attempts?: number | null;
  /** Where the crawler is to begin. */
  resume_state?: Record<string, any> | null;
}

/** A job with its attempts and errors. */
export interface JobDetail {
  /** A ULID. */
  id: string;
  /** When it was submitted. */
  created_at: string;
  /** When it last changed. */
  updated_at: string;
  /** When its last attempt started. */
  started_at: string | null;
  /** When it was completed, failed or was cancelled. */
  finished_at: string | null;
  /** When it is due, or was. */
  scheduled_at: string;
  /** Its state. */
  status: Status;
  /** What to crawl. */
  command: string;
  /** The group or project. */
  full_path: string | null;
  /** The branch, where the command is about one. */
  branch: string | null;
  /** The account whose token is used. */
  account_id: string;
  /** The user of the web application for whom it is. */
  user_id: string | null;
  /** The kind of its GitLab. */
  provider: "gitlab-cloud" | "gitlab-onprem";
  /** The address of its GitLab. */
  gitlab_url: string;
  /** The job that has discovered it. */
  spawned_from: string | null;
  /** Higher first. */
  priority: number;
  /** The same as `failures`: the column of the database. */
  attempts: number;
  /** Failures and time-outs after which it fails for good. */
  max_attempts: number;
  /** How often a crawler has lost it. */
  releases: number;
  /** Its assignments, lost attempts included. */
  tries: number;
  /** Failures and time-outs that count against `max_attempts`; from 0 after a retry. */
  failures: number;
  /** Why its last attempt ended; null before the first end. */
  cause: Cause | null;
  /** The fingerprint of its last failure; null once it is completed or retried. */
  error: string | null;
  /** The bulk operation that has cancelled it; null if it was cancelled alone, or is not. */
  cancelled_with: string | null;
  /** Where the next attempt begins. */
  resume_state: Record<string, any> | null;
  /** What crawlers have reported, merged. */
  progress: Record<string, any> | null;
  /** The fields that are null, or shortened, since they are too large to be shown. */
  truncated: string[];
  /** The current or last attempt; null before the first. */
  assignment: Assignment | null;
  /** The latest 100 ended attempts, in their order. */
  history: Attempt[];
  /** The number of all ended attempts. */
  history_total: number;
  /** The latest 100 errors, in their order, together up to 1 MiB. */
  errors: JobError[];
  /** The number of all errors. */
  errors_total: number;
  /** On request: the jobs that it has spawned, up to 10,001. */
  children?: number;
}

/** An error of a job. */
export interface JobError {
  /** Its number; later ones are higher. */
  id: number;
  /** The job. */
  job_id: string;
  /** When it was reported. */
  timestamp: string;
  /** The crawler's name for its kind. */
  error_type: string | null;
  /** What went wrong. */
  error_message: string;
  /** Where, in the crawler's code. */
  stack_trace: string | null;
  /** What else the crawler says. */
  context: Record<string, any> | null;
  /** `failures` of the job before it. */
  retry_count: number;
  /** Whether another attempt may help. */
  is_recoverable: boolean;
  /** What follows from it. */
  resolution: string | null;
  /** Why the attempt ended; null for errors that ended none. */
  cause: Cause | null;
  /** Its group; null for errors of former versions. */
  fingerprint: string | null;
  /** The fields that are null, or shortened, since they are too large to be shown. */
  truncated: string[];
}

/** A change of a job, or its progress. */
export interface JobEvent {
  /** Its id. */
  id: string;
  /** Why: `created`, `deleted`, or an event of the life of a job. */
  event: string;
  /** When it happened. */
  timestamp: string;
  /** The state that it has entered. */
  status?: Status;
  /** Whose. */
  account_id?: string;
  /** For whom. */
  user_id?: string;
  /** Of a job that was created or claimed. */
  command?: string;
  /** The same. */
  full_path?: string;
  /** Whose it is, or was. */
  crawler_id?: string;
  /** The attempt. */
  crawler_job_id?: string;
  /** How the attempt ended. */
  outcome?: Outcome;
  /** Why the attempt ended. */
  cause?: Cause;
  /** The same in words. */
  reason?: string;
  /** The fingerprint of a failure. */
  error?: string;
  /** Its failures, as it has them now. */
  failures?: number;
  /** What was merged into its progress. */
  progress?: Record<string, any>;
}

/** Which jobs: those that meet all that is given. */
export interface JobFilterBody {
  /** Their state is one of these. */
  status?: ("queued" | "assigned" | "running" | "completed" | "failed" | "cancelled" | "paused" | "waiting_credential")[] | null;
  /** Their account. */
  account_id?: string | null;
  /** The user for whom they are. */
  user_id?: string | null;
  /** Their command is one of these. */
  command?: ("GROUP_PROJECT_DISCOVERY" | "group" | "project" | "issues" | "mergeRequests" | "commits" | "branches" | "pipelines" | "users" | "releases" | "groupMilestones" | "epics" | "jobs" | "mergeRequestNotes" | "probe")[] | null;
  /** Their last attempt ended so. */
  cause?: ("completed" | "job_error" | "timed_out" | "not_found" | "forbidden" | "gitlab_unavailable" | "rate_limited" | "credential" | "crawler_lost" | "idle" | "released" | "paused" | "drained" | "stuck" | "poison" | "cancelled")[] | null;
  /** The fingerprint of their last failure. */
  error?: string | null;
  /** Their group or project. */
  full_path?: string | null;
  /** A group or project, with all below it. */
  path_prefix?: string | null;
  /** Part of their path, branch or id, in any case. */
  search?: string | null;
  /** The job that has spawned them. */
  spawned_from?: string | null;
  /** This job and all that descend from it. */
  root?: string | null;
  /** Whether another job has spawned them. */
  spawned?: boolean | null;
  /** Whether an attempt has started. */
  started?: boolean | null;
  /** Whether they have ended. */
  finished?: boolean | null;
  /** Submitted then, or later. */
  created_after?: string | null;
  /** Submitted before. */
  created_before?: string | null;
  /** Last changed then, or later. */
  updated_after?: string | null;
  /** Not changed since. */
  updated_before?: string | null;
  /** Ended then, or later. */
  finished_after?: string | null;
  /** Ended before. */
  finished_before?: string | null;
}

/** A page of jobs. */
export interface JobList {
  /** The rows of this page. */
  jobs: Job[];
  /** Give it as `cursor` to get the next page; null on the last one. */
  next: string | null;
  /** On request: how many rows all pages have. */
  total?: number;
  /** Whether these were counted, or `total` is an estimate. */
  total_exact?: boolean;
}

/** The live jobs of an account with one command. */
export interface Lane {
  /** The command. */
  command: string;
  /** How many are queued. */
  queued: number;
  /** How many of these are due later. */
  scheduled: number;
  /** How many are assigned or running. */
  running: number;
  /** How many wait for a credential. */
  waiting_credential: number;
  /** Why none of them is sent now, in words; null: they have their turns. */
  held: string | null;
}

/** The process responds. */
export interface Live {
  /** Always the same. */
  status: "live";
  /** The number of its HTTP port; only with full access. */
  http_port?: number;
}

/** Events are missing at this point. */
export interface LostEvent {
  /** How many; null if that is not known. */
  lost: number | null;
}

/** A webhook that was made, with its secret. */
export interface MadeWebhook {
  /** Its id. */
  id: string;
  /** Where messages are sent. */
  url: string;
  /** What it is told of. */
  events: WebhookEvent[];
  /** What it is for. */
  description: string | null;
  /** Whether messages are sent. */
  active: boolean;
  /** When it was made. */
  created_at: string;
  /** Who made it: an actor of the audit log. */
  created_by: string;
  /** Until when messages are also signed with the secret before the last rotation. */
  former_secret_until: string | null;
  /** What its messages are signed with, which is shown this once. */
  secret: string;
}

/** The most memory that the node takes with its settings. */
export interface Memory {
  /** Its parts. */
  terms: MemoryPart[];
  /** Their sum in bytes. */
  total: number;
}

/** What a part of the node takes of memory, at most. */
export interface MemoryPart {
  /** Which part. */
  what: string;
  /** How much. */
  bytes: number;
}

/** The values of `crawlers.mode`. */
export type Mode = "draining" | "quarantined" | "serving";

/** A one-time link that was made. */
export interface NewLink {
  /** The code, which is shown this once: a bearer token that starts a session. */
  code: string;
  /** Until when it may be used. */
  expires_at: string;
}

/** A session that has begun. Its cookie is in the header Set-Cookie. */
export interface NewSession {
  /** An actor of the audit log, as `token:grafana`. */
  name: string;
  /** What it may do. */
  role: "admin" | "app" | "operate" | "read";
  /** The accounts that it is limited to; null: it is not. */
  accounts: string[] | null;
  /** The users whose jobs it is limited to; null: it is not. */
  users: string[] | null;
  /** When it ends, unless its token does before. */
  expires_at: string;
}

/** A token that was made. */
export interface NewToken {
  /** Its name. */
  name: string;
  /** What it may do. */
  role: "admin" | "app" | "operate" | "read";
  /** The token, which is shown this once. */
  token: string;
}

/** A node that runs, or whose end is not an hour ago, unless it was stopped: then it is gone at once. */
export interface Node {
  /** Its id, made anew at each start. */
  id: string;
  /** The name of its machine. */
  host: string;
  /** The id of its process there. */
  pid: number;
  /** Its version; null: one before this was shown. */
  version: string | null;
  /** When it started. */
  started_at: string;
  /** Whether its lease has not run out. */
  live: boolean;
  /** Until when it counts as live, unless it renews that. */
  lease_expires_at: string;
  /** The connected crawlers that it serves. */
  crawlers: number;
  /** The jobs that these hold. */
  assignments: number;
  /** The open connections of crawlers to it. */
  connections: number;
  /** The bulk operations that it carries out. */
  operations: number;
}

/** A page of nodes. */
export interface NodeList {
  /** The rows of this page. */
  nodes: Node[];
  /** Give it as `cursor` to get the next page; null on the last one. */
  next: string | null;
  /** On request: how many rows all pages have. */
  total?: number;
  /** Whether these were counted, or `total` is an estimate. */
  total_exact?: boolean;
}

/** How an attempt ended (`job_tries.outcome`). */
export type Outcome = "cancelled" | "completed" | "credential" | "failed" | "given_back" | "released" | "returned" | "timed_out";

/** What needs a person, and what restricts and serves the jobs. */
export interface Overview {
  /** What needs a person, weightiest first. */
  attention: Attention[];
  /** The node that answers. */
  node_id: string;
  /** Its version. */
  version: string;
  /** The nodes, up to 100. */
  nodes: Node[];
  /** The GitLab hosts, up to 100. */
  hosts: Host[];
  /** Budgets, up to 100: those that keep jobs back, then the last ones changed. */
  budgets: Budget[];
  /** The pauses in force, up to 100, oldest first. */
  pauses: Pause[];
  database: DatabaseState;
}

/** A pause in force. */
export interface Pause {
  /** Its id. */
  id: string;
  /** What it covers. */
  scope: Scope;
  /** The account's id, the host's origin, the command, or the path; null for everything. */
  target: string | null;
  /** Why. */
  reason: string | null;
  /** Who wants it. */
  author: string;
  /** Since when it holds. */
  created_at: string;
  /** When it ends; null: when somebody ends it. */
  ends_at: string | null;
}

/** A pause to add. */
export interface PauseBody {
  /** Why. */
  reason?: string | null;
  /** Who wants it; without it the name of the token. */
  author?: string | null;
  /** When it ends, in the future; without it when somebody ends it. */
  ends_at?: string | null;
  /** What it covers. */
  scope: "everything" | "account" | "host" | "command" | "path_prefix";
  /** The account's id, the host's origin, the command, or the path of a group or project; left out where the scope is `everything`, else required. */
  target?: string | null;
}

/** A pause. */
export interface PauseEvent {
  /** Its id. */
  id: string;
  /** What has happened. */
  event: "added" | "ended" | "expired";
  /** What it is about. */
  scope: string;
  /** When it happened. */
  timestamp: string;
  /** Which one. */
  target?: string;
  /** Who has added it. */
  author?: string;
  /** Why. */
  reason?: string;
}

/** A page of pauses. */
export interface PauseList {
  /** The rows of this page. */
  pauses: Pause[];
  /** Give it as `cursor` to get the next page; null on the last one. */
  next: string | null;
  /** On request: how many rows all pages have. */
  total?: number;
  /** Whether these were counted, or `total` is an estimate. */
  total_exact?: boolean;
}

/** A job that is paused, or is to be. */
export interface PausedJob {
  /** Its id. */
  id: string;
  /** Its state now. */
  status: Status;
  /** Whether its crawler is to give it back first, within 10 s. */
  pausing: boolean;
}

/** The connections to the database that requests and timers of the node share. */
export interface PoolState {
  /** How many there are at most. */
  size: number;
  /** How many are in use. */
  in_use: number;
  /** Requests that wait for one. */
  waiting: number;
}

/** An error (RFC 9457). */
export interface Problem {
  /** Always the same. */
  type: "about:blank";
  /** The name of the status. */
  title: string;
  /** The status. */
  status: number;
  /** What is wrong. */
  detail: string;
  /** Of a 422, and of a 403 of a submission: the first 100, and one that says how many more there are. */
  errors?: Fault[];
  /** Of a 409: the state of the job, or of the operation, which does not allow it. */
  state?: string;
  /** Of a 409: the id of a live job with the same work. */
  twin?: string;
  /** Of a 412: the entity tag of the object; null: there is none. */
  etag?: string | null;
  /** Of a 409: the id of the pause of the same scope and target. */
  pause?: string;
}

/** A pause of everything to add. */
export interface QueuePauseBody {
  /** Why. */
  reason?: string | null;
  /** Who wants it; without it the name of the token. */
  author?: string | null;
  /** When it ends, in the future; without it when somebody ends it. */
  ends_at?: string | null;
}

/** The queued jobs. */
export interface QueueStats {
  /** Those that are due. */
  ready: number;
  /** Due ones that restrictions, host holds or a credential keep back. */
  held_back: number;
  /** Of these, those that a pause of their path keeps back. */
  path_paused: number;
  /** Those that are due later. */
  scheduled: number;
  /** Since the first of the ready ones that are not unroutable fell due. */
  oldest_seconds: number;
  /** Ready ones whose command no connected crawler takes that may be given work. */
  unroutable: number;
  /** The same by command. */
  unroutable_commands: Record<string, number>;
}

/** Whether crawlers and requests can be served now. */
export interface Ready {
  /** Whether they can. */
  status: "not ready" | "ready";
  /** Why not; only with full access. */
  error?: string;
}

/** How attempts of a crawler ended in the last hour, to within five minutes. */
export interface RecentEnds {
  /** How many, by cause. */
  ended: Record<string, number>;
  /** How many completed their jobs. */
  completed: number;
  /** How many ended for a cause that spends an attempt of the job. */
  failed: number;
  /** For how long they ran on average; null where none has ended. */
  seconds: number | null;
}

/** When to discover the areas of an account again. */
export interface RediscoveryBody {
  /** Not if that was completed within so many hours. */
  unless_within_hours?: number | null;
}

/** A webhook that was removed. */
export interface RemovedWebhook {
  /** Its id. */
  id: string;
  /** True. */
  removed: boolean;
}

/** A token that was revoked. */
export interface RevokedToken {
  /** Its name. */
  name: string;
  /** True. */
  revoked: boolean;
}

/** How to rotate a secret. */
export interface RotationBody {
  /** For how long messages are signed with the former secret, too. */
  former_valid_hours?: number | null;
}

/** What a pause covers: the values of `pauses.scope`. */
export type Scope = "account" | "command" | "everything" | "host" | "path_prefix";

/** Who sent the request, and what it may do. */
export interface Session {
  /** An actor of the audit log, as `token:grafana`. */
  name: string;
  /** What it may do. */
  role: "admin" | "app" | "operate" | "read";
  /** The accounts that it is limited to; null: it is not. */
  accounts: string[] | null;
  /** The users whose jobs it is limited to; null: it is not. */
  users: string[] | null;
}

/** The settings of a node, and what it runs on. */
export interface Settings {
  /** All variables, in the order of the documentation. */
  settings: ShownSetting[];
  memory: Memory;
  /** The node. */
  node_id: string;
  /** Its version. */
  version: string;
  /** The version of Python. */
  python: string;
  /** The version of Twisted. */
  twisted: string;
  /** The version of PostgreSQL. */
  postgresql: string;
  /** When the node started; null while it does. */
  started_at: string | null;
}

/** A setting. */
export interface ShownSetting {
  /** The variable. */
  name: string;
  /** Its value in force, a secret as `***`; null: none. */
  value: string | null;
  /** What it would be if nobody had set it; null: nothing. */
  default: string | null;
  /** From what the value comes. */
  source: "credential" | "default" | "environment" | "file" | "option";
  /** The same in words: the name of the `.env` file, or of another variable, if it is by that. */
  origin: string;
  /** `ms` or `bytes`. */
  unit: string | null;
  /** Whether it is never shown. */
  secret: boolean;
  /** What it is. */
  description: string;
}

/** The state of things, which events change from here on. */
export interface SnapshotEvent {
  /** Jobs by state, for every state. */
  counts: Record<string, number>;
  /** The queued jobs; not for an account or a user. */
  queue?: QueueStats;
  /** The connected ones; not for an account or a user. */
  crawlers?: Crawler[];
  /** As in the event of that type; not for an account or a user. */
  overview?: Overview;
}

/** The state of the node. Without access, or with limited access, only the status. */
export interface SocketHealth {
  /** Whether it can do its work. */
  status: "healthy" | "unhealthy";
  /** Why it can't. */
  error?: string;
  socket_server?: SocketServer;
  /** The database, and the pool of connections to it. */
  database?: Record<string, any>;
  /** When this was. */
  timestamp?: string;
}

/** The node as crawlers see it. */
export interface SocketServer {
  /** Whether it listens for them. */
  running: boolean;
  /** Open connections of all endpoints, without remote ones not admitted yet. */
  connections: number;
  /** Those over which a valid message has arrived. */
  active_connections: number;
  /** Seconds since the start. */
  uptime: number;
}

/** Counts of jobs, queue and crawlers. */
export interface Stats {
  /** Jobs by state, for every state. */
  jobs: Record<string, number>;
  /** The same by command, of those with jobs. */
  commands?: Record<string, Record<string, number>>;
  queue?: QueueStats;
  crawlers?: CrawlerStats;
}

/** The values of `jobs.status`. `job_history` keeps their order: a new one comes last. */
export type Status = "assigned" | "cancelled" | "completed" | "failed" | "paused" | "queued" | "running" | "waiting_credential";

/** The ids of submitted jobs, new or not. */
export interface Submitted {
  /** In the order of the list. */
  ids: string[];
  /** Whether each is new, or else a live job with the same work. */
  created: boolean[];
  /** That of a single job that was not submitted as a list. */
  id?: string;
}

/** A token of the HTTP API, without the token itself. */
export interface Token {
  /** Its name. */
  name: string;
  /** What it may do. */
  role: "admin" | "app" | "operate" | "read";
  /** The accounts that it is limited to; null: it is not. */
  accounts: string[] | null;
  /** The users whose jobs it is limited to; null: it is not. */
  users: string[] | null;
  /** When it was made. */
  created_at: string;
  /** Who made it: an actor of the audit log. */
  created_by: string;
  /** When it was last used, to 10 s. */
  last_used_at: string | null;
  /** When it expires; null: never. */
  expires_at: string | null;
}

/** A token to make. */
export interface TokenBody {
  /** Its name, unique, and not `COPILOT_HTTP_TOKEN`. */
  name: string;
  /** What it may do. */
  role: "read" | "operate" | "app" | "admin";
  /** The accounts that it is limited to; only with the role `app`. */
  accounts?: string[] | null;
  /** The users whose jobs it is limited to; only with the role `app`. */
  users?: string[] | null;
  /** When it expires, in the future; without it never. */
  expires_at?: string | null;
}

/** A page of tokens. */
export interface TokenList {
  /** The rows of this page. */
  tokens: Token[];
  /** Give it as `cursor` to get the next page; null on the last one. */
  next: string | null;
  /** On request: how many rows all pages have. */
  total?: number;
  /** Whether these were counted, or `total` is an estimate. */
  total_exact?: boolean;
}

/** An account with which a user's jobs are crawled. */
export interface UserAccount {
  /** Its id. */
  id: string;
  /** The address of its GitLab. */
  gitlab_url: string;
  /** `expired`: its jobs wait until the credential is renewed. */
  credential_status: "expired" | "valid";
  /** When the access token expires; null: unknown, or never. */
  token_expires_at: string | null;
}

/** All that is crawled for a user of the web application. */
export interface UserCrawl {
  /** The user: `user_id` of the jobs. */
  id: string;
  /** `idle`: no jobs. `running`: some are live. `waiting`: all live ones are paused, or wait for a credential. `done`: none is live. `failed`: none is live, and some have failed. */
  state: CrawlState;
  /** The jobs by state, for every state. */
  jobs: Record<string, number>;
  /** The sum of these. */
  total: number;
  /** The share of jobs that are over, from 0 to 1; null: there are no jobs. */
  progress: number | null;
  /** Of how many jobs, the newest of each state, all that follows is: all, up to 10,000 of a state. */
  jobs_read: number;
  /** What was crawled, by entity: the sums of the final counts of the completed jobs. */
  items: Record<string, number>;
  /** The accounts of the jobs, up to 100. */
  accounts: UserAccount[];
  /** When the first job was submitted. */
  first_created_at: string | null;
  /** When the last one was. */
  last_created_at: string | null;
  /** When the first attempt started. */
  first_started_at: string | null;
  /** When a job last ended. */
  last_finished_at: string | null;
  /** What last went wrong; null: nothing. */
  last_error: UserError | null;
}

/** The last failure of an attempt of a user's jobs; of each job the last attempt counts. */
export interface UserError {
  /** The job. */
  job_id: string;
  /** Its command. */
  command: string;
  /** Its group or project. */
  full_path: string | null;
  /** Why the attempt ended. */
  cause: Cause;
  /** When, or when the job last changed. */
  timestamp: string;
  /** The crawler's name for the kind of its last error. */
  error_type: string | null;
  /** What went wrong: the first 1,000 characters; null: nothing is known. */
  error_message: string | null;
}

/** A webhook, without its secret. */
export interface Webhook {
  /** Its id. */
  id: string;
  /** Where messages are sent. */
  url: string;
  /** What it is told of. */
  events: WebhookEvent[];
  /** What it is for. */
  description: string | null;
  /** Whether messages are sent. */
  active: boolean;
  /** When it was made. */
  created_at: string;
  /** Who made it: an actor of the audit log. */
  created_by: string;
  /** Until when messages are also signed with the secret before the last rotation. */
  former_secret_until: string | null;
}

/** A webhook to make. */
export interface WebhookBody {
  /** Where messages are sent: an http or https URL. */
  url: string;
  /** What it is told of. */
  events: ("credential.expired" | "crawler.quarantined" | "host.held" | "job.failed")[];
  /** What it is for. */
  description?: string | null;
  /** Whether messages are sent. */
  active?: boolean | null;
}

/** A change of a webhook: what is left out stays as it is. */
export interface WebhookChange {
  /** Where messages are sent. */
  url?: string | null;
  /** What it is told of. */
  events?: ("credential.expired" | "crawler.quarantined" | "host.held" | "job.failed")[] | null;
  /** What it is for. */
  description?: string | null;
  /** Whether messages are sent; false gives up those that are pending. */
  active?: boolean | null;
}

/** A message to a webhook, and what has become of it. */
export interface WebhookDelivery {
  /** Its id, the header `Webhook-Id` of each attempt. */
  id: string;
  /** What it tells of, or `ping`. */
  event: string;
  /** When that was: `timestamp` of the message. */
  occurred_at: string;
  /** `data` of the message. */
  payload: Record<string, string>;
  /** `failed`: it is not sent again by itself. */
  status: "delivered" | "failed" | "pending";
  /** How often it was sent, or is being sent. */
  attempts: number;
  /** When it is sent again. */
  next_at: string | null;
  /** The status of the last answer; null: there was none. */
  status_code: number | null;
  /** Why the last attempt failed. */
  error: string | null;
  /** When it was made. */
  created_at: string;
  /** When it was delivered. */
  delivered_at: string | null;
}

/** A page of deliveries. */
export interface WebhookDeliveryList {
  /** The rows of this page. */
  deliveries: WebhookDelivery[];
  /** Give it as `cursor` to get the next page; null on the last one. */
  next: string | null;
  /** On request: how many rows all pages have. */
  total?: number;
  /** Whether these were counted, or `total` is an estimate. */
  total_exact?: boolean;
}

/** What a webhook can tell of. */
export type WebhookEvent = "crawler.quarantined" | "credential.expired" | "host.held" | "job.failed";

/** A page of webhooks. */
export interface WebhookList {
  /** The rows of this page. */
  webhooks: Webhook[];
  /** Give it as `cursor` to get the next page; null on the last one. */
  next: string | null;
  /** On request: how many rows all pages have. */
  total?: number;
  /** Whether these were counted, or `total` is an estimate. */
  total_exact?: boolean;
}

/** Why a job is in its state, or does not run. */
export interface Why {
  /** The job. */
  id: string;
  /** Its state. */
  status: Status;
  /** All of it, for people. */
  sentence: string;
  /** Those that hold, the weightiest first. */
  reasons: WhyReason[];
}

/** A reason. Others of its fields depend on the code. */
export interface WhyReason {
  /** The kind of reason. */
  code: string;
  /** The reason, as a clause. */
  text: string;
}

export type LiveEvent =
  | { type: "snapshot"; data: SnapshotEvent; id: string }
  | { type: "counts"; data: CountsEvent; id: string }
  | { type: "overview"; data: Overview; id: string }
  | { type: "job"; data: JobEvent; id: string }
  | { type: "connection"; data: ConnectionEvent; id: string }
  | { type: "heartbeat"; data: HeartbeatEvent; id: string }
  | { type: "account"; data: AccountEvent; id: string }
  | { type: "host"; data: HostEvent; id: string }
  | { type: "pause"; data: PauseEvent; id: string }
  | { type: "budget"; data: BudgetEvent; id: string };

/** Each method and path below /api/v1: what it is given in parts of its path, query or body. */
export interface Operations {
  /** Submit one job or a list of jobs, all or none. 201, or 200 where nothing is new: a live job of the same account, command, path and branch is not added again. */
  "POST /jobs": { given: [body: JobBody | JobBody[]]; answer: Submitted };
  /** Jobs that meet all the filters, by default the newest first. */
  "GET /jobs": { given: [query?: {
    /** Their state is one of these. */
    status?: Some<"queued" | "assigned" | "running" | "completed" | "failed" | "cancelled" | "paused" | "waiting_credential">;
    /** Their account. */
    account_id?: string;
    /** The user for whom they are. */
    user_id?: string;
    /** Their command is one of these. */
    command?: Some<"GROUP_PROJECT_DISCOVERY" | "group" | "project" | "issues" | "mergeRequests" | "commits" | "branches" | "pipelines" | "users" | "releases" | "groupMilestones" | "epics" | "jobs" | "mergeRequestNotes" | "probe">;
    /** Their last attempt ended so. */
    cause?: Some<"completed" | "job_error" | "timed_out" | "not_found" | "forbidden" | "gitlab_unavailable" | "rate_limited" | "credential" | "crawler_lost" | "idle" | "released" | "paused" | "drained" | "stuck" | "poison" | "cancelled">;
    /** The fingerprint of their last failure. */
    error?: string;
    /** Their group or project. */
    full_path?: string;
    /** A group or project, with all below it. */
    path_prefix?: string;
    /** Part of their path, branch or id, in any case. */
    search?: string;
    /** The job that has spawned them. */
    spawned_from?: string;
    /** This job and all that descend from it. */
    root?: string;
    /** Whether another job has spawned them. */
    spawned?: boolean;
    /** Whether an attempt has started. */
    started?: boolean;
    /** Whether they have ended. */
    finished?: boolean;
    /** Submitted then, or later. */
    created_after?: string;
    /** Submitted before. */
    created_before?: string;
    /** Last changed then, or later. */
    updated_after?: string;
    /** Not changed since. */
    updated_before?: string;
    /** Ended then, or later. */
    finished_after?: string;
    /** Ended before. */
    finished_before?: string;
    /** Rows of the page, at most. */
    limit?: number;
    /** `next` of the page before; without it the first page. */
    cursor?: string;
    /** Count the rows of all pages, too: exactly up to 10,000. */
    total?: boolean;
    /** Ascending; with `-` descending. */
    order?: "created_at" | "-created_at" | "updated_at" | "-updated_at" | "finished_at" | "-finished_at" | "full_path" | "-full_path";
    /** Columns that may be large, and the number of spawned jobs, which are else left out. */
    include?: Some<"resume_state" | "progress" | "children">;
  }]; answer: JobList };
  /** Retry, cancel, pause, resume, recover or delete many jobs. The answer names an operation, which a node carries out in slices; with `dry_run` nothing is changed, and the answer says how many jobs it would be about. */
  "POST /jobs/bulk": { given: [body: BulkBody]; answer: BulkPreview | BulkOperation };
  /** One job with its assignment, attempts and errors. With `wait` the answer comes when the job is over, or after so many seconds. */
  "GET /jobs/{id}": { given: [id: string, query?: {
    /** Seconds to wait until the job is over; then it is answered as it is. */
    wait?: number;
  }]; answer: JobDetail };
  /** Delete a job that is completed, failed or cancelled. Jobs that it has spawned stay. */
  "DELETE /jobs/{id}": { given: [id: string, nothing?: Nothing]; answer: DeletedJob };
  /** Why a job is in its state, or does not run. */
  "GET /jobs/{id}/why": { given: [id: string, nothing?: Nothing]; answer: Why };
  /** End a job that is not in a terminal state. */
  "POST /jobs/{id}/cancel": { given: [id: string, nothing?: Nothing]; answer: ChangedJob };
  /** Queue a failed or cancelled job again. */
  "POST /jobs/{id}/retry": { given: [id: string, nothing?: Nothing]; answer: ChangedJob };
  /** Pause a job: 202 where its crawler is asked to give it back first. */
  "POST /jobs/{id}/pause": { given: [id: string, nothing?: Nothing]; answer: PausedJob };
  /** Queue a paused job again. */
  "POST /jobs/{id}/resume": { given: [id: string, nothing?: Nothing]; answer: ChangedJob };
  /** Bulk operations, newest first. */
  "GET /operations": { given: [query?: {
    /** Rows of the page, at most. */
    limit?: number;
    /** `next` of the page before; without it the first page. */
    cursor?: string;
    /** Count the rows of all pages, too: exactly up to 10,000. */
    total?: boolean;
    /** What has become of them. */
    status?: "running" | "done" | "aborted" | "failed";
  }]; answer: BulkOperationList };
  /** One bulk operation, and how far it is. */
  "GET /operations/{id}": { given: [id: string, nothing?: Nothing]; answer: BulkOperation };
  /** End a bulk operation; what it has changed stays so. */
  "POST /operations/{id}/abort": { given: [id: string, nothing?: Nothing]; answer: BulkOperation };
  /** Accounts, without tokens. */
  "GET /accounts": { given: [query?: {
    /** Rows of the page, at most. */
    limit?: number;
    /** `next` of the page before; without it the first page. */
    cursor?: string;
    /** Count the rows of all pages, too: exactly up to 10,000. */
    total?: boolean;
    /** Part of their id or URL, in any case. */
    search?: string;
    /** Whether their credential works, as far as is known. */
    credential_status?: "valid" | "expired";
    /** Their access token expires before. */
    token_expires_before?: string;
    /** The URL of their GitLab. */
    gitlab_origin?: string;
    /** Ascending; `token_expires_at` lists only those whose token expires. */
    order?: "id" | "token_expires_at";
    /** What is else left out: jobs by state; by command, and what holds them. */
    include?: Some<"jobs" | "lanes">;
  }]; answer: AccountList };
  /** One account, without tokens. */
  "GET /accounts/{id}": { given: [id: string, query?: {
    /** What is else left out: jobs by state; by command, and what holds them. */
    include?: Some<"jobs" | "lanes">;
  }]; answer: Account };
  /** Create an account, or replace it completely. */
  "PUT /accounts/{id}": { given: [id: string, body: AccountBody]; answer: Account };
  /** Change an account's weight, or how many of its jobs run at a time; null removes that limit. 200 once all nodes act on the limit, 202 where some node may not yet. */
  "PATCH /accounts/{id}": { given: [id: string, body?: AccountChange]; answer: ChangedAccount };
  /** Delete an account without live jobs, and all that belongs to it: its jobs, authorizations, pauses, budgets. Where that takes long, some is deleted, and the answer is 202: a repetition goes on. */
  "DELETE /accounts/{id}": { given: [id: string, nothing?: Nothing]; answer: DeletedAccount };
  /** Replace an account's token pair; its waiting jobs are queued again. */
  "POST /accounts/{id}/credential": { given: [id: string, body: CredentialBody]; answer: Account };
  /** Discover the areas of an account again. 201, or 200 where that is under way already, or was completed within the given time. */
  "POST /accounts/{id}/rediscover": { given: [id: string, body?: RediscoveryBody]; answer: AreaDiscovery };
  /** Discovered groups and projects. */
  "GET /areas": { given: [query?: {
    /** Rows of the page, at most. */
    limit?: number;
    /** `next` of the page before; without it the first page. */
    cursor?: string;
    /** Count the rows of all pages, too: exactly up to 10,000. */
    total?: boolean;
    /** What they are. */
    type?: "group" | "project";
    /** The URL of their GitLab. */
    gitlab_origin?: string;
    /** An account that may see them at its GitLab. */
    account_id?: string;
    /** Part of their path or name, in any case. */
    search?: string;
    /** A group or project, with all below it. */
    path_prefix?: string;
    /** By GitLab and path, or by the time of their discovery; with `-` descending. */
    order?: "full_path" | "created_at" | "-created_at";
    /** Attributes that are else left out: what is known of their jobs. */
    include?: Some<"counts" | "commands">;
  }]; answer: AreaList };
  /** Counts of areas, and of the jobs that discover them. */
  "GET /areas/stats": { given: [nothing?: Nothing]; answer: AreaStats };
  /** One group or project, with all that is known of its jobs, and who may see it. */
  "GET /areas/{origin}/{path}": { given: [origin: string, path: string, nothing?: Nothing]; answer: AreaDetail };
  /** All that is crawled for a user of the web application, who has no other record here than their jobs. */
  "GET /users/{id}": { given: [id: string, nothing?: Nothing]; answer: UserCrawl };
  /** Crawlers, connected now or recently. */
  "GET /crawlers": { given: [query?: {
    /** Rows of the page, at most. */
    limit?: number;
    /** `next` of the page before; without it the first page. */
    cursor?: string;
    /** Count the rows of all pages, too: exactly up to 10,000. */
    total?: boolean;
    /** Whether they are connected. */
    connected?: boolean;
    /** Whether they are given work. */
    mode?: "serving" | "draining" | "quarantined";
    /** Whether they are silent, but have an open connection. */
    stale?: boolean;
    /** What is else left out: what they hold, and since when. */
    include?: Some<"assignments">;
  }]; answer: CrawlerList };
  /** One crawler, with what it holds, and since when. */
  "GET /crawlers/{id}": { given: [id: string, nothing?: Nothing]; answer: Crawler };
  /** Give a crawler no more work. */
  "POST /crawlers/{id}/drain": { given: [id: string, nothing?: Nothing]; answer: CrawlerMode };
  /** Give a crawler no more work, since it fails what others do. */
  "POST /crawlers/{id}/quarantine": { given: [id: string, nothing?: Nothing]; answer: CrawlerMode };
  /** Give a crawler work again. */
  "POST /crawlers/{id}/release": { given: [id: string, nothing?: Nothing]; answer: CrawlerMode };
  /** Ask a connected crawler to exit. */
  "POST /crawlers/{id}/shutdown": { given: [id: string, nothing?: Nothing]; answer: CrawlerShutdown };
  /** The nodes, and what each serves. */
  "GET /nodes": { given: [query?: {
    /** Rows of the page, at most. */
    limit?: number;
    /** `next` of the page before; without it the first page. */
    cursor?: string;
    /** Count the rows of all pages, too: exactly up to 10,000. */
    total?: boolean;
  }]; answer: NodeList };
  /** The pauses in force, oldest first. */
  "GET /pauses": { given: [query?: {
    /** Rows of the page, at most. */
    limit?: number;
    /** `next` of the page before; without it the first page. */
    cursor?: string;
    /** Count the rows of all pages, too: exactly up to 10,000. */
    total?: boolean;
  }]; answer: PauseList };
  /** Hold back all that a scope covers. 201 once no node sends any of it, 202 where some node may still. */
  "POST /pauses": { given: [body: PauseBody]; answer: AddedPause };
  /** One pause. */
  "GET /pauses/{id}": { given: [id: string, nothing?: Nothing]; answer: Pause };
  /** End a pause: what it covers goes out again, unless another one covers it. */
  "DELETE /pauses/{id}": { given: [id: string, nothing?: Nothing]; answer: Pause };
  /** Hold back everything. 201 once no node sends anything, 202 where some node may still. */
  "POST /queue/pause": { given: [body?: QueuePauseBody]; answer: AddedPause };
  /** End the pause of everything. */
  "POST /queue/resume": { given: [nothing?: Nothing]; answer: Pause };
  /** GitLab hosts: limits, holds, and when a job last succeeded. */
  "GET /hosts": { given: [query?: {
    /** Rows of the page, at most. */
    limit?: number;
    /** `next` of the page before; without it the first page. */
    cursor?: string;
    /** Count the rows of all pages, too: exactly up to 10,000. */
    total?: boolean;
  }]; answer: HostList };
  /** One host. */
  "GET /hosts/{origin}": { given: [origin: string, nothing?: Nothing]; answer: HostState };
  /** Limit how many jobs of a host run at a time; null removes the limit. 200 once all nodes act on it, 202 where some node may not yet. */
  "PATCH /hosts/{origin}": { given: [origin: string, body: HostBody]; answer: ChangedHost };
  /** What is known of GitLab's budgets, and how many jobs they allow. */
  "GET /budgets": { given: [query?: {
    /** Rows of the page, at most. */
    limit?: number;
    /** `next` of the page before; without it the first page. */
    cursor?: string;
    /** Count the rows of all pages, too: exactly up to 10,000. */
    total?: boolean;
  }]; answer: BudgetList };
  /** Set what is left of a budget; replaces what was known of it. */
  "PUT /budgets": { given: [body: BudgetBody]; answer: Budget };
  /** Forget a budget: it holds nothing back until something is reported again. */
  "DELETE /budgets": { given: [query: {
    /** Whose it is; without it that of the whole host. */
    account_id?: string;
    /** GitLab's name for the throttle; without it the unknown one. */
    name?: string;
    /** The URL of the GitLab. */
    gitlab_origin: string;
  }]; answer: ForgottenBudget };
  /** One budget: that of a host, or the one that the query names. */
  "GET /budgets/{origin}": { given: [origin: string, query?: {
    /** Whose it is; without it that of the whole host. */
    account_id?: string;
    /** GitLab's name for the throttle; without it the unknown one. */
    name?: string;
  }]; answer: Budget };
  /** Errors by fingerprint, those that occurred last first. */
  "GET /errors": { given: [query?: {
    /** Those of this account. */
    account_id?: string;
    /** Those of the hour of this time, and later. */
    since?: string;
    /** Those of hours that began before. */
    until?: string;
    /** Rows of the page, at most. */
    limit?: number;
    /** `next` of the page before; without it the first page. */
    cursor?: string;
    /** Count the rows of all pages, too: exactly up to 10,000. */
    total?: boolean;
    /** Their status; without it all that are not ignored. */
    status?: Some<"open" | "retried" | "regressed" | "ignored">;
    /** The command of the jobs. */
    command?: "GROUP_PROJECT_DISCOVERY" | "group" | "project" | "issues" | "mergeRequests" | "commits" | "branches" | "pipelines" | "users" | "releases" | "groupMilestones" | "epics" | "jobs" | "mergeRequestNotes" | "probe";
    /** The crawler's name for their kind. */
    error_type?: string;
    /** What is else left out: when they occurred. */
    include?: Some<"history">;
  }]; answer: ErrorGroupList };
  /** The errors with one fingerprint: counts over time, accounts, and the latest of them. */
  "GET /errors/{fingerprint}": { given: [fingerprint: string, query?: {
    /** Those of this account. */
    account_id?: string;
    /** Those of the hour of this time, and later. */
    since?: string;
    /** Those of hours that began before. */
    until?: string;
  }]; answer: ErrorGroupDetail };
  /** Retry all jobs that these errors have failed, by a bulk operation. Errors from now on are a regression. */
  "POST /errors/{fingerprint}/retry": { given: [fingerprint: string, nothing?: Nothing]; answer: BulkOperation };
  /** List these errors only where they are asked for. */
  "POST /errors/{fingerprint}/ignore": { given: [fingerprint: string, nothing?: Nothing]; answer: ChangedErrorGroup };
  /** List errors that were ignored again. */
  "DELETE /errors/{fingerprint}/ignore": { given: [fingerprint: string, nothing?: Nothing]; answer: ChangedErrorGroup };
  /** Who did what, and who was refused, newest first. */
  "GET /audit": { given: [query?: {
    /** Rows of the page, at most. */
    limit?: number;
    /** `next` of the page before; without it the first page. */
    cursor?: string;
    /** Count the rows of all pages, too: exactly up to 10,000. */
    total?: boolean;
    /** Who. */
    actor?: string;
    /** Through which door. */
    door?: "http" | "cli" | "wire";
    /** What: object and verb, as `job.cancel`. */
    action?: string;
    /** On what. */
    target?: string;
    /** With which outcome. */
    outcome?: "done" | "refused";
    /** Its `timestamp` is at this time or later. */
    after?: string;
    /** Its `timestamp` is before this time. */
    before?: string;
  }]; answer: AuditEntryList };
  /** What needs a person, and what restricts and serves the jobs: the nodes, hosts, budgets and pauses. At most two seconds old; the live event `overview` has the same. */
  "GET /overview": { given: [nothing?: Nothing]; answer: Overview };
  /** The settings of the node that answers, without secrets; its memory and its versions. */
  "GET /settings": { given: [nothing?: Nothing]; answer: Settings };
  /** Counts of jobs, queue and crawlers; of an account, of a user or for a limited token of jobs only. */
  "GET /stats": { given: [query?: {
    /** Only those of this account. */
    account_id?: string;
    /** Only those of this user. */
    user_id?: string;
  }]; answer: Stats };
  /** What happened in each minute, hour or day of a period, at all nodes together, oldest first. */
  "GET /stats/history": { given: [query?: {
    /** Minutes are kept for a day, hours and days (in UTC) for 90 days. */
    resolution?: "minute" | "hour" | "day";
    /** Its beginning; without it 60 intervals before its end. */
    since?: string;
    /** Its end; without it now. */
    until?: string;
  }]; answer: History };
  /** Live events of all nodes, until the client disconnects or the node stops. */
  "GET /events": { given: [query?: {
    /** Of these types. */
    types?: Some<"account" | "budget" | "connection" | "heartbeat" | "host" | "job" | "pause" | "counts" | "overview" | "snapshot">;
    /** Of this job. */
    job_id?: string;
    /** Of this account's jobs. */
    account_id?: string;
    /** Of this user's jobs. */
    user_id?: string;
    /** With this `crawler_id`. */
    crawler?: string;
    /** Of jobs that enter one of these states. */
    status?: Some<"queued" | "assigned" | "running" | "completed" | "failed" | "cancelled" | "paused" | "waiting_credential">;
  }]; answer: unknown };
  /** Tokens by name, without the tokens themselves. */
  "GET /tokens": { given: [query?: {
    /** Rows of the page, at most. */
    limit?: number;
    /** `next` of the page before; without it the first page. */
    cursor?: string;
    /** Count the rows of all pages, too: exactly up to 10,000. */
    total?: boolean;
  }]; answer: TokenList };
  /** Make a token, which the answer shows this once. */
  "POST /tokens": { given: [body: TokenBody]; answer: NewToken };
  /** Remove a token; its sessions end. */
  "DELETE /tokens/{name}": { given: [name: string, nothing?: Nothing]; answer: RevokedToken };
  /** Webhooks, oldest first. */
  "GET /webhooks": { given: [query?: {
    /** Rows of the page, at most. */
    limit?: number;
    /** `next` of the page before; without it the first page. */
    cursor?: string;
    /** Count the rows of all pages, too: exactly up to 10,000. */
    total?: boolean;
  }]; answer: WebhookList };
  /** Make a webhook; the answer shows its secret this once. */
  "POST /webhooks": { given: [body: WebhookBody]; answer: MadeWebhook };
  /** One webhook. */
  "GET /webhooks/{id}": { given: [id: string, nothing?: Nothing]; answer: Webhook };
  /** Change a webhook; what is pending is sent to the new URL. */
  "PATCH /webhooks/{id}": { given: [id: string, body?: WebhookChange]; answer: Webhook };
  /** Remove a webhook, with the log of its deliveries. */
  "DELETE /webhooks/{id}": { given: [id: string, nothing?: Nothing]; answer: RemovedWebhook };
  /** Make a new secret, which the answer shows this once; for a time, messages are signed with both. */
  "POST /webhooks/{id}/rotate": { given: [id: string, body?: RotationBody]; answer: MadeWebhook };
  /** Send a webhook the message `ping`. */
  "POST /webhooks/{id}/test": { given: [id: string, nothing?: Nothing]; answer: WebhookDelivery };
  /** What was sent to a webhook, and is to be, newest first. */
  "GET /webhooks/{id}/deliveries": { given: [id: string, query?: {
    /** Rows of the page, at most. */
    limit?: number;
    /** `next` of the page before; without it the first page. */
    cursor?: string;
    /** Count the rows of all pages, too: exactly up to 10,000. */
    total?: boolean;
    /** What has become of them. */
    status?: "pending" | "delivered" | "failed";
  }]; answer: WebhookDeliveryList };
  /** Send a message again at once, whatever has become of it. */
  "POST /webhooks/{id}/deliveries/{delivery}/retry": { given: [id: string, delivery: string, nothing?: Nothing]; answer: WebhookDelivery };
  /** What the sender of this request may do. */
  "GET /session": { given: [nothing?: Nothing]; answer: Session };
  /** Give a browser a cookie in exchange for the token, or the code of a link, in the header Authorization. */
  "POST /session": { given: [nothing?: Nothing]; answer: NewSession };
  /** End the session of the request's cookie, and remove the cookie. */
  "DELETE /session": { given: [nothing?: Nothing]; answer: EndedSession };
  /** Make a code that gives a browser a session of who makes it: once, within five minutes, at any node. */
  "POST /session/links": { given: [nothing?: Nothing]; answer: NewLink };
  /** This API, as an OpenAPI document. */
  "GET /openapi.json": { given: [nothing?: Nothing]; answer: unknown };
}
