-- Every statement of the job logic, by name. Parameters are psycopg2's.

-- The hot path: a turn stores what crawlers report and, in the same transaction, gives them their next jobs. It is one
-- statement, put together of these parts; one with nothing to do is left out, for it would take its time all the same.
--
-- Its plan is made once, perhaps while the tables are empty or believed to be. Hence "key BETWEEN x AND x" where
-- "key = x" is meant: that can be looked up in an index, and nothing else. By equality, a plan may walk the whole index
-- for each batch and look for its rows in what the batch has, which was the cheapest way when it was made. And
-- date_part() counts in floats; EXTRACT is several times slower.

-- name: turn_reports
-- One row an assignment. Fenced by the assignment's id; a report that arrives at another node, or from a crawler that
-- took the assignment over from one that is gone, moves it to the reporting crawler. One that a node has reserved is
-- nobody's yet, and its crawler is whoever was given the id.
input AS (
  SELECT job_id, assignment, crawler, reported, started, completed, progress::jsonb, resume_state::jsonb
  FROM unnest(%(job)s::text[], %(assignment)s::text[], %(crawler)s::text[], %(reported)s::boolean[],
              %(started)s::boolean[], %(completed)s::boolean[], %(progress)s::text[], %(resume)s::text[])
    AS t (job_id, assignment, crawler, reported, started, completed, progress, resume_state)
), held AS (
  UPDATE job_assignments a SET
    status = CASE WHEN i.completed THEN 'completed' WHEN i.started THEN 'running' ELSE a.status END,
    outcome = CASE WHEN i.completed THEN 'completed' END,
    started_at = CASE WHEN i.started THEN coalesce(a.started_at, now()) ELSE a.started_at END,
    completed_at = CASE WHEN i.completed THEN now() END,
    reported_at = CASE WHEN i.reported THEN now() ELSE a.reported_at END,
    confirm_by = NULL,
    crawler_key = i.crawler
  FROM input i
  WHERE a.web_app_job_id BETWEEN i.job_id AND i.job_id AND a.crawler_job_id = i.assignment
    AND coalesce(a.completed_at, 'infinity') = 'infinity'  -- IS NULL, but by the primary key: not all that is held
    -- A completion that follows a refused discovery is a failure, which the transitions store.
    AND NOT (i.completed AND coalesce(a.metadata #>> '{refused_discovery,assignment}', '') = a.crawler_job_id)
    AND (a.crawler_key = i.crawler
         OR coalesce((SELECT c.lease_expires_at FROM crawlers c WHERE c.key = a.crawler_key), '-infinity') <= now())
  RETURNING a.web_app_job_id AS job_id, a.crawler_job_id, a.crawler_key, a.account_id, a.started_at,
            i.reported, i.started, i.completed, i.progress, i.resume_state
), job AS (  -- whose it is alone changes nothing of the job
  UPDATE jobs j SET
    status = CASE WHEN h.completed THEN 'completed' WHEN h.started THEN 'running' ELSE j.status END,
    started_at = CASE WHEN h.started AND j.status = 'assigned' THEN now() ELSE j.started_at END,
    finished_at = CASE WHEN h.completed THEN now() END,
    updated_at = now(),
    -- A value that stays has its column's domain, and is not judged again.
    progress = CASE WHEN h.progress IS NULL THEN j.progress ELSE (j.progress || h.progress)::jsonb_mapping END,
    resume_state = CASE WHEN h.resume_state IS NULL THEN j.resume_state ELSE h.resume_state::resume_state END
  FROM held h WHERE j.id BETWEEN h.job_id AND h.job_id AND h.reported
)

-- name: turn_room
-- Whose turn it is to be given a job: crawlers take turns in the order in which they asked, each as often as it wants
-- and has room. Room is counted here, where every node's claims are seen.
turns AS MATERIALIZED (
  SELECT coalesce(array_agg(i.key ORDER BY turn, i.ord), '{}') AS keys
  FROM unnest(%(key)s::text[], %(wanted)s::integer[]) WITH ORDINALITY AS i (key, wanted, ord)
  JOIN crawlers c ON c.key BETWEEN i.key AND i.key AND c.node_id = %(node)s
  CROSS JOIN LATERAL generate_series(1, least(i.wanted, c.max_jobs - (
    SELECT count(*) FROM job_assignments a WHERE a.crawler_key = i.key AND a.completed_at IS NULL))::integer) AS turn
)

-- name: turn_reserve
-- Jobs for the node, which gives them to crawlers as they ask.
turns AS MATERIALIZED (SELECT array_fill(NULL::text, ARRAY[%(number)s::integer]) AS keys)

-- name: turn_claims
-- The best jobs first, by their places in the table: one that is moved meanwhile is left to the next claim. SKIP LOCKED:
-- another node may be claiming the same ones; where that was seen, more are looked at than are wanted.
candidates AS MATERIALIZED (
  SELECT best.place FROM unnest(%(command)s::text[]) AS lane CROSS JOIN LATERAL (
    SELECT j.ctid AS place, j.id, j.priority FROM jobs j
    WHERE j.command = lane AND j.status = 'queued' AND j.ready
    ORDER BY j.priority DESC, j.id LIMIT (SELECT cardinality(keys) FROM turns) + %(spare)s::integer) AS best
  ORDER BY best.priority DESC, best.id LIMIT (SELECT cardinality(keys) FROM turns) + %(spare)s::integer
), locked AS MATERIALIZED (
  -- coalesce keeps the planner from walking an index of all that is queued to find a handful of places.
  SELECT j.ctid AS place, j.id, j.priority, j.account_id, j.full_path FROM jobs j
  WHERE j.ctid = ANY (ARRAY(SELECT place FROM candidates)) AND coalesce(j.status, '') = 'queued'
    AND coalesce(j.ready, false)
  ORDER BY j.priority DESC, j.id LIMIT (SELECT cardinality(keys) FROM turns) FOR UPDATE SKIP LOCKED
), claimed AS (
  UPDATE jobs j SET status = 'assigned', updated_at = now(), tries = least(j.tries + 1, 1000000000), finished_at = NULL
  FROM (SELECT l.*, row_number() OVER (ORDER BY priority DESC, id) AS nth FROM locked l) AS p
    JOIN accounts t ON t.id BETWEEN p.account_id AND p.account_id
    LEFT JOIN LATERAL (SELECT gitlab_id, type FROM areas
      WHERE gitlab_origin = t.gitlab_origin AND full_path = p.full_path LIMIT 1) AS r ON true
  WHERE j.ctid = p.place
  -- One random part does for all: the job's id and the try tell them apart, and no try is claimed twice.
  RETURNING j.id, j.id || '.' || j.tries || '.' || (SELECT substr(gen_random_uuid()::text, 25)) AS assignment,
            (SELECT keys FROM turns)[p.nth] AS key, p.nth, j.tries, j.account_id, j.user_id, j.scheduled_at,
            coalesce(r.gitlab_id::text, j.full_path, j.account_id) AS entity_id, j.gitlab_url, j.resume_state,
            j.command, j.full_path, r.type AS area_type, j.branch, t.token_generation, t.access_token,
            t.token_expires_at, t.credential_status
), superseded AS (
  INSERT INTO job_past_tries (job_id, try, crawler_job_id, crawler_key, assigned_at, started_at, ended_at, outcome, reason)
  SELECT a.web_app_job_id, a.try, a.crawler_job_id, a.crawler_key, a.assigned_at, a.started_at, a.completed_at,
         a.outcome, a.reason
  FROM claimed c JOIN job_assignments a ON a.web_app_job_id BETWEEN c.id AND c.id
  WHERE c.tries > 1 AND a.outcome IS NOT NULL
  ON CONFLICT DO NOTHING
)

-- name: turn_assigned
assigned AS (
  INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, user_id, status, try, crawler_key, node_id,
                               token_generation)
  SELECT id, assignment, account_id, user_id, 'assigned', tries, key, %(node)s, token_generation FROM claimed ORDER BY id
  ON CONFLICT (web_app_job_id) DO UPDATE SET
    crawler_job_id = excluded.crawler_job_id, try = excluded.try, crawler_key = excluded.crawler_key,
    node_id = excluded.node_id, token_generation = excluded.token_generation, status = 'assigned', assigned_at = now(),
    completed_at = NULL, outcome = NULL, reason = NULL, started_at = NULL, reported_at = NULL, confirm_by = NULL,
    credential_refused_at = NULL
)

-- name: turn_stored
-- What was stored, whether it began with it, and the account.
SELECT crawler_job_id, started AND started_at = now() AS began, account_id FROM held

-- name: turn_stored_beside
-- The same, as wide as what was claimed.
SELECT crawler_job_id, started AND started_at = now() AS began, account_id, NULL::text AS entity_id,
       NULL::text AS gitlab_url, NULL::jsonb AS resume_state, NULL::text AS command, NULL::text AS full_path,
       NULL::text AS area_type, NULL::text AS branch, NULL::integer AS try, NULL::text AS account_id,
       NULL::text AS access_token, NULL::float8 AS expires_in, NULL::text AS credential_status, NULL::float8 AS waited,
       NULL::bigint AS found, NULL::bigint AS nth
FROM held

-- name: turn_claimed
-- What was claimed. One row at least: how many jobs could have been is also told where another node had them all.
SELECT c.assignment, NULL::boolean AS began, c.key, c.entity_id, c.gitlab_url, c.resume_state, c.command, c.full_path,
       c.area_type, c.branch, c.tries, c.account_id, c.access_token, date_part('epoch', c.token_expires_at - now()),
       c.credential_status, date_part('epoch', now() - c.scheduled_at), found.count, c.nth
FROM (SELECT least(count(*), (SELECT cardinality(keys) FROM turns)) AS count FROM candidates) AS found
  LEFT JOIN claimed c ON true
ORDER BY nth

-- name: hand_out_new
-- A new job for a crawler that waits: the claim of a job which nobody else can see yet.
-- A setting of this transaction keeps its insertion from being announced.
recipient AS MATERIALIZED (
  SELECT keys[1] AS key, CASE WHEN cardinality(keys) > 0 THEN set_config('copilot.hands_out', 'on', true) END FROM turns
), new AS (
  INSERT INTO jobs (id, account_id, command, full_path, branch, user_id, provider, gitlab_url, priority, max_attempts,
                    resume_state, status, tries)
  SELECT %(id)s::text, t.account_id, t.command, t.full_path, t.branch, t.user_id, a.provider,
         coalesce(t.gitlab_url, a.gitlab_url), coalesce(t.priority, 0), coalesce(t.max_attempts, %(max_attempts)s),
         t.resume_state, CASE WHEN c.key IS NULL THEN 'queued' ELSE 'assigned' END, CASE WHEN c.key IS NULL THEN 0 ELSE 1 END
  FROM json_to_recordset(%(jobs)s::json) AS t (
    account_id text, command text, full_path text, branch text, user_id text, gitlab_url text, priority integer,
    max_attempts integer, resume_state jsonb)
  JOIN accounts a ON a.id BETWEEN t.account_id AND t.account_id CROSS JOIN recipient c
  ON CONFLICT (account_id, command, coalesce(full_path, ''), coalesce(branch, ''))
    WHERE status NOT IN ('completed', 'failed', 'cancelled') DO NOTHING
  RETURNING *
)

-- name: hand_out_claimed
claimed AS (
  SELECT j.*, j.id || '.' || j.tries || '.' || substr(gen_random_uuid()::text, 25) AS assignment, c.key,
         coalesce(r.gitlab_id::text, j.full_path, j.account_id) AS entity_id, r.type AS area_type, t.token_generation,
         t.access_token, t.token_expires_at, t.credential_status
  FROM new j JOIN accounts t ON t.id BETWEEN j.account_id AND j.account_id CROSS JOIN recipient c
    LEFT JOIN LATERAL (SELECT gitlab_id, type FROM areas
      WHERE gitlab_origin = t.gitlab_origin AND full_path = j.full_path LIMIT 1) AS r ON true
  WHERE j.status = 'assigned'
)

-- name: hand_out_result
-- The new job, and its assignment in the form in which claims come.
SELECT n.id, c.assignment, c.key, c.entity_id, c.gitlab_url, c.resume_state, c.command, c.full_path, c.area_type,
       c.branch, c.tries, c.account_id, c.access_token, date_part('epoch', c.token_expires_at - now()),
       c.credential_status, date_part('epoch', now() - c.scheduled_at)
FROM new n LEFT JOIN claimed c ON c.id = n.id

-- name: explain_refusals
-- Why reports found no live assignment of theirs: the assignment as it stands, how the try ended if it has, the error of
-- a discovery of it that was refused without its crawler's knowledge, whether its job is still there, and the time.
-- Not by the view job_tries, whose second half no join reaches through an index.
SELECT i.assignment,
       a.crawler_job_id IS NOT NULL AND a.completed_at IS NULL AS live,
       coalesce(a.outcome, p.outcome),
       CASE WHEN a.metadata #>> '{refused_discovery,assignment}' = i.assignment
            THEN a.metadata #>> '{refused_discovery,error}' END,
       EXISTS (SELECT FROM jobs j WHERE j.id = i.job_id), extract(epoch FROM now())::float8
FROM unnest(%(job)s::text[], %(assignment)s::text[], %(try)s::integer[]) AS i (job_id, assignment, try)
LEFT JOIN job_assignments a ON a.web_app_job_id = i.job_id AND a.crawler_job_id = i.assignment
LEFT JOIN job_past_tries p ON p.job_id = i.job_id AND p.try = i.try AND p.crawler_job_id = i.assignment

-- name: crawlers_present
INSERT INTO crawlers (key, crawler_id, node_id, lease_expires_at, max_jobs, entity_types, plain)
SELECT key, crawler_id, %(node)s, now() + %(lease)s * interval '1 second', max_jobs,
       ARRAY(SELECT json_array_elements_text(entity_types::json)), plain
FROM unnest(%(key)s::text[], %(crawler_id)s::text[], %(max_jobs)s::integer[], %(entity_types)s::text[],
            %(plain)s::boolean[]) AS t (key, crawler_id, max_jobs, entity_types, plain)
ORDER BY key
ON CONFLICT (key) DO UPDATE SET
  crawler_id = excluded.crawler_id, node_id = excluded.node_id, lease_expires_at = excluded.lease_expires_at,
  max_jobs = excluded.max_jobs, entity_types = excluded.entity_types, plain = excluded.plain

-- name: crawlers_absent
-- The lease of a crawler that is gone ends now; the grace counts from here. One that is connected to another
-- living node keeps its lease, which that node renews.
UPDATE crawlers c SET lease_expires_at = now()
WHERE c.key = ANY (%(key)s) AND c.node_id = %(node)s AND c.lease_expires_at > now()
  AND NOT EXISTS (
    SELECT FROM socket_connections s JOIN nodes n ON n.id = s.node_id AND n.lease_expires_at > now()
    WHERE s.crawler_key = c.key AND s.is_active AND s.node_id <> %(node)s)

-- name: connections_seen
INSERT INTO socket_connections (id, crawler_id, crawler_key, node_id, is_active, metadata, ended_at, last_heartbeat,
                                system_status)
SELECT id, crawler_id, crawler_key, %(node)s, is_active, metadata, CASE WHEN NOT is_active THEN now() END,
       now() - silent * interval '1 second', system_status
FROM unnest(%(id)s::text[], %(crawler_id)s::text[], %(crawler_key)s::text[], %(is_active)s::boolean[],
            %(silent)s::float8[], %(system_status)s::text[], %(metadata)s::jsonb[])
  AS t (id, crawler_id, crawler_key, is_active, silent, system_status, metadata)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET
  crawler_id = excluded.crawler_id, crawler_key = excluded.crawler_key, is_active = excluded.is_active,
  active_jobs = CASE WHEN excluded.is_active THEN socket_connections.active_jobs ELSE '{}' END,
  metadata = socket_connections.metadata || excluded.metadata, ended_at = excluded.ended_at,
  last_heartbeat = coalesce(excluded.last_heartbeat, socket_connections.last_heartbeat),
  system_status = coalesce(excluded.system_status, socket_connections.system_status)

-- name: held_by
SELECT a.crawler_job_id, a.reported_at IS NOT NULL, t.access_token
FROM job_assignments a JOIN accounts t ON t.id = a.account_id
WHERE a.crawler_key = %(key)s AND a.completed_at IS NULL ORDER BY a.web_app_job_id

-- name: must_confirm
UPDATE job_assignments a SET confirm_by = now() + t.within * interval '1 second'
FROM unnest(%(key)s::text[], %(within)s::float8[]) AS t (key, within)
WHERE a.crawler_key = t.key AND a.completed_at IS NULL AND a.confirm_by IS NULL

-- name: confirm
UPDATE job_assignments SET confirm_by = NULL
WHERE web_app_job_id = ANY (%(job)s) AND crawler_job_id = ANY (%(assignment)s) AND completed_at IS NULL
  AND confirm_by IS NOT NULL

-- name: adopt
-- A crawler names what a node gave it that is gone since, and could not put down to it.
UPDATE job_assignments SET crawler_key = %(key)s
WHERE web_app_job_id = ANY (%(job)s) AND crawler_job_id = ANY (%(assignment)s) AND completed_at IS NULL
  AND crawler_key IS NULL AND node_id IS NOT NULL
RETURNING crawler_job_id

-- name: take_over_pushes
UPDATE crawlers SET node_id = %(node)s WHERE key = ANY (%(key)s) AND node_id <> %(node)s RETURNING key

-- name: not_ours
SELECT key FROM crawlers WHERE key = ANY (%(key)s) AND node_id <> %(node)s

-- name: unreported
-- Assignments of these crawlers that were never reported on, in the form in which claims come.
SELECT a.crawler_job_id, a.crawler_key, coalesce(r.gitlab_id::text, j.full_path, j.account_id), j.gitlab_url,
       j.resume_state, j.command, j.full_path, r.type, j.branch, a.try, j.account_id, t.access_token,
       extract(epoch FROM t.token_expires_at - now())::float8, t.credential_status, NULL::float8
FROM job_assignments a JOIN jobs j ON j.id = a.web_app_job_id JOIN accounts t ON t.id = j.account_id
LEFT JOIN areas r ON r.gitlab_origin = t.gitlab_origin AND r.full_path = j.full_path
WHERE a.crawler_key = ANY (%(key)s) AND a.completed_at IS NULL AND a.reported_at IS NULL
ORDER BY a.web_app_job_id

-- name: reserved
-- What this node has claimed and not put down to a crawler, in the form in which claims come.
SELECT a.crawler_job_id, a.crawler_key, coalesce(r.gitlab_id::text, j.full_path, j.account_id), j.gitlab_url,
       j.resume_state, j.command, j.full_path, r.type, j.branch, a.try, j.account_id, t.access_token,
       extract(epoch FROM t.token_expires_at - now())::float8, t.credential_status,
       extract(epoch FROM now() - j.scheduled_at)::float8
FROM job_assignments a JOIN jobs j ON j.id = a.web_app_job_id JOIN accounts t ON t.id = j.account_id
LEFT JOIN areas r ON r.gitlab_origin = t.gitlab_origin AND r.full_path = j.full_path
WHERE a.crawler_key IS NULL AND a.completed_at IS NULL AND a.node_id = %(node)s
ORDER BY a.web_app_job_id

-- name: handed_token
UPDATE job_assignments a SET token_generation = t.token_generation, credential_refused_at = NULL
FROM accounts t WHERE t.id = a.account_id AND a.web_app_job_id = ANY (%(job)s) AND a.completed_at IS NULL
RETURNING a.crawler_job_id

-- name: lock_live_assignments
-- First the assignments, then the jobs, each in id order: the order in which reports lock them.
SELECT FROM job_assignments WHERE web_app_job_id = ANY (%(job)s) AND completed_at IS NULL
ORDER BY web_app_job_id FOR UPDATE

-- name: lock_jobs
SELECT j.id, j.status, j.attempts, j.max_attempts, j.releases, t.credential_status = 'valid', t.credential_error,
       j.account_id, j.command, j.full_path, j.branch
FROM jobs j JOIN accounts t ON t.id = j.account_id
WHERE j.id = ANY (%(job)s) ORDER BY j.id FOR UPDATE OF j

-- name: live_assignments
SELECT web_app_job_id, crawler_job_id, crawler_key, credential_refused_at IS NOT NULL FROM job_assignments
WHERE web_app_job_id = ANY (%(job)s) AND completed_at IS NULL

-- name: apply_transitions
WITH input AS (
  SELECT * FROM unnest(%(job)s::text[], %(status)s::text[], %(attempts)s::integer[], %(releases)s::integer[],
                       %(delay)s::float8[], %(outcome)s::text[], %(reason)s::text[])
    AS t (job_id, status, attempts, releases, delay, outcome, reason)
), job AS (
  UPDATE jobs j SET
    status = i.status, attempts = least(i.attempts, 1000000000), releases = least(i.releases, 1000000000),
    updated_at = now(),
    scheduled_at = CASE WHEN i.status = 'queued' THEN now() + i.delay * interval '1 second' ELSE j.scheduled_at END,
    ready = i.delay <= 0,
    finished_at = CASE WHEN i.status IN ('completed', 'failed', 'cancelled') THEN now() END
  FROM input i WHERE j.id = i.job_id
), ended AS (
  UPDATE job_assignments a SET
    completed_at = coalesce(a.completed_at, now()),
    status = CASE WHEN i.status IN ('completed', 'failed', 'cancelled') THEN i.status ELSE 'pending' END,
    outcome = coalesce(i.outcome, a.outcome),
    reason = CASE WHEN i.outcome IS NULL THEN a.reason ELSE i.reason END
  FROM input i
  WHERE a.web_app_job_id = i.job_id AND (a.completed_at IS NULL OR i.outcome IS NULL)
)
SELECT CASE WHEN bool_or(status = 'queued' AND delay <= 0) THEN pg_notify('copilot_jobs', '') END FROM input

-- name: tell_ended
SELECT pg_notify('copilot_ended', assignment) FROM unnest(%(assignment)s::text[]) AS assignment

-- name: log_errors
INSERT INTO job_error_log (job_id, error_type, error_message, stack_trace, context, retry_count, is_recoverable, resolution)
SELECT * FROM unnest(%(job)s::text[], %(error_type)s::text[], %(message)s::text[], %(stack)s::text[],
                     %(context)s::jsonb[], %(retries)s::integer[], %(recoverable)s::boolean[], %(resolution)s::text[])

-- name: discoveries_refused
-- Discoveries of live tries that were refused; the same error of a try once, so that it changes nothing when it is
-- repeated. Where the crawler does not know, that is kept with the assignment until its completion comes; the id says of
-- which try, since the row is used for the next one, too.
WITH input AS (
  SELECT DISTINCT * FROM unnest(%(job)s::text[], %(assignment)s::text[], %(error_type)s::text[], %(message)s::text[],
                       %(known)s::boolean[], %(resolution)s::text[])
    AS t (job_id, assignment, error_type, message, known, resolution)
), unknown AS (
  UPDATE job_assignments a SET metadata = a.metadata || jsonb_build_object('refused_discovery',
    jsonb_build_object('assignment', i.assignment, 'error', i.message))
  FROM (SELECT DISTINCT ON (job_id) * FROM input WHERE NOT known ORDER BY job_id) AS i
  WHERE a.web_app_job_id = i.job_id AND a.crawler_job_id = i.assignment
)
INSERT INTO job_error_log (job_id, error_type, error_message, retry_count, is_recoverable, resolution)
SELECT i.job_id, i.error_type, i.message, j.attempts, i.known, i.resolution
FROM input i JOIN jobs j ON j.id = i.job_id JOIN job_assignments a ON a.web_app_job_id = i.job_id
WHERE (SELECT count(*) FROM (SELECT FROM job_error_log e WHERE e.job_id = i.job_id LIMIT %(most)s) AS e) < %(most)s
  AND NOT EXISTS (SELECT FROM job_error_log e WHERE e.job_id = i.job_id AND e.timestamp >= a.assigned_at
                    AND e.error_type = i.error_type AND e.error_message = i.message)

-- name: urls_of_job
-- Of a job that is to live again, and of its account, which must not move meanwhile.
SELECT j.gitlab_url, t.gitlab_url FROM jobs j JOIN accounts t ON t.id = j.account_id
WHERE j.id = %(job)s FOR KEY SHARE OF t

-- name: live_twin
SELECT id FROM jobs
WHERE account_id = %(account)s AND command = %(command)s AND coalesce(full_path, '') = coalesce(%(path)s, '')
  AND coalesce(branch, '') = coalesce(%(branch)s, '') AND status NOT IN ('completed', 'failed', 'cancelled')
  AND id <> %(job)s

-- name: moved_areas
-- Of one slice of a discovery: a numeric id that is known at another path is there no more. That path stays, without a
-- number: jobs may be under way for it, and GitLab redirects them.
WITH found AS MATERIALIZED (
  SELECT (SELECT k.ctid FROM areas k
          WHERE k.gitlab_origin = t.gitlab_origin AND k.gitlab_id = f.gitlab_id AND k.type = f.type
            AND k.full_path <> f.full_path LIMIT 1) AS place
  FROM jobs j JOIN accounts t ON t.id BETWEEN j.account_id AND j.account_id
    CROSS JOIN unnest(%(path)s::text[], %(gitlab_id)s::bigint[], %(type)s::text[]) AS f (full_path, gitlab_id, type)
  WHERE j.id BETWEEN %(job)s::text AND %(job)s::text AND f.gitlab_id IS NOT NULL
)
UPDATE areas SET gitlab_id = NULL WHERE ctid = ANY (ARRAY(SELECT place FROM found))

-- name: found_areas
-- What one slice of a discovery tells of areas, and that the job's account may see them. An area's first numeric id is
-- kept when a later mention has none. What is known already is not written again, for even a conflict locks its row.
WITH found AS MATERIALIZED (
  SELECT t.id AS account_id, t.gitlab_origin, f.full_path, f.gitlab_id, f.name, f.type
  FROM jobs j JOIN accounts t ON t.id BETWEEN j.account_id AND j.account_id
    CROSS JOIN unnest(%(path)s::text[], %(gitlab_id)s::bigint[], %(name)s::text[], %(type)s::text[])
      AS f (full_path, gitlab_id, name, type)
  WHERE j.id BETWEEN %(job)s::text AND %(job)s::text
), area AS (
  INSERT INTO areas AS a (gitlab_origin, full_path, gitlab_id, name, type)
  SELECT f.gitlab_origin, f.full_path, f.gitlab_id, f.name, f.type FROM found f
  WHERE (SELECT true FROM areas k WHERE k.gitlab_origin = f.gitlab_origin AND k.full_path = f.full_path
           AND k.name = f.name AND k.type = f.type
           AND k.gitlab_id IS NOT DISTINCT FROM coalesce(f.gitlab_id, k.gitlab_id) LIMIT 1) IS NULL
  ORDER BY f.full_path COLLATE "C"
  ON CONFLICT (gitlab_origin, full_path) DO UPDATE SET
    gitlab_id = coalesce(excluded.gitlab_id, CASE WHEN a.type = excluded.type THEN a.gitlab_id END),
    name = excluded.name, type = excluded.type
)
INSERT INTO area_authorizations (account_id, gitlab_origin, full_path)
SELECT f.account_id, f.gitlab_origin, f.full_path FROM found f
WHERE (SELECT true FROM area_authorizations z WHERE z.account_id = f.account_id
         AND z.gitlab_origin = f.gitlab_origin AND z.full_path = f.full_path LIMIT 1) IS NULL
ORDER BY f.full_path COLLATE "C"
ON CONFLICT DO NOTHING

-- name: spawn
-- The jobs that one slice of a discovery becomes. Not again what this parent has spawned before, however that ended; not
-- beside a live job of the same kind. Scalar subqueries, since each is one look-up in an index whatever the planner
-- knows of the tables; and by expressions that the indexes have: IS NOT DISTINCT FROM is none.
WITH wanted AS MATERIALIZED (
  SELECT DISTINCT ON (k.command, f.full_path) k.command, f.full_path, coalesce(f.priority, p.priority) AS priority,
         p.id AS parent, p.account_id, p.user_id, p.provider, p.gitlab_url
  FROM unnest(%(kind)s::text[], %(path)s::text[], %(priority)s::integer[])
         WITH ORDINALITY AS f (kind, full_path, priority, ord)
    JOIN unnest(%(spawning_kind)s::text[], %(spawned_command)s::text[]) AS k (kind, command) ON k.kind = f.kind
    JOIN jobs p ON p.id = %(job)s::text
  ORDER BY k.command, f.full_path, f.ord
)
INSERT INTO jobs (account_id, user_id, provider, gitlab_url, command, full_path, priority, spawned_from, max_attempts)
SELECT w.account_id, w.user_id, w.provider, w.gitlab_url, w.command, w.full_path, w.priority, w.parent,
       %(max_attempts)s::integer
FROM wanted w
WHERE (SELECT true FROM jobs s
       WHERE s.spawned_from = w.parent AND s.command = w.command AND s.full_path = w.full_path LIMIT 1) IS NULL
  AND (SELECT true FROM jobs l
       WHERE l.account_id = w.account_id AND l.command = w.command AND coalesce(l.full_path, '') = w.full_path
         AND coalesce(l.branch, '') = '' AND l.status NOT IN ('completed', 'failed', 'cancelled') LIMIT 1) IS NULL
ORDER BY w.command COLLATE "C", w.full_path COLLATE "C"  -- the order of submissions
ON CONFLICT (account_id, command, coalesce(full_path, ''), coalesce(branch, ''))
  WHERE status NOT IN ('completed', 'failed', 'cancelled') DO NOTHING
RETURNING id, account_id, command, full_path

-- name: renew_leases
-- The node's own lease, and in the same statement those of all its live crawlers.
WITH node AS (
  INSERT INTO nodes (id, host, pid, lease_expires_at)
  VALUES (%(node)s, %(host)s, %(pid)s, now() + %(lease)s * interval '1 second')
  ON CONFLICT (id) DO UPDATE SET lease_expires_at = excluded.lease_expires_at
), ordered AS MATERIALIZED (
  SELECT key FROM crawlers WHERE key = ANY (%(key)s) ORDER BY key FOR UPDATE
)
UPDATE crawlers c SET lease_expires_at = now() + %(lease)s * interval '1 second'
FROM ordered o WHERE c.key = o.key

-- name: held_by_all
SELECT crawler_key, array_agg(crawler_job_id ORDER BY web_app_job_id) FROM job_assignments
WHERE crawler_key = ANY (%(key)s) AND completed_at IS NULL GROUP BY crawler_key

-- name: connections_alive
UPDATE socket_connections s SET
  last_heartbeat = coalesce(now() - t.silent * interval '1 second', s.last_heartbeat),
  active_jobs = coalesce(string_to_array(nullif(t.jobs, ''), ','), '{}'),
  system_status = coalesce(t.system_status, s.system_status),
  metadata = s.metadata || t.metadata
FROM unnest(%(id)s::text[], %(silent)s::float8[], %(jobs)s::text[], %(system_status)s::text[], %(metadata)s::jsonb[])
  AS t (id, silent, jobs, system_status, metadata)
WHERE s.id = t.id

-- name: lost_assignments
-- What may be taken from its crawler: the lease ended a grace ago, or a promised report did not come. Of other nodes'
-- crawlers only if this node's own leases have held for long enough to judge. Nothing at all while this node's own lease
-- is over: it or the database stood still, and its next renewal brings back the leases of all its live crawlers.
SELECT a.crawler_job_id, CASE WHEN c.lease_expires_at IS NULL OR
    c.lease_expires_at <= now() - %(grace)s * interval '1 second' THEN %(gone)s ELSE %(without_it)s END
FROM job_assignments a LEFT JOIN crawlers c ON c.key = a.crawler_key
WHERE EXISTS (SELECT FROM nodes n WHERE n.id = %(node)s AND n.lease_expires_at > now())
  AND a.completed_at IS NULL AND a.crawler_key IS NOT NULL AND (c.node_id = %(node)s OR %(others)s)
  AND (c.key IS NULL OR c.lease_expires_at <= now() - %(grace)s * interval '1 second' OR a.confirm_by <= now())
ORDER BY a.web_app_job_id LIMIT %(limit)s

-- name: lost_reservations
-- What nodes have claimed that are gone. Who was given one of these and says nothing of it within a grace has lost it.
-- A row without a node is no claim: another program put it in.
SELECT a.crawler_job_id FROM job_assignments a
WHERE EXISTS (SELECT FROM nodes n WHERE n.id = %(node)s AND n.lease_expires_at > now())
  AND a.completed_at IS NULL AND a.crawler_key IS NULL AND a.node_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM nodes n WHERE n.id = a.node_id AND n.lease_expires_at > now() - %(grace)s * interval '1 second')
