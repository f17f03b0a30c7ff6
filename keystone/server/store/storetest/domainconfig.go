package storetest

import (
	"encoding/json"
	"testing"

	"authproxy/keystone/server/domainconfig"
	"authproxy/keystone/server/store"
)

func testDomainSettings(t *testing.T, s store.Store) {
	ctx := t.Context()
	fixture(t, s)
	setting := func(group, option string, value any) domainconfig.Setting {
		return domainconfig.Setting{Group: group, Option: option, Value: value}
	}
	list := func(what, domainID string, secret bool, expected ...domainconfig.Setting) {
		t.Helper()
		if expected == nil {
			expected = []domainconfig.Setting{}
		}
		want(t, what, expected)(s.DomainSettings(ctx, domainID, secret))
	}
	put := func(domainID string, secret bool, v domainconfig.Setting) {
		t.Helper()
		must(t, s.SetDomainSetting(ctx, domainID, secret, v))
	}
	url := setting("ldap", "url", "ldap://ü 'h\"")
	size := setting("ldap", "page_size", json.Number("12345678901234567890"))
	driver := setting("identity", "driver", nil)
	ignored := setting("ldap", "ignored", []any{"a", true, map[string]any{"k": "v"}})
	password := setting("ldap", "password", "p")
	for _, v := range []domainconfig.Setting{url, size, driver, ignored} {
		put("d1", false, v)
	}
	put("d1", true, password)
	put("d2", false, driver)
	put("d2", true, password)
	list("all", "d1", false, driver, ignored, size, url)
	list("the secret", "d1", true, password)
	list("nowhere", "none", false)

	url.Value = "ldaps://other"
	put("d1", false, url)
	password.Value = "new"
	put("d1", true, password)
	list("changed", "d1", false, driver, ignored, size, url)
	list("changed secret", "d1", true, password)
	wantError(t, "unknown domain", s.SetDomainSetting(ctx, "none", false, url), notFound("domain", "none"))
	wantError(t, "unknown domain", s.SetDomainSetting(ctx, "none", true, url), notFound("domain", "none"))

	must(t, s.RemoveDomainSettings(ctx, "d1", "ldap", "url"))
	must(t, s.RemoveDomainSettings(ctx, "d1", "ldap", "url"))
	list("one removed", "d1", false, driver, ignored, size)
	list("the secret beside it", "d1", true, password)
	must(t, s.RemoveDomainSettings(ctx, "d1", "ldap", "password"))
	list("the secret removed", "d1", true)
	put("d1", true, password)
	must(t, s.RemoveDomainSettings(ctx, "d1", "ldap", ""))
	list("a group removed", "d1", false, driver)
	list("the secret in it", "d1", true)
	must(t, s.RemoveDomainSettings(ctx, "d1", "", ""))
	list("all removed", "d1", false)

	list("the other domain", "d2", false, driver)
	must(t, s.RemoveDomain(ctx, "d2"))
	list("domain removed", "d2", false)
	list("domain removed, secret", "d2", true)
}
