package board

import "lockerfleet/locker"

// ClimateMode is what a climate unit does to the air.
type ClimateMode string

// The modes of a climate unit. The empty mode counts as off.
const (
	ClimateOff  ClimateMode = "off"
	ClimateCool ClimateMode = "cool"
	ClimateHeat ClimateMode = "heat"
)

// Stage is how a climate unit is driven.
type Stage struct {
	Mode ClimateMode
	// Percent is the share of full power, 1 to 100; 0 means full. A unit that only knows on and
	// off, such as a compressor, takes every value as full.
	Percent int
	// Fan asks for moving air while Mode is off. Heating and cooling move the air themselves.
	Fan bool
}

// Climate drives the stages of one cooling or heating unit. It decides nothing: which stage is
// wanted is the agent's. A driver still protects its machine: a compressor that has to rest
// stays off, and a heater whose fan does not turn is switched off.
type Climate interface {
	// Drive asks for a stage and returns within a few milliseconds. That the machine rests is no
	// error; Actual tells.
	Drive(Stage) error
	// Actual is what the unit does now. It comes with an error when the unit cannot do what it
	// was told, such as a heater without its fan.
	Actual() (Stage, error)
	// Safe switches everything off at once. It may be called at any time and as often as wanted.
	Safe() error
}

// Light is what an indicator shows.
type Light string

// The lights of an indicator.
const (
	LightOff    Light = "off"
	LightOn     Light = "on"
	LightBlink  Light = "blink"  // a matter of this door: it is open, or asks to be closed
	LightLocate Light = "locate" // a quick double flash: this is the door to go to
)

// Indicator is the lamp of a door or of the bank.
type Indicator interface {
	// Light replaces the pattern, which lasts until the next call. It returns at once.
	Light(Light) error
}

// Tone is what a buzzer says.
type Tone string

// The tones of a buzzer. All but the alarm end by themselves.
const (
	ToneOff   Tone = "off"
	ToneOK    Tone = "ok"
	ToneNo    Tone = "no"
	ToneAlarm Tone = "alarm" // lasts until the next call
)

// Buzzer is the voice of the bank.
type Buzzer interface {
	// Sound replaces what is heard. It returns at once.
	Sound(Tone) error
}

// Keypad delivers keys one by one, for people who type a code at a bank with a text display.
type Keypad interface {
	// Keys delivers 0 to 9, '*' and '#', or whatever the legend of the profile says. It is never
	// closed while the board is open. A key is dropped when sixteen wait. What is typed is
	// secret: never log it.
	Keys() <-chan rune
}

// MaxScan is the longest scanned text in bytes; a longer one is dropped by the driver.
const MaxScan = 512

// Scanner reads bar codes and QR codes.
type Scanner interface {
	// Scans delivers the text of each code, 1 to MaxScan bytes. It is never closed while the
	// board is open. A scan is dropped when four wait. The text is secret: never log it.
	Scans() <-chan string
}

// CredentialKind says what a person presented at a reader.
type CredentialKind string

// The kinds of credentials.
const (
	CredentialCard   CredentialKind = "card"
	CredentialFinger CredentialKind = "finger"
	CredentialVein   CredentialKind = "vein"
	CredentialFace   CredentialKind = "face"
	CredentialPIN    CredentialKind = "pin"
)

// Credential is what a reader recognised. Biometric data never crosses this border, only the
// reader's reference to it. It is personal: never log it, hash it before it is kept.
type Credential struct {
	Kind CredentialKind
	// Subject is the reader's own reference: the number of a card in decimal, the slot of a
	// finger. At most 64 bytes.
	Subject string
	// Bits are the raw bits of a Wiegand frame without their parity bits, and Len how many they
	// are; 0 when the reader delivers no frames.
	Bits uint64
	Len  int
}

// Reader recognises cards, fingers, veins or faces.
type Reader interface {
	// Credentials delivers what was presented. It is never closed while the board is open. One
	// is dropped when four wait.
	Credentials() <-chan Credential
}

// PowerSource is where the bank's current comes from.
type PowerSource string

// The sources of power. Unknown comes with an error.
const (
	PowerUnknown PowerSource = ""
	PowerMains   PowerSource = "mains"
	PowerBattery PowerSource = "battery"
)

// PowerState is what the supply says of itself.
type PowerState struct {
	Source PowerSource
	// Low says that a pulse could pull the voltage below what the computer needs: no shot may be
	// given.
	Low bool
	// MilliVolts of the lock supply; 0 when it is not measured.
	MilliVolts int
}

// PowerInput watches the supply.
type PowerInput interface {
	Power() (PowerState, error)
}

// Tamper is a contact of the cabinet itself: its service door, its back, a shock sensor.
type Tamper interface {
	// Tampered is true while the contact says so. A contact that cannot be read answers true and
	// an error: a cut cable is tampering.
	Tampered() (bool, error)
}

// Display shows text to people, at the bank or at one door. How much of a screen fits is the
// display's matter: a small one shows the code and the first line.
type Display interface {
	// Show replaces what is shown and returns within a few milliseconds; a slow display draws
	// afterwards, and only the newest screen.
	Show(Screen) error
}

// Steadiness is what a Scale may tell of its own accuracy, besides weighing.
type Steadiness interface {
	// Steadiness is the spread of the samples of the newest reading and the most the scale can
	// carry, both in grams; 0 means not known.
	Steadiness() (spread, capacity locker.Grams)
}
