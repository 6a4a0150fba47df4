// The pages in a real Chromium, against the real binary. See README.md.
//
// run.mjs BINARY [--shots DIR] [--only A,B,C,D,E]
//
// Catalogue: W-01, W-02, W-03, W-04, W-06, W-07, W-09, W-12, W-15, W-17, W-18, W-19, W-25, W-26, W-28.
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import { PAYLOADS } from "./payloads.mjs";
import {
  BINARY, ONLY, Vault, ask, assistant, certificate, check, clean, fresh, group, heading, inSession, knows,
  launch, listen, look, name, offered, openSignIn, path, random, secret, signIn, sleep, text, tidy, to, verdict, visitor,
} from "./rig.mjs";

const began = Date.now();
const save = (page) => to(page, () => page.getByRole("button", { name: /^(Save|Continue)$/ }).click());

async function byToken(page, token) {
  await page.getByLabel("Sign-in token").fill(token);
  return to(page, () => page.getByRole("button", { name: "Sign in" }).click());
}

const again = async (tool, credential) => (await tool("set_credential_value", { credential })).entry;

// Characters that a form, a shell, a page or a line end could change.
const odd = () => secret(`  "q" '\\' $HOME \`x\` &amp; <b> %41+ \t päß 鍵 🔑 ${random()}  `);
const key = () => {
  const lines = Array.from({ length: 12 }, () => randomBytes(48).toString("base64"));
  return secret(["-----BEGIN KEY-----", ...lines, "", "-----END KEY-----"].join("\n"));
};

// --- A, D: a person with a browser, and a server over HTTP on this machine ---

async function overHttp() {
  const vault = await new Vault("http").init();
  await vault.works("user", "add", "max");
  const base = await vault.serve("--http", "127.0.0.1:0");
  const tool = assistant(base, await vault.token("chat"));
  const maxTool = assistant(base, await vault.token("chat-max", "--user", "max"));
  const signInToken = await vault.token("browser", "--sign-in");
  const maxToken = await vault.token("browser-max", "--user", "max", "--sign-in");
  const root = await visitor(base);
  const all = { vault, base, tool, maxTool, signInToken, maxToken, root };
  for (const [what, run] of [
    ["sign-in", signingIn], ["values", values], ["files", files], ["links", links], ["approvals", approvals],
    ["providers", providers], ["others", otherOrigins], ["no script", noScript], ["sign-out", signingOut],
  ]) {
    await group(what, "goes through", (check) => run(check, all));
  }
  await group("http", "is clean", (check) => clean(check, "all of root's pages", root));
}

async function signingIn(check, { vault, base, signInToken, root }) {
  const { page } = root;
  check("what a browser asks for by itself, /favicon.ico, is no error", (await ask(`${base}/favicon.ico`)).status < 400);
  check("/ without a session is the sign-in page, 401", await to(page, () => page.goto(base)) === 401);
  await look(check, "sign-in", root);
  check("a wrong token is refused, 401", await byToken(page, secret(`unsaid_${random(24)}`)) === 401);
  check("and that is said", await page.getByRole("alert").isVisible());
  await look(check, "sign-in-refused", root);
  await openSignIn(root, vault);
  await look(check, "confirm-sign-in", root);
  const ticket = page.url();
  check("unsaid open asks for one click", (await heading(page)) === "Is this you?");
  await to(page, () => page.getByRole("button", { name: /Continue as root/ }).click());
  check("and signs in", path(page).endsWith("/") && (await heading(page)) === "What waits for you", path(page));
  const answer = await page.request.get(page.url());
  for (const [header, value] of [
    ["cache-control", "no-store"], ["x-frame-options", "DENY"], ["x-content-type-options", "nosniff"],
    ["cross-origin-opener-policy", "same-origin"],
  ]) check(`pages have ${header}: ${value}`, answer.headers()[header] === value, answer.headers()[header]);
  check("a one-time sign-in works once", (await ask(ticket, { method: "POST", headers: { origin: base } })).status === 410);
  const [cookie] = await root.context.cookies(page.url());
  check("the cookie is HttpOnly, SameSite=Strict and of its path alone",
    cookie.httpOnly && cookie.sameSite === "Strict" && inSession.test(`${cookie.path}/`));
  const second = await visitor(base);
  await second.page.goto(`${base}/sign-in`);
  check("a sign-in token signs in", await byToken(second.page, signInToken) === 200 && inSession.test(path(second.page)));
  await second.context.close();
  clean(check, "second browser", second);
}

