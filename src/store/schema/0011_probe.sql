-- Tests of credentials, ends that values and services tell of themselves, and notices.
CREATE TABLE probe (
  credential_id TEXT PRIMARY KEY, org_id TEXT NOT NULL, version INTEGER NOT NULL, verdict TEXT, message TEXT NOT NULL,
  account TEXT NOT NULL, scopes TEXT NOT NULL, checked_at INTEGER, failures INTEGER NOT NULL, recent TEXT NOT NULL,
  due_at INTEGER, revision INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
CREATE INDEX probe_due ON probe (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE ending (
  credential_id TEXT NOT NULL, number INTEGER NOT NULL, org_id TEXT NOT NULL, ends_at INTEGER NOT NULL,
  source TEXT NOT NULL, revision INTEGER NOT NULL, mac BLOB NOT NULL, PRIMARY KEY (credential_id, number)) STRICT;
CREATE INDEX ending_at ON ending (org_id, ends_at);
CREATE TABLE warning (
  credential_id TEXT NOT NULL, ends_at INTEGER NOT NULL, days INTEGER NOT NULL, org_id TEXT NOT NULL,
  at INTEGER NOT NULL, revision INTEGER NOT NULL, mac BLOB NOT NULL,
  PRIMARY KEY (credential_id, ends_at, days)) STRICT;
CREATE TABLE notice (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, credential_id TEXT NOT NULL, kind TEXT NOT NULL, way TEXT NOT NULL,
  body TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL, due_at INTEGER, last_error TEXT NOT NULL,
  created_at INTEGER NOT NULL, revision INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
CREATE INDEX notice_due ON notice (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX credential_expires ON credential (org_id, expires_at) WHERE expires_at IS NOT NULL AND deleted_at IS NULL;
