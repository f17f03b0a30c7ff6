package identity

import (
	"context"
	"fmt"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/id"
	"authproxy/keystone/server/patch"
)

const maxUserName = 255

// Revoker ends tokens when what they stand on changes. It is called inside the transaction of that change.
type Revoker interface {
	RevokeUser(ctx context.Context, userID string) error
	// RevokeGroup ends the tokens of those whom an identity provider put into a group.
	RevokeGroup(ctx context.Context, groupID string) error
}

// Manager is the rules about users and groups: who may be stored, and which tokens end when one of them changes.
type Manager struct {
	Store  Store
	Hasher *Hasher
	Tokens Revoker
	// Throttle slows down who guesses passwords, by what Failures remembers; with nil Failures nothing is slowed down.
	Throttle Throttle
	Failures FailureStore
}

// Ref names a user by id, or by name and domain id.
type Ref struct {
	ID       string
	Name     string
	DomainID string
}

// Login is a password and whose it is said to be. Address is that of the client, "" where there is none.
type Login struct {
	User     Ref
	Password string
	Address  string
}

// Update is a change of a user; what is nil stays as it is.
type Update struct {
	Name             *string
	Enabled          *bool
	DefaultProjectID *string // "" for none
	Password         *string
	Extra            map[string]any // merged into what is there; a nil value stays as null
}

// User is the user with that id.
func (m *Manager) User(ctx context.Context, userID string) (User, error) {
	return m.Store.User(ctx, userID)
}

// UserByName is the user of that name in a domain.
func (m *Manager) UserByName(ctx context.Context, domainID, name string) (User, error) {
	return m.Store.UserByName(ctx, domainID, name)
}

// Users are those that fit the filters, ordered by name.
func (m *Manager) Users(ctx context.Context, where filter.List) ([]User, error) {
	return m.Store.Users(ctx, where)
}

// CreateUser stores a new user and returns it with its id. A nil password makes a user that cannot log in by one.
func (m *Manager) CreateUser(ctx context.Context, u User, password *string) (User, error) {
	if err := checkName(u.Name, maxUserName); err != nil {
		return User{}, err
	}
	if password != nil {
		hash, err := m.newHash(ctx, *password)
		if err != nil {
			return User{}, err
		}
		u.PasswordHash = hash
	}
	u.ID = id.New()
	return u, m.Store.AddUser(ctx, u)
}

// UpdateUser changes a user. The tokens of one who is disabled or gets another password end.
func (m *Manager) UpdateUser(ctx context.Context, userID string, change Update) (User, error) {
	if change.Name != nil {
		if err := checkName(*change.Name, maxUserName); err != nil {
			return User{}, err
		}
	}
	var hash string
	if change.Password != nil {
		var err error
		if hash, err = m.newHash(ctx, *change.Password); err != nil {
			return User{}, err
		}
	}
	var u User
	err := m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if u, err = m.Store.User(ctx, userID); err != nil {
			return err
		}
		revoke := change.Password != nil || change.Enabled != nil && !*change.Enabled
		patch.Set(&u.Name, change.Name)
		patch.Set(&u.Enabled, change.Enabled)
		patch.Set(&u.DefaultProjectID, change.DefaultProjectID)
		if change.Password != nil {
			u.PasswordHash = hash
		}
		u.Extra = patch.Merge(u.Extra, change.Extra)
		if err = m.Store.PutUser(ctx, u); err != nil {
			return err
		}
		if m.Failures != nil && (change.Password != nil || change.Enabled != nil && *change.Enabled) { // let in again by an administrator
			if err := m.Failures.ForgetUserFailures(ctx, userID); err != nil {
				return err
			}
		}
		if !revoke {
			return nil
		}
		return m.Tokens.RevokeUser(ctx, userID)
	})
	return u, err
}

// DeleteUser removes a user with all grants and ends the user's tokens.
func (m *Manager) DeleteUser(ctx context.Context, userID string) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.Store.RemoveUser(ctx, userID); err != nil {
			return err
		}
		return m.Tokens.RevokeUser(ctx, userID)
	})
}

// ChangePassword replaces the password of a user who knows the present one, and ends the user's tokens. A wrong original is
// fault.Unauthorized.
func (m *Manager) ChangePassword(ctx context.Context, original Login, password string) error {
	userID := original.User.ID
	before, err := m.Authenticate(ctx, original)
	if err != nil {
		return err
	}
	hash, err := m.newHash(ctx, password)
	if err != nil {
		return err
	}
	return m.Store.Write(ctx, func(ctx context.Context) error {
		u, err := m.Store.User(ctx, userID)
		if err != nil {
			return err
		}
		if u.PasswordHash != before.PasswordHash {
			return fault.Unauthorized{Why: "the password was changed meanwhile"}
		}
		u.PasswordHash = hash
		if err := m.Store.PutUser(ctx, u); err != nil {
			return err
		}
		return m.Tokens.RevokeUser(ctx, userID)
	})
}

// Authenticate returns the user whose password this is. All refusals are fault.Unauthorized and cost the same time, whether
// the user exists, has a password, is enabled or not; but for attempts that the Throttle refuses, which cost none. It does not look
// at the user's domain.
func (m *Manager) Authenticate(ctx context.Context, l Login) (User, error) {
	u, err := m.find(ctx, l.User)
	missing := fault.IsNotFound(err)
	if err != nil && !missing {
		return User{}, err
	}
	var attempts []counted
	if m.Failures != nil {
		attempts = m.Throttle.counted(subject(u, l.User), l.Address)
	}
	// Who comes too soon does not wait for a turn. It is asked again in turn, so that many at once get no more tries than one after
	// the other.
	if err := m.check(ctx, u.ID, attempts); err != nil {
		return User{}, err
	}
	release, err := m.Hasher.turns.take(ctx, network(l.Address))
	if err != nil {
		return User{}, err
	}
	defer release()
	if err := m.check(ctx, u.ID, attempts); err != nil {
		return User{}, err
	}
	right, err := m.Hasher.verifyNow(u.PasswordHash, l.Password)
	if err == nil {
		err = m.note(ctx, attempts, right && u.Enabled)
	}
	switch {
	case err != nil:
		return User{}, fmt.Errorf("checking the password of user %s: %w", u.ID, err)
	case missing:
		return User{}, fault.Unauthorized{Why: "no such user"}
	case !right:
		return User{}, fault.Unauthorized{Why: "wrong password of user " + u.ID, UserID: u.ID}
	case !u.Enabled:
		return User{}, fault.Unauthorized{Why: "user " + u.ID + " is disabled", UserID: u.ID}
	}
	return u, nil
}

func (m *Manager) find(ctx context.Context, who Ref) (User, error) {
	if who.ID != "" {
		return m.Store.User(ctx, who.ID)
	}
	return m.Store.UserByName(ctx, who.DomainID, who.Name)
}

func (m *Manager) newHash(ctx context.Context, password string) (string, error) {
	switch {
	case password == "":
		return "", fault.Invalid{Message: "password field must not be empty"}
	case len(password) > MaxPassword:
		return "", fault.Invalid{Message: fmt.Sprintf("password field should not be greater than %d bytes", MaxPassword)}
	}
	return m.Hasher.Hash(ctx, password)
}

func checkName(name string, most int) error {
	switch {
	case name == "":
		return fault.Invalid{Message: "name field is required and cannot be empty"}
	case len([]rune(name)) > most:
		return fault.Invalid{Message: fmt.Sprintf("name should not be greater than %d characters.", most)}
	}
	return nil
}
