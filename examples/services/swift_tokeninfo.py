"""For Swift behind authproxy: tells keystoneauth that tokens have domains.

keystoneauth takes the names of domains from headers only where it finds keystone.token_info, which auth_token puts into the
WSGI environment and no header can carry. Without it an ACL by names also lets in the namesake of another domain. Put this
file where Python finds it, and the filter where authtoken stood, before keystoneauth:

    [filter:tokeninfo]
    paste.filter_factory = swift_tokeninfo:filter_factory
"""


def filter_factory(global_conf, **local_conf):
    def wrap(app):
        def call(environ, start_response):
            environ.pop('keystone.token_info', None)
            if environ.get('HTTP_X_IDENTITY_STATUS') == 'Confirmed':
                environ['keystone.token_info'] = {'token': {}}
            return app(environ, start_response)
        return call
    return wrap
