package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"lockstep/internal/archive"
	"lockstep/internal/inspect"
	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/journal/snapshot"
	"lockstep/node"
	"lockstep/wire"
)

func journalVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify DIR",
		Short: "Check every record; exit code 1 if something is damaged",
		Long: `Check every record of a journal: length, checksum, position, order, chain; every snapshot: its data against its
manifest, its place against the log, its digest against the one that the log says is verified; in an archive also every
file against the archive's manifest. It says where the good log ends, and what opening it would find: intact; torn (the end of a
write that was never promised; normal after a crash, and while the node runs); damaged or recovering (bytes that had
been synced are bad or gone: exit code 1).`,
		Example: `  lockstep journal verify /var/lib/lockstep
  lockstep journal verify /mnt/archive`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			dirs, err := journalDirs(args[0])
			if err != nil {
				return err
			}
			for _, dir := range dirs {
				err = errors.Join(err, verifyDir(c.OutOrStdout(), dir))
			}
			return usageOf(errors.Join(err, verifyArchive(c.OutOrStdout(), filepath.Clean(args[0]))))
		},
	}
}

// verifyDir verifies the log and the snapshots in a directory.
func verifyDir(w io.Writer, dir string) error {
	done := progress(os.Stderr, "reading "+dir)
	s, err := verifyAgain(dir)
	done()
	if err != nil {
		return errors.Join(err, showStart(w, dir))
	}
	if err = showVerified(w, dir, &s); err != nil {
		err = errors.Join(err, showStart(w, dir))
	}
	return errors.Join(err, verifySnapshots(w, dir))
}

// showStart says what a node finds that opens a damaged log from its snapshots: what lies before is not read then.
func showStart(w io.Writer, dir string) error {
	store, err := snapshot.Look(vfs.Real{}, dir)
	if err != nil {
		return err
	}
	list := store.List()
	for i := len(list) - 1; i >= 0; i-- {
		s, err := journal.VerifyFrom(vfs.Real{}, dir, &journal.Base{Chain: list[i].Chain})
		if errors.Is(err, journal.ErrBase) || store.Check(list[i].Position()) != nil {
			continue
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "a node starts from its snapshot all the same, and finds: %s\n", &s.Recovered)
		return nil
	}
	return nil
}

// verifySnapshots reads the snapshots in a directory. A log that is damaged has been told of already.
func verifySnapshots(w io.Writer, dir string) error {
	done := progress(os.Stderr, "reading the snapshots of "+dir)
	list, damage, err := inspect.CheckSnapshots(vfs.Real{}, dir)
	done()
	if err != nil && !errors.Is(err, journal.ErrCorrupt) && !errors.Is(err, inspect.ErrCut) && !errors.Is(err, inspect.ErrDropped) {
		return err
	}
	var problems []error
	for _, what := range damage {
		problems = append(problems, fmt.Errorf("%s: %s", dir, what))
	}
	verified := 0
	for i := range list {
		p := &list[i]
		if p.Problem != "" {
			problems = append(problems, fmt.Errorf("%s: the snapshot at position %d: %s", dir, p.Position, p.Problem))
		} else if p.Verified {
			verified++
		}
	}
	if len(list) > 0 {
		fmt.Fprintf(w, "%d snapshots, the newest at position %d; %d of them sound and verified by a majority\n", len(list),
			list[len(list)-1].Position, verified)
	}
	return errors.Join(problems...)
}

// verifyAttempts is how often a journal is verified at most that changes meanwhile.
const verifyAttempts = 4

// verifyAgain verifies a journal; if it looks damaged while its node runs, again: a node that cuts its log at that moment, or
// drops its beginning, leaves the same picture.
func verifyAgain(dir string) (s journal.Summary, err error) {
	for attempt := 1; ; attempt++ {
		s, err = journal.Verify(vfs.Real{}, dir)
		if err != nil || !s.Outcome.Forgot() || !isRunning(dir) || attempt > 1 && !beginsBehind(dir, s.Floor) ||
			attempt == verifyAttempts {
			return s, err
		}
		time.Sleep(time.Second)
	}
}

// beginsBehind says whether the log in a directory begins behind a position.
func beginsBehind(dir string, floor wire.Position) bool {
	l, err := inspect.Open(vfs.Real{}, dir)
	if err != nil {
		return false
	}
	defer l.Close()
	first, err := l.First()
	return err == nil && first.Position > floor
}

func showVerified(w io.Writer, dir string, s *journal.Summary) error {
	fmt.Fprintf(w, "%s: %s\n", dir, &s.Recovered)
	if s.Segments > 0 {
		fmt.Fprintf(w, "%d segments from position %d, cluster %s, synced up to %d at least\n",
			s.Segments, s.Floor, node.ClusterString(s.Cluster), s.Watermark)
	}
	if isRunning(dir) {
		fmt.Fprintln(w, "a node runs on it: its log goes on meanwhile")
	}
	switch {
	case s.Outcome.Forgot() && s.Resumes > 0:
		return fmt.Errorf("%s is damaged from position %d; good records go on at %d", dir, s.Chain.Position, s.Resumes)
	case s.Outcome.Forgot():
		return fmt.Errorf("%s is damaged from position %d", dir, s.Chain.Position)
	case s.BadHeader > 0:
		return fmt.Errorf("%s: %d segments have a damaged header; their records are good, and the node mends it at its "+
			"next start", dir, s.BadHeader)
	}
	return nil
}

// verifyArchive checks the files of an archive; a node's directory has no manifest.
func verifyArchive(w io.Writer, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "MANIFEST")); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	done := progress(os.Stderr, "summing "+dir)
	m, err := archive.Check(vfs.Real{}, dir)
	done()
	if err == nil {
		fmt.Fprintln(w, m.Summary())
	}
	return err
}
