package web

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"lockerfleet/controlcenter/internal/fleet"
	"lockerfleet/controlcenter/internal/people"
	"lockerfleet/locker"
)

// Compartment is one door.
type Compartment struct {
	Bank       locker.BankID        `json:"bank"`
	No         int                  `json:"no" doc:"As printed on the door"`
	Size       locker.Size          `json:"size" enum:"xs,s,m,l,xl"`
	Class      locker.ClimateClass  `json:"class" enum:"ambient,chilled,frozen,hot"`
	HeightMM   locker.Millimetres   `json:"height_mm" doc:"Of the handle above the floor"`
	MaxGrams   locker.Grams         `json:"max_g"`
	Allocation locker.Allocation    `json:"allocation" enum:"free,held,assigned,occupied,blocked"`
	Holder     string               `json:"holder,omitzero" doc:"Whose it is, such as a parcel"`
	Service    locker.Service       `json:"service" enum:"in_service,suspect,out_of_service,cleaning"`
	Reason     string               `json:"reason,omitzero" doc:"Why it is not in service"`
	Lock       locker.LockState     `json:"lock" enum:"locked,unlocking,unlocked,jammed,unknown"`
	Door       locker.DoorState     `json:"door" enum:"closed,open,left_open,unknown"`
	Content    locker.Content       `json:"content" enum:"empty,present,unknown"`
	Grams      *locker.Grams        `json:"g,omitzero"`
	MilliC     *locker.MilliCelsius `json:"milli_c,omitzero"`
	Busy       bool                 `json:"busy,omitzero" doc:"A command is under way"`
	Version    int64                `json:"version" doc:"Counts changes of allocation"`
	Seen       time.Time            `json:"seen,omitzero" doc:"When its sensors spoke last"`
}

// NewService takes a compartment out of service or returns it.
type NewService struct {
	Service locker.Service `json:"service" enum:"in_service,out_of_service,cleaning"`
	Reason  string         `json:"reason,omitzero" maxLength:"200"`
}

func compartmentOf(c fleet.Compartment) Compartment {
	return Compartment{
		Bank: c.ID.Bank, No: c.ID.No, Size: c.Size, Class: c.Class, HeightMM: c.HeightMM, MaxGrams: c.MaxGrams,
		Allocation: c.Allocation, Holder: c.Holder, Service: c.Service, Reason: c.Reason,
		Lock: c.Lock, Door: c.Door, Content: c.Content, Grams: c.Grams, Busy: c.Busy, Version: c.Version, Seen: c.ChangedAt,
	}
}

// overlay shows what the sensors said since the record was written.
func (c *Compartment) overlay(r fleet.LiveRow) {
	if r.MilliC != nil {
		c.MilliC = r.MilliC
	}
	if r.At.Before(c.Seen) {
		return
	}
	c.Seen = r.At
	if r.Lock != "" {
		c.Lock = r.Lock
	}
	if r.Door != "" {
		c.Door = r.Door
	}
	if r.Content != "" {
		c.Content = r.Content
	}
	if r.Grams != nil {
		c.Grams = r.Grams
	}
}

// compartments reads the doors of a bank with what the live state knows besides. A live state
// that does not answer is left out: the record is enough.
func (s *Server) compartments(ctx context.Context, bank locker.BankID) ([]Compartment, error) {
	rows, err := s.Fleet.Compartments(ctx, bank)
	if err != nil {
		return nil, err
	}
	out := make([]Compartment, len(rows))
	for i, r := range rows {
		out[i] = compartmentOf(r)
	}
	if s.Live == nil {
		return out, nil
	}
	_, live, known, err := s.Live.Bank(ctx, bank)
	if err != nil || !known {
		return out, nil //nolint:nilerr // the record alone is a full answer
	}
	for _, r := range live {
		if i := slices.IndexFunc(out, func(c Compartment) bool { return c.No == r.No }); i >= 0 {
			out[i].overlay(r)
		}
	}
	return out, nil
}

func (s *Server) compartmentRoutes() {
	add(s, route{method: http.MethodGet, path: "/banks/{bank}/compartments", id: "list-compartments", tag: "Fleet", need: people.ReadFleet, summary: "List the doors of a bank, with what their sensors say now"},
		func(ctx context.Context, in *OnBank) (*Listed[Compartment], error) {
			_, b, err := s.bank(ctx, people.ReadFleet, locker.BankID(in.Bank))
			if err != nil {
				return nil, err
			}
			rows, err := s.compartments(ctx, b.ID)
			if err != nil {
				return nil, err
			}
			return &Listed[Compartment]{Body: List[Compartment]{Items: rows}}, nil
		})
	type service struct {
		OnBank
		No   int `path:"no" minimum:"1" maximum:"200"`
		Body NewService
	}
	add(s, route{
		method: http.MethodPut, path: "/banks/{bank}/compartments/{no}/service", id: "set-service", tag: "Fleet", need: people.ManageFleet, summary: "Take a door out of service, or return it",
		text: "Returning one that is blocked needs a closed door and an empty compartment.",
	}, func(ctx context.Context, in *service) (*Answer[Compartment], error) {
		a, b, err := s.bank(ctx, people.ManageFleet, locker.BankID(in.Bank))
		if err != nil {
			return nil, err
		}
		id := locker.CompartmentID{Bank: b.ID, No: in.No}
		if err := s.keepsCards(ctx, id, in.Body.Service); err != nil {
			return nil, err
		}
		c, err := s.Fleet.SetService(ctx, id, in.Body.Service, in.Body.Reason)
		if err != nil {
			return nil, err
		}
		s.picture.touch(b.ID)
		s.audit(ctx, a, people.ManageFleet, "compartment/"+string(b.ID)+"/"+strconv.Itoa(in.No),
			map[string]string{"did": "service", "service": string(in.Body.Service), "reason": in.Body.Reason})
		return answer(compartmentOf(c)), nil
	})
}