async function values(check, { vault, base, tool, root }) {
  const { page } = root;
  const enter = async (what, kind, args, fields, stored, variables = (n) => ({ [n]: stored })) => {
    const n = name();
    const entry = await offered(tool, { name: n, ...args });
    await page.goto(entry.url);
    await page.waitForURL((url) => inSession.test(url.pathname));
    if (kind) await look(check, kind, root);
    for (const [label, value] of Object.entries(fields)) await page.getByLabel(label, { exact: true }).fill(value);
    const status = await save(page);
    check(`${what}: stored`, status === 200 && (await heading(page)).includes("is stored"), `${status} ${await text(page)}`);
    check(`${what}: arrives exactly`, await vault.holds(n, variables(n)), await vault.digests(n, Object.keys(variables(n))));
    check(`${what}: the page shows none of it`, !knows(await page.content()));
    return n;
  };
  const told = fresh();
  await enter("API key", "entry-key", { description: "for the tests", account: "tests" }, { Value: told }, told);
  await look(check, "done", root);
  const strange = odd();
  await enter("odd characters", null, {}, { Value: strange }, strange);
  const pem = key();
  await enter("key of many lines", null, {}, { Value: pem }, pem);
  check("no line end was left out without a word", !/line break/i.test(await text(page)));
  const ended = key();
  await enter("line ends at the end", null, {}, { Value: `${ended}\n\n` }, ended);
  check("and the notice says that they were left out", /line break at the end was left out/i.test(await text(page)), await text(page));
  const [login, password] = [fresh("user"), odd()];
  await enter("login", "entry-login", { type: "basic" }, { "User name": login, Password: password }, null,
    (n) => ({ [`${n}_USERNAME`]: login, [`${n}_PASSWORD`]: password }));
  const [region, token] = [fresh("region"), key()];
  const custom = await enter("custom", "entry-custom",
    { type: "custom", fields: [{ name: "REGION", secret: false }, { name: "TOKEN", secret: true }] },
    { REGION: region, TOKEN: token }, null, (n) => ({ [`${n}_REGION`]: region, [`${n}_TOKEN`]: token }));
  const replaced = key();
  await page.goto((await again(tool, custom)).url);
  await page.waitForURL((url) => inSession.test(url.pathname));
  await look(check, "entry-replace", root);
  check("replacing: no field is filled in", (await page.locator("form input[name^='f.'], form textarea").evaluateAll(
    (all) => all.every((one) => one.value === ""))));
  check("replacing: one hint a field, not the same twice", !/Leave it empty to keep[^.]*\.\s*Left empty/i.test(await text(page)));
  await page.locator("textarea[name='f.TOKEN']").fill(replaced);
  await save(page);
  check("replacing one field of two keeps the other",
    await vault.holds(custom, { [`${custom}_REGION`]: region, [`${custom}_TOKEN`]: replaced }), await text(page));

  const github = secret(`ghp_${Array.from(randomBytes(36), (b) => "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMN23456789"[b % 44]).join("")}`);
  await enter("GitHub's token", null, {}, { Value: github }, github);
  check("a token is recognised", /Recognised as: GitHub/.test(await text(page)), await text(page));

  const most = secret(random(32768));
  await enter("64 KiB", null, {}, { Value: most }, most);
  const n = name();
  await page.goto((await offered(tool, { name: n })).url);
  await page.waitForURL((url) => inSession.test(url.pathname));
  await page.getByLabel("Value", { exact: true }).fill(`${most}x`);
  check("one byte more is refused, 400", await save(page) === 400);
  check("with a message, and an empty field", /64 KiB/.test(await text(page)) && (await page.locator("textarea").inputValue()) === "");
  await look(check, "entry-refused", root);
  const shown = page.locator("button.reveal");
  await page.getByLabel("Value", { exact: true }).fill("typed");
  await shown.click();
  check("what is typed can be shown", (await shown.getAttribute("aria-pressed")) === "true" && !(await page.locator("textarea.masked").count()));
  await to(page, () => page.getByRole("button", { name: "I do not want to enter this" }).click());
  check("declined", (await heading(page)) === "Nothing was entered");
  await look(check, "declined", root);
  const after = await tool("get_credential", { credential: n });
  check("nothing was stored", after.status?.reasons?.includes("value_missing"), after);
  check("the assistant learns that it was declined", JSON.stringify(after).includes("declined"), after);
  const blank = name();
  await page.goto((await offered(tool, { name: blank })).url);
  await page.waitForURL((url) => inSession.test(url.pathname));
  await page.getByLabel("Value", { exact: true }).fill("\n\n");
  check("line ends alone are no value", await save(page) === 400 && !(await vault.holds(blank, { [blank]: "" })), await text(page));
}

async function files(check, { vault, tool, root }) {
  const { page } = root;
  const start = async () => {
    const n = name("FILE");
    await page.goto((await offered(tool, { name: n, type: "file" })).url);
    await page.waitForURL((url) => inSession.test(url.pathname));
    return n;
  };
  const choose = (buffer) => page.getByLabel("Key file").setInputFiles({ name: "key <b>.bin", mimeType: "application/octet-stream", buffer });
  let n = await start();
  await look(check, "entry-file", root);
  const small = randomBytes(3000);
  await choose(small);
  await save(page);
  check("a file arrives byte by byte", await vault.holds(n, { [n]: small }, true), await text(page));
  n = await start();
  const most = randomBytes(1024 * 1024);
  await choose(most);
  check("1 MiB is taken", await save(page) === 200, await text(page));
  check("and arrives byte by byte", await vault.holds(n, { [n]: most }, true));
  n = await start();
  await choose(Buffer.concat([most, Buffer.of(0)]));
  check("1 MiB and a byte is refused before it is sent", /too big/.test(await page.getByRole("alert").innerText()));
  check("and no longer chosen", (await page.getByLabel("Key file").inputValue()) === "");
  const pasted = `${key()}\n`;
  await page.getByLabel("Or paste its content").fill(pasted);
  await save(page);
  check("pasted text arrives exactly, with its last line end", await vault.holds(n, { [n]: pasted }, true), await text(page));
  n = await start();
  await choose(small);
  await page.getByLabel("Or paste its content").fill("both");
  check("file and text together are refused", await save(page) === 400 && /only one/.test(await text(page)), await text(page));
  n = await start();
  check("neither file nor text is refused", await save(page) === 400, await text(page));
}

