package custody

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"lockerfleet/locker"
)

// A custody file is the chain of one parcel for anybody to check, without a network: JSON lines, a
// head, one line a link, and at the end a signature of the control center over every byte before
// it. A changed, missing or added byte is found. A link that a closing made carries the statement of
// its board and the board's signature, so that it need not be believed because the control center says
// so (see Link.Standing).

// Bounds of a file.
const (
	MaxFile   = 1 << 20 // bytes
	fileForm  = "custody 1"
	fileUse   = "lockerfleet custody file 1\x00" // separates the signature from other uses of the key
	sigBefore = `{"sig":"`
	sigAfter  = "\"}\n"
)

// Head is the first line of a file.
type Head struct {
	Form   string            `json:"lockerfleet"`
	Parcel locker.ParcelID   `json:"parcel"`
	Links  int               `json:"links"`
	Made   time.Time         `json:"made"`
	Key    ed25519.PublicKey `json:"key"` // of the signature: whoever checks compares it with one they trust
	// Boards are the keys of the boards whose doors the chain names. Whoever does not trust the control
	// center compares them with what the boards show of themselves.
	Boards []DeviceKey `json:"boards,omitzero"`
}

// KeyPrint is how people compare keys: 32 hexadecimal digits of a hash.
func KeyPrint(k ed25519.PublicKey) string {
	sum := sha256.Sum256(k)
	return hex.EncodeToString(sum[:16])
}

// line is a link in a file.
type line struct {
	No       int           `json:"no"`
	Step     Step          `json:"step"`
	Giver    string        `json:"giver"`
	Taker    string        `json:"taker"`
	Bank     locker.BankID `json:"bank"`
	Door     int           `json:"compartment"`
	At       int64         `json:"at_ms"`
	Evidence string        `json:"evidence"`
	Proof    Proof         `json:"proof,omitzero"`
	Prev     string        `json:"prev"`
	Hash     string        `json:"hash"`
}

// WriteFile writes a chain with the keys of the boards it names, signed. A chain with a fault is
// written as it is: the reader finds it.
func WriteFile(key ed25519.PrivateKey, parcel locker.ParcelID, links []Link, boards []DeviceKey, made time.Time) ([]byte, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("custody file: no key to sign with")
	}
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	head := Head{Form: fileForm, Parcel: parcel, Links: len(links), Made: made.UTC(), Key: ed25519.PublicKey(key[ed25519.SeedSize:]), Boards: boards}
	if err := out.Encode(head); err != nil {
		return nil, fmt.Errorf("custody file: %w", err)
	}
	for _, l := range links {
		row := line{
			No: l.No, Step: l.Step, Giver: l.Giver, Taker: l.Taker, Bank: l.Compartment.Bank, Door: l.Compartment.No,
			At: l.At.UnixMilli(), Evidence: l.Evidence, Proof: l.Proof, Prev: l.Prev, Hash: l.Hash,
		}
		if err := out.Encode(row); err != nil {
			return nil, fmt.Errorf("custody file: %w", err)
		}
	}
	sig := ed25519.Sign(key, append([]byte(fileUse), b.Bytes()...))
	return fmt.Appendf(b.Bytes(), "%s%s%s", sigBefore, base64.StdEncoding.EncodeToString(sig), sigAfter), nil
}

// ReadFile checks a file: its signature by the key it names, every hash and every hand-over. The
// head and the links it could read come with the error, to be shown.
func ReadFile(b []byte) (Head, []Link, error) {
	var head Head
	if len(b) > MaxFile {
		return head, nil, fmt.Errorf("the file has %d bytes; at most %d are allowed", len(b), MaxFile)
	}
	at := bytes.LastIndex(b, []byte(sigBefore))
	if at < 0 || !bytes.HasSuffix(b, []byte(sigAfter)) {
		return head, nil, errors.New("the signature at the end is missing: the file is cut off or no custody file")
	}
	head, links, err := readLines(b[:at])
	if err != nil {
		return head, links, err
	}
	if err := checkSignature(head.Key, b, at); err != nil {
		return head, links, err
	}
	return head, links, checkLinks(head, links)
}

func readLines(b []byte) (head Head, links []Link, err error) {
	first := true
	for text := range bytes.Lines(b) {
		if first {
			if err := json.Unmarshal(text, &head); err != nil || head.Form != fileForm {
				return head, nil, fmt.Errorf("the first line is not the head of a custody file (%s)", fileForm)
			}
			first = false
			continue
		}
		var r line
		if err := json.Unmarshal(text, &r); err != nil {
			return head, links, fmt.Errorf("line %d cannot be read: %w", len(links)+2, err)
		}
		links = append(links, Link{
			Parcel: head.Parcel, No: r.No, Step: r.Step, Giver: r.Giver, Taker: r.Taker,
			Compartment: locker.CompartmentID{Bank: r.Bank, No: r.Door}, At: time.UnixMilli(r.At).UTC(),
			Evidence: r.Evidence, Proof: r.Proof, Prev: r.Prev, Hash: r.Hash,
		})
	}
	return head, links, nil
}

func checkSignature(key ed25519.PublicKey, b []byte, at int) error {
	text := b[at+len(sigBefore) : len(b)-len(sigAfter)]
	sig, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil || len(text) != base64.StdEncoding.EncodedLen(ed25519.SignatureSize) || len(key) != ed25519.PublicKeySize {
		return errors.New("the signature or its key cannot be read")
	}
	if !ed25519.Verify(key, append([]byte(fileUse), b[:at]...), sig) {
		return errors.New("the signature does not fit: the file was changed after it was made")
	}
	return nil
}

func checkLinks(head Head, links []Link) error {
	if len(head.Boards) > MaxDeviceKeys {
		return fmt.Errorf("the head has %d keys of boards; at most %d are allowed", len(head.Boards), MaxDeviceKeys)
	}
	for _, k := range head.Boards {
		if len(k.Key) != ed25519.PublicKeySize {
			return fmt.Errorf("a key of bank %q has %d bytes; %d are needed", k.Bank, len(k.Key), ed25519.PublicKeySize)
		}
	}
	if len(links) != head.Links {
		return fmt.Errorf("the head tells of %d links and there are %d", head.Links, len(links))
	}
	if err := Verify(links); err != nil {
		return err
	}
	return Rising(links)
}