ORDER BY a.web_app_job_id LIMIT %(limit)s

-- name: refused_assignments
-- Crawlers that were refused a new token and have said nothing since, for a whole grace.
SELECT crawler_job_id FROM job_assignments
WHERE completed_at IS NULL AND credential_refused_at <= now() - %(grace)s * interval '1 second'
  AND coalesce(reported_at, assigned_at) <= credential_refused_at
ORDER BY web_app_job_id LIMIT %(limit)s

-- name: renewed_meanwhile
-- Jobs that came to wait for a credential at the moment of its renewal, which did not see them.
SELECT j.id FROM jobs j JOIN accounts t ON t.id = j.account_id
WHERE j.status = 'waiting_credential' AND t.credential_status = 'valid' ORDER BY j.id LIMIT %(limit)s

-- name: timed_out_assignments
SELECT crawler_job_id FROM job_assignments
WHERE completed_at IS NULL AND coalesce(crawler_key, node_id) IS NOT NULL
  AND coalesce(reported_at, assigned_at) <= now() - %(timeout)s * interval '1 second'
ORDER BY web_app_job_id LIMIT %(limit)s

-- name: promote_due
WITH due AS (
  SELECT id FROM jobs WHERE status = 'queued' AND NOT ready AND scheduled_at <= now()
  ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED
), promoted AS (
  UPDATE jobs j SET ready = true FROM due WHERE j.id = due.id RETURNING j.id
)
SELECT (SELECT count(*) FROM promoted), (
  SELECT extract(epoch FROM min(scheduled_at) - now())::float8 FROM jobs
  WHERE status = 'queued' AND NOT ready AND scheduled_at > now())

