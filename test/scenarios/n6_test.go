package scenarios_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"lockerfleet/internal/cli"
	"lockerfleet/internal/conformance"
)

// N6: one command tells which duties of the contract a device keeps; the agent of this build keeps
// those that were asked for, and the exit code says so.
func TestN6ConformanceOfTheRealAgent(t *testing.T) {
	t.Parallel()
	only := "connect,birth,rebirth,ping,lock,command,open,code,grant,restart,messages,events.numbers"
	var out, errs bytes.Buffer
	if code := cli.Main([]string{"conformance", "--simulated", "-o", "json", "--only", only}, &out, &errs); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, errs.String())
	}
	var report conformance.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	if report.Passed < 25 || report.Failed+report.Blocked > 0 {
		t.Errorf("%d duties hold, %d do not, %d could not be tried:\n%s", report.Passed, report.Failed, report.Blocked, errs.String())
	}
	for _, row := range report.Rows {
		if row.State == conformance.Pass && !strings.Contains(errs.String(), row.ID) {
			t.Errorf("the progress did not name %s", row.ID)
		}
	}
}

// N6: a device that never comes is told apart from one that breaks the contract.
func TestN6NoDeviceCannotBeTried(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	code := cli.Main([]string{"conformance", "--listen", "127.0.0.1:0", "--connect-within", "1s"}, &out, &errs)
	if code != 2 || !strings.Contains(errs.String(), "is it pointed to this broker") || !strings.Contains(errs.String(), "public key") {
		t.Errorf("exit code %d, want 2:\n%s", code, errs.String())
	}
}
