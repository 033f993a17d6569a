"""A real HTTP server that speaks the chat API, in a thread, and goes wrong as it is told."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WORDS = ["The ", "bus ", "carries ", "events", "."]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.seen.append(("GET", self.path, dict(self.headers), None))
        self.answer(*self.server.models)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(("POST", self.path, dict(self.headers), body))
        fault = self.server.faults.pop(0) if self.server.faults else ""
        if fault:
            getattr(self, f"fault_{fault}")(body)
        elif body["stream"]:
            self.stream(self.server.words)
        else:
            self.answer(200, completion("".join(self.server.words)))

    def answer(self, status, said, headers=()):
        data = said if isinstance(said, bytes) else json.dumps(said, ensure_ascii=False).encode()
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def raw(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def piece(self, word, finish_reason=None):
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": finish_reason}
        data = json.dumps({"model": "tiny", "choices": [choice]}, ensure_ascii=False)
        self.raw(f"data: {data}\n\n".encode())

    def stream(self, words):
        self.begin()
        self.raw(b": hello\n\n")
        for word in words:
            self.server.gate.wait()
            self.piece(word)
        self.piece(None, "stop")
        self.raw(b"data: [DONE]\n\n")
        self.raw(b"")

    def reset(self):
        """Break the connection as a machine that dies does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        self.wfile = self.rfile = Path("/dev/null").open("r+b")  # noqa: SIM115 - what the base class flushes and closes

    def fault_429(self, body):
        self.answer(429, {"error": {"message": "slow down"}}, {"Retry-After": self.server.retry_after})

    def fault_500(self, body):
        self.answer(500, b"<h1>oops</h1>")

    def fault_401(self, body):
        self.answer(401, {"error": {"message": f"wrong key: {self.headers['Authorization']}"}})

    def fault_404(self, body):
        self.answer(404, {"error": {"message": "no such model"}})

    def fault_page(self, body):
        self.answer(200, b"<h1>Please log in</h1>", {"Content-Type": "text/html"})

    def fault_moved(self, body):
        self.answer(302, b"", {"Location": "/elsewhere"})

    def fault_stall(self, body):
        self.server.stalled.set()
        self.server.over.wait()

    def fault_stall_later(self, body):
        self.begin()
        self.piece(self.server.words[0])
        self.fault_stall(body)

    def fault_drop(self, body):
        self.reset()

    def fault_drop_later(self, body):
        self.begin()
        self.piece(self.server.words[0])
        self.piece(self.server.words[1])
        time.sleep(0.05)  # a reset would take what is on its way with it
        self.reset()

    def fault_end_early(self, body):
        self.begin()
        self.piece(self.server.words[0])
        self.raw(b"")

    def fault_nonsense(self, body):
        if body["stream"]:
            self.begin()
            self.raw(b'data: {"choices": 7}\n\n')
            self.raw(b"")
        else:
            self.answer(200, b'{"choices": [{"message": 7}]}')

    def fault_error_inside(self, body):
        self.begin()
        self.piece(self.server.words[0])
        self.raw(b'data: {"error": {"message": "overloaded"}}\n\n')
        self.raw(b"")

    def fault_echo(self, body):
        """Repeat the key, cut at an odd place."""
        key = self.headers["Authorization"].split()[1]
        if body["stream"]:
            self.stream(["key: ", key[:5], key[5:9], key[9:], " and ", key[:4]])
        else:
            self.answer(200, completion(f"your key is {key}"))


def completion(text):
    return {
        "model": "tiny",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5},
    }


class ChatServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.words = WORDS
        self.faults = []
        self.seen = []
        self.models = (200, {"data": []})
        self.retry_after = "0"
        self.stalled = threading.Event()
        self.over = threading.Event()
        self.gate = threading.Event()  # open unless a test closes it
        self.gate.set()
        self.problems = []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request, client_address):
        pass  # a client that goes away is what some tests are about

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *exc_info):
        self.over.set()
        self.gate.set()
        self.shutdown()
        self.server_close()