-- name: account_of_assignment
-- For a token request: the live assignment, who holds it, the token that it was given, and its account.
SELECT a.crawler_key, c.lease_expires_at > now(), a.token_generation, a.account_id
FROM job_assignments a LEFT JOIN crawlers c ON c.key = a.crawler_key
WHERE a.web_app_job_id = %(job)s AND a.crawler_job_id = %(assignment)s AND a.completed_at IS NULL

-- name: begin_refresh
-- Single flight across nodes: whoever gets a row does the refresh.
UPDATE accounts SET refresh_node = %(node)s, refresh_until = now() + %(claim)s * interval '1 second'
WHERE id = %(account)s AND token_generation = %(generation)s AND (refresh_until IS NULL OR refresh_until <= now())
  AND credential_status = 'valid' AND (refresh_after IS NULL OR refresh_after <= now())
RETURNING gitlab_url, refresh_token

-- name: account_token
SELECT token_generation, access_token, extract(epoch FROM token_expires_at)::float8,
       extract(epoch FROM token_expires_at - now())::float8, refresh_until > now(), credential_status, credential_error,
       refresh_failures, extract(epoch FROM refresh_after - now())::float8,
       CASE WHEN credential_error IS NULL THEN extract(epoch FROM now() - credential_checked_at)::float8 END
