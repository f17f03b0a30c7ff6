package authproxy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// weaknesses are those known of the Python middleware, by their number in the specification, with the tests that show how it is
// here. Tests are named by package.
var weaknesses = []struct {
	number int
	what   string
	tests  []string
}{
	{1, "CVE-2015-7546: another spelling of a revoked token", []string{
		"certs/cms.TestEveryByte", "validate.TestAttackCorpus", "validate.TestAttackCorpusByEvent", "validate.TestOtherECDSASignature", "validate.TestListOfIDsAlone", "cmd.TestAttackCorpus"}},
	{2, "CVE-2013-2104: the expiry of signed tokens", []string{"validate.TestExpiresOnTheSecond", "keystone/token.TestDecodeRefuses"}},
	{3, "CVE-2013-1865: revocation in online validation", []string{"keystone/server.TestRevocationTriggers", "keystone/server.TestRevokedExpired", "cmd.TestProviders", "cmd.TestSameAsAuthToken"}},
	{4, "CVE-2013-4294: one hash in every store", []string{"keystone/server.TestRevocationTriggers", "keystone/server.TestNoTokenSlipsThrough", "keystone/token.TestID"}},
	{5, "CVE-2013-2030: a signing directory of somebody else", []string{"certs.TestDirAttacks", "cmd/authproxy.TestUnsafeSigningDir", "revocation.TestDirOfAnotherUser"}},
	{6, "CVE-2013-2166, CVE-2013-2167: unprotected entries in memcached", []string{"validate/sharedcache.TestForeignValues", "validate/sharedcache.TestPythonWithOtherProtection"}},
	{7, "CVE-2014-0105: answers about another token", []string{"validate/sharedcache.TestMixedUpAnswers", "validate/sharedcache.TestLyingMemcached", "validate.TestAnotherUsersAnswer"}},
	{8, "CVE-2014-7144, CVE-2015-1852: booleans as strings", []string{"keystone/config.TestBooleans"}},
	{9, "CVE-2013-2255: the Identity service's certificate", []string{"keystone/client.TestTLS", "validate.TestOpaqueTokens"}},
	{10, "CVE-2026-22797: identity headers stripped on every path", []string{"proxy/headers.TestEveryNameOfTheTableIsStripped", "proxy.TestVerdicts", "proxy.TestAnonymous", "cmd.TestSameAsAuthToken"}},
	{11, "any token is a service token, also the user's own", []string{"proxy.TestVerdicts", "proxy.TestServiceTokenOptions", "cmd.TestSameAsAuthToken"}},
	{12, "OpenStack-System-Scope from a client", []string{"proxy/headers.TestReserved", "proxy.TestVerdicts", "cmd.TestSameAsAuthToken"}},
	{13, "the system scope of a service token", []string{"proxy/headers.TestSetService", "proxy.TestVerdicts", "cmd.TestSameAsAuthToken"}},
	{14, "spellings of headers, and what Connection names", []string{"proxy.TestHeaderTricks", "proxy.TestSmuggling", "proxy.TestSmugglingCorpus", "proxy/headers.TestReserved", "cmd.TestSameAsAuthToken"}},
	{15, "a junk service token turns off rules and binding", []string{"proxy.TestW15ServiceTokenKeepsBindCheck", "proxy.TestW15OptionalRoles", "validate.TestAccessRules", "cmd.TestSameAsAuthToken"}},
	{16, "malformed tokens make requests to the Identity service", []string{"validate.TestGarbageStorm", "cmd.TestGarbage"}},
	{17, "malformed tokens make a 500", []string{"keystone/token.TestDecodeRefuses", "keystone/token.TestDecodeTextRefuses", "validate.TestAttackCorpus", "cmd.TestSameAsAuthToken"}},
	{18, "any certificate of the CA signs tokens", []string{"validate.TestAttackCorpus", "certs.TestBundleLeavesOutBadSigners", "certs.TestVerify"}},
	{19, "whatever CMS OpenSSL accepts", []string{"certs/cms.TestRefused", "certs/cms.TestCheckSignatureRefuses", "validate.TestAttackCorpus"}},
	{20, "compressed tokens that inflate without bound", []string{"keystone/token.TestDecodeTextRefuses"}},
	{21, "memcache_security_strategy = encrypt does not encrypt", []string{"cmd/authproxy.TestStrategySpellings"}},
	{22, "old revocation lists, and other signed documents in their place", []string{"revocation.TestNoWayBack", "revocation.TestReplayAfterRenewal", "revocation.TestRefusedChanges", "revocation.TestAttackFixtures", "revocation.TestShrinkingList"}},
	{23, "expired tokens of any age beside a service token", []string{"validate.TestAllowExpired", "keystone/server.TestAllowExpired"}},
	{24, "the list is fetched during requests", []string{"revocation.TestFaultsForDays", "revocation.TestFaultsOverSockets", "validate.TestStaleList", "cmd.TestIdentityGoesDown"}},
	{25, "cached tokens live on when they are revoked", []string{"validate.TestRevokedWhileCached", "cmd.TestRevocationDelay", "cmd.TestSameAsAuthToken"}},
	{26, "memcached holds tokens, and makes identities", []string{"validate/sharedcache.TestNoTokenIsStored", "validate.TestSignedTokensAreNotShared", "validate.TestCacheIsBounded"}},
	{27, "waiting for the Identity service for ever", []string{"keystone/client.TestSlowService", "validate.TestSingleFlight", "validate.TestOnlineLimit"}},
	{28, "commas and line ends in names", []string{"proxy/headers.TestPrepareRefuses", "proxy/headers.TestEncoding", "proxy.TestVerdicts", "cmd.TestSameAsAuthToken"}},
	{29, "access rules as regular expressions", []string{"validate.TestW29AccessRulePaths", "validate.TestAccessRules"}},
	{30, "a new signer is refused for ever, and namesakes", []string{"certs.TestRefreshFindsNewSigner", "certs.TestOpenStackBothFamilies", "cmd.TestRotationUnderLoad"}},
	{31, "catalogs that are too large for headers", []string{"proxy/headers.TestCatalogHeader", "proxy.TestCatalogFaultsAreCountedPerTokenAndLoggedOnce", "cmd.TestSameAsAuthToken"}},
	{32, "faulty catalogs end the request", []string{"proxy/headers.TestCatalogHeader", "keystone/token.TestDecodeAccepts", "cmd.TestSameAsAuthToken"}},
}

