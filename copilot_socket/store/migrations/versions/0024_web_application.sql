-- Indexes for areas by path and by the time when they were found, and for the last discovery of each account. The latter
-- has no entry for other jobs, so that these cost no more than before. The former have no column by which claims look areas
-- up: while the table is small, the planner might take them for that.

CREATE INDEX idx_areas_path ON areas (full_path COLLATE "C");
CREATE INDEX idx_areas_created ON areas (created_at);
CREATE INDEX idx_jobs_discovery ON jobs (account_id, status, finished_at) WHERE command = 'GROUP_PROJECT_DISCOVERY';