FROM accounts WHERE id = %(account)s

-- name: store_refreshed
-- Not bound to the claim on the refresh: a pair that GitLab gave out late is still the only one that works.
UPDATE accounts SET access_token = %(access)s, refresh_token = coalesce(%(refresh)s, refresh_token),
  token_expires_at = CASE WHEN %(lifetime)s IS NULL THEN NULL ELSE now() + %(lifetime)s * interval '1 second' END,
  token_generation = least(token_generation + 1, 1000000000), credential_status = 'valid', credential_error = NULL,
  credential_checked_at = now(), refresh_failures = 0, refresh_after = NULL, refresh_node = NULL, refresh_until = NULL,
  updated_at = now()
WHERE id = %(account)s AND token_generation = %(generation)s
RETURNING extract(epoch FROM token_expires_at)::float8

-- name: refuse_refresh
-- GitLab has said for good that there is no new token.
UPDATE accounts SET credential_status = 'expired', credential_error = %(error)s, credential_checked_at = now(),
  refresh_node = NULL, refresh_until = NULL, updated_at = now()
WHERE id = %(account)s AND refresh_node = %(node)s AND token_generation = %(generation)s

-- name: put_off_refresh
-- There is no new token for now.
UPDATE accounts SET credential_error = %(error)s, credential_checked_at = now(),
  refresh_failures = least(refresh_failures + 1, 1000000000), refresh_after = now() + %(wait)s * interval '1 second',
  refresh_node = NULL, refresh_until = NULL, updated_at = now()