async function links(check, { vault, base, tool, maxToken, root }) {
  const { page, context } = root;
  const n = name();
  const { url } = await offered(tool, { name: n, description: "only-for-root" });
  const link = new URL(url).pathname.split("/").pop();
  const bare = await ask(url);
  check("without a session a link is 401", bare.status === 401);
  check("and shows neither a form for it nor its name", !bare.text.includes(n) && !bare.text.includes('name="f.') && !bare.text.includes("only-for-root"));
  const unknown = await ask(`${base}/e/${"A".repeat(43)}`);
  check("an unknown link is 404", unknown.status === 404);
  check("so is one that is too long", (await ask(`${base}/e/${"A".repeat(4000)}`)).status === 404);

  const half = /^\/u\/[\w-]{43}/.exec(path(page))[0];
  const [cookie] = await context.cookies(`${base}${half}/`);
  const header = `${cookie.name}=${cookie.value}`;
  const here = `${base}${half}/e/${link}`;
  const refused = (answer) => answer.status === 401 && !answer.text.includes(n);
  check("the half in the path alone opens nothing", refused(await ask(here)));
  check("a cookie of another value opens nothing", refused(await ask(here, { headers: { cookie: `${cookie.name}=${"B".repeat(43)}` } })));
  check("the cookie on another path opens nothing",
    refused(await ask(`${base}/u/${"C".repeat(43)}/e/${link}`, { headers: { cookie: header } })));
  check("the cookie alone opens nothing", refused(await ask(url, { headers: { cookie: header } })));
  check("a cookie that another program put beside it neither helps nor hurts",
    (await ask(here, { headers: { cookie: `${header}; ${cookie.name}=x` } })).status === 200
      && refused(await ask(here, { headers: { cookie: `${cookie.name}=x; ${cookie.name}=y` } })));
  check("both halves do", (await ask(here, { headers: { cookie: header } })).text.includes(n));
  const form = { method: "POST", headers: { origin: base, "content-type": "application/x-www-form-urlencoded" }, body: "f.value=x" };
  check("a post without the cookie is refused", (await ask(here, form)).status === 401);

  const max = await visitor(base);
  await max.page.goto(url);
  check("a foreign person is asked to sign in", (await heading(max.page)) === "Sign in");
  const status = await byToken(max.page, maxToken);
  check("max cannot open root's link, 403", status === 403, status);
  check("and sees nothing about it", !(await max.page.content()).includes(n) && !/only-for-root/.test(await max.page.content()));
  await look(check, "foreign-link", max);
  const seen = await tool("search_audit_log", { operation: "open_entry" });
  check("the refusal is in the log", seen.events?.some((e) => e.outcome === "refused" && e.code === "not_allowed"), seen);
  const foreign = `${base}${/^\/u\/[\w-]{43}/.exec(path(max.page))[0]}`;
  await max.page.goto(`${base}/e/${link}`);
  await max.page.waitForURL((u) => inSession.test(u.pathname));
  check("nor in a session that is open already", !(await max.page.content()).includes(n));
  check("the two have sessions of their own", !here.startsWith(foreign));
  await max.context.close();
  clean(check, "max's browser", max);

  const fresh1 = await context.newPage();
  await fresh1.goto(url);
  await fresh1.waitForURL((u) => inSession.test(u.pathname));
  check("a signed-in browser goes on by itself", path(fresh1).startsWith(`${half}/e/`) && (await heading(fresh1)).includes(n));
  const field = fresh1.getByLabel("Value", { exact: true });
  await fresh1.locator("form[enctype] input[name=csrf]").evaluate((input) => { input.value = "stale"; });
  await field.fill(fresh());
  check("a stale form is refused, 403", await save(fresh1) === 403, await text(fresh1));
  check("and nothing was stored", (await tool("get_credential", { credential: n })).status.reasons.includes("value_missing"));

  const [first, other] = [fresh1, await context.newPage()];
  const typed = [fresh(), fresh()];
  for (const [at, tab] of [first, other].entries()) {
    await tab.goto(here);
    await tab.getByLabel("Value", { exact: true }).fill(typed[at]);
  }
  const statuses = (await Promise.all([first, other].map(save))).sort();
  check("of two tabs at once one stores", statuses.join() === "200,410", statuses);
  const kept = await Promise.all(typed.map((value) => vault.holds(n, { [n]: value })));
  check("and one of the two values is there", kept.filter(Boolean).length === 1);
  const done = [first, other].find((_, at) => kept[at]);
  check("as the first version", /Version\s*1\b/.test(await text(done)), await text(done));
  check("the other tab says that it was used", /used already/.test(await text([first, other].find((_, at) => !kept[at]))));
  check("the used link is 410", await to(first, () => first.goto(here)) === 410);
  await look(check, "closed-link", root, first);
  check("also without a session nothing of it is shown", !(await ask(url)).text.includes(n));
  await first.goBack().catch(() => {});
  check("Back shows no value", !knows(await first.content()));
  await first.close();
  await other.close();

  const quick = name();
  await page.goto((await offered(tool, { name: quick })).url);
  await page.waitForURL((u) => inSession.test(u.pathname));
  await page.getByLabel("Value", { exact: true }).fill(fresh());
  await page.getByRole("button", { name: "Save" }).dblclick();
  await page.waitForFunction(() => /stored|closed/.test(document.querySelector("h1").textContent));
  check("a double click stores once and ends on the done page", /is stored/.test(await heading(page)), await text(page));

  const waiting = name();
  await offered(tool, { name: waiting });
  await page.goto(`${base}${half}/`);
  const row = page.locator("section", { hasText: "To enter" }).locator("li", { hasText: waiting });
  check("home names what waits to be entered", await row.isVisible());
  await look(check, "home", root);
  const hrefs = await row.locator("a").evaluateAll((all) => all.map((a) => a.getAttribute("href")));
  check("home has no link that leads nowhere", hrefs.every((href) => href !== ""), hrefs);
}

async function approvals(check, { vault, base, tool, root }) {
  const { page } = root;
  const half = /^\/u\/[\w-]{43}/.exec(path(page))[0];
  const n = name("SHARED");
  await offered(tool, { name: n, scope: "org" });
  const wanted = { credential: n, user: "max", level: "use", reason: "the tests need it" };
  const asked = await tool("share_credential", wanted);
  check("sharing needs a person", asked.code === "approval_required" && asked.approval_id, asked);
  await page.goto(`${base}${half}/`);
  check("home shows the request", await page.locator(`a[href$="${asked.approval_id}"]`).isVisible());
  await page.goto(`${base}${half}/approvals`);
  await look(check, "approvals", root);
  await to(page, () => page.locator(`a[href$="${asked.approval_id}"]`).click());
  const shown = await text(page);
  check("the approval says what, who and why", shown.includes(n) && shown.includes("max") && shown.includes("the tests need it") && shown.includes("browser tests"), shown);
  check("the client's name is marked as its own claim", /as it calls itself/.test(shown));
  await look(check, "approval", root);
  check("declined", await to(page, () => page.getByRole("button", { name: "Decline" }).click()) === 200 && (await heading(page)) === "Declined");
  check("the same is refused for a minute", (await tool("share_credential", wanted)).code === "declined");
  const second = await tool("share_credential", { ...wanted, reason: "another reason" });
  check("another request can be asked", second.code === "approval_required", second);
  await page.goto(`${base}${half}/approvals/${second.approval_id}`);
  await to(page, () => page.getByRole("button", { name: "Approve" }).click());
  check("approved", (await heading(page)) === "Approved", await text(page));
  await look(check, "approved", root);
  const told = await vault.works("show", n);
  check("unsaid show names the grant", told.includes("max"), told);
  check("an approval is decided once", await to(page, () => page.goto(`${base}${half}/approvals/${second.approval_id}`)) === 200 &&
    (await page.getByRole("button", { name: "Approve" }).count()) === 0, await text(page));
  await page.goto(`${base}${half}/approvals`);
  const decided = await page.locator("section", { hasText: "Decided" }).innerText();
  check("both are listed as decided", decided.includes("declined") && /approved|granted|executed|done/.test(decided), decided);
  await look(check, "approvals-decided", root);
}

