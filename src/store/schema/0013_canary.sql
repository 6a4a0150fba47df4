-- Credentials that nothing should use, and what used them all the same.
CREATE TABLE canary (
  credential_id TEXT PRIMARY KEY, org_id TEXT NOT NULL, created_at INTEGER NOT NULL, created_by TEXT NOT NULL,
  revision INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
CREATE INDEX canary_org ON canary (org_id, credential_id);
CREATE TABLE canary_alert (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, credential_id TEXT NOT NULL, user_id TEXT NOT NULL, door TEXT NOT NULL,
  client TEXT NOT NULL, consumer TEXT NOT NULL, how TEXT NOT NULL, place TEXT NOT NULL, first_at INTEGER NOT NULL,
  last_at INTEGER NOT NULL, times INTEGER NOT NULL, acknowledged_at INTEGER, acknowledged_by TEXT,
  revision INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
CREATE INDEX canary_alert_open ON canary_alert (org_id, credential_id) WHERE acknowledged_at IS NULL;
