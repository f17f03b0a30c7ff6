package config

import (
	"fmt"
	"slices"
	"strings"
)

// routeSection begins the names of the sections that describe routes of the proxy: [authproxy:route:NAME].
const routeSection = "authproxy:route:"

// proxySections begins the names of all sections that can only be meant for the proxy.
const proxySections = "authproxy"

// Route is one way through a proxy that has several upstreams.
type Route struct {
	Name string
	// Hosts and Path say which requests take it: those for one of the hosts (nil: any), in lower case, beneath the path ("": any),
	// which has no slash at its end.
	Hosts []string
	Path  string
	// StripPrefix takes Path off before the request goes on.
	StripPrefix bool
	Upstream    string
	// UpstreamProtocol is what is spoken there: http/1.1, h2 or h2c.
	UpstreamProtocol string

	EnforceTokenBind      string
	DelayAuthDecision     bool
	IncludeServiceCatalog bool
	RequiredRoles         []string
	Anonymous             []string
	AnonymousPreflight    bool

	values []Value
}

// Section is the name of the route's section.
func (r *Route) Section() string { return routeSection + r.Name }

// Effective lists every option of the route with its value and where it came from.
func (r *Route) Effective() []Value { return slices.Clone(r.values) }

func routeFields() []field[Route] {
	return []field[Route]{
		{Option{Name: "host", Help: "host names, without port, of the requests that take this route; any where unset", rule: checkHosts},
			func(r *Route) any { return &r.Hosts }},
		{Option{Name: "path", Help: "path beneath which requests take this route, by whole segments; any where unset"},
			func(r *Route) any { return &r.Path }},
		{Option{Name: "strip_prefix", Default: "false", Help: "take the path off before the request goes on, and tell it in X-Forwarded-Prefix"},
			func(r *Route) any { return &r.StripPrefix }},
		{Option{Name: "upstream", Help: "where the requests go"}, func(r *Route) any { return &r.Upstream }},
		{Option{Name: "upstream_protocol", Default: "http/1.1", Choices: []string{"http/1.1", "h2", "h2c"}, Help: "what is spoken to the upstream"},
			func(r *Route) any { return &r.UpstreamProtocol }},
		{Option{Name: "enforce_token_bind", rule: checkBind, Help: "as in [keystone_authtoken], for this route"},
			func(r *Route) any { return &r.EnforceTokenBind }},
		{Option{Name: "delay_auth_decision", Help: "as in [keystone_authtoken], for this route"},
			func(r *Route) any { return &r.DelayAuthDecision }},
		{Option{Name: "include_service_catalog", Help: "as in [keystone_authtoken], for this route"},
			func(r *Route) any { return &r.IncludeServiceCatalog }},
		{Option{Name: "required_roles", Help: "a user needs one of these roles, or gets a 403"},
			func(r *Route) any { return &r.RequiredRoles }},
		{Option{Name: "anonymous", Help: "METHOD|METHOD /PATH: requests that need no token"},
			func(r *Route) any { return &r.Anonymous }},
		{Option{Name: "anonymous_preflight", Default: "false", Help: "CORS preflights need no token"},
			func(r *Route) any { return &r.AnonymousPreflight }},
	}
}

// LoadRoutes reads the routes of a proxy: sections [authproxy:route:NAME] of files, and texts of flags of the form
// "NAME; option = value; …", whose options win over those of a section of that name. inherited gives the values of options that
// a route does not set, with where they come from. The error names all that is wrong. Routes are in the order of their names.
func LoadRoutes(files, flags []string, inherited []Value) ([]Route, error) {
	base, err := newLoader(nil, Input{Files: files}, "")
	if err != nil {
		return nil, err
	}
	given, names := map[string]map[string]string{}, []string{}
	for _, text := range flags {
		name, options, err := parseRoute(text)
		if err == nil && given[name] != nil {
			err = fmt.Errorf("route %q is there twice", name)
		}
		if err != nil {
			base.fail(Source{Origin: Flag, Name: "route"}, "", "%v", err)
			continue
		}
		given[name], names = options, append(names, name)
	}
	names = append(names, base.routeSections()...)
	slices.Sort(names)
	var routes []Route
	for _, name := range slices.Compact(names) {
		r, err := loadRoute(name, base.files, given[name], inherited)
		if err != nil {
			base.errs = append(base.errs, err)
			continue
		}
		routes = append(routes, *r)
	}
	base.overlaps(routes)
	return routes, base.err()
}

// parseRoute reads the text of a flag.
func parseRoute(text string) (name string, options map[string]string, err error) {
	name, rest, _ := strings.Cut(text, ";")
	if name = strings.TrimSpace(name); !routeName(name) {
		return "", nil, fmt.Errorf("%q: write NAME; path=/x; upstream=http://127.0.0.1:9292, with a name of lower-case letters, digits, - and _", clip(text))
	}
	options = map[string]string{}
	for pair := range strings.SplitSeq(rest, ";") {
		key, value, ok := strings.Cut(pair, "=")
		key = strings.TrimSpace(key)
		switch _, again := options[strings.ReplaceAll(key, "_", "-")]; {
		case strings.TrimSpace(pair) == "":
			continue
		case !ok:
			return "", nil, fmt.Errorf("route %s: %q has no =; options are separated by ;", name, clip(strings.TrimSpace(pair)))
		case again:
			return "", nil, fmt.Errorf("route %s: %s is there twice", name, clip(key))
		}
		options[strings.ReplaceAll(key, "_", "-")] = strings.TrimSpace(value)
	}
	return name, options, nil
}

