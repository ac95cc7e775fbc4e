package board

import "testing"

func TestPowerBudgetCountsCoils(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		power Power
		coils []int
		want  int
	}{
		{"8 A, a fifth kept back, 1.5 A for the rest, 2 A a coil", Power{PSUmA: 8000, ReservePct: 20, BasemA: 1500}, []int{2000, 2000}, 2},
		{"the hungriest coil counts", Power{PSUmA: 8000, ReservePct: 20, BasemA: 1500}, []int{500, 4000}, 1},
		{"one is always allowed: the check of the profile refuses a coil that is not affordable", Power{PSUmA: 1000, BasemA: 900}, []int{2000}, 1},
		{"no supply is named", Power{}, []int{2000}, 0},
		{"no coil is named", Power{PSUmA: 8000}, []int{0}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := Profile{Power: tt.power}
			for _, mA := range tt.coils {
				p.Compartments = append(p.Compartments, CellProfile{Lock: LockLine{Lockery: Lockery{CoilmA: mA}}})
			}
			if got := p.Coils(); got != tt.want {
				t.Errorf("Coils() = %d, want %d", got, tt.want)
			}
		})
	}
}
