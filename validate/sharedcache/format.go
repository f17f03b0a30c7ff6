package sharedcache

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Strategy is how entries are protected.
type Strategy int

const (
	// Sealed is the format of this package: AES-256-GCM. It needs a secret.
	Sealed Strategy = iota
	// MAC is auth_token's memcache_security_strategy of that name: values can be read by all, and written by holders of the
	// secret only.
	MAC
	// Encrypt is auth_token's ENCRYPT: values can be neither read nor written without the secret.
	Encrypt
	// InsecurePlain is auth_token without a strategy: whoever can write to memcached can be anyone.
	InsecurePlain
)

// Why a value is not taken. All of them count as a miss.
var (
	// errForeign says that a value is not what a holder of the secret kept for this token.
	errForeign = errors.New("the value is not one that was kept for this token")
	// errUnusable says that a value is sound and of no use, such as the "invalid" that auth_token kept for bad tokens.
	errUnusable = errors.New("the value holds no token body")
)

// format is one Strategy with its secret.
type format interface {
	// entry is where and how a token's body is kept.
	entry(text string) (entry, error)
}

type entry interface {
	// key is the name in memcached. It does not tell the token.
	key() string
	// seal makes the value of a body that the Identity service gave at since.
	seal(body []byte, since time.Time) ([]byte, error)
	// open undoes seal. Zero since: the value does not say.
	open(value []byte) (body []byte, since time.Time, err error)
}

func newFormat(s Strategy, secret string) (format, error) {
	if secret == "" && s != InsecurePlain {
		return nil, errors.New("memcache_secret_key is missing: without it, whoever can write to memcached could be anyone")
	}
	switch s {
	case Sealed:
		return newSealed([]byte(secret))
	case MAC, Encrypt:
		return python{secret: []byte(secret), strategy: s}, nil
	case InsecurePlain:
		return plain{}, nil
	}
	return nil, fmt.Errorf("there is no strategy %d", s)
}

// noteName is the member that is put into bodies which Python is to read as well. It stands inside "token", since auth_token
// takes a body of two members for a list of two.
const noteName = "authproxy"

// note is what such a body does not say by itself.
type note struct {
	ID    string `json:"id"`    // SHA-256 of the token text
	Since int64  `json:"since"` // milliseconds since 1970
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// annotate puts a note into a body, and leaves out all but the token.
func annotate(body []byte, text string, since time.Time) ([]byte, error) {
	name, inner, err := inside(body)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(inner, &members); err != nil || members == nil || members[noteName] != nil {
		return nil, errUnusable
	}
	if members[noteName], err = json.Marshal(note{digest(text), since.UnixMilli()}); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{name: members})
}

// inside gives the object of a body's one member "token" (v3) or "access" (v2.0).
func inside(body []byte) (name string, inner json.RawMessage, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return "", nil, errUnusable
	}
	v3, v2 := members["token"], members["access"]
	switch {
	case v3 != nil && v2 == nil:
		return "token", v3, nil
	case v2 != nil && v3 == nil:
		return "access", v2, nil
	}
	return "", nil, errUnusable
}

// attribute looks whose body it is: by our note, or by the token text that auth_token keeps inside. bound says that one of
// them was there; a contradiction is errForeign.
func attribute(body []byte, text string) (since time.Time, bound bool, err error) {
	_, inner, err := inside(body)
	if err != nil {
		return time.Time{}, false, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(inner, &members); err != nil {
		return time.Time{}, false, errUnusable
	}
	if raw, ok := members["auth_token"]; ok && string(raw) != "null" {
		var of string
		if json.Unmarshal(raw, &of) != nil || subtle.ConstantTimeCompare([]byte(of), []byte(text)) != 1 {
			return time.Time{}, false, errForeign
		}
		bound = true
	}
	if raw, ok := members[noteName]; ok {
		var n note
		if json.Unmarshal(raw, &n) != nil || subtle.ConstantTimeCompare([]byte(n.ID), []byte(digest(text))) != 1 {
			return time.Time{}, false, errForeign
		}
		since, bound = time.UnixMilli(n.Since), true
	}
	return since, bound, nil
}