// TestWeaknesses: each number has tests, and they exist. go test -v -run TestWeaknesses . lists them.
func TestWeaknesses(t *testing.T) {
	const last = 32
	exists := testFunctions(t)
	for i, w := range weaknesses {
		if w.number != i+1 || len(w.tests) == 0 {
			t.Fatalf("W-%d is out of order, or has no test", w.number)
		}
		t.Run(fmt.Sprintf("W-%d", w.number), func(t *testing.T) {
			t.Logf("%s: %s", w.what, strings.Join(w.tests, ", "))
			for _, name := range w.tests {
				if !exists[name] {
					t.Errorf("there is no test %s", name)
				}
			}
		})
	}
	if len(weaknesses) != last {
		t.Errorf("%d numbers, not %d", len(weaknesses), last)
	}
}

// advisories are what was wrong in Keystone itself, with the tests that show how it is in keystone-all.
var advisories = []struct {
	name, what string
	tests      []string
}{
	{"CVE-2012-3426, CVE-2012-5563, CVE-2026-44394", "a token that is exchanged for another one lives longer", []string{
		"keystone/server.TestRescoping", "keystone/server.TestRescopingKeepsTheEnd"}},
	{"CVE-2012-4413, CVE-2013-2059, CVE-2013-4222", "tokens outlive a role, a user or a project", []string{
		"keystone/server.TestRevocationTriggers", "keystone/server.TestGroupAndHierarchyTriggers", "keystone/server.TestNoTokenSlipsThrough"}},
	{"CVE-2012-4457, CVE-2013-0282", "disabled users and projects log in, by EC2 keys too", []string{"keystone/server.TestRefusedLogins", "keystone/server.TestEC2Tokens"}},
	{"CVE-2013-2014", "bodies without bound", []string{"keystone/server.TestBodyLimit"}},
	{"CVE-2014-2828", "one method named many times costs as many passwords", []string{"keystone/server.TestMethodsCountOnce"}},
	{"CVE-2014-3476", "delegated tokens delegate", []string{"keystone/server.TestTrustToken", "keystone/server.TestOAuth1Login", "keystone/server.TestRedelegation"}},
	{"CVE-2014-3520", "a trust gives another project by v2.0", []string{"keystone/server.TestTrustV2"}},
	{"CVE-2014-3621", "URLs of the catalog show configuration", []string{"keystone/server.TestCatalogURLs"}},
	{"CVE-2014-5251, CVE-2014-5252, CVE-2014-5253", "revocation by events, to the second, and of domains", []string{
		"keystone/server.TestRevocationTriggers", "keystone/server.TestDomainDeleted", "cmd.TestTwoNodes"}},
	{"CVE-2018-20170, CVE-2021-38155", "answers tell which users there are, and who is locked out", []string{"keystone/server.TestRefusedLogins", "keystone/server.TestGuessing"}},
	{"CVE-2019-19687, CVE-2020-12689, CVE-2026-90460", "credentials of others, and made or read by delegated tokens", []string{
		"keystone/server.TestCredentials", "keystone/server.TestEC2OfOthers"}},
	{"CVE-2020-12690", "an access token has all roles of its user", []string{"keystone/server.TestOAuth1Login"}},
	{"CVE-2020-12691, CVE-2026-33551, CVE-2026-43001", "EC2 keys become others', or those of other projects", []string{
		"keystone/server.TestCredentials", "keystone/server.TestEC2RenamedCredential", "keystone/server.TestEC2Trust"}},
	{"CVE-2020-12692", "signed requests of EC2 have no end", []string{"keystone/server.TestEC2Tokens"}},
	{"CVE-2025-65073", "everybody makes a token of a signed request", []string{"keystone/server.TestEC2Tokens", "keystone/server.TestDomainAdministrators"}},
	{"CVE-2026-42999", "what a rule looks at is taken from the request", []string{"keystone/server.TestTargetsCannotBeForged"}},
	{"CVE-2026-43000", "delegated tokens manage trusts", []string{"keystone/server.TestOAuth1Login", "keystone/server.TestEC2Tokens", "keystone/server.TestRedelegation"}},
}

// TestAdvisories: go test -v -run TestAdvisories . lists them.
func TestAdvisories(t *testing.T) {
	exists := testFunctions(t)
	for _, a := range advisories {
		t.Logf("%s: %s: %s", a.name, a.what, strings.Join(a.tests, ", "))
		for _, name := range a.tests {
			if !exists[name] {
				t.Errorf("%s: there is no test %s", a.name, name)
			}
		}
	}
}

// testFunctions is every test of the module, as folder.TestName.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	if err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				found[filepath.ToSlash(filepath.Dir(path))+"."+f.Name.Name] = true
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return found
}
