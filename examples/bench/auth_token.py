"""A WSGI application for uwsgi, bare or behind Debian's auth_token, whose options are in the JSON file that BENCH_AUTH_TOKEN names."""

import json
import os

SMALL, BIG = b'hello\n', bytes(64 << 10)


def application(environ, start_response):
    body = BIG if environ['PATH_INFO'] == '/64k' else SMALL
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(body)))])
    return [body]


if os.environ.get('BENCH_AUTH_TOKEN'):
    from keystonemiddleware import auth_token
    with open(os.environ['BENCH_AUTH_TOKEN']) as options:
        application = auth_token.AuthProtocol(application, json.load(options))
