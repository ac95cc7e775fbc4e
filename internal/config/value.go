package config

import (
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// masked stands for a secret wherever a configuration is shown.
const masked = "***"

// Secret is a value that is never shown. Every printing way gives a mask; the
// code that needs it calls Reveal.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns a mask, or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString keeps the secret out of %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue keeps the secret out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps the secret out of encoded forms.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// URL is an address that may hold a password. Every printing way masks the
// password; the code that connects calls Reveal.
type URL string

// Reveal returns the address with its password.
func (u URL) Reveal() string { return string(u) }

// String returns the address with its password and its query values masked.
// An address that cannot be read is masked whole.
func (u URL) String() string {
	if !strings.Contains(string(u), "@") && !strings.Contains(string(u), "?") {
		return string(u)
	}
	parsed, err := url.Parse(string(u))
	if err != nil || parsed.Host == "" {
		return masked
	}
	shown := parsed.Scheme + "://"
	if parsed.User != nil {
		shown += parsed.User.Username()
		if _, has := parsed.User.Password(); has {
			shown += ":" + masked
		}
		shown += "@"
	}
	shown += parsed.Host + parsed.EscapedPath()
	if parsed.RawQuery != "" {
		shown += "?" + masked
	}
	return shown
}

// GoString keeps the password out of %#v.
func (u URL) GoString() string { return strconv.Quote(u.String()) }

// LogValue keeps the password out of logs.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText keeps the password out of encoded forms.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// parseDuration refuses a number without a unit, whose meaning people differ on.
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || text == "0" {
		return 0, fmt.Errorf("%q is not a duration; write a number with ms, s, m or h, as 30s or 1h30m", text)
	}
	return d, nil
}
