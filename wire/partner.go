package wire

import (
	"lockerfleet/locker"
)

// Contact is how a person is reached. At least one of Email and Phone is wanted for a recipient.
type Contact struct {
	Name  string `json:"name,omitzero" jsonschema:"maxLength=200"`
	Email string `json:"email,omitzero" jsonschema:"maxLength=200"`
	Phone string `json:"phone,omitzero" jsonschema:"maxLength=160"`
	Lang  string `json:"lang,omitzero" jsonschema:"maxLength=16"` // BCP 47
}

// Place says where goods shall go: a bank, or any bank of a site, or the nearest to a position.
// Latitude and longitude are WGS 84 in millionths of a degree.
type Place struct {
	Bank  locker.BankID `json:"bank,omitzero" jsonschema:"maxLength=48"`
	Site  locker.SiteID `json:"site,omitzero" jsonschema:"maxLength=48"`
	LatE6 *int32        `json:"lat_e6,omitzero" jsonschema:"minimum=-90000000,maximum=90000000"`
	LonE6 *int32        `json:"lon_e6,omitzero" jsonschema:"minimum=-180000000,maximum=180000000"`
}

// Goods are what arrives.
type Goods struct {
	Size    locker.Size         `json:"size" jsonschema:"enum=xs,enum=s,enum=m,enum=l,enum=xl"`
	Grams   locker.Grams        `json:"g,omitzero" jsonschema:"minimum=0"`
	Class   locker.ClimateClass `json:"class,omitzero" jsonschema:"enum=ambient,enum=chilled,enum=frozen,enum=hot"` // empty = ambient
	ReachMM locker.Millimetres  `json:"reach_mm,omitzero" jsonschema:"minimum=0"`                                   // highest handle the recipient reaches; 0 = any
}

// Statement is what a partner publishes on stmt/{kind}. Ref is the partner's own reference: the
// same ref with the same content is answered again as at first (duplicate), with other content
// refused (conflict), for ever.
type Statement struct {
	V         int     `json:"v" jsonschema:"minimum=0"`
	Ref       string  `json:"ref" jsonschema:"pattern=^[a-z0-9-]{1\\,64}$"`
	Place     Place   `json:"place,omitzero"`
	Goods     Goods   `json:"goods,omitzero"`
	Recipient Contact `json:"recipient,omitzero"`
	Courier   Contact `json:"courier,omitzero"`                                       // told place and code when an address is given
	Arrives   int64   `json:"arrives,omitzero"`                                       // unix ms the goods are expected, 0 = now
	KeepHours int     `json:"keep_hours,omitzero" jsonschema:"minimum=0,maximum=720"` // collection period, 0 = 72
	TP        string  `json:"tp,omitzero" jsonschema:"maxLength=55"`
}

// AckStatus is the answer to a statement.
type AckStatus string

// The answers. Received means durable; exactly one of the others follows it.
const (
	AckReceived  AckStatus = "received"
	AckAccepted  AckStatus = "accepted"
	AckRejected  AckStatus = "rejected"
	AckDuplicate AckStatus = "duplicate" // known already; the rest of the answer is as at first
	AckConflict  AckStatus = "conflict"  // the ref is taken by other content
)

// StatementAck is on ack/{ref}.
type StatementAck struct {
	V           int             `json:"v"`
	Ref         string          `json:"ref"`
	Kind        StatementKind   `json:"kind,omitzero" jsonschema:"maxLength=160"` // of the statement answered; empty when it is not known
	Status      AckStatus       `json:"status" jsonschema:"enum=received,enum=accepted,enum=rejected,enum=duplicate,enum=conflict"`
	Code        string          `json:"code,omitzero"`   // stable, when rejected or in conflict
	Detail      string          `json:"detail,omitzero"` // a sentence for people
	Parcel      locker.ParcelID `json:"parcel,omitzero"`
	Site        locker.SiteID   `json:"site,omitzero"`
	Bank        locker.BankID   `json:"bank,omitzero"`
	Compartment int             `json:"compartment,omitzero"`
	CourierCode string          `json:"courier_code,omitzero"` // opens that compartment for the deposit
	CodeExpires int64           `json:"code_expires,omitzero"` // unix ms
	At          int64           `json:"at"`                    // unix ms
}

// PartnerEvent is on ev/{ref}. Seq counts the events of one partner without gaps; they can be
// replayed over REST.
type PartnerEvent struct {
	V           int             `json:"v"`
	Seq         uint64          `json:"seq"`
	ID          string          `json:"id"`
	Type        string          `json:"type"` // parcel.stored, parcel.collected, ...
	Ref         string          `json:"ref"`
	Parcel      locker.ParcelID `json:"parcel"`
	Bank        locker.BankID   `json:"bank,omitzero"`
	Compartment int             `json:"compartment,omitzero"`
	At          int64           `json:"at"`              // unix ms it happened
	Reason      string          `json:"reason,omitzero"` // why, when something did not go as stated
}

// FleetEvent is what operators hear, with the attribute names of CloudEvents 1.0.
type FleetEvent struct {
	SpecVersion string `json:"specversion"` // "1.0"
	ID          string `json:"id"`
	Source      string `json:"source"` // /banks/{bank}
	Type        string `json:"type"`
	Time        string `json:"time"`     // RFC 3339
	Sequence    uint64 `json:"sequence"` // fleet-wide, without gaps
	Subject     string `json:"subject,omitzero"`
	Data        any    `json:"data,omitzero"`
}

// BankStatus is the retained summary of a bank for operators.
type BankStatus struct {
	V      int   `json:"v"`
	Online bool  `json:"online"`
	Since  int64 `json:"since"` // unix ms of the last change of Online
	Free   int   `json:"free"`
	Total  int   `json:"total"`
	Open   int   `json:"open"` // doors open now
}

// AlarmNotice is the retained alarm for operators.
type AlarmNotice struct {
	V           int    `json:"v"`
	Code        string `json:"code"`
	Compartment int    `json:"compartment,omitzero"`
	Since       int64  `json:"since"` // unix ms
	Detail      string `json:"detail,omitzero"`
}
