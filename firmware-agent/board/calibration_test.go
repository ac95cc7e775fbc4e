package board

import (
	"strings"
	"testing"
)

func TestSetCalibrationChangesNothingElse(t *testing.T) {
	t.Parallel()
	text := `# our bank
profile: 1
compartments:
  - no: 1
    scale: {driver: nau7802, zero: 5, counts_per_gram: 1.5, capacity_g: 20000} # left
  - no: 2
    id: "08"
    scale:
      driver: hx711
      capacity_g: 5000
  - no: 3
`
	out, err := SetCalibration([]byte(text), 2, -812, -42.125)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# our bank", `id: "08"`, "zero: 5, counts_per_gram: 1.5, capacity_g: 20000} # left", "zero: -812", "counts_per_gram: -42.1250"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	out, err = SetCalibration(out, 1, 7, 2)
	if err != nil || !strings.Contains(string(out), "zero: 7, counts_per_gram: 2.0000, capacity_g: 20000") {
		t.Errorf("%v:\n%s", err, out)
	}
	for _, no := range []int{3, 4} {
		if _, err := SetCalibration([]byte(text), no, 0, 1); err == nil || !strings.Contains(err.Error(), "has no scale") {
			t.Errorf("compartment %d: %v", no, err)
		}
	}
	if _, err := SetCalibration(nil, 1, 0, 1); err == nil {
		t.Error("an empty profile was calibrated")
	}
}
