package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"authproxy/keystone/server/identity"
)

// TestFloodOfPasswords: while logins with bad passwords wait in a row for their turn, tokens are validated and logins by token
// succeed.
func TestFloodOfPasswords(t *testing.T) {
	c := newCloud(t, "pki")
	admin := c.adminToken()
	slow := identity.DefaultParams
	slow.Time = 32
	c.parts.Server.Identity.Hasher = identity.NewHasher(slow) // what a name costs that no user has

	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	const guesses = 30 // fewer than may wait from one address
	for n := range guesses {
		body, err := json.Marshal(byPassword(fmt.Sprint("nobody", n), "guess", nil))
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			r, err := http.NewRequestWithContext(ctx, "POST", c.public.URL+"/v3/auth/tokens", strings.NewReader(string(body)))
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Content-Type", "application/json")
			if response, err := http.DefaultTransport.RoundTrip(r); err == nil { // most are given up below
				response.Body.Close()
			}
		})
	}
	awaitLogins(c.parts, guesses/2)
	for range 3 {
		c.do("GET", "/v3/auth/tokens", admin, nil, "X-Subject-Token", admin).want(200)
		c.do("POST", "/v3/auth/tokens", "", byToken(admin, onProject("admin"))).want(201)
	}
	if waiting, _ := c.parts.Server.Identity.Hasher.Waiting(); waiting == 0 {
		t.Error("all the guesses were over before tokens had their turn")
	}
}
