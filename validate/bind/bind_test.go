package bind

import (
	"errors"
	"fmt"
	"testing"
)

// TestMatrix is the matrix that was measured on keystonemiddleware, all modes by all bindings.
func TestMatrix(t *testing.T) {
	right := Peer{RemoteUser: "alice", AuthType: "Negotiate"}
	kerberosBind := map[string]string{"kerberos": "alice"}
	unknown := map[string]string{"foo": "bar"}
	both := map[string]string{"kerberos": "alice", "foo": "bar"}
	columns := []struct {
		name string
		bind map[string]string
		peer Peer
	}{
		{"no bind", nil, Peer{}},
		{"empty bind", map[string]string{}, right},
		{"kerberos, right", kerberosBind, right},
		{"kerberos, lower-case scheme", kerberosBind, Peer{"alice", "negotiate"}},
		{"kerberos, nobody", kerberosBind, Peer{}},
		{"kerberos, other user", kerberosBind, Peer{"bob", "Negotiate"}},
		{"kerberos, other case", kerberosBind, Peer{"Alice", "Negotiate"}},
		{"kerberos, basic", kerberosBind, Peer{"alice", "Basic"}},
		{"kerberos, empty identity", map[string]string{"kerberos": ""}, Peer{"", "Negotiate"}},
		{"unknown", unknown, Peer{}},
		{"unknown and kerberos, right", both, right},
	}
	rows := map[string]string{ // one letter a column: y allowed, n refused
		"disabled":   "yyyyyyyyyyy",
		"permissive": "yyyynnnnnyy",
		"":           "yyyynnnnnyy",
		"strict":     "yyyynnnnnnn",
		"required":   "nnyynnnnnnn",
		"kerberos":   "nnyynnnnnnn",
	}
	for text, want := range rows {
		mode, err := ParseMode(text)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range columns {
			t.Run(fmt.Sprintf("%s/%s", mode, c.name), func(t *testing.T) {
				err := mode.Check(c.bind, c.peer)
				if (err == nil) != (want[i] == 'y') {
					t.Errorf("got %v, want allowed %c", err, want[i])
				}
				if err != nil && !errors.Is(err, ErrBind) {
					t.Errorf("%v is not ErrBind", err)
				}
			})
		}
	}
}

func TestParseModeRefuses(t *testing.T) {
	for _, text := range []string{"named", "Named", "stric", "true", "x509;"} {
		if mode, err := ParseMode(text); err == nil {
			t.Errorf("ParseMode(%q) = %v, want an error", text, mode)
		}
	}
}

func TestZeroModeIsPermissive(t *testing.T) {
	var m Mode
	if err := m.Check(map[string]string{"kerberos": "alice"}, Peer{}); !errors.Is(err, ErrBind) {
		t.Errorf("the zero mode let a bound token through: %v", err)
	}
}
