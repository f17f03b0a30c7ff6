package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPolicy edits the policy file of a running server.
func TestPolicy(t *testing.T) {
	conf := configure(t, "uuid")
	path := filepath.Join(filepath.Dir(conf), "policy.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"identity:list_users": "role:admin or or role:other"}`)
	err := run(t.Context(), []string{"keystone-all", "--config-file", conf}, io.Discard, io.Discard)
	if err == nil || !strings.HasPrefix(err.Error(), path+`: rule "identity:list_users": `) {
		t.Fatalf("a broken rule: %v", err)
	}
	write(`{"identity:list_users": "role:admin", "identity:list_roles": "!"}`)
	urls, _ := start(t, "--config-file", conf)
	_, token, _, err := request("POST", urls["public"]+"/v3/auth/tokens", "", login("admin", adminPassword))
	if err != nil {
		t.Fatal(err)
	}
	want := func(resource string, want int) {
		t.Helper()
		var status int
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			if status, _, _, err = request("GET", urls["public"]+"/v3/"+resource, token, ""); err != nil {
				t.Fatal(err)
			}
			if status == want {
				return
			}
		}
		t.Errorf("GET %s: %d, want %d", resource, status, want)
	}
	want("users", 200)
	want("roles", 403)
	write(`{"identity:list_users": "!", "identity:list_roles": "role:admin"}`)
	want("users", 403)
	want("roles", 200)
	write(`{"identity:list_users": "role:admin`) // broken: the rules before stay
	want("users", 403)
	want("roles", 200)
	write(`{"identity:list_users": "role:admin"}`)
	want("users", 200)
	want("roles", 403)
}
