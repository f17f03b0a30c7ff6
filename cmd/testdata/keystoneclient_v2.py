# Manages a cloud by python-keystoneclient's v2.0 library: PUBLIC_URL ADMIN_URL ADMIN_PASSWORD STATE_DIR.
import sys
import warnings

warnings.simplefilter("ignore")

from keystoneauth1 import session
from keystoneauth1.identity import v2
from keystoneclient import exceptions
from keystoneclient.common import cms
from keystoneclient.v2_0 import client

public, admin, password, state = sys.argv[1:]


def connect(name, password, tenant=None, port=admin):
    auth = v2.Password(public + "/v2.0", username=name, password=password, tenant_name=tenant)
    s = session.Session(auth=auth)
    return client.Client(session=s, endpoint_override=port + "/v2.0"), s


def refused(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error:
        return
    raise AssertionError("%s was not raised by %s" % (error, call))


c, s = connect("admin", password, "admin")
tenant = c.tenants.create("py-tenant", description="d", enabled=True)
assert c.tenants.get(tenant.id).description == "d"
assert c.tenants.update(tenant.id, description="e").description == "e"
assert tenant.id in [t.id for t in c.tenants.list()]
refused(exceptions.Conflict, c.tenants.create, "py-tenant")

user = c.users.create("py-user", "p1", "u@example.org", tenant.id, True)
assert user.tenantId == tenant.id and user.email == "u@example.org"
assert [r.name for r in c.users.list_roles(user.id, tenant.id)] == ["_member_"]
assert user.id in [u.id for u in c.users.list()] and user.id in [u.id for u in c.tenants.list_users(tenant.id)]
c.users.update(user.id, email="v@example.org")
c.users.update_password(user.id, "p2")
c.users.update_enabled(user.id, False)
refused(exceptions.Unauthorized, connect("py-user", "p2", "py-tenant")[1].get_token)
c.users.update_enabled(user.id, True)
refused(exceptions.NotFound, c.users.get, "none")

role = c.roles.create("py-role")
c.roles.add_user_role(user.id, role.id, tenant.id)
refused(exceptions.Conflict, c.roles.add_user_role, user.id, role.id, tenant.id)
assert sorted(r.name for r in c.roles.roles_for_user(user.id, tenant.id)) == ["_member_", "py-role"]
mine, mine_session = connect("py-user", "p2", "py-tenant", public)
assert [t.name for t in mine.tenants.list()] == ["py-tenant"]
refused(exceptions.Forbidden, connect("py-user", "p2", "py-tenant")[0].users.list)
c.roles.remove_user_role(user.id, role.id, tenant.id)
refused(exceptions.Unauthorized, session.Session(auth=v2.Token(public + "/v2.0", mine_session.auth.auth_ref.auth_token)).get_token)

service = c.services.create("py-service", "py-type", "d")
endpoint = c.endpoints.create("RegionOne", service.id, "http://a/$(tenant_id)s", "http://b", "http://c")
assert endpoint.id in [e.id for e in c.endpoints.list()]
mine, mine_session = connect("py-user", "p2", "py-tenant", public)
assert mine_session.get_endpoint(service_type="py-type") == "http://a/" + tenant.id
assert mine_session.get_endpoint(service_type="py-type", interface="internal") == "http://c"
c.endpoints.delete(endpoint.id)
c.services.delete(service.id)

text = mine_session.get_token()
assert c.tokens.validate(text).user["name"] == "py-user"
signed = cms.cms_verify(cms.token_to_cms(text), state + "/ssl/certs/signing_cert.pem", state + "/ssl/certs/ca.pem")
assert b'"placeholder"' in signed, signed
mine.users.update_own_password("p2", "p3")
refused(exceptions.NotFound, c.tokens.validate, text)
mine, mine_session = connect("py-user", "p3", "py-tenant", public)
text = mine_session.get_token()
c.tokens.delete(text)
revoked = cms.cms_verify(c.tokens.get_revoked()["signed"], state + "/ssl/certs/signing_cert.pem", state + "/ssl/certs/ca.pem")
assert cms.cms_hash_token(text).encode() in revoked
assert "BEGIN CERTIFICATE" in c.certificates.get_ca_certificate() and "BEGIN CERTIFICATE" in c.certificates.get_signing_certificate()
assert c.extensions.list()

c.roles.delete(role.id)
c.users.delete(user.id)
c.tenants.delete(tenant.id)
print("keystoneclient v2.0: all as expected")
