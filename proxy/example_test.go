package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"authproxy/keystone"
	"authproxy/proxy"
	"authproxy/validate"
)

// oneToken is a Validator that knows the token "secret". The real one is a *validate.Validator.
type oneToken struct{}

func (oneToken) Validate(_ context.Context, r validate.Request) (*validate.Verified, error) {
	if r.Token != "secret" {
		return nil, &validate.Error{Reason: validate.Malformed, Cause: errors.New("not the token")}
	}
	return &validate.Verified{Token: &keystone.Token{
		Version: 3,
		User:    keystone.User{ID: "u1", Name: "alice"},
		Project: &keystone.Project{ID: "p1", Name: "demo"},
		Roles:   []keystone.Role{{Name: "member"}},
	}}, nil
}

// A service that knows nothing of tokens is told by headers who is asking.
func ExampleHandler() {
	service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header.Get("X-User-Name"), "is", r.Header.Get("X-Roles"), "in", r.Header.Get("X-Project-Name"))
	}))
	defer service.Close()
	upstream, err := proxy.ParseUpstream(service.URL, false)
	if err != nil {
		fmt.Println(err)
		return
	}
	front := httptest.NewServer(&proxy.Handler{Validator: oneToken{}, Upstream: upstream})
	defer front.Close()

	for _, token := range []string{"secret", "guess"} {
		req, err := http.NewRequest("GET", front.URL, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		req.Header.Set("X-Auth-Token", token)
		req.Header.Set("X-Roles", "admin") // worth nothing
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		res.Body.Close()
		fmt.Println(res.Status)
	}
	// Output:
	// alice is member in demo
	// 200 OK
	// 401 Unauthorized
}
