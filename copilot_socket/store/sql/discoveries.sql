-- Discovered areas and jobs, one slice in each transaction.

-- name: moved_areas
-- Clears the numeric ids of a slice where they are stored with other paths: those areas have moved. The old paths
-- stay, since jobs may be in progress for them, which GitLab redirects.
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
-- Stores the areas of a slice, and that the job's account may see them. The numeric id of an area is kept when a
-- later mention has none. Unchanged rows are not written, since even ON CONFLICT locks them.
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
-- Inserts the jobs of a slice, except those that this parent has spawned before, in whatever state they are, and
-- those with a live twin. Scalar subqueries are index look-ups whatever the statistics; they use the expressions of
-- the indexes, which IS NOT DISTINCT FROM does not match.
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
