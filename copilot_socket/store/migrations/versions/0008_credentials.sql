-- The scheme, host and port of a URL, written in one way; NULL for what is no http or https URL with a host, or has a
-- user name, a query, a fragment or a backslash. The same as origin() in core/origins.py. The body is bound to what it
-- calls when it is made, whatever the search_path is later.
CREATE FUNCTION copilot_origin(url text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
  SELECT lower((part[1] || '://' || part[2]) COLLATE "C")
         || CASE WHEN part[3]::integer <> CASE part[1] WHEN 'http' THEN 80 ELSE 443 END
              THEN ':' || part[3]::integer ELSE '' END
  FROM regexp_match(
    url, '^(https?)://([A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(?:/[!"$->@-\[\]-~]*)?$') AS part
  WHERE coalesce(part[3]::integer, 1) BETWEEN 1 AND 65535
);

ALTER TABLE accounts
  -- Why the last refresh brought no token, and when that was; no reason after one that did, neither for a new credential.
  ADD COLUMN credential_error text CHECK (octet_length(credential_error) <= 1024),
  ADD COLUMN credential_checked_at bounded_timestamptz,
  -- How many refreshes in a row have failed, and when GitLab may be asked again.
  ADD COLUMN refresh_failures natural_number NOT NULL DEFAULT 0,
  ADD COLUMN refresh_after bounded_timestamptz;

-- What this server is to the GitLab at an origin; GITLAB_CLIENT_ID says it for that of GITLAB_URL. client_secret is
-- encrypted like the tokens of accounts.
CREATE TABLE oauth_clients (
  origin        text PRIMARY KEY CHECK (coalesce(copilot_origin(origin) = origin, false)),
  client_id     text NOT NULL CHECK (octet_length(client_id) BETWEEN 1 AND 1024),
  client_secret stored_token,
  redirect_uri  text CHECK (octet_length(redirect_uri) BETWEEN 1 AND 2048),
  created_at    bounded_timestamptz NOT NULL DEFAULT now(),
  updated_at    bounded_timestamptz NOT NULL DEFAULT now()
);

DO $$
DECLARE
  changed bigint;
BEGIN
  -- A job's own URL was taken as it came, and stayed when its account moved. The work is still wanted, of the GitLab
  -- that the account's token is for.
  UPDATE jobs j SET gitlab_url = a.gitlab_url FROM accounts a
    WHERE a.id = j.account_id AND j.status NOT IN ('completed', 'failed', 'cancelled') AND j.gitlab_url <> a.gitlab_url
      AND (copilot_origin(j.gitlab_url) = copilot_origin(a.gitlab_url)) IS NOT TRUE;
  GET DIAGNOSTICS changed = ROW_COUNT;
  IF changed > 0 THEN
    RAISE NOTICE 'gitlab_url of % live jobs named another origin than that of their accounts and is now the accounts''',
      changed;
  END IF;
END
$$;

-- A job's crawler is given its account's token, and takes it to the job's gitlab_url.
--
-- What is looked at for each row stands in WHEN and in functions with a body of standard SQL: both are bound to the tables
-- when they are made, wherever these are later, whatever the caller's search_path is, and whichever temporary tables
-- there are; and a function that is called for nothing costs nothing.

-- By the right of the tables' owner, like the check of a foreign key: whoever may insert jobs need not be allowed to
-- lock accounts. Locked as the foreign key locks it in a moment, so that the account doesn't move meanwhile.
CREATE FUNCTION copilot_foreign_origin(account text, url text) RETURNS boolean LANGUAGE sql VOLATILE SECURITY DEFINER
BEGIN ATOMIC
  SELECT a.gitlab_url <> url AND (copilot_origin(a.gitlab_url) = copilot_origin(url)) IS NOT TRUE
  FROM accounts a WHERE a.id = account FOR KEY SHARE;
END;

CREATE FUNCTION copilot_refuse_foreign_job() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  own_origin text;
  other_origin text;
BEGIN
  EXECUTE format('SELECT %1$I.copilot_origin(gitlab_url), %1$I.copilot_origin($1) FROM %1$I.accounts WHERE id = $2',
                 TG_TABLE_SCHEMA)
    INTO own_origin, other_origin USING NEW.gitlab_url, NEW.account_id;
  RAISE check_violation USING
    MESSAGE = format('gitlab_url of a job must have the origin of its account''s, %s, not %s',
                     coalesce(own_origin, 'which has none'), coalesce(other_origin, 'none')),
    HINT = 'Leave gitlab_url out to take that of the account.',
    TABLE = 'jobs', COLUMN = 'gitlab_url', CONSTRAINT = 'jobs_origin';
END
$$;

-- After jobs_complete_new: triggers run in the order of their names. What has ended may be of any GitLab.
CREATE TRIGGER jobs_origin BEFORE INSERT ON jobs FOR EACH ROW
  WHEN (NEW.status NOT IN ('completed', 'failed', 'cancelled')
        AND copilot_foreign_origin(NEW.account_id, NEW.gitlab_url))
  EXECUTE FUNCTION copilot_refuse_foreign_job();
-- Not BEFORE: that would lock each row of each update once more.
CREATE TRIGGER jobs_origin_kept AFTER UPDATE OF account_id, gitlab_url ON jobs FOR EACH ROW
  WHEN (NEW.status NOT IN ('completed', 'failed', 'cancelled')
        AND copilot_foreign_origin(NEW.account_id, NEW.gitlab_url))
  EXECUTE FUNCTION copilot_refuse_foreign_job();

CREATE FUNCTION copilot_refuse_account_url() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE check_violation USING
    MESSAGE = 'gitlab_url of an account must be an http or https URL with a host, without user name, query or fragment',
    TABLE = 'accounts', COLUMN = 'gitlab_url', CONSTRAINT = 'accounts_origin';
END
$$;

CREATE TRIGGER accounts_origin BEFORE INSERT OR UPDATE OF gitlab_url ON accounts FOR EACH ROW
  WHEN (copilot_origin(NEW.gitlab_url) IS NULL) EXECUTE FUNCTION copilot_refuse_account_url();

CREATE FUNCTION copilot_refuse_move() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  live boolean;
BEGIN
  -- Whoever inserts a job of this account is waited for, or waits and then sees the new URL.
  EXECUTE format('SELECT FROM %I.accounts WHERE id = $1 FOR UPDATE', TG_TABLE_SCHEMA) USING OLD.id;
  EXECUTE format('SELECT EXISTS (SELECT FROM %I.jobs WHERE account_id = $1
                                 AND status NOT IN (''completed'', ''failed'', ''cancelled''))', TG_TABLE_SCHEMA)
    INTO live USING OLD.id;
  IF live THEN
    RAISE object_in_use USING
      MESSAGE = format('account %L has live jobs and can''t move to another origin', OLD.id),
      HINT = 'Cancel its jobs, or wait for their end.',
      TABLE = 'accounts', COLUMN = 'gitlab_url', CONSTRAINT = 'accounts_moved';
  END IF;
  RETURN NEW;
END
$$;

CREATE TRIGGER accounts_moved BEFORE UPDATE OF gitlab_url ON accounts FOR EACH ROW
  WHEN (copilot_origin(NEW.gitlab_url) IS DISTINCT FROM copilot_origin(OLD.gitlab_url))
  EXECUTE FUNCTION copilot_refuse_move();
