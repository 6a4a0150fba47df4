"""A second OAuth provider over HTTPS on loopback, made with Authlib and Flask: another library, and no OpenID.

second.py CONFIG [--port 0] [--access-ttl 3600] [--refresh-ttl 86400] [--no-rotate]

CONFIG is a JSON file; README.md says what is in it, and what the handles under /_ do. The clients are public, basic and
post. Anybody signs in with the password of CONFIG, and is then asked to allow or deny. It publishes no metadata, answers
without `iss`, and knows who somebody is at /user alone: as some large services do.

"ready https://localhost:PORT" says that it listens; it stops when it is ended.
"""

import argparse
import hmac
import html
import json
import logging
import secrets
import ssl
import threading
import time
from dataclasses import dataclass, field

import flask
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin, grants, list_to_scope, scope_to_list
from authlib.oauth2.rfc6749.errors import InvalidRequestError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from werkzeug.serving import WSGIRequestHandler, make_server

from journal import Journal, digest
from redirects import is_known

SCOPES = ["read:user", "user:email", "repo"]
AUTHORIZE, TOKEN, REVOKE, USER = "/oauth/authorize", "/oauth/token", "/oauth/revoke", "/user"
CLIENT_AUTH = ["client_secret_basic", "client_secret_post", "none"]
CODE_TTL_S = 60


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--access-ttl", type=int, default=3600, help="seconds")
    parser.add_argument("--refresh-ttl", type=int, default=86400, help="seconds")
    parser.add_argument("--no-rotate", action="store_true", help="keep the refresh token as it is")
    return parser.parse_args()


GIVEN = options()
with open(GIVEN.config) as opened:
    CONFIG = json.load(opened)
JOURNAL = Journal(TOKEN, {REVOKE})


# --- What it remembers ---


@dataclass
class Client(ClientMixin):
    client_id: str
    auth: str
    secret: str = ""

    def get_client_id(self):
        return self.client_id

    def get_default_redirect_uri(self):
        return CONFIG["redirect_uris"][0]

    def get_allowed_scope(self, scope):
        return list_to_scope([one for one in scope_to_list(scope or "") if one in SCOPES])

    def check_redirect_uri(self, redirect_uri):
        return is_known(redirect_uri, CONFIG["redirect_uris"])

    def check_client_secret(self, client_secret):
        return hmac.compare_digest(self.secret.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method, endpoint):
        return method == self.auth

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type in ("authorization_code", "refresh_token")


@dataclass
class Code(AuthorizationCodeMixin):
    code: str
    client_id: str
    user: str
    redirect_uri: str | None
    scope: str
    code_challenge: str
    code_challenge_method: str
    grant: str = field(default_factory=lambda: secrets.token_hex(8))
    at: float = field(default_factory=time.monotonic)

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope


@dataclass
class Token(TokenMixin):
    """An access token and the refresh token that came with it."""

    client_id: str
    user: str
    scope: str
    grant: str
    access_token: str
    refresh_token: str | None
    is_rotated: bool = False
    at: float = field(default_factory=time.monotonic)

    def check_client(self, client):
        return self.client_id == client.client_id

    def get_scope(self):
        return self.scope

    def is_older_than(self, seconds: int) -> bool:
        return time.monotonic() - self.at > seconds


class Store:
    """What is revoked is gone, but for old refresh tokens: those are remembered, to tell when one comes back."""

    def __init__(self):
        self.clients = {
            "public": Client("public", "none"),
            "basic": Client("basic", "client_secret_basic", CONFIG["secrets"]["basic"]),
            "post": Client("post", "client_secret_post", CONFIG["secrets"]["post"]),
        }
        self.codes: dict[str, Code] = {}
        self.used_codes: dict[str, str] = {}
        self.by_access: dict[str, Token] = {}
        self.by_refresh: dict[str, Token] = {}
        self.of_grant: dict[str, list[Token]] = {}

    def add(self, token: Token) -> None:
        self.by_access[token.access_token] = token
        if token.refresh_token:
            self.by_refresh[token.refresh_token] = token
        self.of_grant.setdefault(token.grant, []).append(token)

    def revoke(self, grant: str) -> None:
        for token in self.of_grant.pop(grant, []):
            self.by_access.pop(token.access_token, None)
            self.by_refresh.pop(token.refresh_token, None)
        JOURNAL.revoked()


STORE = Store()
# One token request at a time, so that no two can rotate the same refresh token.
TURN = threading.Lock()


# --- The grants, as Authlib wants them told ---


