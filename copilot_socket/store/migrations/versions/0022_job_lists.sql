-- Indexes for lists of jobs in the order of creation, by state, account or user; and by path, and by time.
--
-- Ids are in the collation "C", and paths with a predicate that "full_path = x" does not imply: so that none of these indexes
-- can serve the hot statements, whose plans are made once, perhaps on empty tables, where all indexes are equally good.

DROP INDEX idx_jobs_account_status;
CREATE INDEX idx_jobs_account_status ON jobs (account_id, status, id COLLATE "C");
CREATE INDEX idx_jobs_status ON jobs (status, id COLLATE "C");
CREATE INDEX idx_jobs_user_status ON jobs (user_id, status, id COLLATE "C") WHERE user_id IS NOT NULL;
CREATE INDEX idx_jobs_path ON jobs (full_path COLLATE "C", id COLLATE "C") WHERE coalesce(full_path, '') <> '';
CREATE INDEX idx_jobs_created ON jobs (created_at, id COLLATE "C");
CREATE INDEX idx_jobs_finished ON jobs (finished_at, id COLLATE "C") WHERE finished_at IS NOT NULL;
