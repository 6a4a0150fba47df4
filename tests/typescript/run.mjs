// Drives `unsaid serve --http` with the official TypeScript clients: 1.x, and 2.x in both eras of the protocol.
//
//   npm ci --ignore-scripts                     in a copy of this folder, so that node_modules is not in the repository
//   node run.mjs URL TOKEN_FILE [--pages]       Node 22 or later; URL as http://127.0.0.1:8740/mcp
//
// The file holds the token of `unsaid token create`. A line is printed for each check; the status is 1 if one failed.
// With --pages, whoever started this reads the lines `page URL` and enters a value there (tests/python/over_http.py
// does, with --node and --typescript). Without it nobody enters anything, and each call comes back after its patience.

import { readFileSync } from "node:fs";
import { Client as Client1 } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as Transport1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitationCompleteNotificationSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { Client as Client2, StreamableHTTPClientTransport as Transport2 } from "@modelcontextprotocol/client";

const [url, tokenFile, pages] = process.argv.slice(2);
const requestInit = { headers: { Authorization: `Bearer ${readFileSync(tokenFile, "utf8").trim()}` } };
const info = { name: "typescript", version: "1" };
const capabilities = { elicitation: { form: {}, url: {} } };

let failures = 0;
function check(part, what, holds, told = "") {
  failures += holds ? 0 : 1;
  console.log(`${holds ? "ok  " : "FAIL"} ${part.padEnd(10)} ${what}`);
  if (!holds) console.error(part, what, JSON.stringify(told)?.slice(0, 800));
}

const name = () => "KEY_" + crypto.randomUUID().slice(0, 8).toUpperCase();

/** Resolves once `holds` does, or after a while. */
async function eventually(holds, within = 5000) {
  for (const end = Date.now() + within; !holds() && Date.now() < end; ) {
    await new Promise((next) => setTimeout(next, 50));
  }
  return holds();
}

/** What both generations of the client have in common, once they are connected. */
async function drive(part, client, version, person, completed) {
  // The first generation takes the shape of the result before the options.
  const between = client instanceof Client1 ? [undefined] : [];
  const call = (tool, args = {}, options = {}) => client.callTool({ name: tool, arguments: args }, ...between, options);
  const told = (result) => result.structuredContent ?? {};
  /** The code of a failure, as a model reads it: a result marked as an error. Clients that throw show none. */
  const fails = async (what, code, tool, args) => {
    const result = await call(tool, args).catch((e) => ({ thrown: String(e) }));
    const text = result.content?.[0]?.text ?? "{}";
    check(part, `${what} is ${code}`, result.isError && JSON.parse(text).code === code, result);
  };

  check(part, `speaks ${version.is}`, version.is === version.expected, version);
  check(part, "says who it is", client.getServerVersion()?.name === "unsaid", client.getServerVersion());
  const tools = (await client.listTools()).tools.map((tool) => tool.name);
  check(part, `lists ${tools.length} tools`, ["whoami", "create_credential", "delete_credential"].every((t) => tools.includes(t)), tools);
  const me = await call("whoami");
  check(part, "whoami", !me.isError && told(me).door === "http", me);
  const read = await client.readResource({ uri: "unsaid://inventory" });
  check(part, "reads unsaid://inventory", "credentials" in JSON.parse(read.contents[0].text), read);
  const prompt = await client.getPrompt({ name: "audit_credentials", arguments: {} });
  check(part, "gets a prompt", prompt.messages[0].content.text.length > 500, prompt);
  await fails("what is not there", "credential_not_found", "get_credential", { credential: "NOT_THERE" });

  person.answers = () => ({ action: "cancel" });
  const made = told(await call("create_credential", { name: name(), scope: "org" }));
  check(part, "a page that is dismissed: the link is in the answer", made.entry?.url?.startsWith(new URL(url).origin + "/e/"), made);
  const deleting = { credential: made.id, reason: "the tests are done" };
  person.answers = () => ({ action: "decline" });
  await fails("a form that is declined", "declined", "delete_credential", deleting);
  check(part, "the form asks for one tick", Object.keys(person.asked.at(-1).requestedSchema.properties).join() === "confirm", person.asked.at(-1));
  person.answers = () => ({ action: "accept", content: { confirm: true } });
  const deleted = await call("delete_credential", deleting);
  check(part, "a form that is accepted", !deleted.isError && told(deleted).id === made.id, deleted);

  person.answers = () => ({ action: "decline" });
  const unwanted = told(await call("create_credential", { name: name(), scope: "org" }));
  check(part, "a page that is declined", unwanted.entry?.state === "declined", unwanted);
  person.answers = (params) => {
    if (pages) console.log(`page ${params.url}`);
    return { action: "accept" };
  };
  const progress = [];
  const key = name();
  const entered = told(await call("create_credential", { name: key, scope: "org" }, { onprogress: (p) => progress.push(p) }));
  check(part, "is asked to open a page of the server", person.asked.at(-1).mode === "url" && person.asked.at(-1).url === entered.entry?.url, person.asked.at(-1));
  check(part, "progress is told while it waits", progress.length > 0, progress);
  if (!pages) {
    check(part, "a page that nobody fills in stays open", entered.entry?.state === "open", entered);
    return;
  }
  check(part, "a page that is filled in", entered.entry?.state === "done", entered);
  if (completed) {
    check(part, "notifications/elicitation/complete arrives", await eventually(() => completed.includes(entered.entry?.id)), completed);
  }
  const active = told(await call("get_credential", { credential: key }));
  check(part, "the credential has its value", active.status?.status === "active", active.status);
}

/** How the person answers, and what they were asked. */
function someone() {
  const person = { asked: [], answers: null };
  person.handle = async (request) => {
    person.asked.push(request.params);
    return person.answers(request.params);
  };
  return person;
}

async function first() {
  const client = new Client1(info, { capabilities });
  const [person, completed] = [someone(), []];
  client.setRequestHandler(ElicitRequestSchema, person.handle);
  client.setNotificationHandler(ElicitationCompleteNotificationSchema, (n) => void completed.push(n.params.elicitationId));
  const transport = new Transport1(new URL(url), { requestInit });
  await client.connect(transport);
  await drive("sdk 1.x", client, { is: transport.protocolVersion, expected: "2025-11-25" }, person, completed);
  await transport.terminateSession();
  await client.close();
}

async function second(part, mode, expected) {
  const client = new Client2(info, { capabilities, versionNegotiation: { mode } });
  const [person, completed] = [someone(), []];
  client.setRequestHandler("elicitation/create", person.handle);
  client.setNotificationHandler("notifications/elicitation/complete", (n) => void completed.push(n.params.elicitationId));
  const transport = new Transport2(new URL(url), { requestInit });
  await client.connect(transport);
  const is = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion;
  await drive(part, client, { is, expected }, person, expected < "2026" ? completed : null);
  await client.close();
}

const runs = {
  "sdk 1.x": first,
  "2.x old": () => second("2.x old", "legacy", "2025-11-25"),
  "2.x auto": () => second("2.x auto", "auto", "2026-07-28"),
  "2.x pinned": () => second("2.x pinned", { pin: "2026-07-28" }, "2026-07-28"),
};
await Promise.all(
  Object.entries(runs).map(([part, run]) => run().catch((e) => check(part, "runs to its end", false, String(e?.stack ?? e)))),
);
// A part that broke off may have left its streams open.
process.exit(failures ? 1 : 0);
