package tuning

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// Report is everything about a host that somebody far away needs to know.
type Report struct {
	At        time.Time `json:"at"`
	Name      string    `json:"name"`
	Kernel    string    `json:"kernel"`
	Processor string    `json:"processor"`
	Online    string    `json:"cores_online"`
	Boot      string    `json:"boot_id"`
	Line      string    `json:"kernel_command_line"`
	Profile   Profile   `json:"profile"`
	Interface string    `json:"interface,omitempty"`
	Dir       string    `json:"dir,omitempty"`
	Cores     []int     `json:"hot_cores,omitempty"`
	Score     int       `json:"score"`
	Missing   string    `json:"add_to_kernel_command_line,omitempty"`
	Findings  []Finding `json:"findings"`
	Applied   []Applied `json:"applied,omitempty"` // what the state file holds
	AppliedAs string    `json:"applied_boot,omitempty"`
}

// Applied is a setting that apply has changed and revert would put back.
type Applied struct {
	Item     string `json:"item"`
	Setting  string `json:"setting"`
	Original string `json:"original"`
	Wanted   string `json:"wanted"`
}

// Collect makes the report of a host. state is Apply's file; without it nothing has been applied.
func Collect(h *Host, t Target, state string, at time.Time) (Report, error) {
	r := Report{At: at.UTC(), Boot: h.bootID(), Profile: t.Profile, Interface: t.Interface, Dir: t.Dir, Cores: t.Cores}
	r.Name, _ = h.read("proc/sys/kernel/hostname")
	r.Kernel, _ = h.read("proc/sys/kernel/osrelease")
	r.Online, _ = h.read(cpus + "online")
	r.Line, _ = h.read("proc/cmdline")
	r.Processor = h.processor()
	r.Findings = Check(h, t)
	r.Score, r.Missing = Score(r.Findings), BootLine(r.Findings)
	text, err := os.ReadFile(state)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	var s store
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return r, fmt.Errorf("tuning: state file %s: %w", state, err)
	}
	r.AppliedAs = s.Boot
	for _, e := range s.Entries {
		r.Applied = append(r.Applied, Applied{Item: e.Item, Setting: e.String(), Original: e.Original, Wanted: e.Wanted})
	}
	return r, nil
}

// processor is the first one's name.
func (h *Host) processor() string {
	text, err := h.read("proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// Print writes the report as text.
func (r *Report) Print(w io.Writer) error {
	fmt.Fprintf(w, "%s  %s  kernel %s\n%s, cores %s\nboot %s, command line: %s\n\n", r.At.Format(time.RFC3339), r.Name,
		r.Kernel, r.Processor, r.Online, r.Boot, r.Line)
	fmt.Fprintf(w, "profile %s, interface %q, directory %q, hot cores %s\n\n", r.Profile, r.Interface, r.Dir, coresOr(r.Cores))
	if err := Print(w, r.Findings); err != nil {
		return err
	}
	if len(r.Applied) == 0 {
		_, err := fmt.Fprintln(w, "\nnothing is applied")
		return err
	}
	fmt.Fprintf(w, "\nAPPLIED in boot %s\n", r.AppliedAs)
	for _, a := range r.Applied {
		fmt.Fprintf(w, "%s: %s: %q, was %q\n", a.Item, a.Setting, a.Wanted, a.Original)
	}
	return nil
}
