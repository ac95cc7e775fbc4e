package custody

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

// closingForm is the first line of a statement: it separates its signature from other uses of a key.
const closingForm = "lockerfleet closing 1"

// closingLines is how many lines a statement has.
const closingLines = 14

// Closing is what a board saw when a door was opened and closed, in the form in which it signs it.
// Before and After are nil when the board told nothing; every other zero value is told as it is.
type Closing struct {
	Bank    locker.BankID
	Seq     uint64 // of the event when it was signed
	Boot    string
	No      int // the compartment
	Command locker.CommandID
	Grant   locker.GrantID
	Purpose grant.Purpose
	Before  *Reading
	After   *Reading
	OpenMS  int64
	Least   locker.Grams
	TS      int64  // unix milliseconds by the board's wall clock, 0 = it has none
	Prev    string // hash of the signed closing before this one of the same board, empty for its first
}

// Statement is what is signed: the form and 13 fields, one a line, in the order of Closing. A reading
// is its content, followed by a comma and grams where there is a scale, or - when it was not told.
func (c Closing) Statement() string {
	return strings.Join([]string{
		closingForm, string(c.Bank), strconv.FormatUint(c.Seq, 10), c.Boot, strconv.Itoa(c.No), string(c.Command),
		string(c.Grant), string(c.Purpose), stated(c.Before), stated(c.After), strconv.FormatInt(c.OpenMS, 10),
		strconv.FormatInt(int64(c.Least), 10), strconv.FormatInt(c.TS, 10), c.Prev,
	}, "\n")
}

func stated(r *Reading) string {
	switch {
	case r == nil:
		return "-"
	case r.HasGrams:
		return string(r.Content) + "," + strconv.FormatInt(int64(r.Grams), 10)
	}
	return string(r.Content)
}

// ParseClosing reads a statement. Every text that is read is exactly the statement of the answer.
func ParseClosing(text string) (Closing, error) {
	f := strings.Split(text, "\n")
	if len(f) != closingLines || f[0] != closingForm {
		return Closing{}, fmt.Errorf("the statement of the board is not of the form %q with %d lines", closingForm, closingLines)
	}
	seq, _ := strconv.ParseUint(f[2], 10, 64) // what is no number does not lead back to the text
	no, _ := strconv.Atoi(f[4])
	open, _ := strconv.ParseInt(f[10], 10, 64)
	least, _ := strconv.ParseInt(f[11], 10, 32)
	ts, _ := strconv.ParseInt(f[12], 10, 64)
	c := Closing{
		Bank: locker.BankID(f[1]), Seq: seq, Boot: f[3], No: no, Command: locker.CommandID(f[5]), Grant: locker.GrantID(f[6]),
		Purpose: grant.Purpose(f[7]), Before: parseReading(f[8]), After: parseReading(f[9]), OpenMS: open,
		Least: locker.Grams(least), TS: ts, Prev: f[13],
	}
	if c.Statement() != text {
		return Closing{}, errors.New("the statement of the board has a field that is not written as it must be")
	}
	return c, nil
}

func parseReading(s string) *Reading {
	if s == "-" {
		return nil
	}
	content, grams, weighed := strings.Cut(s, ",")
	g, _ := strconv.ParseInt(grams, 10, 32)
	return &Reading{Content: locker.Content(content), HasGrams: weighed, Grams: locker.Grams(g)}
}

// Hash names the closing in the one that follows it: SHA-256 of the statement, 64 hexadecimal digits.
func (c Closing) Hash() string {
	sum := sha256.Sum256([]byte(c.Statement()))
	return hex.EncodeToString(sum[:])
}

// Sign signs the statement with the key of the board: Ed25519, standard base64, 88 characters.
func (c Closing) Sign(key ed25519.PrivateKey) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(c.Statement())))
}

// SignedBy reports whether sig is the signature of the statement by key. No text of a wrong length
// and no key of a wrong length is one.
func (c Closing) SignedBy(key ed25519.PublicKey, sig string) bool {
	if len(key) != ed25519.PublicKeySize || len(sig) != base64.StdEncoding.EncodedLen(ed25519.SignatureSize) {
		return false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(sig)
	return err == nil && ed25519.Verify(key, []byte(c.Statement()), b)
}

// evidenceStart begins the evidence of every link that a closing made, and of no other.
const evidenceStart = "door "

// Evidence is the closing in words, as it stands at the beginning of the evidence of a link.
func (c Closing) Evidence() string {
	by := "no grant"
	if c.Grant != "" {
		by = fmt.Sprintf("grant %s (%s)", c.Grant, c.Purpose)
	}
	return fmt.Sprintf("%s%s/%d opened by %s, open %d ms; before: %s; after: %s",
		evidenceStart, c.Bank, c.No, by, c.OpenMS, words(c.Before), words(c.After))
}

func words(r *Reading) string {
	if r == nil {
		return string(locker.ContentUnknown)
	}
	return r.String()
}

// shows reports whether the readings of the closing say what a step claims.
func (c Closing) shows(s Step) bool {
	var before, after Reading
	if c.Before != nil {
		before = *c.Before
	}
	if c.After != nil {
		after = *c.After
	}
	switch s {
	case StepStored:
		return c.Purpose == grant.Deposit && Decide(grant.Deposit, before, after, c.Least) == Stored
	case StepCollected:
		return c.Purpose == grant.Collect && Decide(grant.Collect, before, after, c.Least) == Taken
	case StepDisturbed:
		return Decide(grant.Collect, before, after, c.Least) != StillThere
	case StepAnnounced, StepRecalled:
	}
	return false
}
