"""Trusts, OAuth 1.0, credentials, policies and endpoint filters, by Debian's python-keystoneclient and oauthlib.

Arguments: the URL of the Identity API, and the administrator's password.
"""

import sys

from keystoneauth1 import exceptions
from keystoneauth1 import session
from keystoneauth1.extras import oauth1
from keystoneauth1.identity import v3
from keystoneclient.v3 import client

url, password = sys.argv[1] + "/v3", sys.argv[2]


def login(**scope):
    return client.Client(session=session.Session(auth=v3.Password(
        auth_url=url, user_domain_id="default", **scope)), interface="public")


def refused(error, f, *args, **kwargs):
    try:
        f(*args, **kwargs)
    except error:
        return
    raise AssertionError("%s was not raised" % error)


admin = login(username="admin", password=password, project_name="admin", project_domain_id="default")
project = admin.projects.create("studio", "default")
role = admin.roles.create("painter")
administrators = admin.roles.find(name="admin")
alice = admin.users.create("alice-of-the-studio", password="pw")
bob = admin.users.create("bob-of-the-studio", password="pw")
admin.roles.grant(role, user=alice, project=project)
own = login(user_id=alice.id, password="pw", project_id=project.id)

# Trusts
trust = own.trusts.create(bob.id, alice.id, role_names=["painter"], project=project.id, impersonation=True, remaining_uses=1)
assert own.trusts.get(trust.id).remaining_uses == 1
assert [t.id for t in own.trusts.list(trustor_user=alice)] == [trust.id]
by_trust = session.Session(auth=v3.Password(auth_url=url, user_id=bob.id, password="pw", trust_id=trust.id))
access = by_trust.auth.get_access(by_trust)
assert access.trust_scoped and access.trust_id == trust.id and access.user_id == alice.id and access.role_names == ["painter"], access
refused(exceptions.Forbidden, v3.Password(auth_url=url, user_id=bob.id, password="pw", trust_id=trust.id).get_access, by_trust)
own.trusts.delete(trust.id)
refused(exceptions.NotFound, admin.tokens.get_token_data, by_trust.get_token())
print("trusts: good")

# OAuth 1.0: alice, who may authorize since she is an administrator of the studio, lets a program paint for her.
admin.roles.grant(administrators, user=alice, project=project)
own = login(user_id=alice.id, password="pw", project_id=project.id)
consumer = admin.oauth1.consumers.create(description="a program")
assert not hasattr(admin.oauth1.consumers.get(consumer.id), "secret")
asked = admin.oauth1.request_tokens.create(consumer.id, consumer.secret, project.id)
verifier = own.oauth1.request_tokens.authorize(asked.key, [role.id]).oauth_verifier
refused(exceptions.Unauthorized, admin.oauth1.access_tokens.create, consumer.id, consumer.secret, asked.key, asked.secret, "guessed")
granted = admin.oauth1.access_tokens.create(consumer.id, consumer.secret, asked.key, asked.secret, verifier)
plugin = oauth1.V3OAuth1(url, consumer_key=consumer.id, consumer_secret=consumer.secret, access_key=granted.key, access_secret=granted.secret)
program = session.Session(auth=plugin)
access = program.auth.get_access(program)
assert access.oauth_access_token_id == granted.key and access.oauth_consumer_id == consumer.id, access
assert access.user_id == alice.id and access.project_id == project.id and access.role_names == ["painter"], access
forged = oauth1.V3OAuth1(url, consumer_key=consumer.id, consumer_secret="x", access_key=granted.key, access_secret=granted.secret)
refused(exceptions.Unauthorized, forged.get_access, program)
admin.oauth1.consumers.delete(consumer.id)
refused(exceptions.NotFound, admin.tokens.get_token_data, access.auth_token)
refused(exceptions.Unauthorized, plugin.get_auth_ref, program)
print("OAuth 1.0: good")

# Credentials
made = admin.credentials.create(alice, "cert", "a secret", project=project)
assert admin.credentials.get(made).blob == "a secret"
assert [c.id for c in admin.credentials.list(user_id=alice.id)] == [made.id]
admin.credentials.update(made, alice, type="cert", blob="another")
key = own.ec2.create(alice.id, project.id)
assert own.ec2.get(alice.id, key.access).secret == key.secret
assert len(own.ec2.list(alice.id)) == 1
own.ec2.delete(alice.id, key.access)
admin.credentials.delete(made)
refused(exceptions.NotFound, admin.credentials.get, made)
print("credentials: good")

# Policies and endpoint filters
service = admin.services.find(type="identity")
endpoint = admin.endpoints.list(service=service, interface="public")[0]
policy = admin.policies.create("{}", "application/json")
admin.endpoint_policy.create_policy_association_for_service(policy, service)
assert admin.endpoint_policy.get_policy_for_endpoint(endpoint).id == policy.id
assert endpoint.id in [e.id for e in admin.endpoint_policy.list_endpoints_for_policy(policy)]
admin.endpoint_policy.check_policy_association_for_service(policy, service)
admin.endpoint_policy.delete_policy_association_for_service(policy, service)
refused(exceptions.NotFound, admin.endpoint_policy.get_policy_for_endpoint, endpoint)
admin.policies.delete(policy)
group = admin.endpoint_groups.create("public", filters={"interface": "public"})
admin.endpoint_filter.add_endpoint_group_to_project(group, project)
admin.endpoint_filter.add_endpoint_to_project(project, endpoint)
admin.endpoint_filter.check_endpoint_in_project(project, endpoint)
assert endpoint.id in [e.id for e in admin.endpoint_filter.list_endpoints_for_project(project)]
assert project.id in [p.id for p in admin.endpoint_filter.list_projects_for_endpoint(endpoint)]
assert [g.id for g in admin.endpoint_filter.list_endpoint_groups_for_project(project)] == [group.id]
admin.endpoint_groups.update(group, description="those that all may use")
admin.endpoint_filter.delete_endpoint_group_from_project(group, project)
admin.endpoint_groups.delete(group)
admin.endpoint_filter.delete_endpoint_from_project(project, endpoint)
print("policies and endpoint filters: good")
