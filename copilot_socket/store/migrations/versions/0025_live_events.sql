-- Live events of all nodes: docs/adr/0027-live-events.md.

-- What one transaction has changed is one row, written by that transaction: "changes" is a JSON array of what
-- core/live_events.py reads. Rows are neither changed nor deleted: they stand in a ring of partitions, two minutes each,
-- which are emptied before their turn comes again. A crash of the server empties them, too.
CREATE SEQUENCE event_seq;
CREATE TABLE events (
  slot    smallint NOT NULL DEFAULT date_part('epoch', clock_timestamp())::bigint / 120 % 8,
  xid     xid8 NOT NULL DEFAULT pg_current_xact_id(),
  seq     bigint NOT NULL DEFAULT nextval('event_seq'),
  at      bounded_timestamptz NOT NULL DEFAULT now(),
  changes text NOT NULL
) PARTITION BY LIST (slot);
CREATE INDEX ON events (xid, seq);
ALTER TABLE events ALTER changes SET STORAGE EXTERNAL;  -- compressing them would take longer than all the rest
-- Their numbers, given after the commit: a round has those that became visible since the one before it, in rows of up to
-- 500. "slots", "xids" and "seqs" say where they are.
CREATE TABLE event_numbers (
  slot     smallint NOT NULL DEFAULT date_part('epoch', now())::bigint / 120 % 8,
  round    bigint NOT NULL,
  first    bigint NOT NULL,
  last     bigint NOT NULL,
  snapshot pg_snapshot NOT NULL,
  slots    smallint[] NOT NULL,
  xids     xid8[] NOT NULL,
  seqs     bigint[] NOT NULL
) PARTITION BY LIST (slot);
CREATE INDEX ON event_numbers (last, round);
DO $$
BEGIN
  FOR slot IN 0..7 LOOP
    EXECUTE format('CREATE UNLOGGED TABLE events_%s PARTITION OF events FOR VALUES IN (%s)'
                   ' WITH (autovacuum_enabled = off, toast_tuple_target = 8160)', slot, slot);
    EXECUTE format('CREATE UNLOGGED TABLE event_numbers_%s PARTITION OF event_numbers FOR VALUES IN (%s)'
                   ' WITH (autovacuum_enabled = off)', slot, slot);
  END LOOP;
END
$$;

-- Empties a slot of the ring of "events"; TRUNCATE needs the rights of the owner. Waits for no transaction for long.
CREATE FUNCTION copilot_forget_events(events regclass, slot integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
DECLARE
  schema CONSTANT regnamespace := (SELECT relnamespace FROM pg_class
    WHERE oid = events AND relname = 'events' AND pg_get_userbyid(relowner) = current_user);
BEGIN
  EXECUTE format('TRUNCATE %1$s.events_%2$s, %1$s.event_numbers_%2$s', schema, slot);
END
$$;
REVOKE EXECUTE ON FUNCTION copilot_forget_events FROM PUBLIC;

-- Whoever inserts jobs need not have rights on events. A row has up to 500 jobs; more than 10,000 are not told one by one.
CREATE FUNCTION copilot_tell_new_jobs() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  path text;
BEGIN
  -- It runs with its owner's rights, so for no table of anybody else.
  IF (SELECT pg_get_userbyid(relowner) <> current_user FROM pg_class WHERE oid = TG_RELID) THEN
    RETURN NULL;
  END IF;
  path := set_config('search_path', quote_ident(TG_TABLE_SCHEMA) || ', pg_temp', true);
  IF (SELECT count(*) FROM new_jobs) > 10000 THEN
    INSERT INTO events (changes) VALUES ('[["lost"]]');
  ELSE
    INSERT INTO events (changes)
    SELECT json_agg(json_build_array('created', id, status, account_id, user_id, command, full_path) ORDER BY id)::text
    FROM (SELECT *, row_number() OVER (ORDER BY id) AS nth FROM new_jobs) AS n
    GROUP BY (nth - 1) / 500 ORDER BY (nth - 1) / 500;
  END IF;
  RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION copilot_tell_new_jobs FROM PUBLIC;
CREATE FUNCTION copilot_tell_deleted_jobs() RETURNS trigger LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  path CONSTANT text := set_config('search_path', quote_ident(TG_TABLE_SCHEMA) || ', pg_temp', true);
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    INSERT INTO events (changes) VALUES ('[["lost"]]');
  ELSIF (SELECT count(*) FROM old_jobs) > 10000 THEN
    INSERT INTO events (changes) VALUES ('[["lost"]]');
  ELSE
    INSERT INTO events (changes)
    SELECT json_agg(json_build_array('deleted', id, account_id, user_id) ORDER BY id)::text
    FROM (SELECT *, row_number() OVER (ORDER BY id) AS nth FROM old_jobs) AS o
    GROUP BY (nth - 1) / 500 ORDER BY (nth - 1) / 500;
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER jobs_tell_new AFTER INSERT ON jobs REFERENCING NEW TABLE AS new_jobs
  FOR EACH STATEMENT EXECUTE FUNCTION copilot_tell_new_jobs();
CREATE TRIGGER jobs_tell_deleted AFTER DELETE ON jobs REFERENCING OLD TABLE AS old_jobs
  FOR EACH STATEMENT EXECUTE FUNCTION copilot_tell_deleted_jobs();
CREATE TRIGGER jobs_tell_truncated AFTER TRUNCATE ON jobs
  FOR EACH STATEMENT EXECUTE FUNCTION copilot_tell_deleted_jobs();
ALTER TABLE jobs
  ENABLE ALWAYS TRIGGER jobs_tell_new,
  ENABLE ALWAYS TRIGGER jobs_tell_deleted,
  ENABLE ALWAYS TRIGGER jobs_tell_truncated;
