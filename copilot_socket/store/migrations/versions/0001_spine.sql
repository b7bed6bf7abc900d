-- The first schema: jobs, their assignments and tries, crawlers and their leases, accounts, areas, logs.
-- It runs on PostgreSQL 14 and newer, so: no NULLS NOT DISTINCT, no transaction_timeout, no RETURNING old.

-- A ULID: 48 bits of time, then a counter (so that ids of one millisecond keep their order), then 60 random bits.
CREATE SEQUENCE job_order AS integer MINVALUE 0 MAXVALUE 1048575 CYCLE;

CREATE FUNCTION copilot_ulid() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  alphabet CONSTANT text := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  noise    CONSTANT bytea := uuid_send(gen_random_uuid());
  ordered  bigint := ((extract(epoch FROM clock_timestamp()) * 1000)::bigint << 15) | (nextval('job_order') >> 5);
  id       text := substr(alphabet, (currval('job_order') & 31)::integer + 1, 1);
BEGIN
  FOR place IN 1..13 LOOP
    id := substr(alphabet, (ordered & 31)::integer + 1, 1) || id;
    ordered := ordered >> 5;
  END LOOP;
  -- Bytes 6 to 8 of a random UUID hold its version and variant.
  FOR place IN 0..11 LOOP
    id := id || substr(alphabet, (get_byte(noise, CASE WHEN place < 6 THEN place ELSE place + 4 END) & 31) + 1, 1);
  END LOOP;
  RETURN id;
END
$$;

CREATE TABLE accounts (
  id                text PRIMARY KEY CHECK (octet_length(id) BETWEEN 1 AND 255),
  provider          text NOT NULL CHECK (provider IN ('gitlab-onprem', 'gitlab-cloud')),
  gitlab_url        text NOT NULL CHECK (gitlab_url ~ '^https?://'),
  access_token      text NOT NULL,
  refresh_token     text,
  token_expires_at  timestamptz,
  credential_status text NOT NULL DEFAULT 'valid' CHECK (credential_status IN ('valid', 'expired')),
  -- Counts the token pairs this account has had: an assignment remembers which one its crawler was given.
  token_generation  bigint NOT NULL DEFAULT 1,
  -- Who refreshes this account's token at the moment, and until when that claim holds.
  refresh_node      text,
  refresh_until     timestamptz,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE jobs (
  id           text PRIMARY KEY DEFAULT copilot_ulid() CHECK (id ~ '^[0-7][0-9A-HJKMNP-TV-Z]{25}$'),
  created_at   timestamptz NOT NULL DEFAULT now(),
  updated_at   timestamptz NOT NULL DEFAULT now(),
  started_at   timestamptz,
  finished_at  timestamptz,
  scheduled_at timestamptz NOT NULL DEFAULT now(),
  status       text NOT NULL DEFAULT 'queued' CHECK (status IN (
                 'queued', 'assigned', 'running', 'completed', 'failed', 'cancelled', 'paused', 'waiting_credential')),
  command      text NOT NULL CHECK (command IN (
                 'GROUP_PROJECT_DISCOVERY', 'group', 'project', 'issues', 'mergeRequests', 'commits', 'branches',
                 'pipelines', 'users', 'releases', 'groupMilestones', 'epics', 'jobs', 'mergeRequestNotes')),
  -- What a crawler must be able to crawl to be given this job.
  entity_type  text GENERATED ALWAYS AS (CASE command
                 WHEN 'GROUP_PROJECT_DISCOVERY' THEN 'areas' WHEN 'issues' THEN 'issue'
                 WHEN 'mergeRequests' THEN 'merge_request' WHEN 'commits' THEN 'commit'
                 WHEN 'branches' THEN 'branch' WHEN 'pipelines' THEN 'pipeline' WHEN 'users' THEN 'user'
                 WHEN 'releases' THEN 'release' ELSE command END) STORED,
  full_path    text CHECK (octet_length(full_path) BETWEEN 1 AND 1024),
  branch       text CHECK (octet_length(branch) BETWEEN 1 AND 1024),
  account_id   text NOT NULL REFERENCES accounts (id),
  user_id      text CHECK (length(user_id) BETWEEN 1 AND 255),
  provider     text NOT NULL CHECK (provider IN ('gitlab-onprem', 'gitlab-cloud')),
  gitlab_url   text NOT NULL CHECK (gitlab_url ~ '^https?://'),
  spawned_from text REFERENCES jobs (id) ON DELETE SET NULL,
  priority     integer NOT NULL DEFAULT 0,
  attempts     integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  max_attempts integer NOT NULL DEFAULT 3 CHECK (max_attempts BETWEEN 1 AND 100),
  releases     integer NOT NULL DEFAULT 0 CHECK (releases >= 0),
  tries        integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
  resume_state jsonb CHECK (jsonb_typeof(resume_state) = 'object'),
  progress     jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(progress) = 'object'),
  -- False while scheduled_at lies ahead, so that the claim index holds nothing that can't be claimed.
  ready        boolean NOT NULL DEFAULT true,
  CONSTRAINT jobs_full_path_needed
    CHECK (full_path IS NOT NULL OR command IN ('GROUP_PROJECT_DISCOVERY', 'users'))
);

