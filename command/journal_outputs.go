package command

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"lockstep/internal/inspect"
	"lockstep/internal/replay"
	"lockstep/internal/vfs"
	"lockstep/service"
	"lockstep/wire"
)

// outputsRun is a dump with outputs under way.
type outputsRun struct {
	player  *replay.Player
	end     wire.Position // of the log, when the replay began
	encoder *json.Encoder
	at      wire.Position // of the record that caused outputs
	outputs []inspect.Output
}

// printOutputs prints the selected records with the responses that they caused.
func printOutputs(c *cobra.Command, dir string, s *inspect.Selection) error {
	end, err := logEnd(dir)
	if err != nil {
		return err
	}
	run := outputsRun{end: end.Position}
	run.player, err = replay.New(replay.Options{FS: vfs.Real{}, Dir: dir, End: end.Position, FromStart: true,
		Services: productionServices, Output: run.output, Lost: run.output, Closed: run.closed})
	if err != nil {
		return err
	}
	defer run.player.Close()
	l, err := inspect.Open(vfs.Real{}, dir)
	if err != nil {
		return err
	}
	defer l.Close()
	begin := run.player.Start()
	if begin.Position > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "lockstep: the replay begins with the snapshot at position %d, sequence %d, %s: records before "+
			"it are shown without outputs\n", begin.Position, begin.Sequence, inspect.Stamp(begin.Timestamp))
	}
	out := bufio.NewWriterSize(c.OutOrStdout(), 1<<16)
	run.encode(out)
	done := progress(os.Stderr, "replaying "+dir)
	e, err := l.Walk(s, run.print)
	done()
	if errors.Is(err, errStop) {
		e.Log, err = l.Ending(end)
	}
	if err := errors.Join(err, out.Flush()); err != nil {
		return err
	}
	tellEnd(c.ErrOrStderr(), dir, &e)
	return nil
}

func (r *outputsRun) encode(w io.Writer) {
	r.encoder = json.NewEncoder(w)
	r.encoder.SetEscapeHTML(false)
}

// output keeps a response for the record that caused it.
func (r *outputsRun) output(head *service.Egress, payload []byte) {
	r.keep(head.Position, inspect.ViewOutput(head, payload))
}

func (r *outputsRun) closed(head *service.Egress) { r.keep(head.Position, inspect.ViewClosed(head)) }

func (r *outputsRun) keep(at wire.Position, o inspect.Output) {
	if at != r.at {
		r.at, r.outputs = at, r.outputs[:0]
	}
	r.outputs = append(r.outputs, o)
}

func (r *outputsRun) print(rec *wire.Record, payload []byte) error {
	if rec.End() > r.end {
		return errStop // it came after the replay was begun
	}
	view := inspect.View(rec, payload)
	if _, err := r.player.Apply(rec.End()); err != nil {
		return err
	}
	if len(r.outputs) > 0 && r.at == rec.Position {
		view.Outputs = r.outputs
	}
	return r.encoder.Encode(view)
}
