-- An area is identified by its GitLab and a path or numeric id there. Claims take the origin from the job's account,
-- which has that of all its live jobs; the URL itself stands in for one that has no origin. 300 characters are more than
-- a host name may have (RFC 1035: 255), and leave room for the path in an index.
ALTER TABLE accounts
  ADD COLUMN gitlab_origin text GENERATED ALWAYS AS (left(coalesce(copilot_origin(gitlab_url), gitlab_url), 300)) STORED;

ALTER TABLE area_authorizations DROP CONSTRAINT area_authorizations_full_path_fkey;
ALTER TABLE areas RENAME TO areas_by_path;
ALTER TABLE areas_by_path DROP CONSTRAINT areas_pkey, DROP CONSTRAINT areas_full_path_check,
  DROP CONSTRAINT areas_type_check, DROP CONSTRAINT areas_name_check;

-- Groups and projects are numbered apart. One without an id was only ever mentioned by its path.
CREATE TABLE areas (
  gitlab_origin text NOT NULL CHECK (octet_length(gitlab_origin) BETWEEN 1 AND 1200),
  full_path     text NOT NULL CHECK (octet_length(full_path) BETWEEN 1 AND 1024),
  gitlab_id     bigint,
  name          text NOT NULL CHECK (octet_length(name) <= 4096),
  type          text NOT NULL CHECK (type IN ('group', 'project')),
  created_at    bounded_timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (gitlab_origin, full_path),
  CONSTRAINT areas_gitlab_id_key UNIQUE (gitlab_origin, gitlab_id, type)
);

-- Each area becomes one of every GitLab whose accounts may see it, or of the only GitLab there is. Where there are
-- several, whose id it was is unknown; where one id has several paths, the area has moved and is at the newest.
WITH seen AS (
  SELECT DISTINCT z.full_path, t.gitlab_origin FROM area_authorizations z JOIN accounts t ON t.id = z.account_id
  UNION
  SELECT b.full_path, o.gitlab_origin FROM areas_by_path b, (SELECT min(gitlab_origin) AS gitlab_origin FROM accounts
    HAVING count(DISTINCT gitlab_origin) = 1) AS o
), known AS (
  SELECT s.gitlab_origin, b.full_path, b.name, b.type, b.created_at,
         CASE WHEN count(*) OVER (PARTITION BY b.full_path) = 1 THEN b.gitlab_id END AS gitlab_id
  FROM areas_by_path b JOIN seen s ON s.full_path = b.full_path
), newest AS (
  SELECT *, row_number() OVER (PARTITION BY gitlab_origin, gitlab_id, type ORDER BY created_at DESC, full_path) AS nth
  FROM known
)
INSERT INTO areas (gitlab_origin, full_path, gitlab_id, name, type, created_at)
SELECT gitlab_origin, full_path, CASE nth WHEN 1 THEN gitlab_id END, name, type, created_at FROM newest;

ALTER TABLE area_authorizations ADD COLUMN gitlab_origin text;
UPDATE area_authorizations z SET gitlab_origin = t.gitlab_origin FROM accounts t WHERE t.id = z.account_id;
DROP INDEX idx_area_authorizations_path;
ALTER TABLE area_authorizations
  ALTER gitlab_origin SET NOT NULL,
  DROP CONSTRAINT area_authorizations_pkey,
  ADD PRIMARY KEY (account_id, gitlab_origin, full_path),
  ADD FOREIGN KEY (gitlab_origin, full_path) REFERENCES areas ON DELETE CASCADE;
CREATE INDEX idx_area_authorizations_area ON area_authorizations (gitlab_origin, full_path);

DO $$
DECLARE
  dropped bigint;
BEGIN
  SELECT count(*) INTO dropped FROM areas_by_path b WHERE NOT EXISTS (SELECT FROM areas a WHERE a.full_path = b.full_path);
  IF dropped > 0 THEN
    RAISE NOTICE 'areas: % row(s) deleted, whose GitLab is unknown; the next discovery records them again', dropped;
  END IF;
END
$$;
DROP TABLE areas_by_path;