WHERE id = %(account)s AND refresh_node = %(node)s AND token_generation = %(generation)s

-- name: refuse_credential
UPDATE job_assignments SET credential_refused_at = now()
WHERE web_app_job_id = %(job)s AND crawler_job_id = %(assignment)s AND completed_at IS NULL

-- name: node_leaves
WITH gone AS (
  UPDATE socket_connections SET is_active = false, active_jobs = '{}', ended_at = now()
  WHERE node_id = %(node)s AND is_active
)
DELETE FROM nodes WHERE id = %(node)s

-- name: forget_dead_nodes
-- Connections of nodes that died without a word.
WITH dead AS (
  DELETE FROM nodes WHERE lease_expires_at <= now() - interval '1 hour'
)
UPDATE socket_connections s SET is_active = false, active_jobs = '{}', ended_at = now()
WHERE s.is_active AND NOT EXISTS (SELECT FROM nodes n WHERE n.id = s.node_id AND n.lease_expires_at > now())

-- name: clean_inconsistent
-- Repairs what other programs left by changing jobs themselves: a live assignment whose job is not held would occupy its
-- crawler's room for ever, and a held job without a live assignment would never be given out again.
WITH ended AS (
  UPDATE job_assignments a SET completed_at = now(), status = 'cancelled', outcome = 'cancelled',
    reason = 'another program has changed the job'
  WHERE a.completed_at IS NULL
    AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = a.web_app_job_id AND j.status IN ('assigned', 'running'))
  RETURNING a.web_app_job_id
), queued AS (
  UPDATE jobs j SET status = 'queued', ready = j.scheduled_at <= now(), updated_at = now()
  WHERE j.status IN ('assigned', 'running')
    AND NOT EXISTS (SELECT FROM job_assignments a WHERE a.web_app_job_id = j.id AND a.completed_at IS NULL)
  RETURNING j.id
)
SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM queued)

