// Failures on demand, for a path and a number of requests; everything finer is in ../faulty.py.
//
//   {"path": "/token", "kind": "status", "status": 503, "headers": {"retry-after": "1"}, "count": 1}
//
// Before the work: status (with `status`, `headers`, `body`), drop, html, badjson, truncate, and delay by `ms`. After it:
// lost (the work is done, and the answer never comes) and no_refresh (no refresh token in the answer).

const REPLIES = ["status", "drop", "html", "badjson", "truncate"];
const KINDS = [...REPLIES, "delay", "lost", "no_refresh"];

export class Faults {
  constructor() {
    this.reset();
  }

  reset() {
    this.waiting = [];
  }

  /** Throws for a kind that there is not. */
  add(fault) {
    if (!KINDS.includes(fault.kind)) throw new Error(`there is no kind ${fault.kind}: there are ${KINDS.join(", ")}`);
    this.waiting.push({ count: 1, ...fault });
  }

  /** The fault of this request, one of its count less. */
  take(path) {
    const fault = this.waiting.find((waiting) => waiting.path === path && waiting.count > 0);
    if (fault) fault.count -= 1;
    return fault;
  }
}

export const isReply = (fault) => REPLIES.includes(fault?.kind);

/** Answers instead of the provider. */
export function reply(ctx, fault) {
  if (fault.headers) ctx.set(fault.headers);
  switch (fault.kind) {
    case "drop":
      return drop(ctx);
    case "status":
      ctx.status = fault.status ?? 503;
      ctx.body = fault.body ?? { error: "temporarily_unavailable" };
      return;
    case "html":
      ctx.status = fault.status ?? 502;
      ctx.type = "html";
      ctx.body = "<html><body>502 Bad Gateway</body></html>";
      return;
    case "badjson":
      ctx.status = 200;
      ctx.type = "json";
      ctx.body = '{"access_token": "x", ';
      return;
    case "truncate":
      ctx.respond = false;
      ctx.res.writeHead(200, { "content-type": "application/json", "content-length": "500" });
      ctx.res.write('{"access_token":"', () => ctx.req.socket.destroySoon());
  }
}

export function drop(ctx) {
  ctx.respond = false;
  ctx.req.socket.destroy();
}
