package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// className takes the short name out of a dotted one: "keystone.token.providers.pki.Provider" is "pki".
func className(prefix, suffix string) func(string) string {
	return func(text string) string {
		if short, ok := strings.CutPrefix(text, prefix); ok {
			if short, ok = strings.CutSuffix(short, suffix); ok {
				return short
			}
		}
		return text
	}
}

// catalogDriver takes Kilo's names of the catalog's classes for the later short ones.
func catalogDriver(text string) string {
	if text == "keystone.contrib.endpoint_filter.backends.catalog_sql.EndpointFilterCatalog" {
		return "endpoint_filter.sql"
	}
	return className("keystone.catalog.backends.", ".Catalog")(text)
}

// checkClass accepts the names of the one implementation that is there.
func checkClass(names ...string) func(string) error {
	return func(text string) error {
		if slices.Contains(names, text) {
			return nil
		}
		return fmt.Errorf("%q is not there; the only choice is %s (or %s)", clip(text), names[0], names[len(names)-1])
	}
}

func checkNoDomainDrivers(text string) error {
	on, err := parseBool(text)
	if err != nil || !on {
		return err
	}
	return errors.New("drivers for single domains are not there yet; set it to false")
}

// checkAdminToken refuses the default of old sample files, which opens the cloud to everybody.
func checkAdminToken(text string) error {
	switch {
	case text == "ADMIN":
		return errors.New("the value ADMIN stands in every old sample file, so it protects nothing; take the line out and use " +
			"keystone-manage bootstrap, or write a long random value")
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the value cannot be sent in a header; use letters, digits and signs of ASCII")
	}
	return nil
}

// checkSubject demands the form of openssl's -subj: /KEY=value, at least a common name.
func checkSubject(text string) error {
	parts, ok := strings.CutPrefix(text, "/")
	if !ok {
		return fmt.Errorf("%q does not begin with a /; write it like /C=US/O=Example/CN=keystone.example.com", clip(text))
	}
	name := false
	for part := range strings.SplitSeq(parts, "/") {
		key, value, ok := strings.Cut(part, "=")
		if !ok || key == "" || value == "" {
			return fmt.Errorf("%q is not KEY=value; write the subject like /C=US/O=Example/CN=keystone.example.com", clip(part))
		}
		name = name || key == "CN"
	}
	if !name {
		return fmt.Errorf("%q has no CN; write it like /C=US/O=Example/CN=keystone.example.com", clip(text))
	}
	return nil
}

// check looks at options together. All single values are good by now.
func (k *Keystone) check(l *loader) {
	k.checkProvider(l)
	k.checkSenders(l)
	k.checkFederation(l)
	k.checkDatabase(l)
	l.checkOneLine("policy_dirs")
	for _, e := range []struct {
		option string
		text   *string
	}{{"public_endpoint", &k.PublicEndpoint}, {"admin_endpoint", &k.AdminEndpoint}} {
		if *e.text == "" {
			continue
		}
		text, err := k.portNames(*e.text)
		if err == nil {
			err = checkURL(text)
		}
		if err != nil {
			l.fail(l.where(e.option), "[DEFAULT] "+e.option, "%v", err)
			continue
		}
		*e.text = text
		l.replace(e.option, text, l.where(e.option))
	}
	if k.PublicPort == k.AdminPort && k.PublicPort != 0 && k.PublicBindHost == k.AdminBindHost {
		option := firstGiven(l, "public_port", "admin_port")
		l.fail(l.where(option), "[DEFAULT] "+option, "both listeners would be at %s port %d; give one of them another port", k.PublicBindHost, k.PublicPort)
	}
	if len(k.AuthMethods) == 0 {
		l.fail(l.where("methods"), "[auth] methods", "names no method, so nobody could log in; the default is password,token")
	}
	if k.AdminToken.Reveal() != "" {
		l.warn(l.where("admin_token"), "[DEFAULT] admin_token", "is set: whoever knows it may do everything; take it out after bootstrapping")
	}
	if k.Credential.AnonymousSignatures {
		l.warn(l.where("insecure_anonymous_signatures"), "[credential] insecure_anonymous_signatures",
			"is on: whoever sees a signed request can make a token of it (CVE-2025-65073)")
	}
	if !k.OAuth1.EnforceSSL {
		l.warn(l.where("enforce_ssl"), "[oauth1] enforce_ssl", "is off: secrets of OAuth may come over plain http, where everybody on the way can read them")
	}
	if k.LogDir != "" && k.LogFile == "" {
		l.warn(l.where("log_dir"), "[DEFAULT] log_dir", "has no effect without log_file")
	}
}

// checkOneLine refuses a list that is spread over several lines of its name, which oslo.config joins. To take the last one alone
// would drop rules.
func (l *loader) checkOneLine(name string) {
	given, ok := l.used[name]
	if !ok || given.source.Origin != FromFile {
		return
	}
	for _, f := range l.files {
		if all := f.all(given.item.Section, given.item.Key); f.Name == given.item.File && len(all) > 1 {
			l.fail(given.source, "["+given.item.Section+"] "+name, "is there %d times; write one line, with commas between the values", len(all))
		}
	}
}

