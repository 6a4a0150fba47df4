"""An MCP server that tells everybody its key: in answers, in errors, in notifications and on standard error.

repeating.py VARIABLE      The variable that holds the key.
"""

import base64
import hashlib
import json
import os
import sys
import urllib.parse

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

VARIABLE = sys.argv[1]
KEY = os.environ.get(VARIABLE, "")
FORMS = {
    "plain": lambda key: key,
    "json": lambda key: json.dumps({"key": key}),
    "json-ascii": lambda key: json.dumps({"key": key}, ensure_ascii=True),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64url": lambda key: base64.urlsafe_b64encode(key.encode()).decode().rstrip("="),
    "url": lambda key: urllib.parse.quote(key, safe=""),
    "form": lambda key: urllib.parse.urlencode({"key": key}),
    "hex": lambda key: key.encode().hex(),
    "basic": lambda key: "Basic " + base64.b64encode(f"user:{key}".encode()).decode(),
}
server = MCPServer("repeating", log_level="ERROR")


@server.tool()
def repeat(form: str) -> str:
    """The key in one form."""
    print(f"repeating {KEY}", file=sys.stderr, flush=True)
    return f"before {FORMS[form](KEY)} after"


@server.tool()
def structured() -> dict[str, str]:
    """The key in every form at once."""
    return {form: write(KEY) for form, write in FORMS.items()}


@server.tool()
def fail() -> str:
    """The key in an error."""
    raise ToolError(f"{KEY} was refused")


@server.tool()
def digest() -> str:
    """Whether it is the right key, without saying it."""
    return hashlib.sha256(KEY.encode()).hexdigest()


server.run()
