package config

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// authTypes are the values of auth_type. v2password is password with auth_version = v2.0.
var authTypes = []string{"password", "v2password", "application_credential", "admin_token", "none"}

// authType maps the names of keystoneauth's plugins to ours.
func authType(text string) string {
	switch text {
	case "v3password":
		return "password"
	case "v3applicationcredential":
		return "application_credential"
	}
	return text
}

// authVersion maps the spellings of the middleware's auth_version to ours.
func authVersion(text string) string {
	switch text {
	case "v3.0", "3", "3.0":
		return "v3"
	case "v2", "2", "2.0":
		return "v2.0"
	case "":
		return "auto"
	}
	return text
}

// checkURL accepts what a client can be pointed at: http or https, a host, nothing after the path, no password inside.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil: // its text repeats the URL, which may hold a password
		return errors.New("this is not a URL; write one like https://identity.example.com:5000/v3")
	case u.User != nil:
		return errors.New("the URL holds a user name or password; take it out and use the options username and password")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%q has no http:// or https:// in front", clip(text))
	case u.Hostname() == "":
		return fmt.Errorf("%q names no host", clip(text))
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return fmt.Errorf("%q has a ? or # in it, which an endpoint cannot have", clip(text))
	case strings.ContainsAny(text, "\" \\<>'"):
		return fmt.Errorf("%q holds a character that URLs do not have", clip(text))
	}
	return nil
}

func checkSystemScope(text string) error {
	if text != "" && text != "all" {
		return fmt.Errorf("%q is not known; the one scope that a system has is all", clip(text))
	}
	return nil
}

// bindModes are the values of enforce_token_bind: the modes, then the mechanisms.
var bindModes = []string{"disabled", "permissive", "strict", "required", "kerberos", "x509"}

// checkBind refuses what would lock everybody out: Python's middleware takes any word that is no mode as a mechanism that
// every token must be bound to.
func checkBind(text string) error {
	if text == "named" {
		return errors.New(`there is no mechanism called "named"; write the name of the mechanism itself, for example kerberos`)
	}
	if !slices.Contains(bindModes, text) {
		return fmt.Errorf("%q is neither a mode (%s) nor a mechanism that is known here (%s)%s", clip(text),
			strings.Join(bindModes[:4], ", "), strings.Join(bindModes[4:], ", "), didYouMean(text, bindModes))
	}
	return nil
}

// movePlugin makes auth_type and the options of the login be read from the section that auth_section names.
func (l *loader) movePlugin() {
	section := ""
	for i := range l.options {
		if l.options[i].Name == "auth_section" {
			r, _ := l.find(&l.options[i])
			section = r.text
		}
	}
	if section == "" || sameSection(section, AuthTokenSection) {
		return
	}
	for i := range l.options {
		o := &l.options[i]
		if !o.plugin {
			continue
		}
		for _, f := range l.files {
			for _, n := range o.names() {
				for _, it := range f.all(n[0], n[1]) {
					l.warn(fileSource(it.File, it.Line), "["+it.Section+"] "+it.Key, "has no effect: auth_section says that it is read from [%s]", section)
				}
			}
		}
		o.Section, o.Deprecated = section, nil
	}
}

// unknownKeys reports every key of [keystone_authtoken] that no option has.
func (l *loader) unknownKeys() {
	known := map[string]bool{}
	var suggest []string
	for _, o := range AuthTokenOptions() {
		for _, n := range o.names() {
			known[n[1]] = true
		}
		suggest = append(suggest, o.Name)
	}
	found := false
	for _, f := range l.files {
		found = found || f.section(AuthTokenSection) > 0
		for _, it := range f.Items {
			if sameSection(it.Section, AuthTokenSection) && !known[it.Key] {
				l.fail(fileSource(it.File, it.Line), "["+it.Section+"]", "there is no option %q%s", clip(it.Key), didYouMean(it.Key, suggest))
			}
		}
	}
	if found {
		return
	}
	for _, f := range l.files {
		names := slices.Sorted(maps.Keys(f.Sections))
		if n := nearest(AuthTokenSection, names); n != "" {
			l.warn(fileSource(f.Name, f.Sections[n]), "["+n+"]", "is not read; did you mean [%s]?", AuthTokenSection)
			return
		}
		l.warn(Source{}, "", "%s has no section [%s]", f.Name, AuthTokenSection)
	}
}