-- name: age_ago
SELECT now() - %(age)s * interval '1 second'

-- name: old_roots
-- Of so many jobs in the order of their ids the last one's id, and the old finished ones that were not spawned. An index
-- of these alone would take longer for each job that is finished than this takes for each job in an hour.
WITH page AS (
  SELECT id::text, spawned_from IS NULL AND status IN ('completed', 'failed', 'cancelled') AND updated_at <= %(until)s AS due
  FROM jobs WHERE id > %(after)s ORDER BY id LIMIT %(limit)s
)
SELECT max(id), coalesce(array_agg(id) FILTER (WHERE due), '{}') FROM page

-- name: old_trees
-- The jobs of trees, one tree after the other, and whether each job is finished and old. Up to "most" of each tree and up
-- to "limit" in all: what is beyond is not read. Hence the LIMIT of a job's children, which has these looked up job by
-- job, and "key BETWEEN x AND x", which has that done in an index however many children most parents have.
SELECT root.number, t.id, t.finished
FROM unnest(%(roots)s::text[]) WITH ORDINALITY AS root (id, number) CROSS JOIN LATERAL (
  WITH RECURSIVE tree AS (
    SELECT j.id, j.status IN ('completed', 'failed', 'cancelled') AND j.updated_at <= %(until)s AS finished
    FROM jobs j WHERE j.id BETWEEN root.id AND root.id
    UNION ALL
    SELECT child.id, child.finished FROM tree p CROSS JOIN LATERAL (
      SELECT j.id, j.status IN ('completed', 'failed', 'cancelled') AND j.updated_at <= %(until)s AS finished
      FROM jobs j WHERE j.spawned_from BETWEEN p.id AND p.id LIMIT %(most)s) AS child
  )
  SELECT id, finished FROM tree LIMIT %(most)s) AS t
