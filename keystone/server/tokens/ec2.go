package tokens

import (
	"context"
	"reflect"
	"time"

	"authproxy/keystone/server/credential"
	"authproxy/keystone/server/fault"
)

// unguessable is the length in bytes from which nobody finds a secret by trying; those that this server makes are as long. Wrong
// signatures by such a key do not slow anybody down: else who knows an access key, which is no secret, could keep its user out.
const unguessable = 32

// Signed is a request that was signed with an EC2 key.
type Signed interface {
	AccessKey() string
	// Verify says what keeps the signature from being one by this secret; nil for nothing.
	Verify(secret string, now time.Time) error
}

// Credentials is what issuing needs to know of EC2 keys.
type Credentials interface {
	Credential(ctx context.Context, credentialID string) (credential.Credential, error)
}

// signedWith is the EC2 key that a request is signed with. Where there is none with that access key it is fault.NotFound, as in
// Keystone. Wrong signatures are counted by the key and the address that they come from.
func (m *Manager) signedWith(ctx context.Context, r Signed, address string) (credential.Credential, error) {
	key, err := m.Credentials.Credential(ctx, credential.EC2ID(r.AccessKey()))
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
	if blob.Access != r.AccessKey() {
		return credential.Credential{}, refused(nil, "credential %s is for another access key", key.ID)
	}
	verify := func() error {
		if err := r.Verify(blob.Secret, m.Now()); err != nil {
			return fault.Unauthorized{Why: "EC2 key: " + err.Error(), UserID: key.UserID}
		}
		return nil
	}
	if len(blob.Secret) >= unguessable {
		return key, verify()
	}
	return key, m.Identity.Guess(ctx, "ec2:"+key.ID, key.UserID, address, verify)
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
