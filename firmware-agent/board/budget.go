package board

import "lockerfleet/locker/climate"

// ClimateBand is what the air of c must keep to; the zero Band when the profile asks for nothing.
func (c *CellProfile) ClimateBand() climate.Band {
	b, _ := climate.ParseBand(c.Band) // Check has refused other names
	return b
}

// Coils is how many coils may be on at once over all power banks: what the supply carries beside
// the rest of the cabinet and the reserve, for the hungriest coil of the bank. 0 means that the
// profile says nothing of the supply or of the coils; then the power banks alone decide. Check has
// seen to it that one coil is always affordable.
func (p *Profile) Coils() int {
	most := 0
	for i := range p.Compartments {
		most = max(most, p.Compartments[i].Lock.CoilmA)
	}
	if p.Power.PSUmA <= 0 || most <= 0 {
		return 0
	}
	return max((p.Power.PSUmA*(100-p.Power.ReservePct)/100-p.Power.BasemA)/most, 1)
}
