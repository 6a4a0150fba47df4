-- Keyed fingerprints of values and what was recognised of them, accepted findings, and what the last report found.
CREATE TABLE fingerprint (
  version_id TEXT NOT NULL, field TEXT NOT NULL, org_id TEXT NOT NULL, credential_id TEXT NOT NULL,
  version INTEGER NOT NULL, key_version INTEGER NOT NULL, sealed BLOB NOT NULL, services TEXT NOT NULL, kind TEXT NOT NULL, live TEXT NOT NULL,
  revision INTEGER NOT NULL, mac BLOB NOT NULL, PRIMARY KEY (version_id, field)) STRICT;
CREATE INDEX fingerprint_org ON fingerprint (org_id, version_id, field);
CREATE TABLE accepted_finding (
  finding TEXT PRIMARY KEY, org_id TEXT NOT NULL, kind TEXT NOT NULL, facts TEXT NOT NULL, reason TEXT NOT NULL,
  until INTEGER NOT NULL, accepted_at INTEGER NOT NULL, accepted_by TEXT NOT NULL, revision INTEGER NOT NULL,
  mac BLOB NOT NULL) STRICT;
CREATE INDEX accepted_finding_org ON accepted_finding (org_id);
CREATE TABLE hygiene_report (
  user_id TEXT PRIMARY KEY, org_id TEXT NOT NULL, number INTEGER NOT NULL, made_at INTEGER NOT NULL, earlier_at INTEGER,
  wrapped_key BLOB NOT NULL, key_version INTEGER NOT NULL, sealed BLOB NOT NULL, sealed_earlier BLOB NOT NULL,
  looked TEXT NOT NULL, revision INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