async function providers(check, { vault, base, maxTool, root }) {
  const { page } = root;
  const half = /^\/u\/[\w-]{43}/.exec(path(page))[0];
  const submit = () => to(page, () => page.getByRole("button", { name: /^(Add|Save)$/ }).click());
  // What the browser would refuse to send is told, and then sent all the same.
  const unblock = async (what) => {
    const missing = await page.locator("main form :invalid").evaluateAll((all) => all.map((one) => one.name));
    check(`${what}: the browser lets it be sent`, missing.length === 0, missing);
    await page.locator("main form").evaluate((form) => { form.noValidate = true; });
  };
  const approve = async (what) => {
    const typed = page.locator("#typed");
    if (await typed.count()) await typed.fill((await page.locator("label[for=typed] .host").innerText()).trim());
    await to(page, () => page.getByRole("button", { name: "Approve" }).click());
    check(`${what}: approved`, (await heading(page)) === "Approved", await text(page));
  };
  const openProvider = async (title) => {
    await page.goto(`${base}${half}/providers`);
    await to(page, () => page.getByRole("link", { name: title, exact: true }).click());
  };

  await page.goto(`${base}${half}/providers`);
  await look(check, "providers-none", root);
  await to(page, () => page.getByRole("link", { name: "Add a provider" }).click());
  await look(check, "provider-new", root);
  await page.getByLabel("Name", { exact: true }).fill("hub");
  await page.getByLabel("Service", { exact: true }).selectOption("github");
  await page.getByLabel("Client ID").fill("Iv1.example");
  await unblock("from a preset");
  await submit();
  check("from a preset: made at once, no approval", path(page).includes("/providers/"), await text(page));
  if (path(page).includes("/approvals/")) await approve("from a preset");
  await openProvider("hub");
  check("from a preset: the addresses are the catalogue's",
    (await page.getByLabel("Token URL").inputValue()) === "https://github.com/login/oauth/access_token");
  await look(check, "provider", root);
  check("its service, which a change would leave as it is, cannot be chosen",
    !(await page.locator("select#service").count()) && (await page.locator("#service").getAttribute("readonly")) !== null);

  await page.goto(`${base}${half}/providers/new`);
  await page.getByLabel("Name", { exact: true }).fill("own");
  await page.getByLabel("Client ID").fill("an-id");
  await page.getByLabel(/^Authorization URL/).fill("https://login.example.org/authorize");
  await page.getByLabel("Token URL").fill("http://login.example.com/token");
  await unblock("own addresses");
  check("own addresses: http is refused, 400", await submit() === 400, await text(page));
  check("and what was typed is still there", (await page.getByLabel("Client ID").inputValue()) === "an-id");
  await look(check, "provider-refused", root);
  await page.getByLabel("Token URL").fill("https://tokens.example.com/token");
  await submit();
  const shown = await text(page);
  check("own addresses: to the approval", path(page).includes("/approvals/"), path(page));
  check("which shows the hosts", shown.includes("login.example.org") && shown.includes("tokens.example.com"), shown);
  check("and warns of two domains", /different domains/.test(shown), shown);
  await look(check, "approval-hosts", root);
  await page.locator("#typed").fill("login.example.org");
  check("another host than the token address's is refused, 400", await to(page, () => page.getByRole("button", { name: "Approve" }).click()) === 400);
  check("and said", await page.getByRole("alert").isVisible());
  await page.locator("#typed").fill("tokens.example.com");
  await to(page, () => page.getByRole("button", { name: "Approve" }).click());
  check("the right one makes it", (await heading(page)) === "Approved", await text(page));

  await openProvider("own");
  const provider = page.url();
  check("no secret yet", /No client secret is stored yet/.test(await text(page)));
  const button = page.locator("main").getByText("Enter the client secret", { exact: true });
  const status = await to(page, () => button.click());
  check("“Enter the client secret” opens its page", status === 200 && path(page).includes("/e/"), `${status} ${path(page)}`);
  if (status !== 200) {
    await page.goto(provider);
    await to(page, () => page.evaluate(() => {
      const form = document.createElement("form");
      form.method = "post";
      form.action = `${location.pathname}/secret`;
      form.append(document.querySelector("input[name=csrf]").cloneNode());
      document.body.append(form);
      form.submit();
    }));
  }
  check("the page names the hosts it goes to", /tokens\.example\.com/.test(await text(page)), await text(page));
  await look(check, "entry-client-secret", root);
  await page.locator("input[name='f.client_secret']").fill(fresh());
  await save(page);
  check("the client secret is stored", /client secret of own is stored/.test(await heading(page)), await text(page));
  await page.goto(provider);
  check("and the provider says so", /A client secret is stored/.test(await text(page)));
  check("by the command line too", (await vault.works("provider", "list", "--json")).includes('"has_secret": true'));

  await page.getByLabel("Token URL").fill("https://other.example.org/token");
  await submit();
  check("a changed address: to the approval", path(page).includes("/approvals/"), await text(page));
  check("which says that the secret goes", /client secret/.test(await text(page)), await text(page));
  await approve("a changed address");
  await page.goto(provider);
  check("the secret is gone", /No client secret is stored yet/.test(await text(page)), await text(page));

  await page.goto(`${base}${half}/providers/new`);
  await page.getByLabel("Name", { exact: true }).fill("found");
  await page.getByLabel("Client ID").fill("an-id");
  await page.getByLabel(/^Authorization URL/).fill("https://login.example.org/authorize");
  await page.getByLabel("Token URL").fill("https://login.example.org/token");
  const discover = page.getByRole("button", { name: "Fill in from the issuer" });
  if (await discover.count()) {
    await to(page, () => discover.click());
    check("“Fill in from the issuer” makes nothing", !path(page).includes("/approvals/"), `went to ${path(page).replace(/[\w-]{43}/, "…")}`);
  }

  const max = await visitor(base);
  await signIn(max, vault, "--as", "max");
  const theirs = /^\/u\/[\w-]{43}/.exec(path(max.page))[0];
  check("a member has no link to the providers", (await max.page.getByRole("link", { name: "Providers" }).count()) === 0);
  await max.page.goto(`${base}${theirs}/providers`);
  await look(check, "providers-member", max);
  check("a member is offered no “Add a provider”", (await max.page.getByRole("link", { name: "Add a provider" }).count()) === 0);
  const form = await to(max.page, () => max.page.goto(`${base}${theirs}/providers/new`));
  if (form === 200) {
    await max.page.getByLabel("Name", { exact: true }).fill("maxs");
    await max.page.getByLabel("Service", { exact: true }).selectOption("github");
    await max.page.getByLabel("Client ID").fill("Iv1.example");
    await max.page.locator("main form").evaluate((f) => { f.noValidate = true; });
    check("a member's form is refused, 403", await to(max.page, () => max.page.getByRole("button", { name: "Add", exact: true }).click()) === 403, await text(max.page));
  }
  check("and nothing was made", !(await vault.works("provider", "list")).includes("maxs"));
  const told = await maxTool("create_oauth_provider", { service: "github", client_id: "Iv1.example", name: "maxs" });
  check("nor by a tool", told.code === "not_allowed", told);
  await max.context.close();
  clean(check, "a member's pages", max);
}