-- Also serves what idx_jobs_socket_status (status, updated_at) would.
CREATE INDEX idx_jobs_status_updated ON jobs (status, updated_at);
CREATE INDEX idx_jobs_account_status ON jobs (account_id, status);
CREATE INDEX idx_jobs_claim ON jobs (entity_type, priority DESC, id) WHERE status = 'queued' AND ready;
CREATE INDEX idx_jobs_due ON jobs (scheduled_at) WHERE status = 'queued' AND NOT ready;
CREATE INDEX idx_jobs_spawned ON jobs (spawned_from, command, full_path) WHERE spawned_from IS NOT NULL;
-- One live job a piece of work; a missing path or branch is a value like any other. An entry of a btree index holds
-- some 2,700 bytes at the most, hence the limits on paths and branches.
CREATE UNIQUE INDEX idx_jobs_live ON jobs (account_id, command, coalesce(full_path, ''), coalesce(branch, ''))
  WHERE status NOT IN ('completed', 'failed', 'cancelled');

CREATE FUNCTION copilot_complete_new_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.status NOT IN ('queued', 'paused', 'completed', 'failed', 'cancelled') THEN
    RAISE check_violation USING
      MESSAGE = format('a new job can''t be %s: only a crawler''s claim makes it so', NEW.status),
      COLUMN = 'status';
  END IF;
  IF NEW.provider IS NULL OR NEW.gitlab_url IS NULL THEN
    SELECT coalesce(NEW.provider, provider), coalesce(NEW.gitlab_url, gitlab_url)
      INTO NEW.provider, NEW.gitlab_url FROM accounts WHERE id = NEW.account_id;
    IF NOT FOUND THEN
      RAISE foreign_key_violation USING
        MESSAGE = format('there is no account %L', NEW.account_id), COLUMN = 'account_id';
    END IF;
  END IF;
  NEW.ready := NEW.scheduled_at <= now();
  RETURN NEW;
END
$$;

CREATE TRIGGER jobs_complete_new BEFORE INSERT ON jobs FOR EACH ROW
  WHEN (NEW.provider IS NULL OR NEW.gitlab_url IS NULL OR NEW.scheduled_at > now() OR NEW.status <> 'queued')
  EXECUTE FUNCTION copilot_complete_new_job();

CREATE FUNCTION copilot_announce_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('copilot_jobs', '');
  RETURN NULL;
END
$$;

CREATE TRIGGER jobs_announce AFTER INSERT ON jobs FOR EACH STATEMENT EXECUTE FUNCTION copilot_announce_jobs();

-- One row a node; its lease tells the others whether it still runs.
CREATE TABLE nodes (
  id               text PRIMARY KEY,
  host             text NOT NULL,
  pid              integer NOT NULL,
  started_at       timestamptz NOT NULL DEFAULT now(),
  lease_expires_at timestamptz NOT NULL
);

