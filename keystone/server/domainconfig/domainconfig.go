// Package domainconfig keeps what clients say about the identity driver of a single domain ([domain_config] of keystone.conf).
// There are no drivers for single domains here: the settings are kept and shown, and nothing reads them.
package domainconfig

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
)

// Config is values of options by group and name.
type Config map[string]map[string]any

// Setting is the value of one option: what JSON can say.
type Setting struct {
	Group, Option string
	Value         any
}

// Store keeps settings of domains, the secret ones apart from the others. Its errors are fault.NotFound of kind "domain". Settings
// go with their domain.
type Store interface {
	// Write runs f in a transaction.
	Write(ctx context.Context, f func(ctx context.Context) error) error

	// DomainSettings are those of a domain, ordered by group and option.
	DomainSettings(ctx context.Context, domainID string, secret bool) ([]Setting, error)
	// SetDomainSetting stores a value, instead of the one that was there.
	SetDomainSetting(ctx context.Context, domainID string, secret bool, s Setting) error
	// RemoveDomainSettings removes those of a group and option, secret or not; of all where these are "".
	RemoveDomainSettings(ctx context.Context, domainID, group, option string) error
}

// Domains finds what settings are for.
type Domains interface {
	Domain(ctx context.Context, domainID string) (assignment.Domain, error)
}

// Manager is the rules about settings.
type Manager struct {
	Store   Store
	Domains Domains
}

// Part is a domain's settings, those of one group, or one option.
type Part struct{ DomainID, Group, Option string }

func (p Part) fits(s Setting) bool {
	return (p.Group == "" || p.Group == s.Group) && (p.Option == "" || p.Option == s.Option)
}

// missing is the error for a part that is not there.
func (p Part) missing() error {
	what := "any options"
	switch {
	case p.Option != "":
		what = fmt.Sprintf("option %s in group %s", p.Option, p.Group)
	case p.Group != "":
		what = "group " + p.Group
	}
	return fault.NotFound{Kind: what + " in the configuration of domain", ID: p.DomainID}
}

func refused(format string, args ...any) error {
	return fault.Forbidden{Message: "Invalid configuration of a domain: " + fmt.Sprintf(format, args...)}
}

// check refuses a part that no domain can have.
func (p Part) check() error {
	known, ok := options[p.Group]
	switch {
	case p.Group == "":
		return nil
	case !ok:
		return refused("group %.64q is not one of %s", p.Group, groups())
	case p.Option == "":
		return nil
	}
	if _, ok := known[p.Option]; !ok {
		return refused("there is no option %.64q in group %s", p.Option, p.Group)
	}
	return nil
}

// check refuses settings that no domain can have, and none at all.
func (c Config) check() error {
	if len(c) == 0 {
		return refused("there are no options in it")
	}
	for _, group := range slices.Sorted(maps.Keys(c)) {
		if err := (Part{Group: group}).check(); err != nil {
			return err
		}
		if len(c[group]) == 0 {
			return refused("group %s has no options", group)
		}
		for _, option := range slices.Sorted(maps.Keys(c[group])) {
			if err := (Part{Group: group, Option: option}).check(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Config is what can be shown of a part; fault.NotFound where that is nothing.
func (m *Manager) Config(ctx context.Context, p Part) (Config, error) {
	if err := m.checkPart(ctx, p); err != nil {
		return nil, err
	}
	c, err := m.shown(ctx, p)
	if err == nil && len(c) == 0 {
		err = p.missing()
	}
	return c, err
}

// Replace stores the settings of a domain instead of all that it had, and says whether there were any.
func (m *Manager) Replace(ctx context.Context, domainID string, c Config) (shown Config, before bool, err error) {
	p := Part{DomainID: domainID}
	err = m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if err := m.checkPart(ctx, p); err != nil {
			return err
		}
		if err := c.check(); err != nil {
			return err
		}
		if before, err = m.has(ctx, p); err != nil {
			return err
		}
		if err := m.Store.RemoveDomainSettings(ctx, domainID, "", ""); err != nil {
			return err
		}
		shown, err = m.set(ctx, domainID, c)
		return err
	})
	return shown, before, err
}

// Create stores the settings of a domain that has none; else it is fault.Conflict.
func (m *Manager) Create(ctx context.Context, domainID string, c Config) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		_, before, err := m.Replace(ctx, domainID, c)
		if err == nil && before {
			err = fault.Conflict{Kind: "domain configuration", Detail: "the domain has a configuration already"}
		}
		return err
	})
}

// Update changes settings of a domain and leaves the others. Of a group or an option, which have to be there, c must hold just
// these. It returns all settings of the domain that can be shown.
func (m *Manager) Update(ctx context.Context, p Part, c Config) (shown Config, err error) {
	err = m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.checkPart(ctx, p); err != nil {
			return err
		}
		if err := c.check(); err != nil {
			return err
		}
		if p.Group != "" {
			if len(c) != 1 || c[p.Group] == nil {
				return refused("it has to be about group %s alone", p.Group)
			}
			if _, ok := c[p.Group][p.Option]; p.Option != "" && (len(c[p.Group]) != 1 || !ok) {
				return refused("it has to be about option %s alone", p.Option)
			}
			there, err := m.has(ctx, p)
			if err != nil {
				return err
			}
			if !there {
				return p.missing()
			}
		}
		var err error
		shown, err = m.set(ctx, p.DomainID, c)
		return err
	})
	return shown, err
}

// Delete removes a part. All settings of a domain may be removed where there are none.
func (m *Manager) Delete(ctx context.Context, p Part) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.checkPart(ctx, p); err != nil {
			return err
		}
		if p.Group != "" {
			there, err := m.has(ctx, p)
			if err != nil {
				return err
			}
			if !there {
				return p.missing()
			}
		}
		return m.Store.RemoveDomainSettings(ctx, p.DomainID, p.Group, p.Option)
	})
}

func (m *Manager) checkPart(ctx context.Context, p Part) error {
	if _, err := m.Domains.Domain(ctx, p.DomainID); err != nil {
		return err
	}
	return p.check()
}

// set stores settings that have been checked, and returns all of the domain that can be shown.
func (m *Manager) set(ctx context.Context, domainID string, c Config) (Config, error) {
	for group, values := range c {
		for option, value := range values {
			s := Setting{Group: group, Option: option, Value: value}
			if err := m.Store.SetDomainSetting(ctx, domainID, options[group][option].secret, s); err != nil {
				return nil, err
			}
		}
	}
	return m.shown(ctx, Part{DomainID: domainID})
}

// has says whether there is something of a part, be it secret.
func (m *Manager) has(ctx context.Context, p Part) (bool, error) {
	for _, secret := range []bool{false, true} {
		list, err := m.Store.DomainSettings(ctx, p.DomainID, secret)
		if err != nil || slices.ContainsFunc(list, p.fits) {
			return err == nil, err
		}
	}
	return false, nil
}

// shown is what is no secret of a part.
func (m *Manager) shown(ctx context.Context, p Part) (Config, error) {
	list, err := m.Store.DomainSettings(ctx, p.DomainID, false)
	if err != nil {
		return nil, err
	}
	c := Config{}
	for _, s := range list {
		if p.fits(s) {
			c.put(s)
		}
	}
	return c, nil
}

func (c Config) put(s Setting) {
	if c[s.Group] == nil {
		c[s.Group] = map[string]any{}
	}
	c[s.Group][s.Option] = s.Value
}