// unknownVariables warns of AUTHPROXY_… variables that no option has. They are no errors, since container platforms make such
// variables from the names of services (AUTHPROXY_PORT).
func (l *loader) unknownVariables() {
	var known []string
	for i := range l.options {
		known = append(known, l.options[i].Name)
	}
	for _, name := range slices.Sorted(maps.Keys(l.env)) {
		option := strings.TrimPrefix(name, l.prefix)
		if slices.Contains(known, strings.ToLower(option)) && option == strings.ToUpper(option) {
			continue
		}
		hint := ""
		if n := nearest(option, known); n != "" {
			hint = "; did you mean " + l.prefix + strings.ToUpper(n) + "?"
		}
		l.warn(Source{Origin: Environment, Name: name}, "", "no option has this name%s", hint)
	}
}

// check looks at options together. All single values are good by now.
func (a *AuthToken) check(l *loader) {
	a.checkLogin(l)
	at := func(option, format string, args ...any) {
		l.fail(l.where(option), "["+AuthTokenSection+"] "+option, format, args...)
	}
	note := func(option, format string, args ...any) {
		l.warn(l.where(option), "["+AuthTokenSection+"] "+option, format, args...)
	}

	if a.AuthURL == "" && l.given("auth_host") {
		at("auth_host", "is not read, and neither are auth_port and auth_protocol; write auth_url = https://host:port")
	}
	if a.KeyFile != "" && a.CertFile == "" {
		at("keyfile", "has no certificate to go with; set certfile")
	}
	if len(a.HashAlgorithms) == 0 {
		at("hash_algorithms", "names no hash; the default is md5")
	}
	if !l.given("revocation_max_stale") && a.RevocationMaxStale < 3*a.RevocationCacheTime {
		// A service's file may ask for slow polls; the bound then follows.
		a.RevocationMaxStale = 3 * a.RevocationCacheTime
		l.replace("revocation_max_stale", strconv.FormatInt(int64(a.RevocationMaxStale.Seconds()), 10), l.where("revocation_cache_time"))
	}
	if a.PKI != "off" && a.RevocationMaxStale <= a.RevocationCacheTime && !a.InsecureSkipRevocation {
		at("revocation_max_stale",
			"a list is fetched every %d s (revocation_cache_time) and counts for %d s (revocation_max_stale); the second must be longer, or no list is ever fresh",
			int(a.RevocationCacheTime.Seconds()), int(a.RevocationMaxStale.Seconds()))
	}
	if a.InsecureSkipRevocation && a.RevocationFile != "" {
		at("insecure_skip_revocation", "contradicts revocation_file; keep one of them")
	}
	if a.TokenCacheTime < 0 {
		a.TokenCacheTime = 0
	}
	a.checkSharedCache(l)

	if !a.CheckRevocationsCached {
		note("check_revocations_for_cached", "has no effect: cached tokens are always checked against the revocation list")
		a.CheckRevocationsCached = true
		l.replace("check_revocations_for_cached", "true", Source{})
	}
	if a.AuthVersion == "v2.0" {
		note("auth_version", "is v2.0, which tells nothing of domains, cannot wait for revocations and puts the tokens it is asked about into URLs; use v3 where there is one")
	}
	if a.Insecure {
		note("insecure", "is on: whoever sits between the proxy and the Identity service can read the password and forge every answer")
		if a.CAFile != "" {
			note("cafile", "has no effect while insecure is on")
		}
	}
	if strings.HasPrefix(a.AuthURL, "http://") && !isLoopback(a.AuthURL) && a.AuthType != "none" {
		note("auth_url", "is plain http: the password and all tokens cross the network unprotected; use https")
	}
	if a.InsecureSkipRevocation {
		note("insecure_skip_revocation", "is on: a revoked token stays good until it expires")
	}
	if a.InsecureAllowSHA1 {
		note("insecure_allow_sha1", "is on: documents with the same SHA-1 can be made, so a signature may count for another than was signed")
	}
	if a.InsecureAllowWeakRSA {
		note("insecure_allow_weak_rsa", "is on: keys of less than 2048 bits can be broken, and who does signs tokens")
	}
	if a.InsecureAllowFetchedCA {
		note("insecure_allow_fetched_ca", "is on: whoever answers the first fetch of the CA decides whose tokens count")
	}
	if a.InsecureServiceTokenSkipsBind {
		note("insecure_service_token_skips_bind", "is on: whoever has a service token can use users' tokens without the authentication that they are bound to")
	}
}

