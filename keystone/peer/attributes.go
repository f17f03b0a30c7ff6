package peer

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

const (
	// remoteUser is the attribute that UserHeader stands for.
	remoteUser = "REMOTE_USER"
	// cgi is what the names of the variables of CGI begin with that stand for headers.
	cgi = "HTTP_"
)

// Attributes are what a trusted front says of who sends a request, by the names of headers: those that begin with AttributePrefix,
// and REMOTE_USER for UserHeader. They are nil from anybody else. The error says which of them could mean two things: one that is
// there twice, one that is not UTF-8, or one with a - or _ in the prefix that stands otherwise in AttributePrefix, which could get
// past a front that overwrites the other. Where AttributePrefix has no _, the whole name cannot have one.
func (i *Identifier) Attributes(r *http.Request) (map[string]string, error) {
	if i.AttributePrefix == "" || !i.Fronts.Trust(r) {
		return nil, nil
	}
	prefix := i.AttributePrefix
	if len(prefix) > len(cgi) && strings.EqualFold(prefix[:len(cgi)], cgi) {
		prefix = prefix[len(cgi):]
	}
	exact := strings.Contains(prefix, "_")
	attributes := map[string]string{}
	for name, values := range r.Header {
		if !strings.HasPrefix(folded(name), folded(prefix)) {
			continue
		}
		switch {
		case !strings.EqualFold(name[:min(len(prefix), len(name))], prefix) || !exact && strings.Contains(name, "_"):
			return nil, fmt.Errorf("the trusted peer let %q pass, which differs by - or _ from what begins with %q", name, prefix)
		case len(values) != 1:
			return nil, fmt.Errorf("the trusted peer sent %s %d times", name, len(values))
		case !utf8.ValidString(values[0]):
			return nil, fmt.Errorf("the trusted peer sent %s with a value that is not UTF-8", name)
		}
		attributes[name] = values[0]
	}
	user, _, said, err := i.front(r)
	if err != nil {
		return nil, err
	}
	if said && utf8.ValidString(user) {
		attributes[remoteUser] = user
	}
	return attributes, nil
}

// folded is how names of headers and of the variables of CGI are compared.
func folded(name string) string {
	return strings.TrimPrefix(strings.ReplaceAll(strings.ToUpper(name), "_", "-"), "HTTP-")
}
