package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// Database is the [database] section.
type Database struct {
	// Driver is "sqlite" or "postgresql".
	Driver string
	// Path is the file of SQLite, relative to the working directory unless it begins with a slash; ":memory:" keeps nothing.
	Path string
	// URL is the connection URL of PostgreSQL, with its password, in the form that libpq and pgx take.
	URL Secret
	// IdleTimeout closes connections that nobody used for so long.
	IdleTimeout time.Duration
	// MaxPoolSize is how many connections to PostgreSQL are kept open, MaxOverflow how many more there may be.
	MaxPoolSize, MaxOverflow int

	connection Secret
}

// parse reads a connection as SQLAlchemy writes it: sqlite:///relative, sqlite:////absolute, sqlite:// (memory),
// postgresql://user:password@host:port/name?options, either with a "+driver" behind the name.
func (d *Database) parse() error {
	text := d.connection.Reveal()
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return errors.New("this is no URL; write sqlite:///keystone.db or postgresql://user:password@host/keystone")
	}
	name, _, _ := strings.Cut(scheme, "+")
	switch name {
	case "sqlite":
		d.Driver = "sqlite"
		return d.parseSQLite(rest)
	case "postgresql", "postgres":
		d.Driver = "postgresql"
		u, err := url.Parse("postgresql://" + rest)
		if err != nil { // its text repeats the URL with the password
			return errors.New("this is no valid URL; signs like / @ : ? # inside the password are written as %2F %40 %3A %3F %23")
		}
		if u.Path == "" || u.Path == "/" {
			return errors.New("the URL names no database; write postgresql://user:password@host/keystone")
		}
		d.URL = NewSecret("postgresql://" + rest)
		return nil
	}
	return fmt.Errorf("there is no driver for %s; the choices are sqlite and postgresql", clip(name))
}

func (d *Database) parseSQLite(rest string) error {
	if strings.ContainsAny(rest, "?#") {
		return errors.New("options after a ? are not read for sqlite; take them out")
	}
	switch {
	case rest == "", rest == "/", rest == "/:memory:":
		d.Path = ":memory:"
	case rest[0] != '/':
		return errors.New("after two slashes comes a host, which sqlite has not; write sqlite:///keystone.db for a relative path or sqlite:////var/lib/keystone.db for an absolute one")
	default:
		d.Path = rest[1:]
	}
	return nil
}

// String is the connection without its password and options.
func (d Database) String() string {
	if d.Driver != "postgresql" {
		if d.Path == ":memory:" {
			return "sqlite://"
		}
		return d.Driver + ":///" + d.Path
	}
	u, err := url.Parse(d.URL.Reveal())
	if err != nil {
		return masked
	}
	user := ""
	if u.User != nil {
		user = url.User(u.User.Username()).String()
		if _, has := u.User.Password(); has {
			user += ":" + masked
		}
		user += "@"
	}
	out := "postgresql://" + user + u.Host + u.Path
	if u.RawQuery != "" { // may hold password=
		out += "?" + masked
	}
	return out
}

// unverified names a server whose connection may be read by others, or end at another server: "" where sslmode forbids that,
// and where the server is on this machine.
func (d Database) unverified() string {
	u, err := url.Parse(d.URL.Reveal())
	if d.Driver != "postgresql" || err != nil {
		return ""
	}
	switch u.Query().Get("sslmode") {
	case "verify-full", "verify-ca":
		return ""
	}
	hosts := u.Query().Get("host")
	if hosts == "" {
		hosts = u.Host
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		ip := net.ParseIP(strings.Trim(host, "[]"))
		if local := host == "" || host == "localhost" || strings.HasPrefix(host, "/") || ip != nil && ip.IsLoopback(); !local {
			return host
		}
	}
	return ""
}
