package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"authproxy/keystone/client"
)

// A service user asks about two tokens, of which the service knows one.
func ExampleClient_Validate() {
	identity := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			w.Header().Set("X-Subject-Token", "token-of-the-proxy")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"token":{"expires_at":%q}}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		case r.Header.Get("X-Subject-Token") == "good":
			fmt.Fprint(w, `{"token":{"user":{"id":"7"}}}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"code":404}}`)
		}
	}))
	defer identity.Close()

	c, err := client.New(client.Options{
		AuthURL: identity.URL + "/v3", Username: "authproxy", UserDomainID: "default", Password: "secret",
		ProjectName: "service", ProjectDomainID: "default",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	for _, token := range []string{"good", "bad"} {
		body, err := c.Validate(context.Background(), token, false)
		fmt.Printf("%s: %s %v %t\n", token, body, err, errors.Is(err, client.ErrNotFound))
	}
	// Output:
	// good: {"token":{"user":{"id":"7"}}} <nil> false
	// bad:  validating a token: the Identity service does not know this token true
}
