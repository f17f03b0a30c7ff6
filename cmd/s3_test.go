package cmd

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"authproxy/examples/cloud"
)

// s3Proxy starts a proxy server of Swift that speaks S3 before the storage servers of another one, with more lines for its filter
// s3token.
func (s *realService) s3Proxy(interpreter, of, s3token string) string {
	s.t.Helper()
	other := filepath.Join(s.dir, of)
	text, err := os.ReadFile(filepath.Join(other, "etc", "proxy-server.conf"))
	must(s.t, err)
	port := freePorts(s.t, 1)
	conf := regexp.MustCompile(`(?m)^bind_port = .*`).ReplaceAllString(string(text), fmt.Sprintf("bind_port = %d", port))
	conf = regexp.MustCompile(`(?m)^pipeline = .*`).ReplaceAllString(conf,
		"pipeline = catch_errors gatekeeper healthcheck proxy-logging listing_formats bulk s3api s3token keystoneauth slo dlo versioned_writes symlink proxy-logging proxy-server")
	conf += fmt.Sprintf("[filter:s3api]\nuse = egg:swift#s3api\n[filter:s3token]\nuse = egg:swift#s3token\nauth_uri = %s/v3\n%s\n", s.cloud.Keystone, s3token)
	folder := filepath.Join(s.t.TempDir(), "etc")
	must(s.t, os.Mkdir(folder, 0o700))
	must(s.t, os.WriteFile(filepath.Join(folder, "proxy-server.conf"), []byte(conf), 0o600))
	common, err := os.ReadFile(filepath.Join(other, "etc", "swift.conf"))
	must(s.t, err)
	must(s.t, os.WriteFile(filepath.Join(folder, "swift.conf"), common, 0o600))
	p := startProcess(s.t, exec.Command(interpreter, "-I", filepath.Join(other, "run.py"), folder, "proxy"))
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	ctx, cancel := context.WithTimeout(s.t.Context(), 60*time.Second)
	defer cancel()
	if err := cloud.Until(ctx, func() (bool, error) {
		res, _, err := cloud.Call(ctx, http.MethodGet, url+"/healthcheck", nil, "")
		return err == nil && res.StatusCode == http.StatusOK, nil
	}); err != nil {
		s.t.Fatalf("Swift did not get ready: %v\n%s", err, p.output())
	}
	return url
}

func mac(method func() hash.Hash, key []byte, text string) []byte {
	h := hmac.New(method, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// s3Key signs requests to S3 by version 2 or 4.
type s3Key struct {
	access, secret string
	version        int
}

func (k s3Key) sign(r *http.Request, body string) {
	now := time.Now().UTC()
	if k.version == 2 {
		date := now.Format(http.TimeFormat)
		r.Header.Set("Date", date)
		signature := base64.StdEncoding.EncodeToString(mac(sha1.New, []byte(k.secret), r.Method+"\n\n\n"+date+"\n"+r.URL.Path))
		r.Header.Set("Authorization", "AWS "+k.access+":"+signature)
		return
	}
	sum := sha256.Sum256([]byte(body))
	content, at, day := hex.EncodeToString(sum[:]), now.Format("20060102T150405Z"), now.Format("20060102")
	r.Header.Set("X-Amz-Date", at)
	r.Header.Set("X-Amz-Content-Sha256", content)
	const headers = "host;x-amz-content-sha256;x-amz-date"
	canonical := sha256.Sum256([]byte(strings.Join([]string{r.Method, r.URL.Path, "",
		"host:" + r.URL.Host, "x-amz-content-sha256:" + content, "x-amz-date:" + at, "", headers, content}, "\n")))
	scope := []string{day, "us-east-1", "s3", "aws4_request"}
	key := []byte("AWS4" + k.secret)
	for _, part := range scope {
		key = mac(sha256.New, key, part)
	}
	text := strings.Join([]string{"AWS4-HMAC-SHA256", at, strings.Join(scope, "/"), hex.EncodeToString(canonical[:])}, "\n")
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,Signature=%x",
		k.access, strings.Join(scope, "/"), headers, mac(sha256.New, key, text)))
}

// s3 asks Swift by S3, and wants a status.
func (s *realService) s3(url, method, path, body string, key s3Key, status int) string {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, url+path, bytes.NewReader([]byte(body)))
	must(s.t, err)
	key.sign(r, body)
	res, err := http.DefaultClient.Do(r)
	must(s.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(s.t, err)
	if res.StatusCode != status {
		s.t.Errorf("%s %s by version %d: %s, want %d\n%s", method, path, key.version, res.Status, status, text)
	}
	return string(text)
}

// TestServiceSwiftS3: Debian's Swift hands requests that were signed with EC2 keys to keystone-all, logged in as a service.
func TestServiceSwiftS3(t *testing.T) {
	needService(t, "swift")
	interpreter := python(t, "swift.common.middleware.s3api.s3token", "keystoneclient")
	s := &realService{t: t, cloud: newCloud(t, nil), name: "swift", dir: t.TempDir()}
	s.up("storage", 4)
	service := fmt.Sprintf(`auth_type = password
auth_url = %s/v3
username = authproxy
password = %s
user_domain_id = default
project_name = service
project_domain_id = default
`, s.cloud.Keystone, s.cloud.ServicePassword)
	swift, anonymous := s.s3Proxy(interpreter, "storage", service), s.s3Proxy(interpreter, "storage", "")

	admin := administrator(t, s.cloud)
	user, project := admin.id("users", "/v3/users?name=alice"), admin.id("projects", "/v3/projects?name=demo")
	var made struct {
		Credential struct{ Access, Secret string }
	}
	must(t, json.Unmarshal([]byte(admin.ask(http.MethodPost, "/v3/users/"+user+"/credentials/OS-EC2", `{"tenant_id":"`+project+`"}`, http.StatusCreated)), &made))
	for _, version := range []int{2, 4} {
		key := s3Key{made.Credential.Access, made.Credential.Secret, version}
		bucket := fmt.Sprintf("/bucket%d", version)
		s.s3(swift, "PUT", bucket, "", key, 200)
		s.s3(swift, "PUT", bucket+"/object", "some text", key, 200)
		if got := s.s3(swift, "GET", bucket+"/object", "", key, 200); got != "some text" {
			t.Errorf("version %d: got %q", version, got)
		}
		if list := s.s3(swift, "GET", "/", "", key, 200); !strings.Contains(list, bucket[1:]) {
			t.Errorf("version %d: buckets %s", version, list)
		}
		wrong := key
		wrong.secret += "x"
		s.s3(swift, "GET", bucket+"/object", "", wrong, 403)
		wrong.access, wrong.secret = "none", key.secret
		s.s3(swift, "GET", bucket+"/object", "", wrong, 403)
		s.s3(anonymous, "GET", bucket+"/object", "", key, 403) // Swift is nobody to keystone-all there
		admin.ask(http.MethodPatch, "/v3/users/"+user, `{"user":{"enabled":false}}`, http.StatusOK)
		s.s3(swift, "GET", bucket+"/object", "", key, 403)
		admin.ask(http.MethodPatch, "/v3/users/"+user, `{"user":{"enabled":true}}`, http.StatusOK)
		s.s3(swift, "GET", bucket+"/object", "", key, 200)
	}
}
