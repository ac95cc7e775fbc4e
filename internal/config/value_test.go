package config_test

import (
	"testing"

	"lockerfleet/internal/config"
)

func TestURLMasksWhatMayBeSecret(t *testing.T) {
	t.Parallel()
	tests := []struct{ url, want string }{
		{"", ""},
		{"/var/lib/x.db", "/var/lib/x.db"},
		{"redis://host:1/0", "redis://host:1/0"},
		{"redis://user:pw@host:1/0", "redis://user:***@host:1/0"},
		{"redis://user@host", "redis://user@host"},
		{"postgres://h/x?password=pw", "postgres://h/x?***"},
		{"user:pw@host", "***"},
		{"://user:pw@host", "***"},
		{"x.db?key=pw", "***"},
	}
	for _, tt := range tests {
		if got := config.URL(tt.url).String(); got != tt.want {
			t.Errorf("URL(%q).String() = %q, want %q", tt.url, got, tt.want)
		}
	}
}
