-- Rotations: the staged replacement of one value, who confirmed it, the calls it made outside, campaigns and policies.
CREATE TABLE rotation (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, credential_id TEXT NOT NULL, campaign TEXT NOT NULL, rank INTEGER NOT NULL,
  way TEXT NOT NULL, stage TEXT NOT NULL, is_open INTEGER NOT NULL, old_version INTEGER, new_version INTEGER,
  finding TEXT NOT NULL, old_finding TEXT NOT NULL, trouble TEXT NOT NULL, started_by TEXT NOT NULL, owner TEXT NOT NULL,
  started_at INTEGER NOT NULL, changed_at INTEGER NOT NULL, due_at INTEGER, promoted_at INTEGER, ended_at INTEGER,
  revision INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX rotation_open ON rotation (credential_id) WHERE is_open = 1;
CREATE INDEX rotation_of ON rotation (credential_id, started_at);
CREATE INDEX rotation_org ON rotation (org_id, started_at, id);
CREATE INDEX rotation_campaign_of ON rotation (campaign, rank) WHERE campaign <> '';
CREATE TABLE rotation_consumer (
  rotation_id TEXT NOT NULL, consumer_id TEXT NOT NULL, org_id TEXT NOT NULL, signal TEXT NOT NULL, source TEXT NOT NULL,
  version INTEGER NOT NULL, at INTEGER NOT NULL, told_by TEXT NOT NULL, revision INTEGER NOT NULL, mac BLOB NOT NULL,
  PRIMARY KEY (rotation_id, consumer_id)) STRICT;
CREATE TABLE rotation_call (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, rotation_id TEXT NOT NULL, driver TEXT NOT NULL, call TEXT NOT NULL,
  version INTEGER, state TEXT NOT NULL, started_at INTEGER NOT NULL, started_by TEXT NOT NULL, ended_at INTEGER,
  revision INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
CREATE INDEX rotation_call_of ON rotation_call (rotation_id, started_at);
CREATE INDEX rotation_call_open ON rotation_call (org_id, started_at) WHERE state = 'started';
CREATE TABLE rotation_campaign (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, size INTEGER NOT NULL,
  started_by TEXT NOT NULL, started_at INTEGER NOT NULL, revision INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
CREATE INDEX rotation_campaign_org ON rotation_campaign (org_id, started_at);
CREATE TABLE rotation_policy (
  org_id TEXT NOT NULL, service TEXT NOT NULL, days INTEGER NOT NULL, set_by TEXT NOT NULL, set_at INTEGER NOT NULL,
  revision INTEGER NOT NULL, mac BLOB NOT NULL, PRIMARY KEY (org_id, service)) STRICT;
-- Which versions a consumer was handed, and when last: asked for each bound consumer while a rotation waits for it.
CREATE INDEX audit_handed ON audit (object_id, consumer, version, at)
  WHERE operation = 'use' AND outcome = 'ok' AND consumer <> '';
