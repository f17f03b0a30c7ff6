package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Remote says whether rules may ask a server, and how. Its zero value refuses rules that would.
type Remote struct {
	// HTTPS allows https://….
	HTTPS bool
	// InsecureHTTP allows http://… too: whoever is on the way reads who does what, and can answer for the server.
	InsecureHTTP bool
	// Client asks; nil is one with the system's CAs. Its redirects are not followed and its time is bounded in any case.
	Client *http.Client
}

const remoteTimeout = 5 * time.Second

// ErrRemote is in the error of a decision for which a server was asked in vain, so that the log can say it louder.
var ErrRemote = errors.New("no answer from the server that a rule asks")

var errRedirect = errors.New("redirects are not followed")

// remoteCheck holds where a server answers True. It is sent a form with rule, target and credentials, the latter two as JSON;
// the token itself is not among them.
type remoteCheck struct {
	kind  string
	match template // "//host/path"
}

func parseRemote(kind, match string, allowed Remote) (check, error) {
	if !(allowed.InsecureHTTP || allowed.HTTPS && kind == "https") {
		return nil, fmt.Errorf("%q asks a server, which [DEFAULT] policy_remote_checks does not allow", clip(kind+":"+match))
	}
	t, err := parseTemplate(match)
	if err != nil {
		return nil, err
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(match, "//"), "/")
	if u, err := url.Parse(kind + "://" + host); err != nil || !strings.HasPrefix(match, "//") || strings.Contains(host, "%") || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%q is no URL of a server: write https://host/path, with %%(name)s in the path only", clip(kind+":"+match))
	}
	return remoteCheck{kind, t}, nil
}

func (r remoteCheck) String() string { return r.kind + ":" + r.match.String() }

func (r remoteCheck) eval(e *evaluation) verdict {
	address, missing, err := r.url(e.target)
	if missing != "" {
		return no
	}
	if err == nil {
		var allowed bool
		if allowed, err = r.ask(e, address); err == nil {
			return decided(allowed)
		}
	}
	e.failed = append(e.failed, fmt.Errorf("%w, %s: %w", ErrRemote, r, err))
	return unknown
}

// url fills in the target's attributes, each as one piece of the path or of the query.
func (r remoteCheck) url(target Target) (address, missing string, err error) {
	escaped := Target{}
	for _, p := range r.match {
		if p.key == "" {
			continue
		}
		value, ok := target[p.key]
		switch {
		case !ok:
			return "", p.key, nil
		case value == "." || value == "..":
			return "", "", fmt.Errorf("%%(%s)s is %q, which would name another path", p.key, value)
		}
		escaped[p.key] = strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
	}
	text, _ := r.match.fill(escaped)
	return r.kind + ":" + text, "", nil
}

func (r remoteCheck) ask(e *evaluation, address string) (bool, error) {
	target, err := json.Marshal(e.target)
	if err != nil {
		return false, err
	}
	caller := map[string][]string{}
	for name, read := range attributes {
		if values := read(&e.caller); values != nil {
			caller[name] = values
		}
	}
	credentials, err := json.Marshal(caller)
	if err != nil {
		return false, err
	}
	form := url.Values{"rule": {e.action}, "target": {string(target)}, "credentials": {string(credentials)}}
	ctx, cancel := context.WithTimeout(e.ctx, remoteTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return false, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := http.Client{}
	if e.remote.Client != nil {
		client = *e.remote.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return errRedirect }
	response, err := client.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 64))
	if err != nil {
		return false, err
	}
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("status %s", response.Status)
	}
	return string(bytes.TrimSpace(answer)) == "True", nil
}
