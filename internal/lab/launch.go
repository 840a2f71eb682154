package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// reportFd is where a launched holder says how it is getting on, a report a line.
const reportFd = 3

// report is one thing that a holder says while it builds its lab. The last one has Ready or Failure.
type report struct {
	Say     string   `json:"say,omitempty"`
	Ready   bool     `json:"ready,omitempty"`
	Failure *failure `json:"failure,omitempty"`
}

// Launch starts a holder (`lockstep lab hold`) that outlives this process, and returns when its lab is ready. What it
// says meanwhile goes to o.Log. When ctx ends first the holder is told to give up.
func Launch(ctx context.Context, runtime string, o Options) (*Remote, error) {
	say := o.Log
	if say == nil {
		say = io.Discard
	}
	o.Log = nil
	options, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	if err := makeRuntime(runtime); err != nil {
		return nil, err
	}
	if o.Binary == "" {
		if o.Binary, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("lab: which binary to run: %w", err)
		}
	}
	cmd := exec.Command(o.Binary, "lab", "hold", "--runtime", runtime)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal, and no signals from one
	reports, err := startHolder(cmd, runtime, options)
	if err != nil {
		return nil, fmt.Errorf("lab: start the holder: %w", err)
	}
	defer reports.Close()
	// It is told by signal, not through the pipe: it may be busy.
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	if err := follow(reports, say); err != nil {
		_ = cmd.Wait() // it has said why it ends
		return nil, err
	}
	return Attach(runtime)
}

// startHolder starts cmd with the options on its standard input, and returns where it reports.
func startHolder(cmd *exec.Cmd, runtime string, options []byte) (io.ReadCloser, error) {
	output, err := os.OpenFile(filepath.Join(runtime, logName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	reports, reportsIn, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer reportsIn.Close()
	cmd.Stdout, cmd.Stderr = output, output
	cmd.ExtraFiles = []*os.File{reportsIn} // reportFd
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = input.Write(options)
		err = errors.Join(err, input.Close())
	}
	if err != nil {
		return nil, errors.Join(err, reports.Close())
	}
	return reports, nil
}

// follow passes on what a holder says, until it is ready or fails.
func follow(reports io.Reader, say io.Writer) error {
	lines := bufio.NewScanner(reports)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("lab: the holder said %q: %w", lines.Text(), err)
		}
		switch {
		case r.Ready:
			return nil
		case r.Failure != nil:
			return r.Failure.err()
		}
		fmt.Fprint(say, r.Say)
	}
	return errors.New("lab: the holder was killed before its lab was ready")
}

// HoldLaunched is the other side of Launch: it reads the options, holds the lab, and reports.
func HoldLaunched(ctx context.Context, runtime string, options io.Reader) error {
	pipe := os.NewFile(reportFd, "reports")
	if _, err := pipe.Stat(); err != nil {
		return fmt.Errorf("%w: lab hold is started by lab up", ErrOptions)
	}
	syscall.CloseOnExec(reportFd)
	r := &reporter{encoder: json.NewEncoder(pipe)}
	o := Options{}
	err := json.NewDecoder(options).Decode(&o)
	if err == nil {
		o.Log = r
		err = Hold(ctx, runtime, o, func() {
			r.send(report{Ready: true})
			pipe.Close()
		})
	}
	if err != nil {
		r.send(report{Failure: &failure{Error: err.Error(), Mended: mended(err)}})
	}
	return err
}

// reporter sends reports. Who launched may have been killed: the lab stays up all the same.
type reporter struct{ encoder *json.Encoder }

func (r *reporter) send(what report) { _ = r.encoder.Encode(what) }

// Write sends what is said as it is.
func (r *reporter) Write(b []byte) (int, error) {
	r.send(report{Say: string(b)})
	return len(b), nil
}
