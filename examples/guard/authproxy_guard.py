"""Lets only requests through that come from authproxy.

A service behind authproxy believes its headers, so whoever reaches the service past the proxy can be anyone. Where a unix socket,
the loopback interface or mutual TLS cannot keep others out, this WSGI filter does: authproxy sends a secret with each request
(--upstream-guard-file), and a request without it is refused before any other part of the pipeline sees it.

In a paste pipeline it comes first:

    [pipeline:glance-api]
    pipeline = authproxy_guard ...

    [filter:authproxy_guard]
    paste.filter_factory = authproxy_guard:filter_factory
    secret_file = /etc/glance/authproxy-guard

Without paste: application = Guard(application, "/etc/placement/authproxy-guard").

The file has a secret in each line, and any of them will do, so that a secret can be changed; empty lines and those that begin with
"#" do not count. A changed file counts from the next request on; one that cannot be used leaves the last good secrets in force.
"""

import hmac
import logging
import os
import threading

LOG = logging.getLogger(__name__)

LEAST = 24  # characters of a secret


class Guard:
    def __init__(self, app, secret_file, header="X-Authproxy-Guard"):
        self._app = app
        self._path = secret_file
        self._key = "HTTP_" + header.upper().replace("-", "_")
        self._lock = threading.Lock()
        self._failure = None
        self._seen = self._stamp()
        self._secrets = self._read()

    def __call__(self, environ, start_response):
        # Nothing behind this needs the secret, and nothing behind it can leak what it does not have.
        given = environ.pop(self._key, "").encode("latin-1", "replace")
        held = False
        for secret in self._current():
            held |= hmac.compare_digest(secret, given)
        if not held:
            body = b"This service is reached through its proxy only.\n"
            start_response("403 Forbidden", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
            return [body]
        return self._app(environ, start_response)

    def _stamp(self):
        info = os.stat(self._path)
        return info.st_mtime_ns, info.st_size, info.st_ino

    def _read(self):
        with open(self._path, "rb") as f:
            lines = [line.strip() for line in f.read().splitlines()]
        secrets = [line for line in lines if line and not line.startswith(b"#")]
        if not secrets or any(len(secret) < LEAST for secret in secrets):
            raise ValueError("%s: want a secret of at least %d characters in each line" % (self._path, LEAST))
        return secrets

    def _current(self):
        with self._lock:
            try:
                now = self._stamp()
                if now != self._seen:
                    self._seen = now
                    self._secrets = self._read()
                    self._failure = None
            except (OSError, ValueError) as e:
                if str(e) != self._failure:
                    self._failure = str(e)
                    LOG.error("the secrets of authproxy cannot be read, the last good ones stay in force: %s", e)
            return self._secrets


def filter_factory(global_conf, **local_conf):
    def make(app):
        return Guard(app, **local_conf)

    return make