LIMIT %(limit)s

-- name: open_tree
-- The same of one tree, however large it is.
DECLARE tree NO SCROLL CURSOR FOR
WITH RECURSIVE tree AS (
  SELECT j.id, j.status IN ('completed', 'failed', 'cancelled') AND j.updated_at <= %(until)s AS finished
  FROM jobs j WHERE j.id BETWEEN %(root)s AND %(root)s
  UNION ALL
  SELECT child.id, child.finished FROM tree p CROSS JOIN LATERAL (
    SELECT j.id, j.status IN ('completed', 'failed', 'cancelled') AND j.updated_at <= %(until)s AS finished
    FROM jobs j WHERE j.spawned_from BETWEEN p.id AND p.id OFFSET 0) AS child
)
SELECT finished FROM tree

-- name: children
SELECT child.id FROM unnest(%(parents)s::text[]) AS p (id) CROSS JOIN LATERAL (
  SELECT j.id FROM jobs j WHERE j.spawned_from BETWEEN p.id AND p.id LIMIT %(limit)s) AS child
LIMIT %(limit)s

-- name: clean_jobs
-- Of these trees (or parts of one) those whose jobs are all finished and old still and nobody else has locked; nothing
-- unless all of "above" are finished and old, too. Assignments and tries go with their jobs, by a trigger.
WITH asked AS MATERIALIZED (
  SELECT * FROM unnest(%(job)s::text[], %(tree)s::integer[]) AS t (id, tree)
), locked AS MATERIALIZED (
  SELECT j.id, a.tree FROM asked a JOIN jobs j ON j.id = a.id
  WHERE j.status IN ('completed', 'failed', 'cancelled') AND j.updated_at <= %(until)s
  ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
), whole AS (
  SELECT a.tree FROM asked a LEFT JOIN locked l ON l.id = a.id GROUP BY a.tree HAVING count(l.id) = count(*)
), gone AS (
  DELETE FROM jobs j USING locked l JOIN whole w ON w.tree = l.tree
  WHERE j.id = l.id AND NOT EXISTS (
    SELECT FROM unnest(%(above)s::text[]) AS above (id) LEFT JOIN jobs p ON p.id = above.id
    WHERE (p.status IN ('completed', 'failed', 'cancelled') AND p.updated_at <= %(until)s) IS NOT TRUE)
  RETURNING j.id
)
SELECT count(*) FROM gone

