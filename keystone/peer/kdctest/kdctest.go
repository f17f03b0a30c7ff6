// Package kdctest runs a real MIT Kerberos KDC for tests, from Debian's krb5-kdc, krb5-admin-server and krb5-user: on a free
// loopback port, with all its files in a temporary directory.
package kdctest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Realm is the realm of every KDC here.
const Realm = "TEST.EXAMPLE.ORG"

// KDC is a KDC that runs until its test ends.
type KDC struct {
	tb  testing.TB
	dir string
	env []string
}

// programs are what is needed; Debian keeps the first ones in /usr/sbin, which is not in everybody's PATH.
var programs = []string{"krb5kdc", "kdb5_util", "kadmin.local", "kinit"}

// Start runs a KDC, or skips the test where its programs are not installed. With AUTHPROXY_REQUIRE_SERVICES=1 they must be.
func Start(tb testing.TB) *KDC {
	tb.Helper()
	for _, name := range programs {
		Program(tb, name)
	}
	k := &KDC{tb: tb, dir: tb.TempDir()}
	port := freePort(tb)
	file := func(name string) string { return filepath.Join(k.dir, name) }
	k.write("krb5.conf", `[libdefaults]
	default_realm = %[1]s
	dns_lookup_realm = false
	dns_lookup_kdc = false
	rdns = false
	dns_canonicalize_hostname = false
	udp_preference_limit = 1
[realms]
	%[1]s = {
		kdc = 127.0.0.1:%[2]d
	}
[domain_realm]
	localhost = %[1]s
`, Realm, port)
	k.write("kdc.conf", `[kdcdefaults]
	kdc_listen = 127.0.0.1:%[2]d
	kdc_tcp_listen = 127.0.0.1:%[2]d
[realms]
	%[1]s = {
		database_name = %[3]s
		key_stash_file = %[4]s
		acl_file = %[5]s
		max_life = 1h
	}
`, Realm, port, file("principal"), file("stash"), file("acl"))
	k.env = append(os.Environ(), "KRB5_CONFIG="+file("krb5.conf"), "KRB5_KDC_PROFILE="+file("kdc.conf"), "LC_ALL=C")

	k.run("", "kdb5_util", "-r", Realm, "create", "-s", "-P", "master")
	// -n: in the foreground, so that it is ours to stop.
	server := exec.Command(Program(tb, "krb5kdc"), "-n", "-r", Realm)
	var log bytes.Buffer
	server.Env, server.Stdout, server.Stderr = append(k.env, "KRB5_TRACE="), &log, &log
	if err := server.Start(); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	tb.Cleanup(func() {
		_ = server.Process.Kill() // it may have ended by itself
		<-ended
	})
	for deadline := time.Now().Add(20 * time.Second); ; {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
			return k
		}
		select {
		case err := <-ended:
			ended <- err
			tb.Fatalf("krb5kdc ended: %v\n%s", err, log.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			tb.Fatalf("krb5kdc does not listen: %v", err)
		}
	}
}

// Program finds a program, or skips the test.
func Program(tb testing.TB, name string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, name))
		}
	}
	if err != nil {
		missing(tb, name)
	}
	return path
}

// Python gives a command that runs a script in Debian's Python with its gssapi, or skips the test.
func Python(tb testing.TB, script string, args ...string) *exec.Cmd {
	tb.Helper()
	const python = "/usr/bin/python3" // others in PATH do not have Debian's packages
	if exec.Command(python, "-I", "-c", "import gssapi").Run() != nil {
		missing(tb, "python3 with gssapi")
	}
	return exec.Command(python, append([]string{"-I", "-c", script}, args...)...)
}

func missing(tb testing.TB, what string) {
	tb.Helper()
	const why = "%s is not installed (Debian packages krb5-kdc, krb5-admin-server, krb5-user, curl, python3-gssapi)"
	if os.Getenv("AUTHPROXY_REQUIRE_SERVICES") == "1" {
		tb.Fatalf(why, what)
	}
	tb.Skipf(why, what)
}

// AddUser makes a principal with a password.
func (k *KDC) AddUser(name, password string) {
	k.tb.Helper()
	k.run("", "kadmin.local", "-r", Realm, "-q", fmt.Sprintf("addprinc -pw %s %s", password, name))
}

// Keytab makes principals with random keys, and gives a file with those.
func (k *KDC) Keytab(file string, principals ...string) string {
	k.tb.Helper()
	path := filepath.Join(k.dir, file)
	for _, p := range principals {
		k.run("", "kadmin.local", "-r", Realm, "-q", "addprinc -randkey "+p)
	}
	k.run("", "kadmin.local", "-r", Realm, "-q", "ktadd -norandkey -k "+path+" "+strings.Join(principals, " "))
	return path
}

// Rekey gives a principal a new key of the given encryption type, and a file with it.
func (k *KDC) Rekey(file, principal, etype string) string {
	k.tb.Helper()
	path := filepath.Join(k.dir, file)
	k.run("", "kadmin.local", "-r", Realm, "-q", "ktadd -k "+path+" -e "+etype+":normal "+principal)
	return path
}

// Login gets a ticket by kinit, and gives the environment in which it is found.
func (k *KDC) Login(name, password string) []string {
	k.tb.Helper()
	cache := "KRB5CCNAME=FILE:" + filepath.Join(k.tb.TempDir(), "cache")
	env := k.env
	k.env = append(env[:len(env):len(env)], cache)
	defer func() { k.env = env }()
	k.run(password+"\n", "kinit", name)
	return k.env
}

func (k *KDC) write(name, format string, args ...any) {
	k.tb.Helper()
	if err := os.WriteFile(filepath.Join(k.dir, name), fmt.Appendf(nil, format, args...), 0o600); err != nil {
		k.tb.Fatal(err)
	}
}

// run runs a program; kadmin.local says on stderr alone that something went wrong.
func (k *KDC) run(input, name string, args ...string) {
	k.tb.Helper()
	cmd := exec.Command(Program(k.tb, name), args...)
	var out, problems bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = k.env, strings.NewReader(input), &out, &problems
	if err := cmd.Run(); err != nil {
		k.tb.Fatalf("%s %q: %v\n%s%s", name, args, err, out.String(), problems.String())
	}
	if name == "kadmin.local" && !strings.Contains(out.String(), "created") && !strings.Contains(out.String(), "added to keytab") {
		k.tb.Fatalf("%s %q:\n%s%s", name, args, out.String(), problems.String())
	}
}

// freePort gives a port that was free a moment ago, on TCP and UDP.
func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
