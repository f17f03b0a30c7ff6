package main

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"authproxy/certs"
	"authproxy/keystone/server/tokens"
)

const rotateHelp = `Changes the signing certificate and its key with no outage, in stages that can be repeated, also after a crash:

   prepare    a new key, and a certificate by the CA key at hand or a request for one
   publish    the new certificate goes below the old one, for verifiers to fetch
   switch     the new key signs; verifiers know its certificate
   finish     the old certificate goes, when no token needs it any more

status says where you are and what is next. rollback leads back from anywhere before finish.

If the signing key was stolen: prepare, publish, switch --wait 0s, finish --force-compromised, and make each proxy fetch at once by
SIGHUP or "curl -X POST http://127.0.0.1:8081/refetch"; by themselves they notice within cert_refresh_interval.`

// defaultWait is twice the default of cert_refresh_cooldown: by then a proxy that meets a token by the new key is free to fetch
// its certificate.
const defaultWait = time.Minute

func (t tool) rotateCommand() *cli.Command {
	compromised := &cli.BoolFlag{Name: "force-compromised", Usage: "drop the certificate whose key does not sign at once, and with it each token that it signed"}
	none := func(c *cli.Context) error {
		if c.Args().Present() {
			return fmt.Errorf("there is no signing_rotate %q: it is one of prepare, publish, switch, finish, rollback, status", c.Args().First())
		}
		return cli.ShowSubcommandHelp(c)
	}
	return &cli.Command{
		Name: "signing_rotate", Usage: "change the signing certificate and its key with no outage, in stages", Description: rotateHelp,
		HideHelpCommand: true, Action: none,
		Subcommands: []*cli.Command{
			{Name: "prepare", Usage: "make a new key and its certificate, or the request for one", ArgsUsage: " ", Flags: append(keyFlags(""),
				&cli.IntFlag{Name: "valid-days", Usage: "`DAYS` that the certificate is valid, instead of [signing] valid_days"},
				&cli.BoolFlag{Name: "csr", Usage: "make a request for another CA, although the CA key is here"},
			), Action: t.rotation(func(r *certs.Rotation, c *cli.Context, o certs.PrepareOptions) (*certs.RotationStatus, error) {
				return r.Prepare(o)
			})},
			{Name: "publish", Usage: "append the new certificate to certfile", ArgsUsage: " ", Flags: []cli.Flag{
				&cli.StringFlag{Name: "certificate", Usage: "`FILE` that the CA answered the request with: PEM or PKCS#7, chain included"},
			}, Action: t.rotation(func(r *certs.Rotation, c *cli.Context, _ certs.PrepareOptions) (*certs.RotationStatus, error) {
				return r.Publish(c.String("certificate"))
			})},
			{Name: "switch", Usage: "let the new key sign", ArgsUsage: " ", Flags: []cli.Flag{
				&cli.DurationFlag{Name: "wait", Value: defaultWait, Usage: "`TIME` that must have passed since publish; not less than cert_refresh_cooldown of the proxies"},
			}, Action: t.rotation(func(r *certs.Rotation, c *cli.Context, _ certs.PrepareOptions) (*certs.RotationStatus, error) {
				if c.Duration("wait") < 0 {
					return nil, errors.New("--wait is negative")
				}
				return r.Switch(c.Duration("wait"))
			})},
			{Name: "finish", Usage: "drop the old certificate", ArgsUsage: " ", Flags: []cli.Flag{compromised},
				Action: t.rotation(func(r *certs.Rotation, c *cli.Context, _ certs.PrepareOptions) (*certs.RotationStatus, error) {
					return r.Finish(c.Bool(compromised.Name))
				})},
			{Name: "rollback", Usage: "go back to the old key", ArgsUsage: " ", Flags: []cli.Flag{compromised},
				Action: t.rotation(func(r *certs.Rotation, c *cli.Context, _ certs.PrepareOptions) (*certs.RotationStatus, error) {
					return r.Rollback(c.Bool(compromised.Name))
				})},
			{Name: "status", Usage: "say where the rotation is and what is next", ArgsUsage: " ",
				Action: t.rotation(func(r *certs.Rotation, c *cli.Context, _ certs.PrepareOptions) (*certs.RotationStatus, error) {
					return r.Status()
				})},
		},
	}
}

// keyFlags choose the kind of a new key. "" is the default of a rotation.
func keyFlags(kind certs.KeyType) []cli.Flag {
	usage := "`TYPE` of the key: rsa or ecdsa (P-256)"
	if kind == "" {
		usage += "; that of the present key by default"
	}
	return []cli.Flag{
		&cli.StringFlag{Name: "key-type", Value: string(kind), Usage: usage},
		&cli.IntFlag{Name: "key-size", Usage: "`BITS` of an RSA key, instead of [signing] key_size"},
	}
}

// keySize is the flag, else the option.
func keySize(c *cli.Context, option int) int {
	if c.IsSet("key-size") {
		return c.Int("key-size")
	}
	return option
}

