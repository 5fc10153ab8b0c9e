-- Reason: how much of one group or channel is in line is asked with every wish; few jobs are open at a time.

CREATE INDEX jobs_open_in_chat ON jobs (platform, chat_id, id) WHERE status IN ('queued', 'running');
