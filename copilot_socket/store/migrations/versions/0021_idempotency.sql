-- Keys of all requests. "request" is a random id of the one that took the key; a status of NULL: not answered, as far as is
-- known; an answer of NULL beside a status: not kept. "headers" are those of the answer that say something about it, as Location.
ALTER TABLE idempotency_keys
  DROP CONSTRAINT idempotency_keys_answer_check,
  ADD COLUMN request text NOT NULL DEFAULT '',
  ADD COLUMN headers jsonb_mapping NOT NULL DEFAULT '{}',
  ALTER status DROP NOT NULL,
  ALTER answer DROP NOT NULL,
  ALTER answer TYPE text USING answer::text;
-- So far keys were those of submissions, and their fingerprints others, of the jobs alone: they are not compared any more,
-- for the day that these rows live. Whether a single job was an object or a list is not known: both find what they need.
DELETE FROM idempotency_keys WHERE status NOT IN (200, 201) OR answer = '{}' OR octet_length(answer) > 4000000;
UPDATE idempotency_keys SET fingerprint = 'POST /api/v1/jobs',
  answer = CASE WHEN jsonb_array_length(answer::jsonb -> 'ids') = 1
           THEN jsonb_build_object('id', answer::jsonb -> 'ids' -> 0) || answer::jsonb ELSE answer::jsonb END::text;
ALTER TABLE idempotency_keys
  ADD CONSTRAINT idempotency_keys_status_check CHECK (status BETWEEN 200 AND 208),
  ADD CONSTRAINT idempotency_keys_answer_check CHECK (
    answer IS NULL OR (status IS NOT NULL AND octet_length(answer) <= 4194304));