async function otherOrigins(check, { base, tool, root }) {
  const n = name();
  const { url } = await offered(tool, { name: n });
  const link = new URL(url).pathname.split("/").pop();
  const half = /^\/u\/[\w-]{43}/.exec(path(root.page))[0];
  const entry = `${base}${half}/e/${link}`;
  const cookies = [];
  const port = await listen((request, response) => {
    cookies.push(request.headers.cookie ?? "");
    response.setHeader("content-type", "text/html");
    if (request.url.startsWith("/fix")) {
      response.setHeader("set-cookie", [`unsaid_session=${"E".repeat(43)}; Path=/`, `unsaid_session=${"F".repeat(43)}; Path=${half}`]);
    }
    response.end(`<!doctype html><title>other</title>${
      request.url.startsWith("/frames") ? [`${base}/sign-in`, entry, url].map((to) => `<iframe src="${to}"></iframe>`).join("")
        : `<a href="${url}">go</a><form method=post enctype=multipart/form-data action="${entry}"><input name=f.value value=evil><button>send</button></form>`}`);
  });
  const { context } = root;
  const before = root.seen.errors.length;
  const page = await context.newPage();
  for (const origin of [`http://localhost:${port}`, `http://127.0.0.1:${port}`]) {
    const host = new URL(origin).hostname;
    await page.goto(`${origin}/frames`);
    await page.waitForTimeout(300);
    const framed = await Promise.all(page.frames().slice(1).map(async (frame) => (await frame.content().catch(() => "")).replace(/\s+/g, " ")));
    check(`${host}: framing shows nothing of ours`, framed.length === 3 && framed.every((html) => !html.includes("unsaid") && !html.includes(n) && !html.includes("<form")), framed);
    await page.goto(`${origin}/form`);
    check(`${host}: a form of theirs is refused, 403`, await to(page, () => page.getByRole("button", { name: "send" }).click()) === 403);
  }
  check("and stored nothing", (await tool("get_credential", { credential: n })).status.reasons.includes("value_missing"));
  await page.goto(`http://localhost:${port}/form`);
  await page.getByRole("link", { name: "go" }).click();
  await page.waitForURL((u) => inSession.test(u.pathname)).catch(() => {});
  check("a link in another site's page goes on in the session", (await page.content()).includes(n), path(page));
  await page.goto(`http://127.0.0.1:${port}/u/anything`);
  check("a program on another port is never sent our cookie", cookies.length >= 6 && cookies.every((sent) => !sent.includes("unsaid_session")), cookies.length);
  await page.goto(`http://127.0.0.1:${port}/fix`);
  const status = await to(page, () => page.goto(entry));
  check("a cookie it puts beside ours opens nothing", status === 401 && !(await page.content()).includes(n), status);
  await context.clearCookies({ path: "/" });
  await page.close();
  // Chromium tells of the refused frames and the foreign pages; those are not ours.
  root.seen.errors.splice(before);
  root.seen.elsewhere.length = 0;
  root.seen.violations.length = 0;
  await context.clearCookies({ name: "unsaid_session", path: half });
}

