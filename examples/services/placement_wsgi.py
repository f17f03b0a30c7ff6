"""Placement behind authproxy: its pipeline is Python and always has auth_token in it, so that is taken out here.

The file is the WSGI application, in place of placement-api (uwsgi --wsgi-file placement_wsgi.py).
"""

import placement.auth

placement.auth.filter_factory = lambda global_conf, **local_conf: lambda app: app

from placement.wsgi import init_application  # noqa: E402: it takes the factory from above

application = init_application()
