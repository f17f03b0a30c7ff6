package credential

import (
	"context"
	"errors"
	"fmt"

	"authproxy/keystone/server/credential/fernet"
	"authproxy/keystone/server/fault"
)

// seal is a credential as it is stored.
func (m *Manager) seal(c Credential) (Credential, error) {
	c.KeyHash = ""
	if m.Keys == nil {
		return c, nil
	}
	ring, err := m.Keys()
	if err != nil {
		return Credential{}, err
	}
	c.Blob, c.KeyHash = ring.Seal(c.Blob, m.Now())
	return c, nil
}

// open is a credential as its user wrote it. One that is not encrypted stays as it is.
func (m *Manager) open(c Credential) (Credential, error) {
	list, err := m.openAll([]Credential{c})
	if err != nil {
		return Credential{}, err
	}
	return list[0], nil
}

func (m *Manager) openAll(list []Credential) ([]Credential, error) {
	var ring fernet.Ring
	for i := range list {
		c := &list[i]
		if c.KeyHash == "" {
			continue
		}
		if ring == nil {
			if m.Keys == nil {
				return nil, fmt.Errorf("credential %s is encrypted, and [credential] key_repository names no keys", c.ID)
			}
			var err error
			if ring, err = m.Keys(); err != nil {
				return nil, err
			}
		}
		var err error
		if c.Blob, err = ring.Open(c.Blob); err != nil {
			return nil, fmt.Errorf("credential %s %w", c.ID, err)
		}
		c.KeyHash = ""
	}
	return list, nil
}

var errNoKeys = errors.New("[credential] key_repository names no directory of keys")

// Left is how many credentials are not encrypted with the key that encrypts now.
func (m *Manager) Left(ctx context.Context) (n int, err error) {
	err = m.eachLeft(ctx, func(Credential) error { n++; return nil })
	return n, err
}

// Encrypt encrypts all credentials with the key that encrypts now, and returns how many were not.
func (m *Manager) Encrypt(ctx context.Context) (n int, err error) {
	err = m.eachLeft(ctx, func(c Credential) error {
		err := m.Store.Write(ctx, func(ctx context.Context) error {
			now, err := m.Store.Credential(ctx, c.ID)
			if err != nil {
				return err
			}
			if now, err = m.open(now); err != nil {
				return err
			}
			if now, err = m.seal(now); err != nil {
				return err
			}
			return m.Store.PutCredential(ctx, now)
		})
		switch {
		case err == nil:
			n++
		case fault.IsNotFound(err): // deleted meanwhile
			return nil
		}
		return err
	})
	return n, err
}

func (m *Manager) eachLeft(ctx context.Context, f func(c Credential) error) error {
	if m.Keys == nil {
		return errNoKeys
	}
	ring, err := m.Keys()
	if err != nil {
		return err
	}
	list, err := m.Store.Credentials(ctx, nil)
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.KeyHash != ring[0].Hash() {
			if err := f(c); err != nil {
				return err
			}
		}
	}
	return nil
}
