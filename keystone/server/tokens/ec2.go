package tokens

import (
	"context"
	"reflect"

	"authproxy/keystone/server/credential"
	"authproxy/keystone/server/ec2"
	"authproxy/keystone/server/fault"
)

// Credentials is what issuing needs to know of EC2 keys.
type Credentials interface {
	Credential(ctx context.Context, credentialID string) (credential.Credential, error)
}

// signedWith is the EC2 key that a request is signed with. Where there is none with that access key it is fault.NotFound, as in
// Keystone.
func (m *Manager) signedWith(ctx context.Context, r ec2.Request) (credential.Credential, error) {
	key, err := m.Credentials.Credential(ctx, credential.EC2ID(r.Access))
	if err != nil {
		return credential.Credential{}, err
	}
	if key.Type != credential.EC2 {
		return credential.Credential{}, fault.NotFound{Kind: "credential", ID: key.ID}
	}
	blob, err := credential.ParseEC2(key.Blob)
	if err != nil {
		return credential.Credential{}, refused(nil, "the blob of credential %s is no EC2 key", key.ID)
	}
	if blob.Access != r.Access {
		return credential.Credential{}, refused(nil, "credential %s is for another access key", key.ID)
	}
	if err := r.Verify(blob.Secret, m.Now()); err != nil {
		return credential.Credential{}, fault.Unauthorized{Why: "EC2 key: " + err.Error(), UserID: key.UserID}
	}
	return key, nil
}

// keyScope is what an EC2 key is for: its project, or the trust that it was made by, which has to be for that project. The key has to
// be as it was when the signature was checked.
func (m *Manager) keyScope(ctx context.Context, key credential.Credential) (Scope, error) {
	now, err := m.Credentials.Credential(ctx, key.ID)
	if err != nil {
		return Scope{}, refused(err, "the EC2 key is gone")
	}
	if !reflect.DeepEqual(now, key) {
		return Scope{}, refused(nil, "the EC2 key was changed meanwhile")
	}
	blob, err := credential.ParseEC2(key.Blob)
	if err != nil {
		return Scope{}, err
	}
	project := Ref{ID: key.ProjectID}
	if blob.TrustID != nil {
		return Scope{Kind: ScopeTrust, Ref: Ref{ID: *blob.TrustID}, Project: &project}, nil
	}
	return Scope{Kind: ScopeProject, Ref: project}, nil
}
