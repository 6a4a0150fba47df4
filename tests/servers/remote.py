"""A remote MCP server that lets in who shows the right header, and repeats what it was shown.

remote.py PORT json|events     On standard input, a line each: the SHA-256 of the header that is right from then on.
"""

import hashlib
import sys
import threading

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

right, shown = "", ""
server = MCPServer("remote", log_level="ERROR")


def listen() -> None:
    global right
    for line in sys.stdin:
        right = line.strip()


class Guarded:
    """Everybody else is turned away before the server sees them."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        global shown
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"").decode()
            if hashlib.sha256(given.encode()).hexdigest() != right:
                await send({"type": "http.response.start", "status": 401, "headers": [(b"www-authenticate", b"Bearer")]})
                await send({"type": "http.response.body", "body": f"you showed {given}".encode()})
                return
            shown = given
        await self.app(scope, receive, send)


@server.tool()
def repeat() -> dict[str, str]:
    """What was shown."""
    return {"header": shown, "repr": repr({"authorization": shown})}


@server.tool()
async def work(ctx: Context) -> str:
    """Tells how far it is."""
    for step in range(3):
        await ctx.report_progress(step, 3)
    return hashlib.sha256(shown.encode()).hexdigest()


threading.Thread(target=listen, daemon=True).start()
app = server.streamable_http_app(json_response=sys.argv[2] == "json")
uvicorn.run(Guarded(app), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