class AuthorizationCode(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH

    def save_authorization_code(self, code, request):
        asked = request.payload.data
        STORE.codes[code] = Code(
            code,
            request.client.client_id,
            request.user,
            request.payload.redirect_uri,
            request.scope,
            asked["code_challenge"],
            asked["code_challenge_method"],
        )
        JOURNAL.issue(code)

    def query_authorization_code(self, code, client):
        # A code that comes twice ends what came of it (RFC 6749 §4.1.2).
        if grant := STORE.used_codes.pop(code, None):
            JOURNAL.reused()
            STORE.revoke(grant)
        found = STORE.codes.get(code)
        if found and found.client_id == client.client_id and time.monotonic() - found.at < CODE_TTL_S:
            return found
        return None

    def delete_authorization_code(self, authorization_code):
        del STORE.codes[authorization_code.code]
        STORE.used_codes[authorization_code.code] = authorization_code.grant

    def authenticate_user(self, authorization_code):
        return authorization_code.user


class RequiredChallenge(CodeChallenge):
    """S256 and nothing else, for every client (RFC 9700 §2.1.1)."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]

    def validate_code_challenge(self, grant, redirect_uri):
        if grant.request.payload.data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("'code_challenge_method' must be S256", redirect_uri=redirect_uri)
        super().validate_code_challenge(grant, redirect_uri)


class RefreshToken(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH
    INCLUDE_NEW_REFRESH_TOKEN = not GIVEN.no_rotate

    def authenticate_refresh_token(self, refresh_token):
        token = STORE.by_refresh.get(refresh_token)
        if token and token.is_rotated:
            JOURNAL.reused()
            STORE.revoke(token.grant)
            return None
        return None if token is None or token.is_older_than(GIVEN.refresh_ttl) else token

    def authenticate_user(self, refresh_token):
        return refresh_token.user

    def revoke_old_credential(self, refresh_token):
        refresh_token.is_rotated = not GIVEN.no_rotate


class Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = CLIENT_AUTH

    def query_token(self, token_string, token_type_hint):
        return STORE.by_refresh.get(token_string) or STORE.by_access.get(token_string)

    def revoke_token(self, token, request):
        if request.form["token"] == token.access_token:
            STORE.by_access.pop(token.access_token, None)
        else:
            STORE.revoke(token.grant)


def save_token(token, request):
    source = getattr(request, "refresh_token", None) or request.authorization_code
    STORE.add(
        Token(
            client_id=request.client.client_id,
            user=request.user,
            scope=token["scope"],
            grant=source.grant,
            access_token=token["access_token"],
            refresh_token=token.get("refresh_token"),
        )
    )


# --- The pages and the paths ---

app = flask.Flask(__name__)
app.secret_key = secrets.token_bytes(32)
app.config.update(
    SESSION_COOKIE_SECURE=True,
    SESSION_COOKIE_SAMESITE="Lax",
    OAUTH2_SCOPES_SUPPORTED=SCOPES,
    OAUTH2_REFRESH_TOKEN_GENERATOR=True,
    OAUTH2_TOKEN_EXPIRES_IN={"authorization_code": GIVEN.access_ttl, "refresh_token": GIVEN.access_ttl},
)
server = AuthorizationServer(app, query_client=STORE.clients.get, save_token=save_token)
server.register_grant(AuthorizationCode, [RequiredChallenge(required=True)])
server.register_grant(RefreshToken)
server.register_endpoint(Revocation)


def page(title: str, body: str, status: int = 200) -> flask.Response:
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
    return flask.Response(f"{head}<body><main><h1>{title}</h1>{body}</main></body></html>", status, {"cache-control": "no-store"})


SIGN_IN = """<form method="post" autocomplete="off"><p><label>User <input name="login" required autofocus></label></p>
<p><label>Password <input name="password" type="password" required></label></p><button type="submit">Sign in</button></form>"""
CONSENT = """<p>{user}, <b>{client}</b> asks for: <code>{scope}</code></p><form method="post">
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny">Deny</button></form>"""


@app.route(AUTHORIZE, methods=["GET", "POST"])
def authorize():
    user, form = flask.session.get("user"), flask.request.form
    try:
        grant = server.get_consent_grant(end_user=user)
    except OAuth2Error as error:
        return server.handle_error_response(None, error)
    if "password" in form:
        if not hmac.compare_digest(form["password"].encode(), CONFIG["password"].encode()):
            return page("Sign in", '<p role="alert">wrong password</p>', 401)
        flask.session["user"] = form["login"]
        return flask.redirect(flask.request.full_path, 303)
    if user is None:
        return page("Sign in", SIGN_IN)
    if "decision" in form:
        return server.create_authorization_response(grant=grant, grant_user=user if form["decision"] == "allow" else None)
    asked = {"user": user, "client": grant.client.client_id, "scope": grant.request.payload.scope or ""}
    return page("Authorize", CONSENT.format(**{name: html.escape(text) for name, text in asked.items()}))


@app.post(TOKEN)
def token():
    with TURN:
        return server.create_token_response()


@app.post(REVOKE)
def revoke():
    with TURN:
        return server.create_endpoint_response("revocation")


@app.get(USER)
def user():
    kind, _, value = flask.request.headers.get("authorization", "").partition(" ")
    found = STORE.by_access.get(value) if kind.lower() == "bearer" else None
    if found is None or found.is_older_than(GIVEN.access_ttl):
        return {"message": "Bad credentials"}, 401
    email = f"{found.user}@example.test" if "user:email" in found.scope.split() else None
    return {"login": found.user, "id": int(digest(found.user)[:8], 16), "name": f"User {found.user}", "email": email}


@app.get("/_<handle>")
def ask(handle):
    handles = {"log": JOURNAL.log, "counts": JOURNAL.counts, "issued": JOURNAL.every_token}
    return flask.jsonify(handles[handle]()) if handle in handles else flask.abort(404)


@app.post("/_reset")
def reset():
    JOURNAL.reset()
    return {}


@app.before_request
def record():
    asked = flask.request
    if not asked.path.startswith("/_"):
        flask.g.entry = JOURNAL.asked(
            asked.method,
            asked.path,
            asked.args.to_dict(),
            asked.form.to_dict(),
            asked.headers.get("authorization", ""),
        )


@app.after_request
def record_answer(response):
    if entry := flask.g.get("entry"):
        is_json = response.mimetype == "application/json"
        JOURNAL.answered(entry, response.status_code, json.loads(response.get_data()) if is_json else None)
    return response


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"


def main() -> None:
    # It would write codes and states down with the addresses.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CONFIG["certificate"], CONFIG["key"])
    listening = make_server("127.0.0.1", GIVEN.port, app, threaded=True, request_handler=Handler, ssl_context=context)
    print(f"ready https://localhost:{listening.port}", flush=True)
    listening.serve_forever()


if __name__ == "__main__":
    main()