async function noScript(check, { vault, base, tool, signInToken }) {
  const who = await visitor(base, { javaScriptEnabled: false });
  const { page } = who;
  const start = async (args) => {
    const n = name();
    const { url } = await offered(tool, { name: n, ...args });
    await page.goto(/^\/u\//.test(path(page)) ? `${base}${/^\/u\/[\w-]{43}/.exec(path(page))[0]}${new URL(url).pathname}` : url);
    return n;
  };
  const first = await start({});
  check("a link asks to sign in", (await heading(page)) === "Sign in");
  check("and goes on to the link", await byToken(page, signInToken) === 200 && (await heading(page)).includes(first), await text(page));
  const pem = key();
  await page.getByLabel("Value", { exact: true }).fill(`${pem}\n`);
  await save(page);
  check("key of many lines: arrives exactly", await vault.holds(first, { [first]: pem }), await text(page));
  check("and the notice tells of the last line end", /line break at the end was left out/i.test(await text(page)));
  const strange = odd();
  const second = await start({});
  await page.getByLabel("Value", { exact: true }).fill(strange);
  await save(page);
  check("odd characters arrive exactly", await vault.holds(second, { [second]: strange }), await text(page));
  const login = await start({ type: "basic" });
  const [user, password] = [fresh("user"), odd()];
  await page.getByLabel("User name").fill(user);
  await page.getByLabel("Password").fill(password);
  await save(page);
  check("login arrives exactly", await vault.holds(login, { [`${login}_USERNAME`]: user, [`${login}_PASSWORD`]: password }), await text(page));
  const file = await start({ type: "file" });
  const most = randomBytes(1024 * 1024);
  const choose = (buffer) => page.getByLabel("Key file").setInputFiles({ name: "k", mimeType: "application/octet-stream", buffer });
  await choose(Buffer.concat([most, Buffer.of(1)]));
  check("a file of 1 MiB and a byte is refused with a message", await save(page) === 400 && /1 MiB/.test(await page.getByRole("alert").innerText()), await text(page));
  await choose(randomBytes(3 * 1024 * 1024));
  const status = await save(page);
  check("one of 3 MiB is refused in words too", status === 413 && /1 MiB/.test(await text(page)), `${status} ${await text(page)}`);
  const whole = await start({ type: "file" });
  await choose(most);
  await save(page);
  check("1 MiB arrives byte by byte", await vault.holds(whole, { [whole]: most }, true), await text(page));
  const pasted = await start({ type: "file" });
  const content = `${key()}\n`;
  await page.getByLabel("Or paste its content").fill(content);
  await save(page);
  check("pasted text arrives exactly", await vault.holds(pasted, { [pasted]: content }, true), await text(page));
  await start({});
  await to(page, () => page.getByRole("button", { name: "I do not want to enter this" }).click());
  check("declined", (await heading(page)) === "Nothing was entered");
  const approval = await tool("share_credential", { credential: (await tool("create_credential", { name: name(), scope: "org" })).id, user: "max", level: "use", reason: "no script" });
  await to(page, () => page.getByRole("link", { name: "Approvals" }).click());
  await to(page, () => page.locator(`a[href$="${approval.approval_id}"]`).click());
  await to(page, () => page.getByRole("button", { name: "Approve" }).click());
  check("approved", (await heading(page)) === "Approved", await text(page));
  await to(page, () => page.getByRole("button", { name: "Sign out" }).click());
  check("signed out", /You are signed out/.test(await text(page)));
  clean(check, "all of it", who);
  await who.context.close();
}

async function signingOut(check, { vault, base, tool }) {
  const who = await visitor(base);
  const { page } = who;
  await signIn(who, vault);
  const half = /^\/u\/[\w-]{43}/.exec(path(page))[0];
  const n = name();
  const { url } = await offered(tool, { name: n });
  await page.goto(`${base}${half}${new URL(url).pathname}`);
  const stale = await who.context.newPage();
  await stale.goto(page.url());
  await stale.getByLabel("Value", { exact: true }).fill(fresh());
  await page.getByLabel("Value", { exact: true }).fill(fresh());
  const sent = page.waitForResponse((r) => r.url().endsWith("/sign-out")).then((r) => r.allHeaders());
  await to(page, () => page.getByRole("button", { name: "Sign out" }).click());
  check("signed out", /You are signed out/.test(await text(page)));
  const forgets = (await sent)["clear-site-data"] ?? "";
  check("Clear-Site-Data is sent", forgets.includes('"cache"') && forgets.includes('"storage"'), await sent);
  await look(check, "signed-out", who);
  check("the browser forgets where the session was", await page.evaluate(() => localStorage.length) === 0);
  await page.goBack().catch(() => {});
  await page.waitForLoadState();
  const back = await page.content();
  check("Back shows nothing of it", !back.includes(n) && !knows(back), await text(page));
  check("a form that was open is refused, 401", await save(stale) === 401, await text(stale));
  check("and nothing was stored", (await tool("get_credential", { credential: n })).status.reasons.includes("value_missing"));
  check("the address opens nothing any more", (await ask(`${base}${half}/`)).status === 401);
  await page.goto(url);
  await page.waitForTimeout(200);
  check("a link asks to sign in again, and does not run in circles", (await heading(page)) === "Sign in");
  clean(check, "signing out", who);
  await who.context.close();
}

// --- B: sealed in the browser ---

async function sealing() {
  const { cert, key: certKey } = certificate("tls");
  await group("TLS", "goes through", (check) => overTls(check, cert, certKey));
  await group("sealing", "goes through", (check) => sealed(check, cert, certKey));
}

async function overTls(check, cert, certKey) {
  const vault = await new Vault("tls").init();
  const base = await vault.serve("--http", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", certKey);
  check("the server says https", base.startsWith("https://"));
  const who = await visitor(base);
  await signIn(who, vault);
  const cookies = await who.context.cookies(who.page.url());
  check("the cookie is for TLS alone", cookies.length === 1 && cookies[0].secure);
  check("HSTS is sent", "strict-transport-security" in (await ask(base)).headers);
  const [n, value] = [name(), fresh()];
  await who.page.goto((await offered(assistant(base, await vault.token("chat")), { name: n })).url);
  await who.page.waitForURL((u) => inSession.test(u.pathname));
  await who.page.getByLabel("Value", { exact: true }).fill(value);
  await save(who.page);
  check("a value arrives exactly", await vault.holds(n, { [n]: value }), await text(who.page));
  clean(check, "all of it", who);
  await who.context.close();
}

async function sealed(check, cert, certKey) {
  const vault = await new Vault("sealing").init();
  const bodies = [];
  let target;
  const port = await listen((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      const body = Buffer.concat(parts);
      bodies.push(body);
      const headers = { ...request.headers, "x-forwarded-for": "192.0.2.7" };
      const on = http.request(target + request.url, { method: request.method, headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      on.on("error", () => response.destroy());
      on.end(body);
    });
  }, { cert: readFileSync(cert), key: readFileSync(certKey) });
  const base = `https://localhost:${port}`;
  // It says its public name; where it listens is asked of the kernel, by trying one free port.
  const free = await new Promise((done) => {
    const probe = http.createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
  target = `http://127.0.0.1:${free}`;
  const told = await vault.serve("--http", `127.0.0.1:${free}`, "--trusted-proxy", "--public-url", base);
  check("the server goes by its public name", told === base, told);
  const tool = assistant(base, await vault.token("chat"));
  const who = await visitor(base);
  const { page } = who;
  await signIn(who, vault);
  // Line by line, for line ends are written in several ways; of a file, pieces.
  const leaks = (value) => {
    const pieces = typeof value === "string" ? value.split("\n").filter((line) => line.length > 12).map((line) => Buffer.from(line))
      : [0, 1000, value.length - 60].map((at) => value.subarray(at, at + 60));
    const forms = pieces.flatMap((bytes) => {
      const readable = bytes.toString();
      const encoded = [0, 1, 2].map((skip) => bytes.subarray(skip, skip + Math.floor((bytes.length - skip) / 3) * 3));
      return [
        bytes, bytes.toString("hex"), encodeURIComponent(readable), new URLSearchParams({ v: readable }).toString().slice(2),
        JSON.stringify(readable).slice(1, -1), ...encoded.flatMap((part) => [part.toString("base64"), part.toString("base64url")]),
      ];
    });
    return bodies.some((body) => forms.some((form) => body.includes(form)));
  };
  const start = async (args = {}) => {
    const n = name();
    await page.goto((await offered(tool, { name: n, ...args })).url);
    await page.waitForURL((u) => inSession.test(u.pathname));
    return n;
  };
  let n = await start();
  check("the page says that it encrypts", /encrypted in this browser/.test(await text(page)));
  await look(check, "entry-sealed", who);
  const pem = key();
  await page.getByLabel("Value", { exact: true }).fill(`${pem}\n`);
  bodies.length = 0;
  await save(page);
  check("key: arrives exactly", await vault.holds(n, { [n]: pem }), await text(page));
  check("key: with the notice of the last line end", /line break at the end was left out/i.test(await text(page)));
  check("key: no body holds it", bodies.some((body) => body.includes("sealed")) && !leaks(pem));
  n = await start({ type: "basic" });
  const [user, password] = [fresh("user"), odd()];
  await page.getByLabel("User name").fill(user);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await save(page);
  check("login: arrives exactly", await vault.holds(n, { [`${n}_USERNAME`]: user, [`${n}_PASSWORD`]: password }), await text(page));
  check("login: no body holds either", !leaks(user) && !leaks(password));
  const content = randomBytes(1024 * 1024);
  n = await start({ type: "file" });
  await page.getByLabel("Key file").setInputFiles({ name: "name-of-the-file.bin", mimeType: "application/octet-stream", buffer: content });
  const status = await save(page);
  check("file of 1 MiB: stored", status === 200, `${status} ${await text(page)}`);
  check("file of 1 MiB: arrives byte by byte", await vault.holds(n, { [n]: content }, true));
  check("file: no body holds it, nor its name", !leaks(content) && !leaks("name-of-the-file.bin"));
  n = await start({ type: "file" });
  const pasted = `${key()}\n`;
  await page.getByLabel("Or paste its content").fill(pasted);
  await save(page);
  check("pasted text: arrives exactly", await vault.holds(n, { [n]: pasted }, true), await text(page));
  check("pasted text: no body holds it", !leaks(pasted));
  n = await start();
  const own = await page.evaluate(async () => {
    const pair = await crypto.subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, true, ["deriveBits"]);
    const raw = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
    return btoa(String.fromCharCode(...raw)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  });
  const [right, wrong] = [fresh(), fresh()];
  await page.locator("form[data-seal-key]").evaluate((form, key) => { form.dataset.sealKey = key; }, own);
  await page.getByLabel("Value", { exact: true }).fill(wrong);
  check("sealed to another key: refused, 400", await save(page) === 400 && !leaks(wrong), await text(page));
  await page.locator("form[data-seal-key]").evaluate((form) => { form.dataset.sealKey = "AAAA"; });
  await page.getByLabel("Value", { exact: true }).fill(wrong);
  const sent = bodies.length;
  await page.getByRole("button", { name: "Save" }).click();
  await page.waitForTimeout(200);
  check("no key to seal to: nothing is sent, and that is said", bodies.length === sent && /nothing was sent/.test(await text(page)), await text(page));
  await page.reload();
  await page.getByLabel("Value", { exact: true }).fill(right);
  await save(page);
  check("then the link still takes it", await vault.holds(n, { [n]: right }), await text(page));
  n = await start();
  await to(page, () => page.getByRole("button", { name: "I do not want to enter this" }).click());
  check("declined", (await heading(page)) === "Nothing was entered");
  const bare = await visitor(base, { javaScriptEnabled: false });
  await signIn(bare, vault);
  const plain = name();
  const { url } = await offered(tool, { name: plain });
  await bare.page.goto(`${base}${/^\/u\/[\w-]{43}/.exec(path(bare.page))[0]}${new URL(url).pathname}`);
  const typed = key();
  await bare.page.getByLabel("Value", { exact: true }).fill(typed);
  await save(bare.page);
  check("without script the proxy sees it, or this test would see nothing", leaks(typed));
  check("and it arrives exactly", await vault.holds(plain, { [plain]: typed }), await text(bare.page));
  clean(check, "all of it", who);
  await who.context.close();
  await bare.context.close();
}

// --- C: the pages of a server on standard input and output ---

async function overStdio() {
  await group("stdio", "goes through", async (check) => {
    const vault = await new Vault("stdio").init();
    const { tool } = await vault.stdio();
    const made = name();
    const entry = await offered(tool, { name: made });
    const base = new URL(entry.url).origin;
    check("the answer has a code", /^[2-9A-Z]{4}-[2-9A-Z]{4}$/.test(entry.code), "another shape");
    const who = await visitor(base);
    const { page } = who;
    check("the page asks for it, 401", await to(page, () => page.goto(entry.url)) === 401 && (await heading(page)) === "Enter the code");
    check("and shows nothing of what it is for", !(await page.content()).includes(made));
    await look(check, "code", who);
    const type = async (code) => {
      await page.getByLabel("Code").fill(code);
      return to(page, () => page.getByRole("button", { name: "Continue" }).click());
    };
    const wrong = entry.code.startsWith("AAAA") ? "BBBB-BBBB" : "AAAA-AAAA";
    for (let left = 4; left >= 1; left -= 1) {
      check(`a wrong code: 403, ${left} left`, await type(wrong) === 403 && new RegExp(`\\b${left} (try is|tries are) left`).test(await text(page)), await text(page));
      if (left === 4) await look(check, "code-refused", who);
    }
    check("the fifth closes the link, 410", await type(wrong) === 410, await text(page));
    check("for the right code too", await to(page, () => page.goto(entry.url)) === 410);
    await look(check, "blocked", who);

    const value = key();
    const next = await again(tool, made);
    await page.goto(next.url);
    check("in small letters, without the dash: right", await type(next.code.toLowerCase().replace("-", " ")) === 200 && (await heading(page)).includes(made), await text(page));
    check("no session is in the frame", (await page.getByRole("button", { name: "Sign out" }).count()) === 0);
    await look(check, "entry-by-code", who);
    const half = /^\/u\/[\w-]{43}/.exec(path(page))[0];
    const other = await offered(tool, { name: name() });
    const elsewhere = await to(page, () => page.goto(`${base}${half}${new URL(other.url).pathname}`));
    check("a code opens its own link and no other", elsewhere === 404, elsewhere);
    for (const there of ["/", "/approvals", "/providers"]) {
      check(`nor ${there}`, (await to(page, () => page.goto(`${base}${half}${there}`))) === 404);
    }
    await page.goto(`${base}${half}${new URL(next.url).pathname}`);
    await page.getByLabel("Value", { exact: true }).fill(value);
    await save(page);
    check("the value arrives exactly", await vault.holds(made, { [made]: value }), await text(page));
    check("the used link is 410", await to(page, () => page.goto(next.url)) === 410);
    check("the session ended with it", (await ask(`${base}${half}${new URL(next.url).pathname}`)).status !== 200);
    const declined = await again(tool, made);
    await page.goto(declined.url);
    await type(declined.code);
    await to(page, () => page.getByRole("button", { name: "I do not want to enter this" }).click());
    check("declined", (await heading(page)) === "Nothing was entered");
    check("the first value is still there", await vault.holds(made, { [made]: value }));
    clean(check, "all of it", who);
    await who.context.close();
    const bare = await visitor(base, { javaScriptEnabled: false });
    const [plain, typed] = [name(), fresh()];
    const last = await offered(tool, { name: plain });
    await bare.page.goto(last.url);
    await bare.page.getByLabel("Code").fill(last.code);
    await to(bare.page, () => bare.page.getByRole("button", { name: "Continue" }).click());
    await bare.page.getByLabel("Value", { exact: true }).fill(typed);
    await save(bare.page);
    check("without script: arrives exactly", await vault.holds(plain, { [plain]: typed }), await text(bare.page));
    await bare.context.close();
  });
}

// --- E: text of others ---

async function hostileText() {
  await group("text", "goes through", async (check) => {
    const vault = await new Vault("text").init();
    await vault.works("user", "add", "max", "--name", PAYLOADS[0]);
    const base = await vault.serve("--http", "127.0.0.1:0");
    const tool = assistant(base, await vault.token("chat"));
    const who = await visitor(base);
    const { page } = who;
    await signIn(who, vault);
    const half = /^\/u\/[\w-]{43}/.exec(path(page))[0];
    const n = name();
    const entry = await offered(tool, { name: n });
    const shared = (await tool("create_credential", { name: name(), scope: "org" })).id;
    let here = `${base}${half}${new URL(entry.url).pathname}`;
    const ran = [];
    // What our own pages are made of; scripts are two, and no element has a style or a handler of its own.
    const OURS = "html head meta title link script body a header div p nav ul li form input button strong bdi main footer"
      + " h1 h2 section dl dt dd span code time figure figcaption blockquote label textarea fieldset legend";
    const odd = [];
    const marked = async (what) => {
      const { isMarked, foreign } = await page.evaluate((ours) => ({
        isMarked: window.unsaidXss !== undefined,
        foreign: [...document.querySelectorAll("*")].filter((e) => !ours.includes(e.localName)
          || [...e.attributes].some((a) => /^on|^style$|^srcdoc$/i.test(a.name) || /javascript:|evil/i.test(e.getAttribute("href") ?? ""))).map((e) => e.outerHTML)
          .concat(document.scripts.length === 2 ? [] : ["scripts"]),
      }), OURS.split(" "));
      if (isMarked) ran.push(what);
      odd.push(...foreign.map((html) => `${what}: ${html}`));
    };
    await page.goto(here);
    const counts = { descriptions: 0, accounts: 0, reasons: 0 };
    for (const [at, payload] of PAYLOADS.entries()) {
      const told = await tool("update_credential", { credential: n, description: payload });
      counts.descriptions += told.code === undefined ? 1 : 0;
      // An account is changed by approval alone, and a client calls itself what it likes.
      let asked = await tool("update_credential", { credential: n, account: payload, reason: payload }, payload);
      counts.accounts += asked.approval_id ? 1 : 0;
      if (!asked.approval_id) {
        asked = await tool("share_credential", { credential: shared, user: "max", level: "use", reason: payload }, payload);
      }
      counts.reasons += asked.approval_id ? 1 : 0;
      if (asked.approval_id) {
        await page.goto(`${base}${half}/approvals/${asked.approval_id}`);
        await marked(`approval ${at}`);
        await page.getByRole("button", { name: "Approve" }).click();
        await page.waitForURL((u) => u.pathname.endsWith(asked.approval_id));
      }
      // What a page is for is changed with its account: the old link is closed, and a new one shows it.
      here = `${base}${half}${new URL((await tool("set_credential_value", { credential: n })).entry.url).pathname}`;
      await page.goto(here);
      await marked(`entry ${at}`);
      if (at % 8 === 0) {
        await page.goto(`${base}${half}/approvals`);
        await marked(`approvals ${at}`);
      }
      if (at % 25 === 0) await vault.cli("user", "rename", "max", "--", payload);
    }
    check(`${PAYLOADS.length} payloads: as description ${counts.descriptions}, account ${counts.accounts}, reason and client's name ${counts.reasons}`,
      PAYLOADS.length >= 100 && counts.descriptions > 50 && counts.accounts > 50 && counts.reasons > 50, counts);
    check("none ran", ran.length === 0, ran);
    await page.goto(here);
    await page.getByLabel("Value", { exact: true }).fill(fresh());
    await save(page);
    check("the done page shows them as text too", /is stored/.test(await heading(page)));
    await marked("done");
    for (const there of ["/", "/approvals", "/providers"]) {
      await page.goto(`${base}${half}${there}`);
      await marked(there);
    }
    const f = name("FILE");
    await page.goto((await offered(tool, { name: f, type: "file" })).url);
    await page.waitForURL((u) => inSession.test(u.pathname));
    for (const [at, payload] of PAYLOADS.slice(0, 20).entries()) {
      await page.getByLabel("Key file").setInputFiles({ name: payload.replaceAll("/", "_").replaceAll("\0", "") || "x", mimeType: "text/plain", buffer: Buffer.alloc(at % 2 ? 10 : 1048577) });
      await marked(`file ${at}`);
    }
    // Addresses are followed nowhere but to our own entry pages.
    for (const target of ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "../../x"]) {
      const answer = await ask(`${base}/sign-in?next=${encodeURIComponent(target)}&link=${encodeURIComponent(target)}`);
      check(`no way out by ${target}`, answer.headers.location === undefined && !answer.text.includes("evil.example"));
    }
    check("none ran anywhere", ran.length === 0, ran);
    check("none became an element or an attribute", odd.length === 0, odd);
    clean(check, "all of it", who);
    // What would run is refused by the policy, and seen here: else the lines above would mean nothing.
    await page.evaluate(() => {
      document.body.append(Object.assign(document.createElement("img"), { src: "https://evil.example/x" }));
      try {
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=alert(1)>");
      } catch { /* Trusted Types */ }
    });
    await page.waitForTimeout(200);
    check("markup and images of a script's own are refused, and that is reported",
      ["img-src", "require-trusted-types-for"].every((rule) => who.seen.violations.some((told) => told.startsWith(rule))), who.seen.violations);
    await who.context.close();
  });
}

// --- another name for our address, as after DNS rebinding (W-12) ---

async function rebinding() {
  const vault = await new Vault("rebound").init();
  const base = await vault.serve("--http", "127.0.0.1:0");
  const mine = await visitor(base);
  const rebound = base.replace("127.0.0.1", "rebound.test");
  const came = await mine.page.goto(`${rebound}/sign-in`);
  check("rebound", "a page of another name for our address is refused", came.status() === 403, came.status());
  check("rebound", "and shows nothing of ours", !(await mine.page.content()).includes("unsaid"));
  const tried = await mine.page.evaluate(async () => {
    const seen = [];
    for (const [method, at] of [["GET", "/healthz"], ["POST", "/sign-in"], ["POST", "/mcp"], ["GET", "/sse"], ["GET", "/"]]) {
      seen.push((await fetch(at, { method, ...(method === "POST" ? { body: "{}" } : {}) })).status);
    }
    return seen;
  });
  check("rebound", "its requests, which the browser takes for its own origin's, reach nothing", tried.every((s) => s === 403), tried);
  await mine.context.close();
}

// --- ---

try {
  check("all", `the binary is there: ${BINARY.split("/").pop()}`, execFileSync(BINARY, ["--version"]).length > 0);
  await launch();
  for (const [letter, run] of [["A", overHttp], ["B", sealing], ["C", overStdio], ["E", hostileText], ["F", rebinding]]) {
    if (ONLY === undefined || ONLY.includes(letter)) await group(letter, "runs", () => run());
  }
} catch (e) {
  check("all", "starts", false, String(e.stack ?? e));
} finally {
  await tidy();
}
console.log(`${Math.round((Date.now() - began) / 1000)} s`);
process.exit(verdict());
