"""The floor: what bare uvicorn answers when there is nothing to do."""

from typing import Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The same answer to everything."""
    if scope["type"] != "http":
        return
    await receive()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"15")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"score":0.125}'})
