"""A hub on loopback: repositories in folders, as much of the hub's interface as fetching a model takes."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"


@dataclass
class SmallHub:
    """Repositories by name, each a folder; what was asked for.

    Attributes:
        repositories: Folders by ``owner/model``.
        gated: Those that nobody here may read.
        fetched: Files whose contents were sent.
        endpoint: Its address.
    """

    repositories: dict[str, Path]
    gated: set[str] = field(default_factory=set)
    fetched: list[str] = field(default_factory=list)
    endpoint: str = ""


@contextmanager
def serve(hub: SmallHub) -> Iterator[SmallHub]:
    """Serve it for the length of a ``with`` block."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(send=False)

        def do_GET(self) -> None:
            self.answer(send=True)

        def answer(self, send: bool) -> None:
            parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
            is_listing = parts[:2] == ["api", "models"]
            name = "/".join(parts[2:4] if is_listing else parts[:2])
            folder = hub.repositories.get(name)
            if folder is None:
                return self.refuse(404, "RepoNotFound")
            revision = parts[5] if is_listing and len(parts) > 5 else parts[3] if len(parts) > 3 else "main"
            if revision not in ("main", COMMIT):
                return self.refuse(404, "RevisionNotFound")
            if is_listing:
                files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
                listed = [
                    {"rfilename": path.relative_to(folder).as_posix(), "size": path.stat().st_size} for path in files
                ]
                body = json.dumps({"id": name, "sha": COMMIT, "siblings": listed}).encode()
                return self.reply(body, send, {"Content-Type": "application/json"})
            if name in hub.gated:
                return self.refuse(403, "GatedRepo")
            file = folder / "/".join(parts[4:])
            if not file.is_file():
                return self.refuse(404, "EntryNotFound")
            body = file.read_bytes()
            if send:
                hub.fetched.append("/".join(parts[4:]))
            tag = hashlib.sha256(body).hexdigest()
            return self.reply(body, send, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"})

        def reply(self, body: bytes, send: bool, headers: dict[str, str]) -> None:
            self.send_response(200)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if send:
                self.wfile.write(body)

        def refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", "no")
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
