package token_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"authproxy/certs/cms"
	"authproxy/keystone/token"
)

// shared gives the path of a file that lies beside the project, not in it.
func shared(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "fixtures", name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SHARED") == "1" {
			t.Fatalf("AUTHPROXY_REQUIRE_SHARED=1, but %v", err)
		}
		t.Skipf("fixtures are not beside the project: %v", err)
	}
	return path
}

// TestOpenStackFixtures reads every token that OpenStack made, in both forms, and wants the payload to be the JSON beside it
// and the message to be spelled again byte for byte.
func TestOpenStackFixtures(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(shared(t, "openstack"), "*", "cms", "auth_*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		if filepath.Ext(file) == ".json" {
			continue // what the tokens beside it say
		}
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		t.Run(filepath.Base(filepath.Dir(filepath.Dir(file)))+"/"+filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var text string
			switch filepath.Ext(file) {
			case ".pem":
				der, err := cms.DecodePEM(raw)
				if err != nil {
					t.Fatal(err)
				}
				text = token.EncodePKI(der)
				if got := token.FormOf(text); got != token.PKI {
					t.Fatalf("form %v, want PKI", got)
				}
			case ".pkiz":
				text = strings.TrimSpace(string(raw))
			default:
				t.Fatalf("a file of an unknown kind")
			}
			der, err := token.Decode(text, token.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			sd, err := cms.Parse(der)
			if err != nil {
				t.Fatal(err)
			}
			if again := sd.Append(nil); string(again) != string(der) {
				t.Error("Append spells the message differently")
			}
			want, err := os.ReadFile(filepath.Join(filepath.Dir(file), name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var a, b any
			if json.Unmarshal(sd.Content, &a) != nil || json.Unmarshal(want, &b) != nil || !reflect.DeepEqual(a, b) {
				// the last PKIZ set that OpenStack shipped was made of the payloads of the older set
				if filepath.Ext(file) != ".pkiz" {
					t.Error("payload is not the JSON beside the token")
				}
			}
			tok, err := token.DecodePayload(sd.Content)
			if err != nil {
				t.Fatal(err)
			}
			if tok.User.ID == "" || tok.ExpiresAt.IsZero() {
				t.Errorf("incomplete: %+v", tok)
			}
		})
	}
}