// routeName keeps names fit for sections, logs and metrics.
func routeName(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// routeSections gives the names of the routes that files describe, and reports sections that look as if they did.
func (l *loader) routeSections() (names []string) {
	for _, f := range l.files {
		for section, line := range f.Sections {
			if !strings.HasPrefix(strings.ToLower(section), proxySections) {
				continue
			}
			name, ok := strings.CutPrefix(section, routeSection)
			if !ok || !routeName(name) {
				l.fail(fileSource(f.Name, line), "", "there is no section [%s] of the proxy; write [%sNAME], with a name of lower-case letters, digits, - and _",
					clip(section), routeSection)
				continue
			}
			names = append(names, name)
		}
	}
	return names
}

func loadRoute(name string, files []*File, flags map[string]string, inherited []Value) (*Route, error) {
	r := &Route{Name: name}
	table := routeFields()
	for i := range table {
		table[i].Section = r.Section()
		for _, v := range inherited {
			if v.Name == table[i].Name {
				table[i].Default = v.Text
			}
		}
	}
	l, err := newLoader(describe(table), Input{Flags: flags}, "")
	if err != nil {
		return nil, err
	}
	l.files, l.flagName = files, "route"
	l.unknownRouteKeys()
	fill(l, r, table)
	for _, v := range inherited {
		if !l.given(v.Name) {
			l.replace(v.Name, v.Text, v.Source)
		}
	}
	if len(l.errs) == 0 {
		r.check(l)
	}
	r.values = l.values
	return r, l.err()
}

// unknownRouteKeys reports what stands in the section and is no option of a route.
func (l *loader) unknownRouteKeys() {
	var known []string
	for _, o := range l.options {
		known = append(known, o.Name)
	}
	section := l.options[0].Section
	for _, f := range l.files {
		for _, it := range f.Items {
			if it.Section == section && !slices.Contains(known, it.Key) {
				l.fail(fileSource(it.File, it.Line), "["+section+"]", "there is no option %q%s", clip(it.Key), didYouMean(it.Key, known))
			}
		}
	}
	for name := range l.flags {
		if key := strings.ReplaceAll(name, "-", "_"); !slices.Contains(known, key) {
			l.fail(Source{Origin: Flag, Name: l.flagName}, "["+section+"]", "there is no option %q%s", clip(key), didYouMean(key, known))
			delete(l.flags, name)
		}
	}
}

// check looks at the options of a route together.
func (r *Route) check(l *loader) {
	at := func(option, format string, args ...any) {
		l.fail(l.where(option), "["+r.Section()+"] "+option, format, args...)
	}
	for i, host := range r.Hosts {
		r.Hosts[i] = strings.ToLower(strings.TrimSuffix(host, "."))
	}
	if r.Path != "" {
		if err := checkPrefix(r.Path); err != nil {
			at("path", "%v", err)
		}
		r.Path = strings.TrimSuffix(r.Path, "/")
	}
	switch {
	case r.Upstream == "":
		at("upstream", "is missing: say where requests go, as in http://127.0.0.1:9292")
	case len(r.Hosts) == 0 && !l.given("path"):
		at("path", "is missing, and host too: say which requests take this route; / is all that fit no other")
	case r.StripPrefix && r.Path == "":
		at("strip_prefix", "has nothing to take off without a path")
	case r.DelayAuthDecision && len(r.RequiredRoles) > 0:
		at("required_roles", "contradicts delay_auth_decision (%s), which lets users without any token pass; set delay_auth_decision = false for this route",
			l.valueSource("delay_auth_decision"))
	}
}

// checkPrefix accepts paths that mean one thing only, to everybody.
func checkPrefix(path string) error {
	rest, ok := strings.CutPrefix(path, "/")
	for segment := range strings.SplitSeq(strings.TrimSuffix(rest, "/"), "/") {
		if path != "/" && strings.Trim(segment, ".") == "" {
			ok = false
		}
	}
	if !ok || strings.Trim(path, "/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~") != "" {
		return fmt.Errorf("%q: write /segment/segment, of letters, digits and - . _ ~", clip(path))
	}
	return nil
}

func checkHosts(text string) error {
	for _, host := range splitList(text) {
		if strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") != "" || strings.Trim(host, ".") == "" {
			return fmt.Errorf("%q is no host name; write it in full and without a port", clip(host))
		}
	}
	return nil
}

// overlaps reports routes between which nothing decides.
func (l *loader) overlaps(routes []Route) {
	seen := map[[2]string]*Route{}
	for i := range routes {
		r := &routes[i]
		hosts := r.Hosts
		if len(hosts) == 0 {
			hosts = []string{""}
		}
		for _, host := range hosts {
			if other := seen[[2]string{host, r.Path}]; other != nil && other != r {
				l.errs = append(l.errs, &Error{Option: "[" + r.Section() + "]", Text: fmt.Sprintf("takes the same requests as [%s]", other.Section())})
				continue
			}
			seen[[2]string{host, r.Path}] = r
		}
	}
}

// valueSource says where the effective value of an option came from.
func (l *loader) valueSource(name string) Source {
	for _, v := range l.values {
		if v.Name == name {
			return v.Source
		}
	}
	return Source{}
}
