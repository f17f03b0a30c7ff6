package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/user"
	"path/filepath"
	"strings"
	"sync"

	"authproxy/examples/cloud"
)

// maxIssued bounds the tokens that are logged in for one by one.
const maxIssued = 1000

// startIdentity starts what auth_token asks, keystone-all and memcached, beside the client, and gets tokens of the same size as those
// that the others check.
func startIdentity(ctx context.Context, b *bench) error {
	if b.cloud != nil {
		return nil
	}
	program, err := find("memcached")
	if err != nil {
		return err
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(addr)
	p, err := start(ctx, ownCore, []string{program, "-l", "127.0.0.1", "-p", port, "-U", "0", "-m", "512", "-c", "4096", "-u", me.Username}, addr)
	if err != nil {
		return err
	}
	b.beside, b.memcached = append(b.beside, p), addr

	b.cloud = &cloud.Cloud{Dir: filepath.Join(b.dir, "cloud"), Bin: b.bin}
	if err := mkdir(b.cloud.Dir); err != nil {
		return err
	}
	if err := b.cloud.Prepare(ctx); err != nil {
		return err
	}
	if err := b.cloud.StartKeystone(ctx); err != nil {
		return err
	}
	if err := b.cloud.AddUser(ctx, "alice", "wonderland", "demo"); err != nil {
		return err
	}
	if err := b.fillCatalog(ctx); err != nil {
		return err
	}
	return b.logIn(ctx, min(maxIssued, b.tokens))
}

// helpers are the processes that do a part of the peer's work.
func (b *bench) helpers(p *peer) (pids []int) {
	if p.needs == nil {
		return nil
	}
	for _, p := range b.beside {
		pids = append(pids, p.cmd.Process.Pid)
	}
	return append(pids, b.cloud.Pid(cloud.KeystoneAll))
}

// fillCatalog adds four services to the first one.
func (b *bench) fillCatalog(ctx context.Context) error {
	text, err := b.cloud.Token(ctx, "admin", b.cloud.AdminPassword, "admin")
	if err != nil {
		return err
	}
	post := func(path, body string) (string, error) {
		res, text, err := cloud.Call(ctx, http.MethodPost, b.cloud.Keystone+path, map[string]string{"X-Auth-Token": text}, body)
		if err == nil && res.StatusCode != http.StatusCreated {
			err = fmt.Errorf("POST %s: %s\n%s", path, res.Status, text)
		}
		_, id, _ := strings.Cut(text, `"id":"`)
		id, _, _ = strings.Cut(strings.ReplaceAll(id, `"id": "`, `"id":"`), `"`)
		return id, err
	}
	for _, name := range []string{"compute", "image", "network", "volumev3"} {
		id, err := post("/v3/services", fmt.Sprintf(`{"service":{"type":%q,"name":%[1]q}}`, name))
		if err != nil {
			return err
		}
		for _, face := range []string{"public", "internal", "admin"} {
			if _, err := post("/v3/endpoints", fmt.Sprintf(`{"endpoint":{"service_id":%q,"interface":%q,"region_id":"RegionOne","url":"http://controller.example.com:8774/v2.1"}}`, id, face)); err != nil {
				return err
			}
		}
	}
	return nil
}

// logIn gets n tokens for alice, by one that she got by her password.
func (b *bench) logIn(ctx context.Context, n int) error {
	first, err := b.cloud.Token(ctx, "alice", "wonderland", "demo")
	if err != nil {
		return err
	}
	body := fmt.Sprintf(`{"auth":{"identity":{"methods":["token"],"token":{"id":%q}},"scope":{"project":{"name":"demo","domain":{"id":"default"}}}}}`, first)
	b.issued = make([]string, n)
	const workers = 4
	var errs [workers]error
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				res, text, err := cloud.Call(ctx, http.MethodPost, b.cloud.Keystone+"/v3/auth/tokens", nil, body)
				if err == nil && res.StatusCode != http.StatusCreated {
					err = fmt.Errorf("logging in by token: %s\n%s", res.Status, text)
				}
				if errs[w] = err; err == nil {
					b.issued[i] = res.Header.Get("X-Subject-Token")
				}
			}
		})
	}
	group.Wait()
	return errors.Join(errs[:]...)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
