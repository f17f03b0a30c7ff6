package headers

import "testing"

func TestParseName(t *testing.T) {
	for text, want := range map[string]string{
		"x-remote-user": "X-Remote-User", "REMOTE-USER": "Remote-User", "X-Auth-Type": "X-Auth-Type",
		"": "", "X_Remote_User": "", "X.User": "", "-x": "", "X User": "", "authorization": "", "host": "", "X-Auth-Token": "", "x-service-token": "",
		"X-Forwarded-User": "", "Forwarded": "", "Connection": "", "Transfer-Encoding": "", "X-Rémote": "",
	} {
		if got, err := ParseName(text); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}
