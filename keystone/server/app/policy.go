package app

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"authproxy/keystone/config"
	"authproxy/keystone/server/policy"
)

// findPolicy makes paths of what policy_file and policy_dirs say. Where they say nothing, policy.json and policy.d count if they
// are beside the configuration, as with Keystone: an operator who wrote one is not to run on other rules.
func (s *Settings) findPolicy(files []string, home string) error {
	find := func(option, name string, near bool) (string, error) {
		path, err := config.FindBeside(files, name, home, "", near)
		if err != nil {
			return "", fmt.Errorf("[DEFAULT] %s: %w", option, err)
		}
		return path, nil
	}
	var err error
	if s.PolicyFile == "" {
		if s.PolicyFile, err = find("policy_file", "policy.json", true); err != nil {
			return err
		}
	} else if s.PolicyFile, err = s.named(find, "policy_file", s.PolicyFile); err != nil {
		return err
	}
	if len(s.PolicyDirs) == 0 {
		dir, err := find("policy_dirs", "policy.d", true)
		if dir != "" {
			s.PolicyDirs = []string{dir}
		}
		return err
	}
	for i := range s.PolicyDirs {
		if s.PolicyDirs[i], err = s.named(find, "policy_dirs", s.PolicyDirs[i]); err != nil {
			return err
		}
	}
	return nil
}

// named finds what the configuration names. What is nowhere keeps the place where it was looked for first, so that loading it says so.
func (s *Settings) named(find func(option, name string, near bool) (string, error), option, name string) (string, error) {
	path, err := find(option, name, false)
	if path == "" && err == nil {
		path = filepath.Join(filepath.Dir(s.File), name)
	}
	return path, err
}

// policy is the rules that the configuration asks for, yet to be loaded where they are in files.
func (s *Settings) policy(log *slog.Logger) *policy.Files {
	o := policy.Options{DefaultRule: s.PolicyDefaultRule, Later: s.Later, Remote: policy.Remote{
		HTTPS:        s.PolicyRemoteChecks != "off",
		InsecureHTTP: s.PolicyRemoteChecks == "insecure_http",
	}}
	return policy.NewFiles(s.PolicyFile, s.PolicyDirs, o, log)
}
