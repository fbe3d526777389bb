"""A registry that repeats to everybody what it is told: passwords, tokens, signed addresses, in every kind of failure.

Which request fails, and how, is in the name of the repository: `STAGE-FAULT`, such as `patch-denied`. All others are
answered as registries do, with secrets of its own in every address it gives.

    with Gossip("c4n4ry") as gossip:
        push(f"{gossip.address}/manifest-page:1")
        assert gossip.heard("a password of ours")
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from urllib.parse import unquote

from tests.fakes.threaded import Handler, ThreadedServer

STAGES = ("token", "head", "open", "patch", "put", "manifest")
FAULTS = ("refused", "unauthorized", "denied", "page", "hangs-up", "resets", "garbled", "elsewhere", "nowhere")
STORAGE = "storage"
"""The stage of what was sent elsewhere: it goes to an address that says so."""
_NAME = re.compile(rf"(?P<stage>{'|'.join((*STAGES, STORAGE))}|never)-(?P<fault>{'|'.join(FAULTS)}|none)")
_STATUS = {"refused": 400, "unauthorized": 401, "denied": 403, "page": 500}


class Gossip(ThreadedServer):
    """The registry.

    Args:
        canary: what every secret of its own begins with.

    Attributes:
        secrets: what it made up: tokens, and parts of addresses.
    """

    def __init__(self, canary: str) -> None:
        self.token, self.realm, self.state, self.signature = (
            f"{canary}{name}" for name in ("Token", "Realm", "State", "Signature")
        )
        self.secrets = (self.token, self.realm, self.state, self.signature)
        self._heard: list[str] = []
        self._lock = threading.Lock()
        super().__init__(_Answers, self)

    def hear(self, text: str) -> None:
        """Write a request down."""
        with self._lock:
            self._heard.append(text)

    def heard(self, secret: str) -> bool:
        """Whether a secret ever came."""
        with self._lock:
            return any(secret in text for text in self._heard)


class _Answers(Handler):
    part: Gossip

    def answer(self) -> None:
        body = self.body()
        stage = self._stage()
        carried = body.decode(errors="replace") if stage == "token" else ""
        said = f"{self.command} {self.path} {dict(self.headers.items())} {carried}"
        self.part.hear(said)
        wanted = _NAME.search(unquote(said))
        if wanted is not None and wanted["stage"] == stage and wanted["fault"] != "none":
            self._fail(wanted["fault"], said)
        elif stage not in ("token", STORAGE) and "Authorization" not in self.headers:
            self._ask()
        else:
            self._serve(stage)

    def _stage(self) -> str:
        if self.path.startswith("/token"):
            return "token"
        if self.path.startswith("/storage"):
            return STORAGE
        if "/manifests/" in self.path:
            return "manifest" if self.command == "PUT" else "head"
        return {"POST": "open", "PATCH": "patch", "PUT": "put"}.get(self.command, "blob")

    def _ask(self) -> None:
        realm = f"{self.part.url}/token?key={self.part.realm}"
        self.reply(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="gossip"'})

    def _serve(self, stage: str) -> None:
        location = {"Location": f"{self.path.partition('?')[0].rstrip('/')}/1?_state={self.part.state}"}
        match stage:
            case "token":
                self.reply(200, json.dumps({"token": self.part.token, "expires_in": 300}).encode())
            case "open":
                self.reply(202, headers=location)
            case "patch":
                self.reply(202, headers={"Location": self.path})
            case "put" | "manifest" | "storage":
                self.reply(201)
            case _:
                self.reply(404)

    def _fail(self, fault: str, said: str) -> None:
        match fault:
            case "hangs-up":
                self.close_connection = True
            case "resets":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            case "garbled":
                self.wfile.write(f"HTTP/9 {said}\r\n\r\n".encode(errors="replace"))
            case "elsewhere":
                # Also to where it fails: whoever is sent there says what it was.
                there = f"{self.part.url}/storage/storage-page?X-Amz-Signature={self.part.signature}"
                self.reply(307, headers={"Location": there})
            case "nowhere":
                self.reply(307, headers={"Location": f"http://[::1?X-Amz-Signature={self.part.signature}"})
            case "page":
                self.reply(500, f"<html><h1>cannot {said}</h1></html>".encode(), {"Content-Type": "text/html"})
            case _:
                entry = {"code": "UNKNOWN", "message": f"cannot {said}", "detail": {"request": said}}
                asked = {"WWW-Authenticate": f'Bearer realm="{self.part.url}/token?key={self.part.realm}"'}
                self.reply(_STATUS[fault], json.dumps({"errors": [entry]}).encode(), asked)
