-- The hot path: a turn stores what crawlers report and, in the same transaction, claims their next jobs.
-- It is one statement, put together of these parts; one with nothing to do is left out, for it would take its time all
-- the same.
--
-- Its plan is made once, perhaps while the tables are empty or believed to be. Hence "key BETWEEN x AND x" where
-- "key = x" is meant: that can be looked up in an index, and nothing else. By equality, a plan may walk the whole index
-- for each batch and look for its rows in what the batch has, which was the cheapest way when it was made. And
-- date_part() counts in floats; EXTRACT is several times slower.

-- name: turn_reports
-- One row an assignment. Fenced by the assignment's id; a report that arrives at another node, or from a crawler that
-- took the assignment over from one that is gone, moves it to the reporting crawler.
input AS (
  SELECT job_id, assignment, crawler, started, completed, progress::jsonb, resume_state::jsonb
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
    AND coalesce(a.completed_at, 'infinity') = 'infinity'  -- IS NULL, but by the primary key: not all that is held
    -- A completion that follows a refused discovery is a failure, which the transitions store.
    AND NOT (i.completed AND coalesce(a.metadata #>> '{refused_discovery,assignment}', '') = a.crawler_job_id)
    AND (a.crawler_key = i.crawler
         OR coalesce((SELECT c.lease_expires_at FROM crawlers c WHERE c.key = a.crawler_key), '-infinity') <= now())
  RETURNING a.web_app_job_id AS job_id, a.crawler_job_id, a.crawler_key, a.account_id, a.started_at,
            i.started, i.completed, i.progress, i.resume_state
), job AS (
  UPDATE jobs j SET
    status = CASE WHEN h.completed THEN 'completed' WHEN h.started THEN 'running' ELSE j.status END,
    started_at = CASE WHEN h.started AND j.status = 'assigned' THEN now() ELSE j.started_at END,
    finished_at = CASE WHEN h.completed THEN now() END,
    updated_at = now(),
    -- A value that stays has its column's domain, and is not judged again.
    progress = CASE WHEN h.progress IS NULL THEN j.progress ELSE (j.progress || h.progress)::jsonb_mapping END,
    resume_state = CASE WHEN h.resume_state IS NULL THEN j.resume_state ELSE h.resume_state::resume_state END
  FROM held h WHERE j.id BETWEEN h.job_id AND h.job_id
)

-- name: turn_no_reports
-- In the place of turn_reports, where there are none.
held AS (SELECT NULL::text AS crawler_key, false AS completed WHERE false)

-- name: turn_room
-- How many more jobs each crawler may be given, counted where every node's claims are seen, and with what these reports
-- end. A crawler is served by the node where it asked last: the lock makes sure that no other node does so meanwhile. It
-- is waited for by nobody: a crawler that is locked has no room (NULL) for a moment. Nor has one that is taken over: this
-- statement may not see what the other node has claimed last; the next one does.
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

-- name: turn_claims
-- The plan (core/scheduling.py) says from which accounts jobs are taken, an allotment each, and for which crawlers. Of an
-- account's lanes the best jobs are taken: discoveries, then by priority, then by age. More are looked at than are wanted
-- ("depth" times as many), since others lock some of them, which are passed over.
wanted AS MATERIALIZED (
  SELECT s.allotment, array_agg(s.crawler ORDER BY s.ord) AS crawlers, count(*) AS jobs
  FROM (SELECT allotment, crawler, ord, row_number() OVER (PARTITION BY crawler ORDER BY ord) AS nth
        FROM unnest(%(slot_allotment)s::integer[], %(slot_crawler)s::integer[])
               WITH ORDINALITY AS u (allotment, crawler, ord)) AS s
  WHERE s.nth <= (SELECT r.left FROM room r)[s.crawler]
  GROUP BY s.allotment
), candidates AS MATERIALIZED (
  SELECT w.allotment, w.crawlers, w.jobs, best.places
  FROM wanted w CROSS JOIN LATERAL (SELECT array_agg(place) AS places FROM (
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
      -- coalesce keeps the planner from walking an index of all that is queued to find a handful of places.
      SELECT j.ctid AS place, j.account_id, j.full_path, j.command <> 'GROUP_PROJECT_DISCOVERY' AS later, j.priority, j.id
      FROM jobs j
      WHERE j.ctid = ANY (c.places) AND coalesce(j.status, '') = 'queued' AND coalesce(j.ready, false)
      ORDER BY later, j.priority DESC, j.id LIMIT c.jobs FOR UPDATE SKIP LOCKED) AS l) AS p
    JOIN accounts t ON t.id BETWEEN p.account_id AND p.account_id
    LEFT JOIN LATERAL (SELECT gitlab_id, type FROM areas
      WHERE gitlab_origin = t.gitlab_origin AND full_path = p.full_path LIMIT 1) AS r ON true
  WHERE j.ctid = p.place
  -- One random part does for all: the job's id and the attempt tell them apart, and no attempt is claimed twice.
  RETURNING j.id, j.id || '.' || j.tries || '.' || (SELECT substr(gen_random_uuid()::text, 25)) AS assignment,
            (%(key)s::text[])[p.crawlers[p.nth]] AS key, p.allotment, j.tries, j.account_id, j.user_id, j.scheduled_at,
            coalesce(r.gitlab_id::text, j.full_path, j.account_id) AS entity_id, j.gitlab_url, j.resume_state,
            j.command, j.full_path, r.type AS area_type, j.branch, t.token_generation, t.access_token,
            t.token_expires_at, t.credential_status, t.weight
), superseded AS (
  INSERT INTO job_past_tries (job_id, try, crawler_job_id, crawler_key, assigned_at, started_at, ended_at, outcome, reason)
  SELECT a.web_app_job_id, a.try, a.crawler_job_id, a.crawler_key, a.assigned_at, a.started_at, a.completed_at,
         a.outcome, a.reason
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
    completed_at = NULL, outcome = NULL, reason = NULL, started_at = NULL, reported_at = NULL, confirm_by = NULL,
    credential_refused_at = NULL
)

-- name: turn_stored
-- What was stored, whether it began with it, and the account.
SELECT crawler_job_id, started AND started_at = now() AS began, account_id FROM held

-- name: turn_stored_beside
-- The same, as wide as what was claimed.
SELECT NULL::integer, crawler_job_id, started AND started_at = now() AS began, account_id, NULL::text, NULL::text,
       NULL::jsonb, NULL::text, NULL::text, NULL::text, NULL::text, NULL::integer, NULL::text, NULL::float8, NULL::text,
       NULL::float8, NULL::integer, NULL::bigint, NULL::integer
FROM held

-- name: turn_claimed
-- What was claimed, by allotments: how many jobs each was for, and how many were looked at. One row at least for an
-- allotment of which some crawler had room; and as allotment 0 a row for each crawler that had none, or is not to be had
-- (NULL jobs): its row is locked, or it asked last at another node ("began" false), from which it may be taken over now.
SELECT w.allotment, c.assignment, NULL::boolean, c.key, c.entity_id, c.gitlab_url, c.resume_state, c.command, c.full_path,
       c.area_type, c.branch, c.tries, c.access_token, date_part('epoch', c.token_expires_at - now()),
       c.credential_status, date_part('epoch', now() - c.scheduled_at), c.weight, w.jobs,
       coalesce(cardinality(w.places), 0)
FROM candidates w LEFT JOIN claimed c ON c.allotment = w.allotment
UNION ALL
SELECT 0, NULL, (SELECT r.ours FROM room r)[i.ord], i.key, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       NULL, NULL, NULL, (SELECT r.left FROM room r)[i.ord], NULL
FROM unnest(%(key)s::text[]) WITH ORDINALITY AS i (key, ord) WHERE coalesce((SELECT r.left FROM room r)[i.ord], 0) <= 0

-- name: explain_refusals
-- Why reports found no live assignment of theirs: the assignment as it stands, how the attempt ended if it has, the error of
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
