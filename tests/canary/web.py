"""The doors that listen: tokens and tickets as canaries, values typed on pages, and values sent where none belongs.

Catalogue: C-16, H-01 and H-02 for entry, W-01, W-03, W-05, W-07, and C-34 over HTTP. A link expires in a vault of its own,
whose server's clock is eleven minutes ahead.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from urllib.parse import quote

from assistant import MISPLACED, USUAL
from canaries import shaped
from evidence import wait_for
from flows import CHALLENGE, World
from program import Server
from visitor import JSON, URLENCODED, Client, Person, Site, Stream, form, sealed

HALF = "a form is half sent"
# The code that was shown beside each link.
CODES: dict[str, str] = {}
# The wall clock, eleven minutes ahead.
CLOCK = r'''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(which, now);
    if (!failed && which == CLOCK_REALTIME) now->tv_sec += 660;
    return failed;
}
'''


def serving(w: World) -> None:
    """Everything over HTTP, in one server."""
    tokens = {name: token(w, name, *limits) for name, limits in {
        "laptop": (), "phone": ("--sign-in",), "narrow": ("--read-only", "--toolsets", "catalogue"), "lost": ("--expires", "1d"),
        "scripted": ("--json",)}.items()}
    w.unsaid("user", "add", "visitor", "--name", "Visitor")
    site = Site.begin(w, "serve --http")
    client = Client(site, tokens["laptop"]).begin()
    tester = site.person("POST", ticket(w, site))
    on_its_way(w, site, tester, ask(w, client, "WEB_HALF"), tokens["laptop"])
    typing(w, site, client, lambda link: tester)
    refusing(w, site, client, lambda link: tester)
    ending_links(w, site, client, lambda link: tester)
    strangers(w, site, tester, tokens)
    older = Stream(site, tokens["laptop"])
    entered(w, "by a link of a stream", tester.enter(ask(w, older, "WEB_STREAM"), ("f.value", w.plant("entered, of a stream"))))
    newer(w, site, tokens["laptop"], tester)
    misplacing(w, site, client, older, tokens)
    older.end()
    approving(w, client, tester, site.person("POST", ticket(w, site, answers=[CHALLENGE])))
    w.unsaid("token", "revoke", "lost")
    lost = Client(site, tokens["lost"])
    if lost.ask("tools/list")["error"]["code"] != "status 401":
        w.problems.append("a revoked token was let in")
    site.look_open_and_closed("after everything")
    later(w, site, tokens["scripted"])
    # A person leaves, and the server with a form half sent.
    if tester.plain("/sign-out").status != 200 or tester.get("/").status != 401:
        w.problems.append("signing out did not end the session")
    half(w, site, site.person("POST", "/sign-in", token=tokens["phone"]), ask(w, client, "WEB_KILLED"), w.plant("half sent, then killed"))
    site.server.end(signal.SIGKILL)
    site.close()
    w.files()


def token(w: World, name: str, *limits: str) -> str:
    label = f"token create {name}"
    out = w.unsaid("token", "create", name, *limits, label=label).decode()
    text = json.loads(out)["token"] if "--json" in limits else out.strip()
    # Without the word that all of them begin with.
    w.plant(f"token {name}", "token", text.split("_", 1)[1].encode(), [("stdout", label), ("answers written", label)])
    return text


def ticket(w: World, site: Site, link: str = "", answers=None) -> str:
    """The path of a one-time sign-in. What works once may stay in the memory of the server that it was shown to."""
    site.opened += 1
    label = f"open {site.opened} of {site.name}"
    what = (f"{site.base}/e/{link}",) if link else ("--server", site.base)
    if link:
        shown = next(c for c in w.search.canaries.values() if c.value == link.encode())
        shown.allowed += [(sink, label) for sink in ("stdout", "answers written", "/proc cmdline", "memory")]
    _, out, shown = w.program.run("open", *what, label=label, answers=answers)
    path = re.search(re.escape(site.base) + r"(/sign-in/[\w-]{43}\S*)", (shown if answers else out).decode())[1]
    w.plant(f"ticket, {label}", "ticket", path.split("/")[2].split("?")[0].encode(), [
        *([("terminal", label), ("system calls", label)] if answers else []), ("stdout", label), ("answers written", label), ("http answers", "the page of a ticket"), ("answers written", site.name), ("memory", site.name)])
    site.request("GET", path, label="the page of a ticket")
    return path


def ask(w: World, client, called: str, tool: str = "create_credential", **arguments) -> str:
    """The link for a new credential, or for another thing: for whoever asked and their browser, and for no log or file."""
    frame = client.call(tool, **({"name": called} if tool == "create_credential" else {}), **arguments)
    w.count(frame)
    entry = frame.get("result", {}).get("structuredContent", {}).get("entry")
    if not entry:
        raise RuntimeError(f"no link for {called}: {w.count(frame)}")
    return planted(w, entry)


def planted(w: World, entry: dict) -> str:
    link = entry["url"].rsplit("/", 1)[1]
    number = sum(c.kind == "link" for c in w.search.canaries.values())
    theirs = [("memory", "serve"), ("http answers", ""), ("mcp frames", "serve, entering"), ("answers written", "serve --http"), ("answers written", "serve, entering")]
    w.plant(f"link {number}", "link", link.encode(), theirs)
    if code := entry.get("code"):
        CODES[link] = code
        w.plant(f"code of link {number}", "code", code.encode(), [*theirs])
    return link


def entered(w: World, how: str, answer, wants: tuple = (200,)) -> None:
    if answer.status not in wants:
        w.problems.append(f"a value {how} was answered by {answer.status}")


def half(w: World, site: Site, person: Person, link: str, value: bytes):
    """Sends a form but for its end; returns what sends the rest."""
    person.get("/e/" + link)
    kind, body = form(("csrf", person.csrf), ("f.value", value))
    wire = site.wire()
    whole = site.written("POST", f"{person.half}/e/{link}", [("Cookie", person.cookie), *person.ours, kind], body)
    wire.send(whole[:-20])
    return wire, whole[-20:]


def on_its_way(w: World, site: Site, person: Person, link: str, bearer: str = "") -> None:
    """The control of H-01 for a server: what is on its way is found in its memory, and a second later it is not."""
    name = f"{site.name}: half sent at first"
    value = w.plant(name, allowed=[("memory", HALF)])
    wire, rest = half(w, site, person, link, value)
    looked_for = {name}
    if bearer:
        asking = site.wire()
        asking.send(site.written("POST", "/mcp", [JSON, ("Authorization", "Bearer " + bearer), ("Content-Length", "9")]))
        looked_for.add("token laptop")
        w.search.canaries["token laptop"].allowed.append(("memory", HALF))
    site.look(HALF)
    found = {canary for sink, label, canary in w.evidence.expected if sink == "memory" and HALF in label}
    if w.program.may_look and not looked_for <= found:
        w.problems.append(f"{site.name}: the search did not find {looked_for - found} on the way")
    if bearer:
        asking.socket.close()
    wire.send(rest)
    entered(w, "half sent at first", site.seen(wire.answer(), f"{person.name}: sent", "http answers"))
    site.look_open_and_closed("after a form in two halves")


def typing(w: World, site: Site, client, person) -> None:
    """A value in every field there is. `person` gives who enters what a link is for."""
    prefix = site.prefix
    plant = lambda what, value=None: w.plant(f"{site.name}: {what}", value=value)

    def enter(what: str, link: str, *parts: tuple) -> None:
        who = person(link)
        entered(w, what, who.enter(link, *parts))
        # The page that it was entered on, asked for once more.
        who.get("/e/" + link)

    enter("api key", ask(w, client, f"{prefix}_KEY", service="github"), ("f.value", plant("api key", shaped())))
    enter("api key, replaced", ask(w, client, f"{prefix}_KEY", "set_credential_value", credential=f"{prefix}_KEY"), ("f.value", plant("api key, replaced") + b"\r\n"))
    site.look("after an api key, connected")
    enter("login", ask(w, client, f"{prefix}_LOGIN", type="basic"), ("f.username", plant("user name")), ("f.password", plant("password")))
    fields = [{"name": "ONE"}, {"name": "TWO"}]
    enter("fields", ask(w, client, f"{prefix}_FIELDS", type="custom", fields=fields, scope="org"), ("f.ONE", plant("field ONE")), ("f.TWO", plant("field TWO")))
    site.look_open_and_closed("after a login and fields")
    binary = plant("file, binary", os.urandom(64))
    enter("file", ask(w, client, f"{prefix}_FILE", type="file"), ("file", b"\x89\0\r\n\xff" + binary + b"\0\xfe" + plant("file, text in a binary"), "key.p12"), ("f.content", b""))
    pem = [b"-----BEGIN PRIVATE KEY-----", *(plant(f"file, pasted, line {n}") + os.urandom(12).hex().encode() for n in range(3)), b"-----END PRIVATE KEY-----", b""]
    enter("pasted file", ask(w, client, f"{prefix}_PEM", type="file"), ("file", b"", ""), ("f.content", b"\r\n".join(pem)))
    chosen = b"-----BEGIN PRIVATE KEY-----\n" + plant("file, chosen") + b"\n-----END PRIVATE KEY-----\n"
    enter("chosen file", ask(w, client, f"{prefix}_PEM_CHOSEN", type="file", scope="org"), ("file", chosen, "key.pem"), ("f.content", b""))
    large = plant("file, large")
    enter("large file", ask(w, client, f"{prefix}_LARGE", type="file"), ("file", large * 20_000, "large.bin"), ("f.content", b""))
    site.look_open_and_closed("after files")
    provider = ask(w, client, "", "create_oauth_provider", name=f"{prefix.lower()}-hub", service="github", client_id="Iv1.example")
    wrong = person(provider).enter(provider, ("f.value", plant("client secret, wrong field")))
    entered(w, "client secret, wrong field", wrong, (400,))
    enter("client secret", provider, ("f.client_secret", plant("client secret")))
    site.look_open_and_closed("after a client secret")


def refusing(w: World, site: Site, client, person) -> None:
    """Forms that must be refused, and the value in them with them. Their connections stay open."""
    name = f"{site.prefix}_REFUSED"
    link = ask(w, client, name)
    who: Person = person(link)
    who.get("/e/" + link)
    path, csrf = "/e/" + link, ("csrf", who.csrf)
    ours, cookie = who.ours, ("Cookie", who.cookie)
    out = 303 if site.by_code else 401
    text = lambda v: v.decode()
    plain = lambda v: form(csrf, ("f.value", v))
    # What is sent for a value, in place of which headers, from which half of a session, and what it is answered.
    wrong = {
        "in a field of another name": (lambda v: form(csrf, ("f.other", v)), None, None, 400),
        "as a field's name": (lambda v: form(csrf, ("f." + text(v), "x")), None, None, 400),
        "in no field": (lambda v: form(csrf, ("value", v)), None, None, 400),
        "with NUL": (lambda v: form(csrf, ("f.value", v + b"\0tail")), None, None, 400),
        "that is too large": (lambda v: form(csrf, ("f.value", v * 2000)), None, None, 400),
        "as a file": (lambda v: form(csrf, ("file", v, "key.txt")), None, None, 400),
        "as a file and in a field": (lambda v: form(csrf, ("file", v, "key.txt"), ("f.value", v)), None, None, 400),
        "in place of a seal": (lambda v: form(csrf, ("sealed", v), ("f.value", v)), None, None, 400),
        "in a form without its token": (lambda v: form(("f.value", v)), None, None, 403),
        "in place of the form's token": (lambda v: form(("csrf", v), ("f.value", v), ("decline", v)), None, None, 403),
        "as a file's name": (lambda v: form(("csrf", "x"), ("f.value", v, text(v))), None, None, 403),
        "in a form without an end": (lambda v: form(csrf, ("f.value", v), end=False), None, None, 400),
        "in the sixtieth field": (lambda v: form(csrf, *[("f.value", v)] * 61), None, None, 400),
        "in a form of another kind": (lambda v: (URLENCODED, b"f.value=" + v), None, None, 400),
        "as JSON": (lambda v: (JSON, b'{"f.value": "' + v + b'"}'), None, None, 400),
        "as a boundary": (lambda v: (("Content-Type", "multipart/form-data; boundary=" + text(v)), b"--" + v), None, None, 400),
        "without a cookie": (plain, ours, None, out),
        "as a cookie": (plain, lambda v: [("Cookie", "unsaid_session=" + text(v)), *ours], None, out),
        "as half of a session": (plain, None, lambda v: "/u/" + text(v), out),
        "from another origin": (plain, [cookie, ("Origin", "http://127.0.0.1:1")], None, 403),
        "from another site": (plain, [cookie, ("Sec-Fetch-Site", "cross-site")], None, 403),
        "for another host": (plain, [cookie, ("Host", "example.org")], None, 403),
        "in a body beyond all bounds": (lambda v: form(csrf, ("f.value", v * 60_000)), None, None, 413),
    }
    for number, (how, (make, headers, session, wants)) in enumerate(wrong.items()):
        value = w.plant(f"{site.name}, refused: {how}", "misplaced")
        kind, body = make(value)
        headers = headers(value) if callable(headers) else headers if headers is not None else [cookie, *ours]
        half_path = session(value) if session else who.half
        answer = site.request("POST", half_path + path, [*headers, kind], body, f"{who.name}: refused, {how}")
        # A body that is cut off by its answer may take the answer with it.
        entered(w, how, answer, (wants, 0) if wants == 413 else (wants,))
        if number % 6 == 5:
            site.look(f"after refused forms up to one {how}, connected")
    for method in ("PUT", "PATCH", "DELETE"):
        value = w.plant(f"{site.name}, refused: {method}", "misplaced")
        entered(w, method, site.request(method, who.half + path, [cookie, *ours], value, f"{who.name}: {method}"), (405,))
    value = w.plant(f"{site.name}, refused: in the query", "misplaced")
    entered(w, "in the query", site.request("GET", f"{who.half}{path}?f.value={value.decode()}", [cookie], label=f"{who.name}: query"), (200,))
    wire, _ = half(w, site, who, link, w.plant(f"{site.name}, refused: cut off", "misplaced"))
    wire.socket.close()
    site.look("after refused forms, connected")
    site.close()
    site.look("after refused forms, not connected")
    kept = client.call("get_credential", credential=name)["result"]["structuredContent"]["configuration"]["versions"]
    if kept:
        w.problems.append(f"{site.name}: a refused value was kept")
    entered(w, "after all that were refused", who.enter(link, ("f.value", w.plant(f"{site.name}: after all that were refused"))))


def ending_links(w: World, site: Site, client, person) -> None:
    """A value for a link that is used, declined or replaced, or whose credential has a value by then, or is another."""
    for how in ("used", "declined", "replaced", "outrun", "outdated"):
        name = f"{site.prefix}_{how.upper()}"
        link = ask(w, client, name)
        who = person(link)
        who.get("/e/" + link)
        csrf = ("csrf", who.csrf)
        if how == "used":
            entered(w, "that uses the link", who.enter(link, ("f.value", w.plant(f"{site.name}: uses its link"))))
        elif how == "declined":
            # The button of that name is pressed with a value typed already.
            typed = w.plant(f"{site.name}: typed, then declined", "misplaced")
            entered(w, "that is declined", who.enter(link, ("f.value", typed), ("decline", "1")))
        elif how == "replaced":
            # Of so many for one thing, the oldest makes room.
            for _ in range(3):
                ask(w, client, name, "set_credential_value", credential=name)
        elif how == "outrun":
            other = ask(w, client, name, "set_credential_value", credential=name)
            first = w.plant(f"{site.name}: by the other link of two")
            entered(w, "by the other link of two", person(other).enter(other, ("f.value", first)))
        else:
            # It is not any more what the page showed.
            w.unsaid("edit", name, "--rename", name + "_NOW", answers=[(rb"Do it", b"y\r"), CHALLENGE])
            name += "_NOW"
        value = w.plant(f"{site.name}: the link is {how}", "misplaced")
        answer = who.post("/e/" + link, *form(csrf, ("f.value", value)))
        # Who came by a code is out once that link is done with.
        is_out = site.by_code and how in ("used", "declined")
        entered(w, f"for a link that is {how}", answer, (303,) if is_out else (410,))
        versions = client.call("get_credential", credential=name)["result"]["structuredContent"]["configuration"]["versions"]
        if len(versions) != (how in ("used", "outrun")):
            w.problems.append(f"{site.name}: a value for a link that is {how} was kept")
    site.look_open_and_closed("after links that had ended")


def strangers(w: World, site: Site, tester: Person, tokens: dict[str, str]) -> None:
    """Values and tokens in everything that a request has, from whoever has no session and from who has one."""
    n = 0

    def wrong(where: str, value: bytes | None = None) -> str:
        nonlocal n
        n += 1
        return w.plant(f"{site.name}: in a request, {n}: {where}", "misplaced", value).decode()

    form_of = [URLENCODED, ("Origin", site.base)]
    for path, body, wants in (
        ("/sign-in", f"token={wrong('sign-in token')}", 401), ("/sign-in", f"token={tokens['laptop']}", 401), ("/sign-in", f"{wrong('sign-in, a name')}={wrong('sign-in, no token')}", 401),
        (f"/sign-in/{wrong('ticket')}abc", "", 404), ("/sign-in", f"token=unsaid_{wrong('sign-in, like a token')}&link={quote('https://' + wrong('sign-in, link'))}", 401),
    ):
        entered(w, "to sign in with", site.request("POST", path, form_of, body.encode(), "somebody signs in"), (wants,))
    for path in ("/e/%s", "/sign-in/%s", "/u/%s/", "/u/%s/e/x", "/%s", "/?%s", "/sign-in?link=%s", "/assets/%s", "/mcp?token=%s", "/.well-known/%s", "/healthz?%s"):
        site.request("GET", path % wrong(path), label="somebody asks")
    for path in ("/approvals/%s", "/providers/%s", "/e/%s", "/providers/%s/secret", "/?%s"):
        site.request("GET", tester.half + path % wrong("/u/…" + path), [("Cookie", tester.cookie)], label=f"{tester.name}: asks")
    for header in ("Cookie", "User-Agent", "Referer", "Origin", "Host", "X-Forwarded-For", "Accept", "Authorization", "X-Api-Key", "Accept-Language"):
        site.request("GET", "/sign-in", [(header, wrong(header))], label="somebody asks")
    for scheme in ("Bearer %s", "Basic %s", "%s", "Bearer unsaid_%s"):
        site.request("POST", "/mcp", [JSON, ("Authorization", scheme % wrong(scheme))], b"{}", "a client that is not let in")
    for bearer in (tokens["phone"], tokens["laptop"] + "x", tokens["laptop"][:-1]):
        answer = site.request("POST", "/mcp", [JSON, ("Authorization", "Bearer " + bearer)], b"{}", "a client that is not let in")
        entered(w, "as a token that is none", answer, (401,))
    site.wire().send(f"{wrong('method')} / {wrong('version')}\r\n\r\n".encode())
    site.look("after requests of strangers, connected")
    # What a person types by mistake where an admin describes a provider.
    tester.get("/providers/new")
    for field in ("name", "client_id", "scopes", "issuer", "authorization_url", "token_url", "client_auth", "service"):
        value = wrong(f"a provider's {field}", shaped())
        answer = tester.plain("/providers/new", **{"name": "by-hand", "service": "github", "client_id": "Iv1.example", "client_auth": "basic", field: value, **({"discover": "1"} if field == "issuer" else {})})
        # An issuer is only asked for the addresses of its provider.
        if answer.status == 303 and field != "issuer":
            w.problems.append(f"{site.name}: a value was taken as a provider's {field}")
    site.look_open_and_closed("after wrong forms")


def newer(w: World, site: Site, bearer: str, tester: Person) -> None:
    """The protocol without sessions."""
    version = "2026-07-28"
    meta = {"io.modelcontextprotocol/protocolVersion": version, "io.modelcontextprotocol/clientInfo": {"name": "canary", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {}}
    client = Client(site, bearer, "a client of the newer protocol")
    client.headers += [("MCP-Protocol-Version", version), ("Mcp-Method", "tools/call")]

    def call(tool: str, extra=(), **arguments) -> dict:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments, "_meta": meta}}
        answer = client.post(json.dumps(body).encode(), [("Mcp-Name", tool), *extra])
        return next(iter(answer.messages()), {"error": {"code": f"status {answer.status}"}})

    client.call = call
    entered(w, "by a link of the newer protocol", tester.enter(ask(w, client, "WEB_NEWER"), ("f.value", w.plant("entered, of the newer protocol"))))
    value = w.plant("in the newer protocol, 1", "misplaced", shaped()).decode()
    if w.count(call("create_credential", name="WEB_NEWER_WRONG", description=value)) == "ok":
        w.problems.append("the newer protocol took a value in an argument")
    for header in ("Mcp-Name", "Mcp-Method", "MCP-Protocol-Version", "Mcp-Session-Id", "Mcp-Param-Name"):
        w.count(call("whoami", [(header, w.plant(f"in the newer protocol, {header}", "misplaced", shaped()).decode())]))


def misplacing(w: World, site: Site, client: Client, older: Stream, tokens: dict[str, str]) -> None:
    """Values in every argument of every tool, and in every other place of a message."""
    def taken(how: str, answer: dict, value: str) -> None:
        if w.count(answer) == "ok":
            w.problems.append(f"over HTTP, {how}: a value was taken")
        if value in json.dumps(answer):
            w.problems.append(f"over HTTP, {how}: a value was repeated")

    for tool in client.ask("tools/list")["result"]["tools"]:
        name, schema = tool["name"], tool["inputSchema"]
        usual = {k: v for k, v in USUAL.items() if k in schema.get("required", [])}
        value = w.plant(f"over HTTP, {name}", "misplaced", shaped()).decode()
        for key in [k for k in schema["properties"] if k != "cursor"]:
            taken(f"{name}, {key}", client.call(name, **{**usual, key: value}), value)
        taken(f"{name}, an unknown argument", client.call(name, **{**usual, value: value}), value)
    # Our own tokens are secrets like any other.
    for name, text in tokens.items():
        taken(f"token {name}", client.call("update_credential", credential="WEB_KEY", description=text), text)
        taken(f"token {name}, over the stream", older.call("create_credential", name="WEB_STREAM_WRONG", description=text), text)
    site.look("after values in arguments, connected")
    n = 0

    def wrong(where: str = "in a message") -> str:
        nonlocal n
        n += 1
        return w.plant(f"over HTTP, {where}, {n}", "misplaced", shaped()).decode()

    for make in MISPLACED:
        method, params = make(wrong())
        w.count(client.ask(method, params))
    for raw in ('{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "%s', '%s', '["%s"]', '{"jsonrpc": "%s", "id": 5, "method": "ping"}',
                '{"jsonrpc": "2.0", "id": {"a": "%s"}, "method": "ping"}', '{"jsonrpc": "2.0", "id": 901, "result": {"a": "%s"}}'):
        client.post((raw % wrong()).encode())
        older.send((raw % wrong()).encode())
    client.post(("x" * 300_000 + wrong()).encode())
    for header in ("Mcp-Session-Id", "MCP-Protocol-Version", "Last-Event-ID", "Content-Type", "Mcp-Name"):
        headers = [pair for pair in client.headers if pair[0] != header] + [(header, wrong(header))]
        site.request("POST", "/mcp", headers, b'{"jsonrpc": "2.0", "id": 77, "method": "ping"}', client.label)
    site.request("POST", "/messages?sessionId=" + wrong(), [JSON, ("Authorization", "Bearer " + tokens["laptop"])], b"{}", client.label)
    client.ask("ping")
    site.look("after values in messages, connected")


def approving(w: World, client: Client, tester: Person, assured: Person) -> None:
    """A request that a person decides on its page, with a value where a word is asked for."""
    frame = client.call("share_credential", credential="WEB_FIELDS", user="visitor", level="use", reason="for the tests")
    tester.get("/")
    found = re.findall(r"/approvals/([0-9A-Z]{26})", tester.get("/approvals").text)
    if w.count(frame) != "approval_required" or not found:
        w.problems.append("sharing over HTTP needed no approval")
        return
    path = f"/approvals/{found[0]}"
    tester.get(path)
    for fields in ({"decision": "%s"}, {"typed": "%s", "decision": "maybe"}, {"%s": "%s"}):
        value = w.plant(f"on an approval's page, {len(w.search.canaries)}", "misplaced").decode()
        tester.plain(path, **{k.replace("%s", value): v.replace("%s", value) for k, v in fields.items()})
    # Behind the one's sign-in there was no terminal, behind the other's there was.
    entered(w, "of an approval without a terminal", tester.plain(path, decision="approve"), (403,))
    assured.get(path)
    entered(w, "of an approval", assured.plain(path, decision="approve"))
    assured.get(path)


def later(w: World, site: Site, bearer: str) -> None:
    """Everything that can be asked for afterwards, by somebody who took no part."""
    sink = "looked up later"
    link = ask(w, Client(site, bearer).begin(), "WEB_LATER")
    reader = site.person("POST", ticket(w, site, link), link=link)
    for path in ("/", "/approvals", "/providers", "/providers/new"):
        page = reader.get(path, sink)
        for deeper in set(re.findall(reader.half + r"(/(?:approvals|providers)/[0-9A-Z]{26})", page.text)):
            reader.get(deeper, sink)
    for path in ("/", "/sign-in", "/healthz", "/readyz", "/.well-known/oauth-protected-resource", "/assets/entry.js", "/nothing"):
        site.request("GET", path, label=path, sink=sink)
    client = Client(site, bearer, "who asks later", sink).begin()
    everything(w, client)
    for args in (("log", "--json"), ("log",), ("log", "export"), ("log", "export", "--json"), ("log", "verify"), ("token", "list", "--all", "--ended"),
                 ("token", "list", "--json"), ("list", "--json"), ("show", "WEB_KEY", "--json"), ("show", "WEB_KEY", "--usage"), ("provider", "list", "--json"), ("approve",), ("status",)):
        w.unsaid(*args, wants=None, pause=False)


def everything(w: World, client) -> None:
    for tool in ("whoami", "list_oauth_providers", "verify_audit_log"):
        w.count(client.call(tool))
    for tool, limit in (("list_credentials", 50), ("search_audit_log", 100)):
        cursor = None
        for _ in range(20):
            frame = client.call(tool, **({"cursor": cursor} if cursor else {}), limit=limit)
            w.count(frame)
            answer = frame.get("result", {}).get("structuredContent", {})
            for row in answer.get("credentials", []):
                client.call("get_credential", credential=row["id"])
                client.call("get_usage", credential=row["id"])
            if not (cursor := answer.get("next_cursor")):
                break
    for uri in ("unsaid://inventory", "unsaid://audit/recent", "unsaid://policy", "unsaid://credentials/WEB_KEY"):
        w.count(client.ask("resources/read", {"uri": uri}))


def local(w: World) -> None:
    """The same on the pages of a server on standard input and output, whose visitors type a code."""
    server = Server(w.program, label="serve, entering")
    server.begin()
    entry = server.call("create_credential", name="CODE_HALF")["result"]["structuredContent"]["entry"]
    site = Site.of_link(w, server, entry["url"])

    def coming(link: str) -> Person:
        site.request("GET", "/e/" + link, label="the page that asks for a code")
        return site.person("POST", "/e/" + link, code=CODES[link])

    first = planted(w, entry)
    # Somebody pastes the value where the code belongs.
    pasted = w.plant("serve, entering: in place of the code", "misplaced")
    entered(w, "in place of the code", site.request("POST", "/e/" + first, [URLENCODED, ("Origin", site.base)], b"code=" + pasted, "a wrong code"), (403,))
    site.look_open_and_closed("after a wrong code")
    on_its_way(w, site, coming(first), first)
    typing(w, site, server, coming)
    server.end()
    w.files()

    # A second one, for a server takes few codes a minute.
    server = Server(w.program, label="serve, entering again")
    server.begin()
    entry = server.call("create_credential", name="CODE_BLOCKED")["result"]["structuredContent"]["entry"]
    site = Site.of_link(w, server, entry["url"])
    blocked = planted(w, entry)
    who = coming(blocked)
    who.get("/e/" + blocked)
    for n in range(5):
        wrong = w.plant(f"serve, entering: a wrong code, {n}", "misplaced")
        site.request("POST", "/e/" + blocked, [URLENCODED, ("Origin", site.base)], b"code=" + wrong, "a wrong code")
    value = w.plant("serve, entering: the link is blocked", "misplaced")
    entered(w, "for a blocked link", who.post("/e/" + blocked, *form(("csrf", who.csrf), ("f.value", value))), (410,))
    refusing(w, site, server, coming)
    ending_links(w, site, server, coming)
    server.end()
    w.files()
    asked_to_open(w)
    asking_later = Server(w.program, label="serve, who asks later", env={"UNSAID_TOKEN": token(w, "standing")})
    # It is where its user put it, and stays on the first page of its stack.
    w.search.canaries["token standing"].allowed += [("/proc environ", "who asks later"), ("memory", "who asks later, after all [[stack]]")]
    asking_later.begin()
    everything(w, asking_later)
    asking_later.look("after all")
    asking_later.end()


def asked_to_open(w: World) -> None:
    """A client that opens addresses for its user: link and code come in a question."""
    server = Server(w.program, label="serve, entering by a question")
    server.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {"url": {}}}, "clientInfo": {"name": "canary", "version": "1"}})
    server.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    server.forms = [{"action": "accept"}]
    server.send({"jsonrpc": "2.0", "id": "asked", "method": "tools/call", "params": {"name": "create_credential", "arguments": {"name": "CODE_ASKED"}}})
    frame = wait_for(lambda: next((json.loads(f) for f in list(server.frames) if b'"elicitation/create"' in f), None))["params"]
    code = re.search(r"[2-9A-Z]{4}-[2-9A-Z]{4}", frame["message"])[0]
    link = planted(w, {"url": frame["url"], "code": code})
    site = Site.of_link(w, server, frame["url"])
    who = site.person("POST", "/e/" + link, code=code)
    entered(w, "by a question", who.enter(link, ("f.value", w.plant("entered, by a question"))))
    wait_for(lambda: "asked" in server.answers)
    w.count(server.answers["asked"])
    site.look_open_and_closed("after a value that was asked for")
    server.end()


def behind(w: World) -> None:
    """Behind a proxy: the page names a key, and the browser seals to it."""
    site = Site.begin(w, "serve --http, behind a proxy", "--public-url", "https://vault.example.test", "--trusted-proxy")
    client = Client(site, token(w, "behind")).begin()
    who = site.person("POST", ticket(w, site))
    link = ask(w, client, "WEB_SEALED")
    value, content = w.plant("entered, sealed"), w.plant("file, sealed")
    seal = sealed(who.get("/e/" + link), {"value": value})
    if seal is None:
        print("NOT DONE: sealed values, which take Python's cryptography", flush=True)
    else:
        broken = seal[:-1] + (b"A" if seal[-1:] != b"A" else b"B")
        entered(w, "in a broken seal", who.enter(link, ("sealed", broken)), (400,))
        entered(w, "in a seal", who.enter(link, ("sealed", seal)))
        link = ask(w, client, "WEB_SEALED_FILE", type="file")
        seal = sealed(who.get("/e/" + link), {}, ("key.p12", b"\x89\0\xff" + content))
        entered(w, "in a sealed file", who.enter(link, ("sealed", seal)))
        link = ask(w, client, "WEB_SEALED_WRONG")
        seal = sealed(who.get("/e/" + link), {"other": w.plant("sealed, a field of another name", "misplaced")})
        entered(w, "in a sealed field of another name", who.enter(link, ("sealed", seal)), (400,))
    site.look_open_and_closed("after seals")
    site.server.end(signal.SIGTERM)


def expired(w: World) -> None:
    """A value for a link whose time is over, in a vault of its own."""
    compiler = shutil.which("cc")
    if not compiler:
        print("NOT DONE: expired links, which take a C compiler", flush=True)
        return
    ahead = w.root / "ahead.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(ahead), "-x", "c", "-", "-ldl"], input=CLOCK.encode(), check=True, capture_output=True)
    home = {"UNSAID_HOME": str(w.root / "later")}
    then = {**home, "LD_PRELOAD": str(ahead)}
    w.unsaid("init", "--user", "tester", "--recovery-file", str(w.root / "recovery-later.txt"), env=home)
    bearer = json.loads(w.unsaid("token", "create", "laptop", "--json", env=home, label="token create, later"))["token"]
    w.plant("token of a later vault", "token", bearer.split("_", 1)[1].encode(), [("stdout", "token create, later"), ("answers written", "token create, later")])
    site = Site.begin(w, "serve --http, now", env=home)
    link = ask(w, Client(site, bearer).begin(), "EXPIRED")
    first = w.unsaid("open", "--server", site.base, env=home, label="open, then").decode().strip().rsplit("/", 1)[1]
    w.plant("ticket that expires", "ticket", first.encode(), [("stdout", "open, then"), ("answers written", "open, then"), ("memory", "serve --http")])
    site.server.end(signal.SIGTERM)
    site.close()
    site = Site.begin(w, "serve --http, later", env=then)
    late = site.request("POST", f"/sign-in/{first}", [URLENCODED, ("Origin", site.base)], b"", "a late ticket")
    entered(w, "to sign in late", late, (410,))
    out = w.unsaid("open", "--server", site.base, env=then, label="open, late").decode().strip()
    fresh = out.rsplit("/", 1)[1]
    w.plant("ticket of a later vault", "ticket", fresh.encode(), [("stdout", "open, late"), ("answers written", "open, late"), ("memory", "serve --http")])
    who = site.person("POST", f"/sign-in/{fresh}")
    who.get("/")
    value = w.plant("the link is expired", "misplaced")
    entered(w, "for an expired link", who.post("/e/" + link, *form(("csrf", who.csrf), ("f.value", value))), (410,))
    site.look_open_and_closed("after a value for an expired link")
    answer = Client(site, bearer).begin().call("get_credential", credential="EXPIRED")["result"]["structuredContent"]
    if answer["configuration"]["versions"] or answer["entry"]["state"] != "expired":
        w.problems.append("a value for an expired link was kept")
    site.server.end(signal.SIGTERM)
    w.files()


def proven(w: World) -> None:
    """What must be seen was seen: else nothing was searched. Called when everything has been."""
    seen = {(sink, w.search.canaries[canary].kind) for sink, _, canary in w.evidence.expected}
    wanted = [("http answers", "link"), ("mcp frames", "code"), ("mcp frames", "link"), ("http answers", "session"), ("stdout", "token"), ("stdout", "ticket")]
    if w.program.strace:
        wanted += [("answers written", kind) for kind in ("link", "code", "session", "ticket", "token")]
    for sink, kind in wanted:
        if (sink, kind) not in seen:
            w.problems.append(f"no {kind} was found in {sink}, where it must be")