-- One row a crawler, however many connections it has. Its lease covers all that it holds.
CREATE TABLE crawlers (
  key              text PRIMARY KEY,
  crawler_id       text NOT NULL,
  node_id          text NOT NULL,
  lease_expires_at timestamptz NOT NULL,
  max_jobs         integer NOT NULL,
  entity_types     text[] NOT NULL,
  plain            boolean NOT NULL,
  first_seen       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_crawlers_lease ON crawlers (lease_expires_at);

-- A job's current or last try. No foreign key: checking one costs every claim, and only this server writes here.
CREATE TABLE job_assignments (
  web_app_job_id        varchar(255) PRIMARY KEY,
  crawler_job_id        text NOT NULL,
  account_id            text NOT NULL,
  user_id               text,
  created_at            timestamptz NOT NULL DEFAULT now(),
  assigned_at           timestamptz NOT NULL DEFAULT now(),
  completed_at          timestamptz,
  status                text NOT NULL DEFAULT 'assigned' CHECK (status IN (
                          'pending', 'assigned', 'running', 'completed', 'failed', 'cancelled')),
  metadata              jsonb NOT NULL DEFAULT '{}',
  try                   integer NOT NULL,
  crawler_key           text NOT NULL,
  started_at            timestamptz,
  reported_at           timestamptz,
  -- A crawler that came back without saying what it holds must name this assignment before then.
  confirm_by            timestamptz,
  credential_refused_at timestamptz,
  token_generation      bigint NOT NULL DEFAULT 0
);
CREATE INDEX idx_job_assignments_status ON job_assignments (status, created_at);
CREATE INDEX idx_job_assignments_held ON job_assignments (crawler_key) WHERE completed_at IS NULL;

-- The tries that have ended, how and why.
CREATE TABLE job_tries (
  job_id         text NOT NULL,
  try            integer NOT NULL,
  crawler_job_id text NOT NULL,
  crawler_key    text NOT NULL,
  assigned_at    timestamptz NOT NULL,
  started_at     timestamptz,
  ended_at       timestamptz NOT NULL DEFAULT now(),
  outcome        text NOT NULL CHECK (outcome IN (
                   'completed', 'failed', 'timed_out', 'released', 'returned', 'cancelled', 'credential')),
  reason         text,
  PRIMARY KEY (job_id, try)
);

CREATE TABLE socket_connections (
  id             text PRIMARY KEY,
  crawler_id     text,
  connected_at   timestamptz NOT NULL DEFAULT now(),
  last_heartbeat timestamptz,
  is_active      boolean NOT NULL DEFAULT true,
  active_jobs    text[] NOT NULL DEFAULT '{}',
  system_status  text,
  metadata       jsonb NOT NULL DEFAULT '{}',
  crawler_key    text NOT NULL,
  node_id        text NOT NULL,
  ended_at       timestamptz
);
CREATE INDEX idx_socket_connections_active ON socket_connections (is_active, last_heartbeat);
CREATE INDEX idx_socket_connections_crawler ON socket_connections (crawler_key) WHERE is_active;

CREATE TABLE areas (
  full_path  text PRIMARY KEY CHECK (octet_length(full_path) BETWEEN 1 AND 1024),
  gitlab_id  bigint,
  name       text NOT NULL,
  type       text NOT NULL CHECK (type IN ('group', 'project')),
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE area_authorizations (
  account_id text NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
  full_path  text NOT NULL REFERENCES areas (full_path) ON DELETE CASCADE,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (account_id, full_path)
);
CREATE INDEX idx_area_authorizations_path ON area_authorizations (full_path);

CREATE TABLE job_error_log (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id         text NOT NULL,
  timestamp      timestamptz NOT NULL DEFAULT now(),
  error_type     text,
  error_message  text NOT NULL,
  stack_trace    text,
  context        jsonb,
  retry_count    integer NOT NULL DEFAULT 0,
  is_recoverable boolean NOT NULL,
  resolution     text
);
CREATE INDEX idx_job_error_log_job ON job_error_log (job_id, id);
CREATE INDEX idx_job_error_log_time ON job_error_log (timestamp);

CREATE TABLE audit_log (
  id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  timestamp timestamptz NOT NULL DEFAULT now(),
  actor     text NOT NULL,
  action    text NOT NULL,
  target    text,
  details   jsonb NOT NULL DEFAULT '{}'
);

-- Answers already given to requests that carried an Idempotency-Key.
CREATE TABLE idempotency_keys (
  key         text PRIMARY KEY,
  fingerprint text NOT NULL,
  status      integer NOT NULL,
  answer      jsonb NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_idempotency_keys_age ON idempotency_keys (created_at);
