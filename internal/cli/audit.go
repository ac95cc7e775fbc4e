package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lockerfleet/controlcenter"
	"lockerfleet/internal/config"
)

func (a *app) audit() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Check who did what"}
	cmd.AddCommand(a.auditVerify())
	return cmd
}

func (a *app) auditVerify() *cobra.Command {
	var head string
	cmd := &cobra.Command{
		Use: "verify", Args: cobra.NoArgs,
		Short: "Find out whether the audit was edited, in the database itself",
		Long: `Walks along the audit, whose entries each carry a hash over themselves and the hash before
them, and names the first one that was changed, deleted or put in. The exit code is 1 then.

Whoever can write to the database could make a whole new chain. Note the printed head, or that
of GET /api/v1/audit/head, somewhere else from time to time, and give it with --head later.`,
		Example: "  lockerfleet audit verify\n  lockerfleet audit verify --head 4711:9f2c...",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, log, err := a.loaded(cmd)
			if err != nil {
				return err
			}
			witness, err := parseHead(head)
			if err != nil {
				return usageError{err}
			}
			c, err := controlcenter.VerifyAudit(cmd.Context(), databaseURL(cfg), witness, log)
			if err != nil {
				return err
			}
			if !c.OK() {
				return fmt.Errorf("the audit was edited: %s", c.Why)
			}
			_, err = fmt.Fprintf(a.out, "The audit is as it was written: %d entries, head %d:%s\n", c.Head.No, c.Head.No, c.Head.Hash)
			if err == nil && c.Head.Older > 0 {
				_, err = fmt.Fprintf(a.out, "%d entries are older than the chain; nothing is known of them.\n", c.Head.Older)
			}
			return err
		},
	}
	config.ServerFlags(cmd.Flags())
	cmd.Flags().StringVar(&head, "head", "", "head NO:HASH that was noted before")
	return cmd
}

// parseHead reads NO:HASH; nothing is no head.
func parseHead(text string) (h controlcenter.AuditHead, err error) {
	if text == "" {
		return h, nil
	}
	no, hash, ok := strings.Cut(text, ":")
	if h.No, err = strconv.ParseUint(no, 10, 63); err != nil || !ok || h.No == 0 || len(hash) != 64 {
		return h, fmt.Errorf("--head %q: want NO:HASH as audit verify printed it", text)
	}
	h.Hash = hash
	return h, nil
}
