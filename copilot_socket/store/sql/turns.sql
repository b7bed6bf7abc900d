-- The hot path: a turn stores reports and, in the same transaction, claims the next jobs. It is one statement,
-- composed of these parts; a part without work is left out, since it would take time all the same.
--
-- Its plan is made once, perhaps while the tables are empty or their statistics say so. Hence "key BETWEEN x AND x"
-- in the place of "key = x": the planner can only look that up in an index. With equality it may choose to scan the
-- whole index for each batch and join that to the batch, which was cheapest when the plan was made. date_part()
-- computes in floats; EXTRACT is several times slower.

-- name: turn_reports
-- One row for each assignment. The assignment's id fences attempts that have ended. A report by another crawler than
-- the holder makes that crawler the holder, provided that the lease of the former one has expired.
input AS (
  SELECT job_id, assignment, crawler, started, completed, progress::jsonb, resume_state::jsonb,
         CASE WHEN octet_length(progress) <= 16384 THEN progress END AS told
  FROM unnest(%(job)s::text[], %(assignment)s::text[], %(crawler)s::text[], %(started)s::boolean[],
              %(completed)s::boolean[], %(progress)s::text[], %(resume)s::text[])
    AS t (job_id, assignment, crawler, started, completed, progress, resume_state)
), held AS (
  UPDATE job_assignments a SET
    status = CASE WHEN i.completed THEN 'completed' WHEN i.started THEN 'running' ELSE a.status END,
    outcome = CASE WHEN i.completed THEN 'completed' END,
    started_at = CASE WHEN i.started THEN coalesce(a.started_at, now()) ELSE a.started_at END,
    completed_at = CASE WHEN i.completed THEN now() END,
    reported_at = now(),
    confirm_by = NULL,
    crawler_key = i.crawler
  FROM input i
  WHERE a.web_app_job_id BETWEEN i.job_id AND i.job_id AND a.crawler_job_id = i.assignment
    AND coalesce(a.completed_at, 'infinity') = 'infinity'  -- IS NULL, by the primary key, not the index of live rows
    -- A completion that follows a refused discovery is a failure, which a transition stores.
    AND NOT (i.completed AND coalesce(a.metadata #>> '{refused_discovery,assignment}', '') = a.crawler_job_id)
    AND (a.crawler_key = i.crawler
         OR coalesce((SELECT c.lease_expires_at FROM crawlers c WHERE c.key = a.crawler_key), '-infinity') <= now())
  RETURNING a.web_app_job_id AS job_id, a.crawler_job_id, a.crawler_key, a.account_id, a.user_id, a.assigned_at, a.started_at,
            i.started, i.completed, i.progress, i.resume_state, i.told
), job AS (
  UPDATE jobs j SET
    status = CASE WHEN h.completed THEN 'completed' WHEN h.started THEN 'running' ELSE j.status END,
    started_at = CASE WHEN h.started AND j.status = 'assigned' THEN now() ELSE j.started_at END,
    finished_at = CASE WHEN h.completed THEN now() END,
    updated_at = now(),
    -- An unchanged value has the domain of its column, whose checks are not run again.
    progress = CASE WHEN h.progress IS NULL THEN j.progress ELSE (j.progress || h.progress)::jsonb_mapping END,
    resume_state = CASE WHEN h.resume_state IS NULL THEN j.resume_state ELSE h.resume_state::resume_state END,
    cause = CASE WHEN h.completed THEN NULL ELSE j.cause END,
    trouble = CASE WHEN h.completed THEN NULL ELSE j.trouble END,
    error = CASE WHEN h.completed THEN NULL ELSE j.error END
  FROM held h WHERE j.id BETWEEN h.job_id AND h.job_id
)

-- name: turn_told
-- The live events of this statement (core/live_events.py), as one row.
told AS (
  INSERT INTO events (changes)
  SELECT json_agg(change)::text FROM ({changes}) AS c HAVING count(*) > 0
)

-- name: turn_told_reports
-- The reports as live events (core/live_events.py). Large progress is not among them.
SELECT json_build_array('report', crawler_job_id, crawler_key, account_id, user_id, started AND started_at = now(), completed,
                        told) AS change
FROM held WHERE completed OR told IS NOT NULL OR (started AND started_at = now())

-- name: turn_told_claims
-- The claims as live events.
SELECT json_build_array('claim', assignment, key, account_id, user_id, command, full_path) AS change FROM claimed

-- name: turn_no_reports
-- In the place of turn_reports where there are no reports.
held AS (SELECT NULL::text AS crawler_key, NULL::text AS account_id, false AS completed WHERE false)

-- name: turn_room
-- The room of each crawler: how many more jobs it may hold, once these reports have ended some. A crawler is served
-- by the node that received its last job request; the lock excludes claims by other nodes. No statement waits for it:
-- a locked crawler has no room (NULL) in this statement. Nor has one that is taken over, since this statement's
-- snapshot may not include the other node's last claim; that of the next one does.
room AS MATERIALIZED (
  SELECT array_agg(CASE WHEN c.ours THEN c.jobs END ORDER BY i.ord) AS left, array_agg(c.ours ORDER BY i.ord) AS ours
  FROM unnest(%(key)s::text[], %(takes_over)s::boolean[]) WITH ORDINALITY AS i (key, takes_over, ord) LEFT JOIN LATERAL (
    SELECT c.node_id = %(node)s AS ours, c.max_jobs
           - (SELECT count(*) FROM job_assignments a WHERE a.crawler_key = i.key AND a.completed_at IS NULL)
           + (SELECT count(*) FROM held h WHERE h.crawler_key = i.key AND h.completed) AS jobs
    FROM crawlers c WHERE c.key BETWEEN i.key AND i.key AND (c.node_id = %(node)s OR i.takes_over)
    LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) AS c ON true
), taken_over AS (
  UPDATE crawlers c SET node_id = %(node)s
  FROM unnest(%(key)s::text[], %(takes_over)s::boolean[]) WITH ORDINALITY AS i (key, takes_over, ord)
  WHERE i.takes_over AND c.key BETWEEN i.key AND i.key AND c.node_id <> %(node)s
    AND NOT (SELECT r.ours FROM room r)[i.ord]
)

-- name: lock_caps
-- Before a claim with turn_capped, in its transaction: whoever claims under a limit or a budget waits for the others that
-- do, so that the claim, whose snapshot is taken after this, counts their jobs. Reports in the same statement must not wait
-- for long while it holds these locks: they are stored without a claim then.
SELECT count(pg_advisory_xact_lock(1668444265, lock)), set_config('lock_timeout', '100ms', true) FROM unnest(%(locks)s::integer[]) AS lock

-- name: turn_wanted
-- The plan (core/scheduling.py), whose allotments name an account and crawlers each, as far as the crawlers have room.
wanted AS MATERIALIZED (
  SELECT s.allotment, array_agg(s.crawler ORDER BY s.ord) AS crawlers, count(*) AS jobs, NULL::text AS kept_by
  FROM (SELECT allotment, crawler, ord, row_number() OVER (PARTITION BY crawler ORDER BY ord) AS nth
        FROM unnest(%(slot_allotment)s::integer[], %(slot_crawler)s::integer[])
               WITH ORDINALITY AS u (allotment, crawler, ord)) AS s
  WHERE s.nth <= (SELECT r.left FROM room r)[s.crawler]
  GROUP BY s.allotment
)

-- name: turn_uncapped
-- In the place of turn_capped where no account of the plan has a limit or a low budget.
granted AS (SELECT * FROM wanted)

-- name: turn_capped
-- As many of the wanted jobs as limits and budgets (running_caps) leave room for; "kept_by" says whose keep the others
-- back. These reports have ended some jobs. The accounts of a host share its room, in the order of the plan.
capped AS MATERIALIZED (
  SELECT w.allotment, w.crawlers, w.jobs, t.id, t.gitlab_origin AS origin,
         least(t.max_running, (SELECT min(b.jobs_allowed) FROM low_budgets b
                               WHERE b.account_id BETWEEN t.id AND t.id AND b.gitlab_origin = t.gitlab_origin)) AS own_cap
  FROM wanted w
  LEFT JOIN accounts t ON t.id BETWEEN (%(account)s::text[])[w.allotment] AND (%(account)s::text[])[w.allotment]
), own AS MATERIALIZED (
  SELECT c.allotment, c.crawlers, c.jobs, c.origin, CASE WHEN c.own_cap IS NULL THEN c.jobs ELSE greatest(0, least(c.jobs,
    c.own_cap - (SELECT count(*) FROM jobs j WHERE j.account_id = c.id AND j.status IN ('assigned', 'running'))
              + (SELECT count(*) FROM held h WHERE h.completed AND h.account_id = c.id))) END AS own
  FROM capped c
), shared AS MATERIALIZED (
  SELECT h.origin, h.cap - (SELECT count(*) FROM job_assignments a JOIN accounts t ON t.id BETWEEN a.account_id AND a.account_id
                            WHERE a.completed_at IS NULL AND t.gitlab_origin = h.origin)
                         + (SELECT count(*) FROM held e JOIN accounts t ON t.id BETWEEN e.account_id AND e.account_id
                            WHERE e.completed AND t.gitlab_origin = h.origin) AS room
  FROM (
    SELECT o.origin, least((SELECT h.max_running FROM hosts h WHERE h.origin BETWEEN o.origin AND o.origin),
                           (SELECT min(b.jobs_allowed) FROM low_budgets b
                            WHERE b.gitlab_origin = o.origin AND b.account_id = '')) AS cap
    FROM (SELECT DISTINCT origin FROM own) AS o OFFSET 0) AS h
  WHERE h.cap IS NOT NULL
), granted AS MATERIALIZED (
  SELECT g.allotment, g.crawlers[1:g.room] AS crawlers, g.room AS jobs,
         CASE WHEN g.room < g.own THEN 'host' WHEN g.own < g.jobs THEN 'account' END AS kept_by
  FROM (
    SELECT o.allotment, o.crawlers, o.jobs, o.own, greatest(0, least(o.own,
             s.room - sum(o.own) OVER (PARTITION BY o.origin ORDER BY o.allotment) + o.own))::bigint AS room
    FROM own o LEFT JOIN shared s ON s.origin = o.origin) AS g
)

-- name: turn_claims
-- Claims what is granted. Of the account's lanes the first jobs are claimed: discoveries, then by priority, then by
-- age. "depth" times as many candidates are read as jobs are wanted, since those that other transactions have locked
-- are skipped.
candidates AS MATERIALIZED (
  SELECT w.allotment, w.crawlers, w.jobs, w.kept_by, best.places
  FROM granted w CROSS JOIN LATERAL (SELECT array_agg(place) AS places FROM (
    SELECT j.place FROM unnest(string_to_array((%(commands)s::text[])[w.allotment], ',')) AS l (command)
      CROSS JOIN LATERAL (
        SELECT i.ctid AS place, i.command, i.priority, i.id FROM jobs i
        WHERE i.account_id = (%(account)s::text[])[w.allotment] AND i.command = l.command
          AND i.status = 'queued' AND i.ready
        ORDER BY i.priority DESC, i.id LIMIT (%(depth)s::integer[])[w.allotment] * w.jobs) AS j
    ORDER BY j.command <> 'GROUP_PROJECT_DISCOVERY', j.priority DESC, j.id
    LIMIT (%(depth)s::integer[])[w.allotment] * w.jobs) AS j) AS best
), claimed AS (
  UPDATE jobs j SET status = 'assigned', updated_at = now(), tries = least(j.tries + 1, 1000000000), finished_at = NULL
  FROM (
    SELECT c.allotment, c.crawlers, l.place, l.account_id, l.full_path,
           row_number() OVER (PARTITION BY c.allotment ORDER BY l.later, l.priority DESC, l.id) AS nth
    FROM candidates c CROSS JOIN LATERAL (
      -- coalesce() keeps the planner from scanning the index of all queued jobs for a few ctids.
      SELECT j.ctid AS place, j.account_id, j.full_path, j.command <> 'GROUP_PROJECT_DISCOVERY' AS later, j.priority, j.id
      FROM jobs j
      WHERE j.ctid = ANY (c.places) AND coalesce(j.status, '') = 'queued' AND coalesce(j.ready, false)
      ORDER BY later, j.priority DESC, j.id LIMIT c.jobs FOR UPDATE SKIP LOCKED) AS l) AS p
    JOIN accounts t ON t.id BETWEEN p.account_id AND p.account_id
    LEFT JOIN LATERAL (SELECT gitlab_id, type FROM areas
      WHERE gitlab_origin = t.gitlab_origin AND full_path = p.full_path LIMIT 1) AS r ON true
  WHERE j.ctid = p.place
  -- One random part serves all rows: job id and attempt are unique, and no attempt is claimed twice.
  RETURNING j.id, j.id || '.' || j.tries || '.' || (SELECT substr(gen_random_uuid()::text, 25)) AS assignment,
            (%(key)s::text[])[p.crawlers[p.nth]] AS key, p.allotment, j.tries, j.account_id, j.user_id, j.scheduled_at,
            coalesce(r.gitlab_id::text, j.full_path, j.account_id) AS entity_id, j.gitlab_url, j.resume_state,
            j.command, j.full_path, r.type AS area_type, j.branch, t.token_generation, t.access_token,
            t.token_expires_at, t.credential_status, t.weight
), superseded AS (
  INSERT INTO job_past_tries (job_id, try, crawler_job_id, crawler_key, assigned_at, started_at, ended_at, outcome, reason,
                              cause)
  SELECT a.web_app_job_id, a.try, a.crawler_job_id, a.crawler_key, a.assigned_at, a.started_at, a.completed_at,
         a.outcome, a.reason, a.cause
  FROM claimed c JOIN job_assignments a ON a.web_app_job_id BETWEEN c.id AND c.id
  WHERE c.tries > 1 AND a.outcome IS NOT NULL
  ON CONFLICT DO NOTHING
), assigned AS (
  INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, user_id, status, try, crawler_key,
                               token_generation)
  SELECT id, assignment, account_id, user_id, 'assigned', tries, key, token_generation FROM claimed ORDER BY id
  ON CONFLICT (web_app_job_id) DO UPDATE SET
    crawler_job_id = excluded.crawler_job_id, try = excluded.try, crawler_key = excluded.crawler_key,
    token_generation = excluded.token_generation, status = 'assigned', assigned_at = now(),
    completed_at = NULL, outcome = NULL, reason = NULL, cause = NULL, pause_requested_at = NULL, started_at = NULL, reported_at = NULL, confirm_by = NULL,
    credential_refused_at = NULL
)

-- name: turn_stored
-- The stored changes: assignment, whether the change began it, account, and the seconds since its claim.
SELECT crawler_job_id, started AND started_at = now() AS began, account_id, date_part('epoch', now() - assigned_at)
FROM held

-- name: turn_stored_beside
-- The rows of turn_stored with the columns of turn_claimed.
SELECT NULL::integer, crawler_job_id, started AND started_at = now() AS began, account_id, NULL::text, NULL::text,
       NULL::jsonb, NULL::text, NULL::text, NULL::text, NULL::text, NULL::integer, NULL::text,
       date_part('epoch', now() - assigned_at), NULL::text, NULL::float8, NULL::integer, NULL::text, NULL::bigint,
       NULL::integer
FROM held

-- name: turn_claimed
-- The claimed jobs by allotment, with whose limits keep more back, and the numbers of granted jobs and of candidates. At least one row for an allotment
-- with a crawler that had room. As allotment 0, a row for each crawler without room, or that is unavailable (NULL
-- jobs): its row is locked, or it was served by another node ("began" false), from which it may have been taken over
-- now.
SELECT w.allotment, c.assignment, NULL::boolean, c.key, c.entity_id, c.gitlab_url, c.resume_state, c.command, c.full_path,
       c.area_type, c.branch, c.tries, c.access_token, date_part('epoch', c.token_expires_at - now()),
       c.credential_status, date_part('epoch', now() - c.scheduled_at), c.weight,
       w.kept_by, w.jobs, coalesce(cardinality(w.places), 0)
FROM candidates w LEFT JOIN claimed c ON c.allotment = w.allotment
UNION ALL
SELECT 0, NULL, (SELECT r.ours FROM room r)[i.ord], i.key, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       NULL, NULL, NULL, NULL, (SELECT r.left FROM room r)[i.ord], NULL
FROM unnest(%(key)s::text[]) WITH ORDINALITY AS i (key, ord) WHERE coalesce((SELECT r.left FROM room r)[i.ord], 0) <= 0

-- name: explain_refusals
-- Why reports matched no live assignment: whether the assignment is live, the outcome of the attempt, the error of a
-- refused discovery that its crawler did not receive, whether the job exists, and the time. Does not use the view
-- job_tries, where no join can use an index of the second part.
SELECT i.assignment,
       a.crawler_job_id IS NOT NULL AND a.completed_at IS NULL AS live,
       coalesce(a.outcome, p.outcome),
       CASE WHEN a.metadata #>> '{refused_discovery,assignment}' = i.assignment
            THEN a.metadata #>> '{refused_discovery,error}' END,
       EXISTS (SELECT FROM jobs j WHERE j.id = i.job_id), extract(epoch FROM now())::float8
FROM unnest(%(job)s::text[], %(assignment)s::text[], %(try)s::integer[]) AS i (job_id, assignment, try)
LEFT JOIN job_assignments a ON a.web_app_job_id = i.job_id AND a.crawler_job_id = i.assignment
LEFT JOIN job_past_tries p ON p.job_id = i.job_id AND p.try = i.try AND p.crawler_job_id = i.assignment
