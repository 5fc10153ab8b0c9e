-- Reason: somebody with thousands of jobs is asked what they have open.

CREATE INDEX jobs_open_of_account ON jobs (account, id) WHERE status IN ('queued', 'running');
