package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lockerfleet/internal/config"
	"lockerfleet/internal/fault"
)

func TestBadFilesAreRefusedWithPlace(t *testing.T) {
	tests := []struct {
		name string
		yaml string
		want []string
	}{
		{"unknown key", "http:\n  lisen: :80\n", []string{"lockerfleet.yaml:2: http.lisen is not a key; did you mean http.listen?"}},
		{"unknown section", "log:\n  level: info\nhtpp:\n  listen: :80\n", []string{"lockerfleet.yaml:3: htpp is not a key; did you mean http?"}},
		{"nothing near", "zzzzzzzzzz: 1\n", []string{"lockerfleet.yaml:1: zzzzzzzzzz is not a key; see the list"}},
		{"wrong case", "HTTP:\n  listen: :80\n", []string{"HTTP is not a key; did you mean http?"}},
		{"dotted key", "http.listen: :80\n", []string{"http.listen is not a key; write it as indented keys"}},
		{"key below a leaf", "ready_file:\n  x: 1\n", []string{"lockerfleet.yaml:2: ready_file holds a group of keys"}},
		{"number for a text", "mqtt:\n  username: 01\n", []string{`lockerfleet.yaml:2: mqtt.username would be read as a number and change its form; write "01" in quotes`}},
		{"yes for a text", "mail:\n  smtp:\n    host: true\n", []string{`mail.smtp.host would be read as a yes/no value`}},
		{"list for a leaf", "log:\n  level: [info]\n", []string{"log.level holds a list"}},
		{"nothing for a leaf", "log:\n  level:\n", []string{"log.level holds a nothing"}},
		{"list for a section", "log: [a]\n", []string{"log holds a list; indented keys belong here"}},
		{"text for the whole", "hello\n", []string{"lockerfleet.yaml:1: holds a single value; indented keys belong here"}},
		{"twice", "log:\n  level: info\n  level: debug\n", []string{"lockerfleet.yaml:3: log.level was given before in line 2; keep one"}},
		{"section twice", "log:\n  level: info\nlog:\n  format: json\n", []string{"lockerfleet.yaml:3: log was given before in line 1"}},
		{"reference", "log:\n  level: &a info\n  format: *a\n", []string{"lockerfleet.yaml:3: log.format holds a reference"}},
		{"not YAML", "log: [\n", []string{"is not YAML: line 1"}},
		{"two documents", "log:\n  level: info\n---\nlog:\n  level: debug\n", []string{"a second document begins here"}},
		{"duration without unit", "limits:\n  request_timeout: 30\n", []string{`limits.request_timeout`, `lockerfleet.yaml:2): "30" is not a duration; write a number with ms, s, m or h`}},
		{"text for a number", "mail:\n  smtp:\n    port: smtp\n", []string{`lockerfleet.yaml:3): "smtp" is not a whole number`}},
		{"all at once", "a: 1\nlog:\n  levle: x\nmail:\n  smtp:\n    port: x\n", []string{"yaml:1: a is not", "yaml:3: log.levle is not a key; did you mean log.level?", "is not a whole number"}},
		{"bad values all at once with place", "log:\n  level: inof\nhttp:\n  listen: \"80\"\n", []string{`http.listen is "80"; allowed is HOST:PORT`, `lockerfleet.yaml:4)`, `did you mean info? (`, `lockerfleet.yaml:2)`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.LoadServer(file(t, tt.yaml))
			if err == nil {
				t.Fatalf("LoadServer took\n%s", tt.yaml)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q:\n%v", want, err)
				}
			}
			for _, f := range fault.All(err) {
				if f.Kind != fault.Invalid || !strings.HasPrefix(f.Code, "config_") {
					t.Errorf("fault %q is of kind %v", f.Code, f.Kind)
				}
			}
		})
	}
}

func TestEmptyFilesAndSectionsAreDefaults(t *testing.T) {
	for _, yaml := range []string{"", "# only words\n", "http:\nlog:\n", "---\n", "{}\n"} {
		loaded := load(t, file(t, yaml))
		if diff := cmp.Diff(config.Default(), loaded.Config); diff != "" {
			t.Errorf("%q (-want +got):\n%s", yaml, diff)
		}
	}
}

func TestMissingAndHugeFileAreRefused(t *testing.T) {
	if _, err := config.LoadServer(flags(t, "--config", "/no/such/file.yaml")); err == nil || !strings.Contains(err.Error(), "/no/such/file.yaml cannot be read") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := config.LoadServer(file(t, strings.Repeat("#", 256<<10+1))); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("huge file: %v", err)
	}
}

func FuzzFile(f *testing.F) {
	f.Add("http:\n  listen: :80\n")
	f.Add("a: &a [*a]\n")
	f.Add("? {a: b}\n: c\n")
	f.Add("\"..\":\n  x: 1\n")
	f.Add("---\n---\n")
	f.Fuzz(func(t *testing.T, text string) {
		loaded, err := config.LoadServer(file(t, text))
		if err != nil {
			return
		}
		if again := loaded.Config.Validate(); again != nil {
			t.Errorf("LoadServer took what Validate refuses: %v\n%s", again, text)
		}
	})
}
