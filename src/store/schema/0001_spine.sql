-- Orgs, people, credentials, providers, approvals, the audit chain. Times are UTC milliseconds, ids are ULIDs as text.
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE slot (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, label TEXT NOT NULL, config TEXT NOT NULL, wrapped BLOB NOT NULL,
  root_version INTEGER NOT NULL, created_at INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
CREATE TABLE org_key (
  org_id TEXT NOT NULL, version INTEGER NOT NULL, state TEXT NOT NULL, root_version INTEGER NOT NULL,
  wrapped BLOB NOT NULL, created_at INTEGER NOT NULL, PRIMARY KEY (org_id, version)) STRICT;
CREATE TABLE org (
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, sharing_plan TEXT NOT NULL, bin_days INTEGER NOT NULL,
  warn_days INTEGER NOT NULL, created_at INTEGER NOT NULL, revision INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
CREATE TABLE user (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, login TEXT NOT NULL, display_name TEXT NOT NULL, role TEXT NOT NULL,
  created_at INTEGER NOT NULL, disabled_at INTEGER, revision INTEGER NOT NULL, mac BLOB NOT NULL,
  UNIQUE (org_id, login)) STRICT;
CREATE TABLE team (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, name TEXT NOT NULL, created_at INTEGER NOT NULL, deleted_at INTEGER,
  revision INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX team_name ON team (org_id, name) WHERE deleted_at IS NULL;
CREATE TABLE membership (
  team_id TEXT NOT NULL, user_id TEXT NOT NULL, org_id TEXT NOT NULL, role TEXT NOT NULL, created_at INTEGER NOT NULL,
  revision INTEGER NOT NULL, mac BLOB NOT NULL, PRIMARY KEY (team_id, user_id)) STRICT;
CREATE INDEX membership_user ON membership (org_id, user_id);
CREATE TABLE credential (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, name TEXT NOT NULL, name_key TEXT NOT NULL, kind TEXT NOT NULL,
  source TEXT NOT NULL, scope TEXT NOT NULL, owner_id TEXT NOT NULL, service TEXT NOT NULL, account TEXT NOT NULL,
  environment TEXT NOT NULL, description TEXT NOT NULL, tags TEXT NOT NULL, fields TEXT NOT NULL, provider_id TEXT,
  expires_at INTEGER, rotation_days INTEGER, current_version INTEGER, value_set_at INTEGER, value_set_by TEXT,
  created_at INTEGER NOT NULL, created_by TEXT NOT NULL, updated_at INTEGER NOT NULL, deleted_at INTEGER,
  deleted_by TEXT, revision INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX credential_place ON credential (org_id, scope, owner_id, name_key, account, environment)
  WHERE deleted_at IS NULL;
CREATE INDEX credential_owner ON credential (org_id, scope, owner_id, name_key, id);
CREATE INDEX credential_scope ON credential (org_id, scope, name_key, id);
CREATE INDEX credential_name ON credential (org_id, name_key);
CREATE INDEX credential_provider ON credential (provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX credential_bin ON credential (org_id, deleted_at) WHERE deleted_at IS NOT NULL;
CREATE TABLE version (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, credential_id TEXT NOT NULL, number INTEGER NOT NULL, stage TEXT NOT NULL,
  wrapped_key BLOB NOT NULL, key_version INTEGER NOT NULL, file_name TEXT NOT NULL, created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL, destroyed_at INTEGER, revision INTEGER NOT NULL, mac BLOB NOT NULL,
  UNIQUE (credential_id, number)) STRICT;
CREATE INDEX version_key ON version (org_id, key_version);
CREATE TABLE field (
  version_id TEXT NOT NULL, name TEXT NOT NULL, is_secret INTEGER NOT NULL, sealed BLOB NOT NULL,
  PRIMARY KEY (version_id, name)) STRICT;
CREATE TABLE usage (
  credential_id TEXT PRIMARY KEY, uses INTEGER NOT NULL, failures INTEGER NOT NULL, last_at INTEGER NOT NULL,
  last_user TEXT NOT NULL) STRICT;
CREATE TABLE access_grant (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, credential_id TEXT NOT NULL, grantee_kind TEXT NOT NULL,
  grantee_id TEXT NOT NULL, level TEXT NOT NULL, created_at INTEGER NOT NULL, created_by TEXT NOT NULL,
  revision INTEGER NOT NULL, mac BLOB NOT NULL, UNIQUE (credential_id, grantee_kind, grantee_id, level)) STRICT;
CREATE INDEX access_grant_holder ON access_grant (grantee_kind, grantee_id, org_id);
CREATE TABLE provider (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, name TEXT NOT NULL, service TEXT NOT NULL, client_id TEXT NOT NULL,
  client_auth TEXT NOT NULL, endpoints TEXT NOT NULL, scopes TEXT NOT NULL, params TEXT NOT NULL,
  callback_url TEXT NOT NULL, grant_kind TEXT NOT NULL, issuer TEXT NOT NULL, sends_iss INTEGER NOT NULL,
  resource TEXT NOT NULL, is_preset INTEGER NOT NULL, wrapped_key BLOB NOT NULL, key_version INTEGER NOT NULL,
  sealed_secret BLOB NOT NULL, secret_set_at INTEGER, next_wrapped_key BLOB NOT NULL,
  next_key_version INTEGER NOT NULL, next_sealed BLOB NOT NULL, next_set_at INTEGER, next_refused_at INTEGER,
  created_at INTEGER NOT NULL, created_by TEXT NOT NULL,
  updated_at INTEGER NOT NULL, revision INTEGER NOT NULL, mac BLOB NOT NULL, UNIQUE (org_id, name)) STRICT;
CREATE INDEX provider_key ON provider (org_id, key_version);
CREATE TABLE connection (
  credential_id TEXT PRIMARY KEY, org_id TEXT NOT NULL, provider_id TEXT NOT NULL, state TEXT NOT NULL,
  reason TEXT NOT NULL, grant_kind TEXT NOT NULL, policy BLOB NOT NULL, subject TEXT NOT NULL, account TEXT NOT NULL,
  scopes_asked TEXT NOT NULL, scopes_granted TEXT NOT NULL, generation INTEGER NOT NULL, has_refresh INTEGER NOT NULL,
  obtained_at INTEGER NOT NULL, access_expires_at INTEGER, refresh_due_at INTEGER, refresh_expires_at INTEGER,
  lease_owner TEXT NOT NULL, lease_until INTEGER NOT NULL, intent INTEGER NOT NULL, failures INTEGER NOT NULL,
  last_error TEXT NOT NULL, next_try_at INTEGER, connected_at INTEGER NOT NULL, connected_by TEXT NOT NULL,
  updated_at INTEGER NOT NULL, revision INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
CREATE INDEX connection_due ON connection (refresh_due_at) WHERE refresh_due_at IS NOT NULL;
CREATE INDEX connection_provider ON connection (provider_id);
CREATE TABLE consent (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, credential_id TEXT NOT NULL, provider_id TEXT NOT NULL,
  asked_by TEXT NOT NULL, door TEXT NOT NULL, client TEXT NOT NULL, grant_kind TEXT NOT NULL, policy BLOB NOT NULL,
  hash BLOB NOT NULL UNIQUE, browser BLOB NOT NULL, link BLOB NOT NULL, redirect_uri TEXT NOT NULL, scopes TEXT NOT NULL,
  wrapped_key BLOB NOT NULL, key_version INTEGER NOT NULL, sealed BLOB NOT NULL, user_code TEXT NOT NULL,
  verification_uri TEXT NOT NULL, interval_ms INTEGER NOT NULL, state TEXT NOT NULL, outcome TEXT NOT NULL,
  created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, ended_at INTEGER, revision INTEGER NOT NULL,
  mac BLOB NOT NULL) STRICT;
CREATE INDEX consent_credential ON consent (org_id, credential_id, created_at);
CREATE TABLE approval (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, requested_by TEXT NOT NULL, door TEXT NOT NULL, client TEXT NOT NULL,
  operation TEXT NOT NULL, arguments TEXT NOT NULL, digest BLOB NOT NULL, impact TEXT NOT NULL, reason TEXT NOT NULL,
  state TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, decided_at INTEGER, decided_by TEXT,
  outcome TEXT NOT NULL, revision INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
CREATE INDEX approval_open ON approval (org_id, state, created_at);
CREATE TABLE token (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, user_id TEXT NOT NULL, label TEXT NOT NULL, purpose TEXT NOT NULL,
  hash BLOB NOT NULL UNIQUE, toolsets TEXT NOT NULL, read_only INTEGER NOT NULL, is_assured INTEGER NOT NULL, created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL, expires_at INTEGER NOT NULL, revoked_at INTEGER, revision INTEGER NOT NULL,
  mac BLOB NOT NULL) STRICT;
CREATE INDEX token_user ON token (org_id, user_id);
CREATE TABLE entry_link (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, asked_by TEXT NOT NULL, door TEXT NOT NULL, client TEXT NOT NULL,
  purpose TEXT NOT NULL, object_id TEXT NOT NULL, policy BLOB NOT NULL, is_assured INTEGER NOT NULL,
  hash BLOB NOT NULL UNIQUE, tries INTEGER NOT NULL,
  foreign_visits INTEGER NOT NULL, state TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, ended_at INTEGER,
  revision INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
CREATE INDEX entry_link_asker ON entry_link (org_id, asked_by, created_at);
CREATE TABLE idempotency (
  org_id TEXT NOT NULL, user_id TEXT NOT NULL, operation TEXT NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL,
  answer TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (org_id, user_id, operation, key)) STRICT;
CREATE INDEX idempotency_at ON idempotency (at);
CREATE TABLE audit (
  org_id TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, user_id TEXT NOT NULL, door TEXT NOT NULL,
  client TEXT NOT NULL, request TEXT NOT NULL, consumer TEXT NOT NULL, operation TEXT NOT NULL, outcome TEXT NOT NULL,
  code TEXT NOT NULL, object_kind TEXT NOT NULL, object_id TEXT NOT NULL, object_name TEXT NOT NULL, version INTEGER,
  revision INTEGER, scope TEXT NOT NULL, owner TEXT NOT NULL, reason TEXT NOT NULL, details TEXT NOT NULL,
  mac BLOB NOT NULL, PRIMARY KEY (org_id, seq)) STRICT, WITHOUT ROWID;
CREATE INDEX audit_object ON audit (object_id, seq);
CREATE INDEX audit_user ON audit (user_id, seq);
CREATE INDEX audit_removal ON audit (org_id, user_id, at)
  WHERE operation IN ('delete_credential', 'unshare_credential', 'delete_oauth_provider');
CREATE TABLE audit_head (org_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, mac BLOB NOT NULL, seal BLOB NOT NULL) STRICT;
CREATE TABLE checkpoint (
  org_id TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, mac BLOB NOT NULL, signature BLOB NOT NULL,
  PRIMARY KEY (org_id, seq)) STRICT;
CREATE TABLE backup (id TEXT PRIMARY KEY, at INTEGER NOT NULL, org_id TEXT NOT NULL, seq INTEGER NOT NULL, sealed_to TEXT NOT NULL) STRICT;
