// Package credential is secrets that users keep in the Identity service, such as EC2 keys ([credential] of keystone.conf).
package credential

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/credential/fernet"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/id"
	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/patch"
)

// EC2 is the type of credentials that are found by their access key.
const EC2 = "ec2"

const maxType = 255

// Credential is one secret. Its Blob is never logged and stands in no error.
type Credential struct {
	ID        string
	UserID    string
	ProjectID string // "" for none
	Type      string // "ec2", "cert", …
	Blob      string
	// KeyHash is that of the key by which Blob is encrypted in the store; "" for none. A Manager hands out blobs in the clear.
	KeyHash string
	Extra   map[string]any
}

// EC2Blob is what the blob of an EC2 credential says.
type EC2Blob struct {
	Access string `json:"access"`
	Secret string `json:"secret"`
	// TrustID is the trust by whose token it was made, with Keystones that allow that.
	TrustID *string `json:"trust_id,omitempty"`
}

// Store keeps credentials. Its errors are fault.NotFound of the kinds "credential" and "project", and fault.Conflict of kind
// "credential". A credential goes with its user and with its project.
type Store interface {
	// Write runs f in a transaction.
	Write(ctx context.Context, f func(ctx context.Context) error) error

	Credential(ctx context.Context, id string) (Credential, error)
	// Credentials filters on user_id, project_id and type and orders by id.
	Credentials(ctx context.Context, where filter.List) ([]Credential, error)
	AddCredential(ctx context.Context, c Credential) error
	PutCredential(ctx context.Context, c Credential) error
	RemoveCredential(ctx context.Context, id string) error
}

// Users finds whose a credential is.
type Users interface {
	User(ctx context.Context, userID string) (identity.User, error)
}

// Projects finds what a credential is for.
type Projects interface {
	Project(ctx context.Context, projectID string) (assignment.Project, error)
}

// Manager is the rules about credentials.
type Manager struct {
	Store    Store
	Users    Users
	Projects Projects
	// Keys reads the keys that blobs are encrypted with; nil where they are not.
	Keys func() (fernet.Ring, error)
	Now  func() time.Time
}

// Update is a change of a credential; what is nil stays as it is.
type Update struct {
	UserID    *string
	ProjectID *string // "" for none
	Type      *string
	Blob      *string
	Extra     map[string]any
}

// Credential is the credential with that id.
func (m *Manager) Credential(ctx context.Context, credentialID string) (Credential, error) {
	c, err := m.Store.Credential(ctx, credentialID)
	if err != nil {
		return Credential{}, err
	}
	return m.open(c)
}

// Credentials are those that fit the filters, ordered by id.
func (m *Manager) Credentials(ctx context.Context, where filter.List) ([]Credential, error) {
	list, err := m.Store.Credentials(ctx, where)
	if err != nil {
		return nil, err
	}
	return m.openAll(list)
}

// EC2ID is the id of the EC2 credential with an access key.
func EC2ID(access string) string {
	sum := sha256.Sum256([]byte(access))
	return hex.EncodeToString(sum[:])
}

// ParseEC2 reads the blob of an EC2 credential.
func ParseEC2(blob string) (EC2Blob, error) {
	var b EC2Blob
	if err := json.Unmarshal([]byte(blob), &b); err != nil { // its text may repeat the blob
		return EC2Blob{}, fault.Invalid{Message: "Invalid blob in credential"}
	}
	if b.Access == "" {
		return EC2Blob{}, fault.Missing("access", "blob")
	}
	return b, nil
}

// Create stores a new credential. The id of an EC2 credential is made from its access key, that of any other is its own.
func (m *Manager) Create(ctx context.Context, c Credential) (Credential, error) {
	if c.Type == "" || len([]rune(c.Type)) > maxType {
		return Credential{}, fault.BadField("type", c.Type)
	}
	c.ID = id.New()
	if c.Type == EC2 {
		if c.ProjectID == "" {
			return Credential{}, fault.Required("project_id")
		}
		blob, err := ParseEC2(c.Blob)
		if err != nil {
			return Credential{}, err
		}
		c.ID = EC2ID(blob.Access)
	}
	return c, m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.check(ctx, c); err != nil {
			return err
		}
		sealed, err := m.seal(c)
		if err != nil {
			return err
		}
		return m.Store.AddCredential(ctx, sealed)
	})
}

// Update changes a credential. One of EC2 stays one, with its trust and its user: whoever could change these could log in as somebody
// else. It can be moved to another project, where it is good if its user has a role there; with another access key it is good for
// nothing, since its id stays that of the first.
func (m *Manager) Update(ctx context.Context, credentialID string, change Update) (Credential, error) {
	var c Credential
	err := m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if c, err = m.Credential(ctx, credentialID); err != nil {
			return err
		}
		before := c
		patch.Set(&c.UserID, change.UserID)
		patch.Set(&c.ProjectID, change.ProjectID)
		patch.Set(&c.Type, change.Type)
		patch.Set(&c.Blob, change.Blob)
		c.Extra = patch.Merge(c.Extra, change.Extra)
		if c.Type == "" || len([]rune(c.Type)) > maxType {
			return fault.BadField("type", c.Type)
		}
		if err := checkEC2(before, c); err != nil {
			return err
		}
		if err := m.check(ctx, c); err != nil {
			return err
		}
		sealed, err := m.seal(c)
		if err != nil {
			return err
		}
		return m.Store.PutCredential(ctx, sealed)
	})
	return c, err
}

// checkEC2 is what a change of an EC2 credential, or one that makes another into such, has to keep to.
func checkEC2(before, after Credential) error {
	if after.Type == EC2 {
		if after.ProjectID == "" {
			return fault.Required("project_id")
		}
		if _, err := ParseEC2(after.Blob); err != nil {
			return err
		}
	}
	if before.Type != EC2 { // a new one is not found by its access key, for its id is not made from that
		return nil
	}
	fixed := func(what string) error {
		return fault.Invalid{Message: "The " + what + " of an EC2 credential cannot be changed; delete it and make another one."}
	}
	switch {
	case before.Type != after.Type:
		return fixed("type")
	case before.UserID != after.UserID:
		return fixed("user_id")
	}
	was, err := ParseEC2(before.Blob)
	if err != nil {
		return err
	}
	is, err := ParseEC2(after.Blob)
	if err != nil {
		return err
	}
	if (was.TrustID == nil) != (is.TrustID == nil) || was.TrustID != nil && *was.TrustID != *is.TrustID {
		return fixed("trust")
	}
	return nil
}

func (m *Manager) check(ctx context.Context, c Credential) error {
	if _, err := m.Users.User(ctx, c.UserID); err != nil {
		return err
	}
	if c.ProjectID == "" {
		return nil
	}
	_, err := m.Projects.Project(ctx, c.ProjectID)
	return err
}

// Delete removes a credential.
func (m *Manager) Delete(ctx context.Context, credentialID string) error {
	return m.Store.RemoveCredential(ctx, credentialID)
}
