package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lockerfleet/locker/custody"
)

func (a *app) custody() *cobra.Command {
	cmd := &cobra.Command{Use: "custody", Short: "Export the custody of a parcel and check such a file offline"}
	cmd.AddCommand(a.custodyExport(), a.custodyVerify())
	return cmd
}

func (a *app) custodyExport() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use: "export PARCEL", Args: cobra.ExactArgs(1),
		Short:   "Write who held a parcel, when, and what was seen, as a signed file",
		Long:    "Writes the file to standard output and the print of the signing key to standard error. Give the print to\nwhoever checks the file by another way than the file itself.",
		Example: "  lockerfleet custody export prc-01h... > parcel.custody",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			b, err := c.raw(cmd.Context(), "/parcels/"+url.PathEscape(args[0])+"/custody/file")
			if err != nil {
				return err
			}
			head, _, fault := custody.ReadFile(b)
			if _, err := cmd.OutOrStdout().Write(b); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "signed by key %s\n", custody.KeyPrint(head.Key))
			if fault != nil {
				return fmt.Errorf("the chain has a fault: %w", fault)
			}
			return nil
		},
	}
	r.flags(cmd.Flags())
	return cmd
}

func (a *app) custodyVerify() *cobra.Command {
	var key string
	var boards []string
	cmd := &cobra.Command{
		Use: "verify FILE", Args: cobra.ExactArgs(1),
		Short:   "Check a custody file without a network",
		Long:    "Prints every step and a verdict; exits 0 when the file is intact and every board that has a key\nsigned what it saw, 1 otherwise. With --key it must be signed by the key of that print, which `lockerfleet custody\nexport` tells. With --board a board's key counts only when its print is given: `firmware-agent claim` tells it at the\nboard, so that not even the control center can put another key in its place.",
		Example: "  lockerfleet custody verify parcel.custody --key 0123456789abcdef0123456789abcdef",
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := readBounded(args[0])
			if err != nil {
				return err
			}
			return verdict(cmd.OutOrStdout(), b, key, boards)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "print of the key that must have signed, 32 hexadecimal digits")
	cmd.Flags().StringSliceVar(&boards, "board", nil, "print of a board's key that is trusted, 32 hexadecimal digits; may be given more than once")
	return cmd
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, custody.MaxFile+1))
}

// verdict prints a file and what is to be thought of it. boards are the prints of the boards' keys that
// are trusted; with none, those in the file are, and shown.
func verdict(w io.Writer, b []byte, key string, boards []string) error {
	head, links, err := custody.ReadFile(b)
	if err == nil && key != "" && !strings.EqualFold(key, custody.KeyPrint(head.Key)) {
		err = fmt.Errorf("it is signed by key %s, not by %s", custody.KeyPrint(head.Key), key)
	}
	fmt.Fprintf(w, "parcel %q, written %s, signed by key %s\n", head.Parcel, head.Made.Format(time.RFC3339), custody.KeyPrint(head.Key))
	keys := trusted(w, head.Boards, boards)
	unproved := steps(w, links, keys, len(boards) > 0)
	switch {
	case err != nil:
		fmt.Fprintf(w, "NOT INTACT: %v\n", err)
		return errors.New("the custody file is not intact")
	case unproved > 0:
		fmt.Fprintf(w, "NOT PROVED: the file is intact, and %d of its steps are not what a board signed.\n", unproved)
		return errors.New("the custody file is not proved by the boards")
	}
	fmt.Fprintln(w, "INTACT: the signature is good, and every hash and every hand-over fits the one before.")
	if key == "" {
		fmt.Fprintln(w, "Compare the key with that of your control center, or give it with --key.")
	}
	if len(keys) > 0 && len(boards) == 0 {
		fmt.Fprintln(w, "Compare the keys of boards with what the boards showed when they were claimed, or give them with --board.")
	}
	return nil
}

// trusted prints the keys of boards and answers those that count.
func trusted(w io.Writer, all []custody.DeviceKey, prints []string) (keys []custody.DeviceKey) {
	for _, k := range all {
		until, word := "now", ""
		if !k.Until.IsZero() {
			until = k.Until.Format(time.RFC3339)
		}
		print := custody.KeyPrint(k.Key)
		if len(prints) == 0 || slices.ContainsFunc(prints, func(p string) bool { return strings.EqualFold(p, print) }) {
			keys = append(keys, k)
		} else {
			word = " (not trusted)"
		}
		fmt.Fprintf(w, "board of %q: key %s from %s until %s%s\n", k.Bank, print, k.From.Format(time.RFC3339), until, word)
	}
	return keys
}

// steps prints the links and answers how many lack the word of their board. Where keys of boards are
// asked for, a closing that no board signed is one.
func steps(w io.Writer, links []custody.Link, keys []custody.DeviceKey, asked bool) (unproved int) {
	for _, l := range links {
		standing, why := l.Standing(keys)
		if asked && standing == custody.Stated && l.ByClosing() {
			standing, why = custody.Unverified, "no trusted board signed the closing"
		}
		if standing == custody.Unverified {
			unproved++
			why = ": " + why
		}
		fmt.Fprintf(w, "%3d  %s  %-10s %q -> %q at %q\n     %q\n     %s%s\n", l.No, l.At.Format(time.RFC3339), l.Step, l.Giver, l.Taker,
			l.Compartment, l.Evidence, standing, printable(why))
	}
	return unproved
}

// printable keeps what a file says from writing to the terminal.
func printable(s string) string { return strings.Trim(fmt.Sprintf("%q", s), `"`) }

// raw reads an answer as it is.
func (c *client) raw(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/api/v1"+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the server %s does not answer: %w", c.base, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, custody.MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	if res.StatusCode >= 300 {
		return nil, refusal(res, b)
	}
	return b, nil
}
