-- Answers of services that had a credential in them.
CREATE TABLE echo (
  credential_id TEXT NOT NULL, service TEXT NOT NULL, generation INTEGER NOT NULL, times INTEGER NOT NULL,
  last_at INTEGER NOT NULL, PRIMARY KEY (credential_id, service)) STRICT;