// checkLogin demands what a login needs.
func (a *AuthToken) checkLogin(l *loader) {
	section := AuthTokenSection
	if a.AuthSection != "" {
		section = a.AuthSection
	}
	missing := func(option, text string) { l.fail(Source{}, "["+section+"] "+option, "%s", text) }

	inherit := func(set bool, id, name *string, option string) {
		switch {
		case !set || *id != "" || *name != "":
		case a.DefaultDomainID != "":
			*id = a.DefaultDomainID
			l.replace(option+"_id", *id, l.where("default_domain_id"))
		case a.DefaultDomainName != "":
			*name = a.DefaultDomainName
			l.replace(option+"_name", *name, l.where("default_domain_name"))
		case l.used["username"].item.Key == "admin_user":
			// The options of that time knew no domains: they mean the one that v2.0 shows.
			*id = "default"
			l.replace(option+"_id", *id, l.where("username"))
		}
	}
	switch {
	case a.AuthType == "v2password":
		a.AuthType, a.AuthVersion = "password", "v2.0"
		l.replace("auth_version", "v2.0", l.where("auth_type"))
	case !l.given("auth_type") && l.given("token") && !l.given("username") && !l.given("user_id"):
		// As the middleware of that time took an admin_token without admin_user.
		a.AuthType = "admin_token"
		l.replace("auth_type", a.AuthType, l.where("token"))
	}
	inherit(a.Username != "", &a.UserDomainID, &a.UserDomainName, "user_domain")
	inherit(a.ProjectName != "", &a.ProjectDomainID, &a.ProjectDomainName, "project_domain")

	if a.AuthURL == "" || a.AuthType == "none" {
		return
	}
	wrong := func(option, text string) { l.fail(l.where(option), "["+section+"] "+option, "%s", text) }
	const orNone = "; auth_type = none runs without logging in"
	project, domain := a.ProjectID != "" || a.ProjectName != "", a.DomainID != "" || a.DomainName != ""
	scopes := 0
	for _, given := range []bool{project, domain, a.SystemScope != "", a.TrustID != ""} {
		if given {
			scopes++
		}
	}
	scope := firstGiven(l, "domain_id", "domain_name", "system_scope", "trust_id", "project_id", "project_name")
	switch a.AuthType {
	case "admin_token":
		if a.Token.Reveal() == "" {
			missing("token", "is missing: auth_type = admin_token uses it as it is")
		}
		return
	case "application_credential":
		switch {
		case a.ApplicationCredentialID == "" && a.ApplicationCredentialName == "":
			missing("application_credential_id", "is missing: the proxy needs an application credential to log in with"+orNone)
		case a.ApplicationCredentialID == "" && a.UserID == "" && (a.Username == "" || a.UserDomainID == "" && a.UserDomainName == ""):
			missing("user_id", "is missing: the name of an application credential is unique only for its user; write its id instead, or the user's")
		}
		if a.ApplicationCredentialSecret.Reveal() == "" {
			missing("application_credential_secret", "is missing: the proxy needs it to log in")
		}
		if scopes > 0 {
			wrong(scope, "an application credential brings its own scope; take this out")
		}
		if a.AuthVersion == "v2.0" {
			wrong("auth_version", "v2.0 knows no application credentials")
		}
		return
	}
	v2 := a.AuthVersion == "v2.0"
	switch {
	case a.UserID == "" && a.Username == "":
		missing("username", "is missing: the proxy needs a user to log in as"+orNone)
	case a.UserID == "" && a.UserDomainID == "" && a.UserDomainName == "" && !v2:
		missing("user_domain_id", "is missing: a user name is unique only inside its domain; often it is user_domain_id = default")
	}
	if a.Password.Reveal() == "" {
		missing("password", "is missing: the proxy needs it to log in"+orNone)
	}
	switch {
	case scopes > 1:
		wrong(scope, "a login has one scope; keep one of the project's options, the domain's, system_scope and trust_id")
	case v2 && (domain || a.SystemScope != ""):
		wrong(scope, "auth_version = v2.0 knows projects as scope only")
	case a.ProjectID == "" && a.ProjectName != "" && a.ProjectDomainID == "" && a.ProjectDomainName == "" && !v2:
		missing("project_domain_id", "is missing: a project name is unique only inside its domain; often it is project_domain_id = default")
	case scopes == 0:
		l.warn(Source{}, "["+section+"] project_name", "is missing, and no project_id or domain is set either: the login is scoped to the user's default project, if any")
	}
}

// firstGiven is the first of the options that was given, so that a message has a place; the first one where none was.
func firstGiven(l *loader, options ...string) string {
	for _, o := range options {
		if l.given(o) {
			return o
		}
	}
	return options[0]
}

// isLoopback says that the URL's host cannot be another machine.
func isLoopback(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.Unmap().IsLoopback()
}
