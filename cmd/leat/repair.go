package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/leatstream/leat/stream/local"
)

func (a *app) repairCommand() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "repair DIR", Short: "Make a damaged data directory usable again", Args: cobra.ExactArgs(1),
		Long: `Repair makes a new database of everything in the data directory that can be read and whose checksum is right. For every run of
records that is lost it writes down a gap: readers are told of it, and no sequence number is used twice. The damaged database is
moved aside and kept until you delete it. A directory without damage is left as it is. Nothing else may have the directory open.

It exits with 0 when the directory is in order, also when there was nothing to do, and with 3 when it cannot be repaired.`,
		Example: "  leat repair --dry-run ./leat-data\n  leat repair ./leat-data\n  leat repair --json /var/lib/leat",
		RunE: func(_ *cobra.Command, args []string) error {
			log, err := a.logger()
			if err != nil {
				return err
			}
			report, err := local.Repair(args[0], local.RepairOptions{Logger: log, DryRun: dry})
			if a.json {
				return errors.Join(a.print(repairEnvelope(&report, args[0], err)), silent(repairError(err, args[0])))
			}
			if err != nil {
				return repairError(err, args[0])
			}
			printRepair(a.out, &report, args[0], dry)
			return nil
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "change nothing; say what would be kept and what is lost")
	a.jsonFlag(cmd)
	return cmd
}

// repairError gives an error of repair its exit code and a hint.
func repairError(err error, dir string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, local.ErrLocked):
		return environment(err, "stop the process that has it open first")
	case errors.Is(err, os.ErrNotExist):
		return environment(err, "check the name: "+shellQuote(dir))
	}
	return environment(err, "the directory is as it was; if this was the disk, make room or replace it, and call leat repair again")
}

// silent keeps the exit code of an error that has been printed.
func silent(err error) error {
	if err == nil {
		return nil
	}
	code, _ := exitCode(err)
	return &exitError{code: code, err: errors.New("")}
}

// repairRow is a shard, or a gap in one, in the answer of leat repair --json.
type repairRow struct {
	Stream  string `json:"stream"`
	Shard   string `json:"shard"`
	Records int64  `json:"records"`
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

func repairEnvelope(report *local.RepairReport, dir string, err error) envelope {
	kept, lost, findings := []repairRow{}, []repairRow{}, []string{}
	for _, k := range report.Kept {
		kept = append(kept, repairRow{Stream: k.Stream, Shard: k.Shard.String(), Records: k.Records})
	}
	for _, l := range report.Lost {
		lost = append(lost, repairRow{Stream: l.Stream, Shard: l.Shard.String(), Records: l.Count, From: l.From.String(), To: l.To.String(), Reason: l.Reason})
	}
	for _, f := range report.Findings {
		findings = append(findings, f.String())
	}
	e := envelope{Command: "repair", OK: err == nil, Summary: repairSummary(report), Warnings: report.Notes, Result: map[string]any{
		"repaired": report.Repaired, "damaged": report.Damaged, "findings": findings, "kept": kept, "lost": lost,
		"marks": report.Marks, "state": report.State,
	}}
	if err != nil {
		_, hint := exitCode(repairError(err, dir))
		e.Summary, e.Error = "not repaired", &envelopeError{Code: "repair.failed", Message: err.Error(), Hint: hint}
	}
	return e
}

func repairSummary(report *local.RepairReport) string {
	var kept, lost int64
	for _, k := range report.Kept {
		kept += k.Records
	}
	for _, l := range report.Lost {
		lost += l.Count
	}
	switch {
	case len(report.Findings) == 0:
		return "nothing to do: what was acknowledged is there"
	case len(report.Kept) == 0:
		return "the directory is in order again"
	case len(report.Lost) == 0:
		return fmt.Sprintf("%s records kept, none lost", humanize.Comma(kept))
	}
	return fmt.Sprintf("%s records kept, at most %s lost in %d gaps", humanize.Comma(kept), humanize.Comma(lost), len(report.Lost))
}

func printRepair(w io.Writer, report *local.RepairReport, dir string, dry bool) {
	if n := len(report.Findings); n > 0 {
		fmt.Fprintln(w, "Found:")
		for i, f := range report.Findings {
			if i == 50 {
				fmt.Fprintf(w, "  and %d more (--json lists all)\n", n-i)
				break
			}
			fmt.Fprintf(w, "  %s\n", f)
		}
	}
	if len(report.Kept) > 0 {
		fmt.Fprintln(w, "Kept:")
		for _, k := range report.Kept {
			fmt.Fprintf(w, "  stream %s %s: %s records\n", k.Stream, k.Shard, humanize.Comma(k.Records))
		}
		fmt.Fprintf(w, "  %d marks, %d state entries\n", report.Marks, report.State)
	}
	if len(report.Lost) > 0 {
		fmt.Fprintln(w, "Lost, and told to readers as a gap:")
		for _, l := range report.Lost {
			fmt.Fprintf(w, "  %s\n", l)
		}
	}
	for _, n := range report.Notes {
		fmt.Fprintf(w, "Note: %s\n", n)
	}
	fmt.Fprintf(w, "%s\n", repairSummary(report))
	switch {
	case dry && len(report.Findings) > 0:
		fmt.Fprintf(w, "Nothing was changed. To do it: leat repair %s\n", shellQuote(dir))
	case report.Damaged != "":
		fmt.Fprintf(w, "The damaged database is kept in %s; delete it when you no longer need it.\n", filepath.Join(dir, report.Damaged))
	}
}
