"""A server on this machine that speaks OpenAI's embeddings wire, well or badly, as a test asks."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

WIDTH = 16


def vector(text, width=WIDTH):
    """What the server's model makes of a text: float32 (width,), not of length 1."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    return np.random.default_rng(seed).normal(size=width).astype(np.float32)


def vectors(texts, width=WIDTH):
    return np.array([vector(text, width) for text in texts], np.float32).reshape(-1, width)


def error(message, kind="invalid_request_error", code=None):
    """An error as OpenAI tells it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


class Server(ThreadingHTTPServer):
    """The requests that it saw, and how it answers.

    failures: (status, body, headers) given to the first requests. change: what happens to the answer to a good one:
    takes the document and gives it back, or bytes in its place. hold: how many requests must be there at the same time
    before any is answered.
    """

    daemon_threads = True

    def __init__(self, failures=(), change=None, width=WIDTH, hold=1, floats=False):
        super().__init__(("127.0.0.1", 0), Handler)
        self.failures = list(failures)
        self.change = change or (lambda document: document)
        self.width, self.floats = width, floats
        self.together = threading.Barrier(hold)
        self.released = threading.Event()
        self.requests, self.headers, self.paths = [], [], []
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def batches(self):
        return [request["input"] for request in self.requests]

    def document(self, request):
        width = request.get("dimensions", request.get("output_dimension", self.width))
        rows = vectors(request["input"], self.width)[:, :width]
        coded = request.get("encoding_format") == "base64" and not self.floats
        data = [
            {
                "object": "embedding",
                "index": i,
                "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode() if coded else row.tolist(),
            }
            for i, row in enumerate(rows)
        ]
        tokens = sum(len(text.split()) for text in request["input"])
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": request["model"], "usage": usage}

    def handle_error(self, request, address):
        """A client that gave up is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.requests.append(request)
            self.server.headers.append(self.headers)
            self.server.paths.append(self.path)
            failure = self.server.failures.pop(0) if self.server.failures else None
        if failure is not None:
            return self.answer(*failure)
        self.server.together.wait(60)
        return self.answer(200, self.server.change(self.server.document(request)))

    def answer(self, status, body, headers=()):
        if status == "silent":  # until the test is over
            self.server.released.wait(60)
            return
        kind = "application/json" if isinstance(body, dict | list) else "text/html"
        body = json.dumps(body).encode() if isinstance(body, dict | list) else body
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": len(body), **dict(headers)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet."""


@contextmanager
def serving(**how):
    """A server that runs within the block, on a port that the system chose."""
    server = Server(**how)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
