package tokens

import (
	"context"
	"slices"
	"strings"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/validate/bind"
)

// Plugin is a method to log in beside the built-in ones. It says whose user id the section of the request is, or refuses with
// fault.Unauthorized; where the client has to go on, with fault.Challenge, whose values the client gets.
type Plugin interface {
	Authenticate(ctx context.Context, section map[string]any) (userID string, err error)
}

// external logs in whom somebody else has authenticated. As in Keystone, method external is carried out whenever there is such a
// user, asked for or not, so that a password or a token of another user is refused; but not beside an identity provider, who names
// users of its own. Method kerberos counts only where Kerberos did it. Users are found by their name in the domain that is said with
// RemoteDomains, else in the default domain.
func (m *Manager) external(ctx context.Context, r Request, l *login) error {
	negotiated := r.Peer.RemoteUser != "" && strings.EqualFold(r.Peer.AuthType, "negotiate")
	known := negotiated || r.Peer.RemoteUser != "" && !m.ExternalByKerberos
	asked := slices.Contains(r.Methods, "external")
	implied := known && slices.Contains(m.Methods, "external") && (asked || r.Federated == nil)
	kerberos := slices.Contains(r.Methods, "kerberos")
	switch {
	case kerberos && !negotiated, asked && !known:
		return fault.Unauthorized{Why: "nobody says who sends the request", Negotiate: true}
	case !implied && !kerberos:
		return nil
	}
	domainID := assignment.DefaultDomainID
	if m.RemoteDomains && r.Peer.RemoteDomain != "" {
		domain, err := m.Assignment.DomainByName(ctx, r.Peer.RemoteDomain)
		if err != nil {
			return refused(err, "there is no domain %q", r.Peer.RemoteDomain)
		}
		domainID = domain.ID
	}
	u, err := m.Identity.UserByName(ctx, domainID, r.Peer.RemoteUser)
	if err != nil {
		return refused(err, "there is no user %q in domain %s", r.Peer.RemoteUser, domainID)
	}
	if err := l.agree(u.ID); err != nil {
		return err
	}
	if implied && !kerberos && !asked {
		l.methods = append(l.methods, "external")
	}
	if negotiated && slices.Contains(m.Bind, bind.Kerberos) {
		l.bindTo(map[string]string{bind.Kerberos: r.Peer.RemoteUser})
	}
	return nil
}

// agree notes whom a method is about, who has to be the same for all.
func (l *login) agree(userID string) error {
	if l.userID != "" && l.userID != userID || userID == "" {
		return fault.Unauthorized{Why: "the methods are about different users"}
	}
	l.userID = userID
	return nil
}

// bindTo adds to what the token is to be bound to.
func (l *login) bindTo(more map[string]string) {
	for mechanism, identity := range more {
		if l.bind == nil {
			l.bind = map[string]string{}
		}
		if _, there := l.bind[mechanism]; !there {
			l.bind[mechanism] = identity
		}
	}
}