-- name: clean_errors
WITH gone AS (
  DELETE FROM job_error_log WHERE id IN (
    SELECT id FROM job_error_log WHERE timestamp <= now() - %(age)s * interval '1 second' LIMIT %(limit)s)
  RETURNING id
)
SELECT count(*) FROM gone

-- name: clean_connections
WITH gone AS (
  DELETE FROM socket_connections WHERE id IN (
    SELECT id FROM socket_connections WHERE NOT is_active AND ended_at <= now() - interval '1 day' LIMIT %(limit)s)
  RETURNING id
)
SELECT count(*) FROM gone

-- name: clean_crawlers
WITH gone AS (
  DELETE FROM crawlers WHERE key IN (
    SELECT key FROM crawlers c WHERE lease_expires_at <= now() - interval '1 day'
      AND NOT EXISTS (SELECT FROM job_assignments a WHERE a.crawler_key = c.key AND a.completed_at IS NULL)
    LIMIT %(limit)s)
  RETURNING key
)
SELECT count(*) FROM gone

-- name: clean_keys
WITH gone AS (
  DELETE FROM idempotency_keys WHERE key IN (
    SELECT key FROM idempotency_keys WHERE created_at <= now() - interval '1 day' LIMIT %(limit)s)
  RETURNING key
)
SELECT count(*) FROM gone

-- name: count_jobs
SELECT status, count(*) FROM jobs GROUP BY status

-- name: count_accounts
SELECT credential_status, count(*) FROM accounts GROUP BY credential_status

-- name: queue_age
SELECT coalesce(extract(epoch FROM now() - min(scheduled_at)), 0)::float8 FROM jobs WHERE status = 'queued' AND ready

-- name: unroutable
-- Jobs whose entity type no connected crawler takes.
SELECT count(*) FROM jobs j JOIN unnest(%(command)s::text[], %(entity_type)s::text[]) AS m (command, entity_type)
  ON m.command = j.command
WHERE j.status = 'queued' AND j.ready AND NOT EXISTS (
  SELECT FROM crawlers c WHERE c.lease_expires_at > now() AND m.entity_type = ANY (c.entity_types))
