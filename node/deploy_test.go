package node

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// unitFile reads a unit under deploy/systemd, its comments left out.
func unitFile(t *testing.T, name string) string {
	t.Helper()
	return regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(document(t, filepath.Join("deploy", "systemd", name)), "")
}

// setting is the value of a directive of a unit.
func setting(unit, name string) string {
	_, value, _ := strings.Cut(unit, "\n"+name+"=")
	value, _, _ = strings.Cut(value, "\n")
	return value
}

// TestSystemdTakesTheUnits has systemd read them: it names a directive that it does not know, or a value that it cannot use.
func TestSystemdTakesTheUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze here")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var names []string
	for from, name := range map[string]string{
		"lockstep@.service": "lockstep@1.service", "lockstep-tune.service": "lockstep-tune.service",
		"lockstep-tune-watch.service": "lockstep-tune-watch.service",
	} {
		// The program has to be there; the manager that verify plays has no user of that name.
		text := strings.ReplaceAll(document(t, filepath.Join("deploy", "systemd", from)), "/usr/local/bin/lockstep", self)
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	verify := exec.Command(analyze, append([]string{"verify"}, names...)...)
	out, err := verify.CombinedOutput()
	if text := string(out); strings.Contains(text, "Failed to initialize") {
		t.Skipf("systemd-analyze cannot work here: %s", text)
	} else if err != nil || strings.Contains(text, dir) {
		t.Errorf("%v: %s", err, text)
	}
}

// TestTheUnitHasWhatTheNodeNeeds holds the unit's capabilities to those of the document, and the times to one another.
func TestTheUnitHasWhatTheNodeNeeds(t *testing.T) {
	unit := unitFile(t, "lockstep@.service")
	m := regexp.MustCompile(`setcap (\S+)\+ep`).FindStringSubmatch(document(t, operations))
	if m == nil {
		t.Fatalf("%s has no setcap line", operations)
	}
	want := strings.Split(strings.ToUpper(m[1]), ",")
	for _, name := range []string{"AmbientCapabilities", "CapabilityBoundingSet"} {
		if got := strings.Fields(setting(unit, name)); !slices.Equal(got, want) {
			t.Errorf("%s is %v, %s says %v", name, got, operations, want)
		}
	}
	for name, want := range map[string]string{
		"Type": "notify", "LimitMEMLOCK": "infinity", "RestartPreventExitStatus": "2", "Environment": "GODEBUG=asyncpreemptoff=1",
	} {
		if got := setting(unit, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := setting(unit, "SystemCallFilter"); !slices.Contains(strings.Fields(got), "bpf") { // AF_XDP's program
		t.Errorf("SystemCallFilter is %q", got)
	}
	if got := setting(unit, "RestrictAddressFamilies"); !strings.Contains(got, "AF_XDP") || !strings.Contains(got, "AF_NETLINK") {
		t.Errorf("RestrictAddressFamilies is %q", got)
	}
	_, service, _ := strings.Cut(unit, "[Service]\n")
	service, _, _ = strings.Cut(service, "NoNewPrivileges=") // from there on it is hardening, a paragraph for all
	for line := range strings.Lines(service) {
		name, _, is := strings.Cut(strings.TrimSpace(line), "=")
		if is && !strings.Contains(document(t, operations), "`"+name+"`") {
			t.Errorf("%s does not say what %s is for", operations, name)
		}
	}
}
