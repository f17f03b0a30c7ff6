package spnego

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/keytab"
)

// keys is a keytab, and the principals in it that tickets may be for. It is not changed once it is made.
type keys struct {
	table      *keytab.Keytab
	principals map[string]bool // "HTTP/host@REALM"
}

const maxKeytab = 1 << 20

// strong are the encryption types of tickets and session keys that count: AES (RFC 3962, RFC 8009). RC4 and DES are broken.
var strong = []int32{etypeID.AES128_CTS_HMAC_SHA1_96, etypeID.AES256_CTS_HMAC_SHA1_96, etypeID.AES128_CTS_HMAC_SHA256_128, etypeID.AES256_CTS_HMAC_SHA384_192}

// loadKeys reads a keytab. only, if it is not "", is the one principal that tickets may be for; else it is every HTTP/… that
// has an AES key.
func loadKeys(path, only string) (*keys, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode().Perm(); {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", path)
	case mode&0o007 != 0:
		return nil, fmt.Errorf("%s can be read or changed by every user (mode %#o): chmod 600 %s", path, mode, path)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxKeytab))
	if err != nil {
		return nil, err
	}
	k := &keys{principals: map[string]bool{}}
	if k.table, err = parseKeytab(content); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var weak, others []string
	for _, e := range k.table.Entries {
		name := strings.Join(e.Principal.Components, "/") + "@" + e.Principal.Realm
		switch ours := only == "" && len(e.Principal.Components) == 2 && e.Principal.Components[0] == "HTTP"; {
		case name != only && !ours:
			others = append(others, name)
		case !slices.Contains(strong, e.Key.KeyType):
			weak = append(weak, name)
		default:
			k.principals[name] = true
		}
	}
	want := only
	if want == "" {
		want = "HTTP/…"
	}
	switch {
	case len(k.principals) > 0:
		return k, nil
	case len(weak) > 0:
		return nil, fmt.Errorf("%s has no AES key for %s, and other keys (RC4, DES) do not count", path, want)
	case len(others) > 0:
		slices.Sort(others)
		return nil, fmt.Errorf("%s has no key for the principal %s; it has keys for %s", path, want, strings.Join(slices.Compact(others), ", "))
	}
	return nil, fmt.Errorf("%s has no keys", path)
}

// parseKeytab keeps gokrb5's own errors back: they hold the bytes of the keytab.
func parseKeytab(content []byte) (table *keytab.Keytab, err error) {
	defer func() {
		if recover() != nil {
			err = errKeytab
		}
	}()
	table = keytab.New()
	if table.Unmarshal(content) != nil {
		return nil, errKeytab
	}
	return table, nil
}

var errKeytab = errors.New("this is no keytab, or a damaged one; make one with ktadd, or with ktutil")

func (k *keys) names() []string { return slices.Sorted(maps.Keys(k.principals)) }