// portNames fills in Keystone's own "%(public_port)s" notation of endpoints.
func (k *Keystone) portNames(text string) (string, error) {
	text = strings.NewReplacer(
		"%(public_port)s", strconv.Itoa(k.PublicPort), "%(admin_port)s", strconv.Itoa(k.AdminPort),
		"%(public_bind_host)s", k.PublicBindHost, "%(admin_bind_host)s", k.AdminBindHost).Replace(text)
	if i := strings.Index(text, "%("); i >= 0 {
		return "", fmt.Errorf("%q: only public_port, admin_port, public_bind_host and admin_bind_host may stand in %%(…)s", clip(text[i:]))
	}
	return text, nil
}

// checkProvider settles [token] provider with the older [signing] token_format.
func (k *Keystone) checkProvider(l *loader) {
	const dotted = "keystone.token.providers."
	chosen := strings.ToLower(k.Signing.tokenFormat)
	switch {
	case chosen != "" && k.Provider == "":
		k.Provider = chosen
		l.warn(l.where("token_format"), "[signing] token_format", "is deprecated; write [token] provider = %s%s.Provider", dotted, chosen)
	case chosen != "" && chosen != k.Provider:
		l.fail(l.where("token_format"), "[signing] token_format", "%s contradicts [token] provider = %s (%s); take this line out",
			k.Signing.tokenFormat, k.Provider, l.where("provider"))
	case k.Provider == "":
		k.Provider = "uuid"
	}
	if !l.given("provider") {
		l.replace("provider", k.Provider, l.where("token_format"))
	}
}

// checkDatabase parses [database] connection and unmasks it for print where it holds no password.
func (k *Keystone) checkDatabase(l *loader) {
	where := l.where("connection")
	if err := k.Database.parse(); err != nil {
		l.fail(where, "[database] connection", "%v", err)
		return
	}
	l.replace("connection", k.Database.String(), where)
	if host := k.Database.unverified(); host != "" {
		l.warn(where, "[database] connection", "password hashes and token ids go to %s, and others on the way may read or change them; "+
			"write sslmode=verify-full and sslrootcert=FILE behind a ?", clip(host))
	}
}

// keystoneSections are the sections of a Kilo keystone.conf, apart from those that options here name.
var keystoneSections = []string{"cache", "credential", "domain_config", "endpoint_filter", "endpoint_policy", "eventlet_server",
	"eventlet_server_ssl", "federation", "fernet_tokens", "identity_mapping", "kvs", "ldap", "matchmaker_redis", "matchmaker_ring",
	"memcache", "oauth1", "oslo_messaging_amqp", "oslo_messaging_qpid", "oslo_messaging_rabbit", "oslo_middleware",
	"oslo_policy", "paste_deploy", "policy", "revoke", "saml", "sql", "trust"}

// foreignKeys warns of what the file says and nothing here acts on, so that nobody takes it for done.
func (l *loader) foreignKeys() {
	sections := slices.Clone(keystoneSections)
	bySection := map[string][]string{} // names worth suggesting
	known := map[[2]string]bool{}
	for i := range l.options {
		o := &l.options[i]
		sections = append(sections, o.Section)
		bySection[o.Section] = append(bySection[o.Section], o.Name)
		for _, n := range o.names() {
			known[n] = true
		}
	}
	for _, f := range l.files {
		told := map[string]bool{}
		for _, it := range f.Items {
			at := slices.IndexFunc(sections, func(s string) bool { return sameSection(s, it.Section) })
			switch {
			case at >= 0 && known[[2]string{sections[at], it.Key}]:
			case at >= 0:
				l.warn(fileSource(it.File, it.Line), "["+it.Section+"] "+it.Key, "is read but has no effect here%s",
					didYouMean(it.Key, bySection[sections[at]]))
			case told[it.Section]:
			case pasteSection(it.Section):
				told[it.Section] = true
				l.warn(fileSource(it.File, f.Sections[it.Section]), "["+it.Section+"]", "has no effect here: pipelines are fixed")
			default:
				told[it.Section] = true
				hint := ""
				if n := nearest(it.Section, sections); n != "" {
					hint = "; did you mean [" + n + "]?"
				}
				l.warn(fileSource(it.File, f.Sections[it.Section]), "["+it.Section+"]", "is no section that is known here%s", hint)
			}
		}
	}
}

// pasteSection says that a section belongs to PasteDeploy, whose pipelines may stand in keystone.conf.
func pasteSection(name string) bool {
	kind, _, ok := strings.Cut(name, ":")
	return ok && slices.Contains([]string{"pipeline", "filter", "app", "composite"}, kind)
}
