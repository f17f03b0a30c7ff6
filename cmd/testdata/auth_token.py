"""A WSGI application that answers with what it sees, bare and behind auth_token filters.

Standard input is a JSON object {"NAME": {options of auth_token}}. Standard output is one line of JSON, {"NAME": port}, with
the bare application under the name "". The servers end when standard input does.
"""

import json
import socketserver
import sys
import threading
import urllib.parse
import wsgiref.simple_server

from keystonemiddleware import auth_token


def application(environ, start_response):
    length = int(environ.get('CONTENT_LENGTH') or 0)
    environ['wsgi.input'].read(length)
    query = urllib.parse.parse_qs(environ.get('QUERY_STRING', ''))
    status = query.get('status', ['200'])[0]
    headers = [('Content-Type', 'application/json')]
    headers += [('WWW-Authenticate', value) for value in query.get('challenge', [])]
    seen = {name: value for name, value in environ.items()
            if name.startswith('HTTP_') and isinstance(value, str)}
    body = json.dumps(seen).encode()
    headers.append(('Content-Length', str(len(body))))
    start_response(status + ' As-Asked', headers)
    return [] if environ['REQUEST_METHOD'] == 'HEAD' else [body]


def web_server(app):
    """What a web server that authenticates by itself does: REMOTE_USER and AUTH_TYPE, here by header."""
    def call(environ, start_response):
        for header, name in (('HTTP_X_REMOTE_USER', 'REMOTE_USER'), ('HTTP_X_AUTH_TYPE', 'AUTH_TYPE')):
            environ.pop(name, None)
            if header in environ:
                environ[name] = environ.pop(header)
        return app(environ, start_response)
    return call


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class Handler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *args):
        pass

    def address_string(self):
        return self.client_address[0]


def main():
    apps = {'': application}
    for name, options in json.loads(sys.stdin.readline()).items():
        apps[name] = web_server(auth_token.AuthProtocol(application, options))
    ports = {}
    for name, app in apps.items():
        server = wsgiref.simple_server.make_server('127.0.0.1', 0, app, Server, Handler)
        ports[name] = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps(ports), flush=True)
    sys.stdin.read()


main()
