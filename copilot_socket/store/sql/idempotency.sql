-- Idempotency-Keys: which requests were carried out, and what they were answered. docs/adr/0023-keys-and-preconditions.md

-- name: take_key
-- In the transaction of a change: the key is this request's, if it was nobody's. Waits for another transaction that takes
-- it. No row: another request has it.
INSERT INTO idempotency_keys AS k (key, fingerprint, request) VALUES (%(key)s, %(fingerprint)s, %(request)s)
ON CONFLICT (key) DO UPDATE SET request = excluded.request WHERE k.request = excluded.request
RETURNING key

-- name: answer_key
-- The answer to the request, also where it has changed nothing and so not taken its key. No row: another request has it.
INSERT INTO idempotency_keys AS k (key, fingerprint, request, status, answer, headers)
VALUES (%(key)s, %(fingerprint)s, %(request)s, %(status)s, %(answer)s, %(headers)s::jsonb)
ON CONFLICT (key) DO UPDATE SET status = excluded.status, answer = excluded.answer, headers = excluded.headers
WHERE k.request = excluded.request
RETURNING key

-- name: find_key
-- Who has the key. Rows of before 0021 have the request line in place of the fingerprint, and unless their token was limited
-- belong to all tokens that are not: "former" is the key's name of then.
SELECT request, fingerprint, extract(epoch FROM now() - created_at)::float8, status, answer, headers
FROM idempotency_keys
WHERE key = %(key)s OR (key = %(former)s AND fingerprint = %(line)s)
ORDER BY key = %(key)s DESC LIMIT 1
