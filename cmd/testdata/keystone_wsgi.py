"""Debian's own Keystone on 127.0.0.1, without a web server around it. Arguments: keystone.conf and port."""

import os
import sys
import wsgiref.simple_server

config, port = sys.argv[1:]
del sys.argv[1:]  # Keystone would read them
os.environ['OS_KEYSTONE_CONFIG_FILES'] = config

from keystone.server import wsgi  # noqa: E402: it reads the variable above


class Handler(wsgiref.simple_server.WSGIRequestHandler):
    timeout = 5  # one request at a time, for SQLite's sake: an idle connection must not hold up the others

    def log_message(self, *args):
        pass

    def address_string(self):
        return self.client_address[0]


application = wsgi.initialize_public_application()
with wsgiref.simple_server.make_server('127.0.0.1', int(port), application, handler_class=Handler) as server:
    server.serve_forever()
