package oauth1

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Request is what a signature is about.
type Request struct {
	Method string
	// URL is the address that the client used, without query.
	URL string
	// Query is the raw query of the address. A body of the media type application/x-www-form-urlencoded, which is signed too,
	// is appended with an & between.
	Query string
	// Authorization is the header of that name.
	Authorization string
	// Private says that nobody on the way could read the request. Only then it may hold the secrets themselves.
	Private bool
}

const (
	maxHeader = 8 << 10 // bytes of Authorization
	maxNonce  = 255     // bytes
)

// signed is the parameters of a signed request (RFC 5849 section 3.1).
type signed struct {
	consumerID, token, verifier string
	// nonce is "" where a request in plain text leaves it out.
	nonce  string
	saidAt int64
	// plain is set for the method PLAINTEXT, whose signature is the secrets.
	plain     bool
	signature []byte
	// base is the signature base string; "" for PLAINTEXT.
	base string
}

const (
	hmacSHA1  = "HMAC-SHA1"
	plaintext = "PLAINTEXT"
)

// errNotSigned says that a request does not even claim to be signed.
var errNotSigned = errors.New("no Authorization: OAuth")

// parse reads the parameters of a request and works out what its signature is of. HMAC-SHA1 is taken, and PLAINTEXT where nobody else
// can read it; not RSA-SHA1, since consumers have no keys here. Parameters are taken only from the header, where nobody logs them.
func parse(r Request) (signed, error) {
	parameters, err := parseHeader(r.Authorization)
	if err != nil {
		return signed{}, err
	}
	of := map[string]string{}
	for _, p := range parameters {
		if _, twice := of[p.name]; twice {
			return signed{}, fmt.Errorf("%.40q is there twice", p.name)
		}
		of[p.name] = p.value
	}
	s := signed{consumerID: of["oauth_consumer_key"], token: of["oauth_token"], verifier: of["oauth_verifier"], nonce: of["oauth_nonce"]}
	switch method := of["oauth_signature_method"]; {
	case method == plaintext && !r.Private:
		return signed{}, errors.New("signature method PLAINTEXT over a connection that others can read ([oauth1] enforce_ssl)")
	case method == plaintext:
		s.plain = true
	case method != hmacSHA1:
		return signed{}, fmt.Errorf("signature method %.40q is neither %s nor %s", method, hmacSHA1, plaintext)
	}
	if version, there := of["oauth_version"]; there && version != "1.0" {
		return signed{}, fmt.Errorf("version %.40q is not 1.0", version)
	}
	text, timed := of["oauth_timestamp"]
	if s.plain {
		s.signature = []byte(of["oauth_signature"])
		if s.nonce == "" && !timed { // RFC 5849 section 3.1 lets it leave out both
			return s, nil
		}
	}
	if s.nonce == "" || len(s.nonce) > maxNonce {
		return signed{}, fmt.Errorf("nonce of %d bytes, there must be 1 to %d", len(s.nonce), maxNonce)
	}
	n, err := strconv.ParseUint(text, 10, 62)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return signed{}, fmt.Errorf("timestamp %.40q is no number of seconds", text)
	}
	s.saidAt = int64(n)
	if s.plain {
		return s, nil
	}
	if s.signature, err = base64.StdEncoding.Strict().DecodeString(of["oauth_signature"]); err != nil {
		return signed{}, errors.New("signature is not base64")
	}
	s.base, err = baseString(r, parameters)
	return s, err
}

// matches checks the signature by the secrets of the consumer and of the token ("" where there is none).
func (s *signed) matches(consumerSecret, tokenSecret string) bool {
	key := []byte(escape(consumerSecret) + "&" + escape(tokenSecret))
	if s.plain {
		return hmac.Equal(key, s.signature)
	}
	h := hmac.New(sha1.New, key)
	h.Write([]byte(s.base))
	return hmac.Equal(h.Sum(nil), s.signature)
}

type parameter struct{ name, value string }

// parseHeader reads Authorization: OAuth name="value", … (RFC 5849 section 3.5.1). The realm, which is not signed, is left out.
func parseHeader(text string) ([]parameter, error) {
	scheme, rest, _ := strings.Cut(text, " ")
	if !strings.EqualFold(scheme, "OAuth") {
		return nil, errNotSigned
	}
	if len(text) > maxHeader {
		return nil, fmt.Errorf("header of %d bytes, there may be %d", len(text), maxHeader)
	}
	var list []parameter
	for piece := range strings.SplitSeq(rest, ",") {
		name, quoted, found := strings.Cut(strings.TrimSpace(piece), "=")
		value, opened := strings.CutPrefix(quoted, `"`)
		value, closed := strings.CutSuffix(value, `"`)
		if !found || !opened || !closed {
			return nil, errors.New("header is not a list of name=\"value\"")
		}
		if strings.EqualFold(name, "realm") {
			continue
		}
		p := parameter{}
		var errName, errValue error
		p.name, errName = url.PathUnescape(name)
		p.value, errValue = url.PathUnescape(value)
		if errName != nil || errValue != nil {
			return nil, errors.New("header is not percent-encoded")
		}
		list = append(list, p)
	}
	return list, nil
}

// baseString is what is signed (RFC 5849 section 3.4.1).
func baseString(r Request, header []parameter) (string, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return "", fmt.Errorf("address: %w", err)
	}
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if port := u.Port(); scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	var all []parameter
	for _, p := range header {
		if p.name != "oauth_signature" {
			all = append(all, parameter{escape(p.name), escape(p.value)})
		}
	}
	for piece := range strings.SplitSeq(r.Query, "&") {
		if piece == "" {
			continue
		}
		name, value, _ := strings.Cut(piece, "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		if errName != nil || errValue != nil {
			return "", errors.New("query is not percent-encoded")
		}
		all = append(all, parameter{escape(name), escape(value)})
	}
	slices.SortFunc(all, func(a, b parameter) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	pairs := make([]string, 0, len(all))
	for _, p := range all {
		pairs = append(pairs, p.name+"="+p.value)
	}
	return strings.ToUpper(r.Method) + "&" + escape(scheme+"://"+host+path) + "&" + escape(strings.Join(pairs, "&")), nil
}

// escape encodes all but the unreserved characters (RFC 5849 section 3.6).
func escape(text string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