// rotation runs one stage and says where that leads.
func (t tool) rotation(stage func(*certs.Rotation, *cli.Context, certs.PrepareOptions) (*certs.RotationStatus, error)) cli.ActionFunc {
	return func(c *cli.Context) error {
		if c.Args().Present() {
			return fmt.Errorf("unexpected argument %q", c.Args().First())
		}
		s, err := t.settings(c)
		if err != nil {
			return err
		}
		o := certs.PrepareOptions{
			KeyType: certs.KeyType(c.String("key-type")), KeySize: keySize(c, s.Signing.KeySize),
			ValidDays: s.Signing.ValidDays, Subject: s.Signing.CertSubject, Request: c.Bool("csr"),
		}
		if c.IsSet("valid-days") {
			o.ValidDays = c.Int("valid-days")
		}
		st, err := stage(&certs.Rotation{
			CertFile: s.Signing.CertFile, KeyFile: s.Signing.KeyFile, CACerts: s.Signing.CACerts, CAKey: s.Signing.CAKey,
			TokenLife: s.TokenExpiration + tokens.DefaultWindow,
		}, c, o)
		if err != nil {
			return err
		}
		t.tell(st, time.Now())
		return nil
	}
}

// tell says where a rotation is, and what is next.
func (t tool) tell(st *certs.RotationStatus, now time.Time) {
	say := func(format string, args ...any) { fmt.Fprintf(t.stdout, format+"\n", args...) }
	say("stage:   %s", st.Stage)
	say("signs:   %s", describe(st.Current, now))
	if st.Next != nil {
		say("next:    %s", describe(st.Next, now))
	}
	for _, c := range st.Retired {
		say("retired: %s", describe(c, now))
	}
	switch st.Stage {
	case certs.StageIdle:
		if len(st.Retired) > 0 {
			say("Signing certificates that expired, or that no token needs any more, can go: signing_rotate finish.")
		}
		say("No rotation is under way. To begin one: signing_rotate prepare.")
	case certs.StageRequested:
		if st.Request == "" {
			say("There is a new key, but neither certificate nor request: run signing_rotate prepare again.")
			return
		}
		say("Send %s to your CA. Then: signing_rotate publish --certificate FILE, with the file that it answers.", st.Request)
	case certs.StagePrepared:
		say("Verifiers do not know the new certificate yet. Next: signing_rotate publish.")
	case certs.StagePublished:
		if now.Before(st.TokensUntil) {
			say("The new key has signed tokens, which may be in use until %s. From then on signing_rotate rollback takes its certificate out.", at(st.TokensUntil))
		}
		say("Verifiers fetch the new certificate now: an authproxy within cert_refresh_interval (an hour by default), and sooner when it meets")
		say("a token by an unknown signer, if the last fetch is cert_refresh_cooldown (30 s by default) ago; auth_token likewise. With several")
		say("servers, publish on all of them first.")
		say("Next, from %s on: signing_rotate switch.", at(st.Published.Add(defaultWait)))
	case certs.StageSwitched:
		say("The new key signs (the log of keystone-all says \"signing certificates changed\"). Back: signing_rotate rollback.")
		switch {
		case len(st.Retired) == 0:
			say("The old certificate is gone already. Next: signing_rotate finish.")
		case st.TokensUntil.IsZero():
			say("Tokens by the old key may be in use, and there is no record until when. Next, once its certificate has expired: signing_rotate finish.")
		default:
			say("Tokens by the old key may be in use until %s, service tokens included. Next, from then on: signing_rotate finish.", at(st.TokensUntil))
		}
	}
}

func at(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func describe(c *x509.Certificate, now time.Time) string {
	kind := fmt.Sprintf("%T", c.PublicKey)
	switch pub := c.PublicKey.(type) {
	case *rsa.PublicKey:
		kind = fmt.Sprintf("RSA %d", pub.N.BitLen())
	case *ecdsa.PublicKey:
		kind = "ECDSA " + pub.Params().Name
	}
	until := "valid until " + at(c.NotAfter)
	if now.After(c.NotAfter) {
		until = "expired on " + at(c.NotAfter)
	}
	return fmt.Sprintf("%s, %s, serial number %#x, %s", c.Subject, kind, c.SerialNumber, until)
}

// request makes the first key, and the request that an external CA makes a certificate of.
func (t tool) request(c *cli.Context) error {
	s, err := t.settings(c)
	if err != nil {
		return err
	}
	o := certs.RequestOptions{
		KeyFile: c.String("key"), RequestFile: c.String("out"), Subject: s.Signing.CertSubject,
		KeyType: certs.KeyType(c.String("key-type")), KeySize: keySize(c, s.Signing.KeySize),
	}
	if o.KeyFile == "" {
		o.KeyFile = s.Signing.KeyFile
	}
	if o.RequestFile == "" {
		o.RequestFile = filepath.Join(filepath.Dir(s.Signing.CertFile), "req.pem")
	}
	give, err := newOwner(c, []string{o.KeyFile, o.RequestFile})
	if err != nil {
		return err
	}
	if err := certs.Request(o); err != nil {
		return fmt.Errorf("%w (to replace a key that signs: signing_rotate prepare --csr)", err)
	}
	if err := give(); err != nil {
		return err
	}
	fmt.Fprintln(t.stdout, "made", o.KeyFile)
	fmt.Fprintln(t.stdout, "made", o.RequestFile)
	fmt.Fprintf(t.stdout, "Send the request to your CA. Put the certificate that it answers with into %s, PEM or PKCS#7, and its chain into %s.\n", s.Signing.CertFile, s.Signing.CACerts)
	return nil
}
