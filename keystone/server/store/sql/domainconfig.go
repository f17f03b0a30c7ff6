package sql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"authproxy/keystone/server/domainconfig"
	"authproxy/keystone/server/fault"
)

// settingsTable keeps what is secret apart from what is not.
func settingsTable(secret bool) string {
	if secret {
		return "sensitive_config"
	}
	return "whitelisted_config"
}

func scanSetting(row scanner) (s domainconfig.Setting, err error) {
	var value string
	if err := row.Scan(&s.Group, &s.Option, &value); err != nil {
		return s, err
	}
	d := json.NewDecoder(strings.NewReader(value))
	d.UseNumber()
	return s, d.Decode(&s.Value)
}

func (s *Store) DomainSettings(ctx context.Context, domainID string, secret bool) ([]domainconfig.Setting, error) {
	return all(ctx, s, scanSetting, `SELECT group_name, option_name, value FROM `+settingsTable(secret)+
		` WHERE domain_id = ? ORDER BY group_name, option_name`, domainID)
}

func (s *Store) SetDomainSetting(ctx context.Context, domainID string, secret bool, v domainconfig.Setting) error {
	text, err := json.Marshal(v.Value)
	if err != nil { // it came from JSON
		panic(fmt.Sprintf("option %s: %v", v.Option, err))
	}
	_, err = s.exec(ctx, `INSERT INTO `+settingsTable(secret)+` (domain_id, group_name, option_name, value) VALUES (?, ?, ?, ?)
		ON CONFLICT (domain_id, group_name, option_name) DO UPDATE SET value = excluded.value`, domainID, v.Group, v.Option, string(text))
	if errors.Is(err, errForeignKey) {
		return fault.NotFound{Kind: "domain", ID: domainID}
	}
	return err
}

func (s *Store) RemoveDomainSettings(ctx context.Context, domainID, group, option string) error {
	clause, args := ` WHERE domain_id = ?`, []any{domainID}
	if group != "" {
		clause, args = clause+` AND group_name = ?`, append(args, group)
	}
	if option != "" {
		clause, args = clause+` AND option_name = ?`, append(args, option)
	}
	return s.Write(ctx, func(ctx context.Context) error {
		for _, secret := range []bool{false, true} {
			if _, err := s.exec(ctx, `DELETE FROM `+settingsTable(secret)+clause, args...); err != nil {
				return err
			}
		}
		return nil
	})
}
